"""``python -m tests.harness``: kill commands at every change of a file, or run two at once; check the state after it.

It ends with 1 after any fault. With --strace the kernel counts the calls, also those of SQLite. Of two calls that leave
the same state, one is tried.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.harness.cases import AT_ONCE, CASES, TWO_LIVE, Case, at_once, begin, pairs, prepared, tried
from tests.harness.project import different_states


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["kill", "random", "pairs"])
    parser.add_argument("commands", nargs="*", choices=[*CASES, []], help="kill, random: all if none is named")
    parser.add_argument("--strace", action="store_true", help="kill: at system calls")
    parser.add_argument("--straight", action="store_true", help="straight to cleanup, without a repetition")
    parser.add_argument("--most", type=int, default=0, help="at most so many points of each command, spread evenly")
    parser.add_argument("--first", type=int, default=0, help="kill, pairs: leave out so many points: they were tried")
    parser.add_argument("--times", type=int, default=30, help="random: kills of each command")
    parser.add_argument("--signal", default="KILL", help="random: KILL, TERM, HUP or INT")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="no new try after these")
    parser.add_argument("--files", action="store_true", help="data in files, code above")
    options = parser.parse_intermixed_args()
    with tempfile.TemporaryDirectory() as folder:
        names = options.commands or list(CASES)
        if options.what == "pairs":
            clean = [all_pairs(Path(folder) / "pairs", options)]
        else:
            clean = [each(Path(folder) / name, name, options) for name in names]
    sys.exit(0 if all(clean) else 1)


def each(folder: Path, name: str, options: argparse.Namespace) -> bool:
    case = CASES[name]
    project = prepared(folder, case, options.files)
    until = time.monotonic() + options.seconds
    command = begin(project, case)
    started = time.monotonic()
    if options.what == "random":
        project(*command)
        lasts = time.monotonic() - started
        points = [random.uniform(0.01, lasts) for _ in range(options.times)]
    else:
        changes = different_states(project.traced(*command)) if options.strace else project.changes(*command)
        step = max(1, -(-len(changes) // options.most)) if options.most else 1
        points = [float(number) for number in changes[::step]]
    count = faulty = 0
    for point in points[options.first :]:
        if time.monotonic() > until:
            break
        print(f"{name}: {options.first + count} of {len(points)}", end="\r", file=sys.stderr)
        faults = tried(project, case, lambda command, at=point: killed(project, command, at, options), options.straight)
        count += 1
        faulty += bool(faults)
        if faults:
            print(f"{name} at {point:g}: {'; '.join(faults)}", flush=True)
    project.end_all()
    seconds = time.monotonic() - started
    print(f"{name}: {count} of {len(points)} points tried, {count - faulty} clean, {seconds:.0f} s", flush=True)
    return not faulty


def killed(project, command: tuple[str, ...], at: float, options: argparse.Namespace) -> None:
    if options.what == "random":
        project(*command, after=at, sign=getattr(signal, f"SIG{options.signal}"))
    elif options.strace:
        project.traced(*command, kill_at=int(at))
    else:
        project(*command, kill_at=int(at))


def all_pairs(folder: Path, options: argparse.Namespace) -> bool:
    """Two models were live, and a third one waits for a decision."""
    project = prepared(folder, Case((), (*TWO_LIVE, ("run", "--set", "epochs=3"))), options.files)
    project(*AT_ONCE["init"])
    project.own_files = [file for file in project.files() if not file.startswith(".mlops")]
    project.save()
    until = time.monotonic() + options.seconds
    count = faulty = 0
    for names in pairs()[options.first :]:
        if time.monotonic() > until:
            break
        print(f"{options.first + count} of {len(pairs())} pairs", end="\r", file=sys.stderr)
        faults = at_once(project, names)
        count += 1
        faulty += bool(faults)
        if faults:
            print(f"{' + '.join(names)}: {'; '.join(faults)}", flush=True)
    print(f"{count} of {len(pairs())} pairs tried, {count - faulty} clean", flush=True)
    return not faulty


if __name__ == "__main__":
    main()
