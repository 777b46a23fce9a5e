"""The run store: runs, stages and decisions in SQLite, so that kill -9 loses nothing."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from mlops_cli.backends.state_format import other_format_error
from mlops_cli.core import clock
from mlops_cli.core.models.decision import Decision, decision_from
from mlops_cli.core.runs import Run, StageRun, Status, stage_run_from
from mlops_cli.core.stages import STAGES
from mlops_cli.errors import ConfigurationError, MlopsError
from mlops_cli.files.json_text import parse_json

Result = TypeVar("Result")
VERSION = 4
# The name of a store while it is created. It is not longer than the final name, so that SQLite can open it.
UNFINISHED = "state.~"
DAMAGED = (
    "Restore the file from a copy, or start again without the runs, their models and the endpoint: "
    "mlops cleanup --keep-data"
)
TABLES = """
CREATE TABLE IF NOT EXISTS runs (
    id TEXT PRIMARY KEY, created_at REAL NOT NULL, status TEXT NOT NULL,
    overrides TEXT NOT NULL, forced_from TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS stages (
    run_id TEXT NOT NULL REFERENCES runs(id), name TEXT NOT NULL, status TEXT NOT NULL,
    key TEXT NOT NULL, output TEXT NOT NULL, finished_at REAL, record TEXT NOT NULL,
    PRIMARY KEY (run_id, name));
CREATE INDEX IF NOT EXISTS stages_by_key ON stages (name, key, status);
CREATE TABLE IF NOT EXISTS decisions (
    run_id TEXT NOT NULL REFERENCES runs(id), key TEXT NOT NULL, model_digest TEXT NOT NULL, record TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS clock (id INTEGER PRIMARY KEY, latest REAL NOT NULL);
CREATE TABLE IF NOT EXISTS imports (digest TEXT PRIMARY KEY, names TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS made (name TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS digests (path TEXT PRIMARY KEY, look TEXT NOT NULL, digest TEXT NOT NULL);
"""


FINISHED = "SELECT run_id, record FROM stages WHERE name=? AND status IN ('done','reused')"
# The longest path that SQLite opens, minus eight bytes for the names of its journals.
LONGEST_PATH = 512 - 8


def check_path(path: Path) -> None:
    length = len(os.fsencode(path.resolve()))
    if length > LONGEST_PATH:
        raise ConfigurationError(
            f"The project's path is too long: the path of its run store would have {length} bytes, and SQLite "
            f"opens at most {LONGEST_PATH}.",
            f"Move the project into a folder whose path is at least {length - LONGEST_PATH} bytes shorter.",
        )


class RunStore:
    """One connection to a project's state.db; every method is one transaction."""

    def __init__(self, path: Path, create: bool = True) -> None:
        """Open the store. Without ``create``, a missing file is an error, because cleanup may just have removed it."""
        self.path = path
        check_path(path)
        with self._translate_errors():
            if create and not path.exists():
                _create(path)
            self.connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", timeout=10, uri=True)
            self.connection.row_factory = sqlite3.Row
            self._check()
            for (latest,) in self.connection.execute("SELECT latest FROM clock"):
                clock.not_before(latest)

    def _check(self) -> None:
        (version,) = self.connection.execute("PRAGMA user_version").fetchone()
        if version not in (0, VERSION):
            raise other_format_error(str(self.path), version, VERSION)
        if version == 0:  # a store is created in one step, so mlops never leaves one without a version
            raise MlopsError(f"{self.path} is empty: the runs and decisions that were in it are lost.", DAMAGED)

    def close(self) -> None:
        self.connection.close()

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise MlopsError(f"The run store {self.path} cannot be used: {error}.", _hint(error)) from error

    def _query(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        with self._translate_errors(), closing(self.connection.execute(sql, values)) as cursor:
            return cursor.fetchall()

    def _converted(self, make: Callable[..., Result], row: sqlite3.Row, *more: Any) -> Result:
        """Return the object in a row. Raise MlopsError for a row that `mlops` has not written."""
        try:
            return make(row, *more)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise MlopsError(f"The run store {self.path} holds a wrong record: {error}.", DAMAGED) from error

    def save(self, *runs: Run, decisions: Iterable[Decision] = ()) -> None:
        """Save runs and their decisions, all of them or nothing."""
        with self._translate_errors(), self.connection:
            self.connection.execute(
                "INSERT INTO clock VALUES (1, ?) ON CONFLICT(id) DO UPDATE SET latest=max(latest, excluded.latest)",
                (clock.now(),),
            )
            for run in runs:
                self._save(run)
            for decision in decisions:
                self._record(decision)

    def _save(self, run: Run) -> None:
        self.connection.execute(
            "INSERT INTO runs VALUES (?,?,?,?,?) ON CONFLICT(id) DO UPDATE SET status=excluded.status, "
            "overrides=excluded.overrides, forced_from=excluded.forced_from",
            (run.id, run.created_at, run.status.value, json.dumps(run.overrides), run.forced_from),
        )
        self.connection.executemany(
            "INSERT OR REPLACE INTO stages VALUES (?,?,?,?,?,?,?)",
            [(run.id, s.name, s.status.value, s.key, s.output, s.finished_at, json.dumps(vars(s))) for s in run.stages],
        )

    def set_status(self, run_id: str, status: Status) -> None:
        with self._translate_errors(), self.connection:
            self.connection.execute("UPDATE runs SET status=? WHERE id=?", (status.value, run_id))

    def _record(self, decision: Decision) -> None:
        self.connection.execute(
            "INSERT INTO decisions VALUES (?,?,?,?)",
            (decision.run_id, decision.key, decision.model_digest, json.dumps(decision.to_dict())),
        )

    def decisions(self) -> list[Decision]:
        """Return all decisions, the newest first."""
        rows = self._query("SELECT record FROM decisions ORDER BY rowid DESC")
        return [self._converted(_decision, row) for row in rows]

    def runs(self) -> list[Run]:
        """Return all runs, the newest first."""
        decisions = {decision.run_id: decision for decision in reversed(self.decisions())}
        stages: dict[str, dict[str, StageRun]] = {}
        for row in self._query("SELECT run_id, record FROM stages"):
            stage = self._converted(_stage_run, row)
            stages.setdefault(row["run_id"], {})[stage.name] = stage
        rows = self._query("SELECT * FROM runs ORDER BY rowid DESC")
        return [self._converted(_run, row, stages.get(row["id"], {}), decisions.get(row["id"])) for row in rows]

    def finished(self, name: str, key: str, run_id: str) -> Iterator[StageRun]:
        """Yield the successful executions of a stage with this key: first the run's own, then the newest first."""
        rows = self._query(f"{FINISHED} AND key=? ORDER BY run_id<>?, rowid DESC", name, key, run_id)
        yield from (self._converted(_stage_run, row) for row in rows)

    def last_finished(self, name: str) -> StageRun | None:
        """Return the last successful execution of a stage."""
        rows = self._query(f"{FINISHED} ORDER BY rowid DESC LIMIT 1", name)
        return self._converted(_stage_run, rows[0]) if rows else None

    def known_imports(self) -> dict[str, list[str]]:
        """Return the imports of source files, by the digest of their content."""
        return {row["digest"]: self._converted(_names, row) for row in self._query("SELECT * FROM imports")}

    def save_imports(self, imports: Mapping[str, list[str]]) -> None:
        with self._translate_errors(), self.connection:
            rows = [(digest, json.dumps(names)) for digest, names in imports.items()]
            self.connection.executemany("INSERT OR IGNORE INTO imports VALUES (?,?)", rows)

    def files_written_by_stages(self) -> set[str]:
        """Return the files in training/ that stages have written there themselves."""
        return {row["name"] for row in self._query("SELECT name FROM made")}

    def save_written_files(self, names: Iterable[str]) -> None:
        with self._translate_errors(), self.connection:
            self.connection.executemany("INSERT OR IGNORE INTO made VALUES (?)", [(name,) for name in names])

    def known_digests(self) -> dict[str, tuple[str, str]]:
        """Return the recorded stat data and digests of large files, by path."""
        return {row["path"]: (row["look"], row["digest"]) for row in self._query("SELECT * FROM digests")}

    def save_digests(self, digests: Mapping[str, tuple[str, str]]) -> None:
        with self._translate_errors(), self.connection:
            rows = [(path, *entry) for path, entry in digests.items()]
            self.connection.executemany("INSERT OR REPLACE INTO digests VALUES (?,?,?)", rows)

    def find_by_output(self, name: str, output: str) -> StageRun | None:
        """Return the execution of a stage with this output digest."""
        rows = self._query(
            "SELECT run_id, record FROM stages WHERE name=? AND output=? ORDER BY status, rowid LIMIT 1",
            name,
            output,
        )
        return self._converted(_stage_run, rows[0]) if rows else None


def _create(path: Path) -> None:
    """Create an empty store, completely or not at all.

    Do not use a write-ahead log: reading would then need to write, too, and would fail on a full disk.
    """
    partial = path.with_name(UNFINISHED)
    partial.unlink(missing_ok=True)
    with closing(sqlite3.connect(partial)) as connection:
        connection.executescript(f"PRAGMA journal_mode=MEMORY; {TABLES} PRAGMA user_version={VERSION};")
    partial.replace(path)


def _hint(error: sqlite3.Error) -> str:
    if not isinstance(error, sqlite3.OperationalError):
        return DAMAGED
    if "locked" in str(error):
        return "Another process is using it: repeat the command in a moment."
    return "Check free space and permissions: df -h . ; ls -la .mlops. Then repeat the command."


def _decision(row: sqlite3.Row) -> Decision:
    return decision_from(parse_json(row["record"]))


def _names(row: sqlite3.Row) -> list[str]:
    return list(parse_json(row["names"]))


def _stage_run(row: sqlite3.Row) -> StageRun:
    return stage_run_from({**parse_json(row["record"]), "run_id": row["run_id"]})


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _run(row: sqlite3.Row, stages: dict[str, StageRun], decision: Decision | None) -> Run:
    return Run(
        id=_text(row["id"]),
        created_at=float(row["created_at"]),
        status=Status(row["status"]),
        stages=[stages.get(stage.name) or StageRun(stage.name, run_id=row["id"]) for stage in STAGES],
        overrides=dict(parse_json(row["overrides"]).items()),
        forced_from=_text(row["forced_from"]),
        decision=decision,
    )
