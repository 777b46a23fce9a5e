"""`mlops --install-completion [SHELL]` and `--show-completion [SHELL]`: typer's own options take no shell.

One line is added to the shell's start file, once. Nothing else in the file changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mlops_cli.errors import ConfigurationError

INSTALL, SHOW = "--install-completion", "--show-completion"
SHELLS = ("bash", "zsh", "fish")
ZSH_LINE = "fpath+=~/.zfunc; autoload -Uz compinit; compinit"


def is_completion_request(words: Sequence[str]) -> bool:
    return bool(words) and words[0] in (INSTALL, SHOW)


def completion_text(words: Sequence[str]) -> str:
    """Install the completion, or only return its script, as the words request. Return the text for the user."""
    from typer.completion import get_completion_script  # type: ignore[attr-defined]

    shell = _named_shell(words) or _running_shell()
    script: str = get_completion_script(prog_name="mlops", complete_var="_MLOPS_COMPLETE", shell=shell)
    if words[0] == SHOW:
        return script
    path = _install(shell, f"{script}\n", Path.home())
    return f"{shell} completion installed in {path}\nIt works in each new {shell}."


def _named_shell(words: Sequence[str]) -> str:
    if len(words) > 2 or (len(words) == 2 and words[1] not in SHELLS):
        wrong = " ".join(words[1:])
        raise ConfigurationError(f"{words[0]} is for {', '.join(SHELLS)}, not {wrong}.", f"mlops {words[0]} bash")
    return words[1] if len(words) == 2 else ""


def _running_shell() -> str:
    import shellingham  # type: ignore[import-untyped]

    try:
        name = str(shellingham.detect_shell()[0])
    except shellingham.ShellDetectionFailure:
        name = "unknown"
    if name not in SHELLS:
        raise ConfigurationError(
            f"The shell of this terminal is {name}; there is completion for {', '.join(SHELLS)}.",
            f"Name a shell: mlops {INSTALL} bash",
        )
    return name


def _install(shell: str, script: str, home: Path) -> Path:
    path = (
        home
        / {
            "bash": ".bash_completions/mlops.sh",
            "zsh": ".zfunc/_mlops",
            "fish": ".config/fish/completions/mlops.fish",
        }[shell]
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(script, encoding="utf-8")
    if shell == "bash":
        _add_line(home / ".bashrc", f"source '{path}'")
    if shell == "zsh":
        _add_line(home / ".zshrc", ZSH_LINE)
    return path


def _add_line(file: Path, line: str) -> None:
    content = file.read_bytes() if file.is_file() else b""
    if line.encode() not in content.splitlines():
        start = "" if not content or content.endswith(b"\n") else "\n"
        with file.open("ab") as stream:
            stream.write(f"{start}{line}\n".encode())
