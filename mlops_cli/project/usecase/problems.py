"""The mistakes in usecase.toml, one for each cause."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches


class Problems:
    """Sentences by key. Below a wrong table or value, nothing more is reported."""

    def __init__(self) -> None:
        self._sentences: dict[str, str] = {}

    def add(self, key: str, problem: str, title: str = "") -> None:
        """Report the ``problem`` of a key, such as ``data.source``. ``title``: another name for the key."""
        parts = key.split(".")
        above = (".".join(parts[:length]) for length in range(1, len(parts) + 1))
        if self._sentences.keys().isdisjoint(above):
            self._sentences[key] = f"{title or key} {problem}"

    def add_unknown(self, key: str, name: str, choices: Sequence[str], title: str = "", elsewhere: str = "") -> None:
        """Report an unknown name. ``elsewhere``: the place where it is known."""
        near = get_close_matches(name, choices, 1)
        known = f"known are {', '.join(choices)}" if choices else "nothing is known here"
        self.add(key, f"is not known; {f'did you mean {near[0]}?' if near else elsewhere or known}", title)

    def __iter__(self) -> Iterator[str]:
        yield from self._sentences.values()

    def __bool__(self) -> bool:
        return bool(self._sentences)

    @property
    def text(self) -> str:
        """All sentences, for use after a colon: one sentence, or one on each line."""
        sentences = [sentence if sentence.endswith("?") else f"{sentence}." for sentence in self]
        return f" {sentences[0]}" if len(sentences) == 1 else "".join(f"\n  {sentence}" for sentence in sentences)
