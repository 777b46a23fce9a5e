"""The command line that the user gave. Hints and next commands repeat the parts of it that they need."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection
from dataclasses import dataclass, replace

REPEATED = re.compile(r"\b([Rr]epeat) the command\b(\.$)?")


@dataclass(frozen=True)
class CommandLine:
    """``words``: all but `mlops`. ``options``: the options before the command, which the next command needs, too.

    ``commands``: the names of the commands that take these options.
    """

    words: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    commands: Collection[str] = ()

    def __add__(self, more: tuple[str, ...]) -> CommandLine:
        return replace(self, words=(*self.words, *more))

    def repeated(self, *more: str) -> str:
        """Return the command line, with more options, for a shell."""
        return shlex.join(("mlops", *self.words, *(word for word in more if word not in self.words)))

    def completed(self, text: str) -> str:
        """Return a text whose commands can be pasted: the repeated command in full, others with the same options."""
        if self.options and self.commands:
            name = "|".join(sorted(self.commands, key=len, reverse=True))
            options = shlex.join(self.options)
            text = re.sub(rf"(?<!&& )\bmlops (?=(?:{name})(?![\w-]))", lambda _: f"mlops {options} ", text)
        return REPEATED.sub(lambda match: f"{match[1]} {self.repeated()}", text) if self.words else text
