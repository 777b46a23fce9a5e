"""preprocess.py: what is in its output whatever the input, and that it depends on the rows and the seed alone."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from scripts import HEADER, TRAINING, Row, run_script, write_csv

import preprocess
import records
from buckets import Buckets, packed
from splits import NAMES, Assignment
from workers import free_ports

LABELS = HEADER[2:]


def random_rows(count: int, seed: int = 1) -> list[Row]:
    chance = random.Random(seed)
    words = [f"word{number}" for number in range(500)]
    rates = (0.3, 0.05, 0.2, 0.02, 0.2, 0.05)
    return [
        (
            f"id{number}",
            f"{number} " + " ".join(chance.choices(words, k=chance.randint(1, 60))),
            *(int(chance.random() < rate) for rate in rates),
        )  # type: ignore[misc]
        for number in range(count)
    ]


def run(folder: Path, rows: list[Row], seed: int = 42, name: str = "out") -> Path:
    write_csv(folder / "raw" / "dataset.csv", rows)
    preprocess.preprocess(folder / "raw", folder / name, 0.1, 0.1, seed)
    return folder / name


def split(output: Path, name: str) -> pl.DataFrame:
    return pl.concat([pl.read_parquet(path) for path in sorted((output / name).glob("*.parquet"))])


def whole(output: Path) -> pl.DataFrame:
    return pl.concat([split(output, name) for name in NAMES])


def digests(output: Path) -> dict[str, str]:
    files = (path for path in sorted(output.rglob("*")) if path.is_file())
    return {str(path.relative_to(output)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def profile(output: Path) -> Any:
    return json.loads((output / "profile.json").read_text())


def test_every_row_is_in_one_split_and_unchanged(tmp_path: Path) -> None:
    rows = random_rows(2_000)
    output = run(tmp_path, rows)
    assert sorted(whole(output).rows()) == sorted(rows)
    assert split(output, "train").schema == {"id": pl.String, "comment_text": pl.String} | dict.fromkeys(
        LABELS, pl.UInt8
    )


def test_splits_are_stratified_over_combinations_to_a_row_or_so(tmp_path: Path) -> None:
    output = run(tmp_path, random_rows(5_000))
    counts = {name: split(output, name).group_by(LABELS).len() for name in NAMES}
    total = whole(output).group_by(LABELS).len("all")
    for name, fraction in (("train", 0.8), ("validation", 0.1), ("test", 0.1)):
        both = total.join(counts[name], on=LABELS, how="left").fill_null(0)
        assert (both["len"] - fraction * both["all"]).abs().max() < 2  # type: ignore[operator]
        assert abs(both["len"].sum() - fraction * 5_000) < 20


def test_rare_combinations_do_not_all_go_to_train() -> None:
    """Each of 1,000 combinations has one row: about a tenth of them belongs to validation, another to test."""
    places = Assignment(0.1, 0.1, seed=7).split(pl.Series(range(1_000)))
    assert 60 < (places == 1).sum() < 140
    assert 60 < (places == 2).sum() < 140


def test_dealing_in_parts_is_dealing_at_once() -> None:
    codes = pl.Series(random.Random(2).choices(range(5), k=1_000))
    at_once, in_parts = Assignment(0.2, 0.1, 3), Assignment(0.2, 0.1, 3)
    parts = [in_parts.split(codes[start : start + 90]) for start in range(0, 1_000, 90)]
    assert at_once.split(codes).to_list() == pl.concat(parts).to_list()


def test_a_text_that_is_there_twice_stays_once_with_every_label(tmp_path: Path) -> None:
    rows = random_rows(1_000)
    first, second = ("one", "The  same\ntext", 0, 0, 1, 0, 0, 0), ("two", " The same text ", 1, 0, 0, 0, 0, 0)
    output = run(tmp_path, [*rows[:300], first, *rows[300:], second])
    same = whole(output).filter(pl.col("comment_text") == "The same text").rows()
    assert same == [("one", "The same text", 1, 0, 1, 0, 0, 0)]
    assert profile(output)["duplicates_dropped"] == 1
    assert whole(output)["comment_text"].is_unique().all()


def test_duplicates_far_apart_in_the_file_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preprocess, "read_blocks", lambda path: records.read_blocks(path, size=2_000))
    monkeypatch.setattr(preprocess, "BUCKET_BYTES", 5_000)
    rows = random_rows(800)
    output = run(tmp_path, [*rows, *rows])
    assert sorted(whole(output).rows()) == sorted(rows)
    assert profile(output)["duplicates_dropped"] == 800


def test_the_size_of_blocks_and_buckets_changes_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So memory can stay the same for any number of rows: what is worked on at a time is a matter of choice."""
    rows = random_rows(3_000)
    at_once = run(tmp_path, rows)
    monkeypatch.setattr(preprocess, "read_blocks", lambda path: records.read_blocks(path, size=10_000))
    monkeypatch.setattr(preprocess, "BUCKET_BYTES", 30_000)
    in_pieces = run(tmp_path, rows, name="pieces")
    assert len(list((in_pieces / "train").iterdir())) > 10
    for name in NAMES:
        assert split(at_once, name).equals(split(in_pieces, name))
    assert profile(at_once) == profile(in_pieces)


def test_the_same_rows_and_seed_give_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preprocess, "read_blocks", lambda path: records.read_blocks(path, size=10_000))
    monkeypatch.setattr(preprocess, "BUCKET_BYTES", 30_000)
    rows = random_rows(2_000)
    first = digests(run(tmp_path, rows))
    assert first == digests(run(tmp_path, rows, name="again"))
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    assert first == digests(run(tmp_path, rows, name="one thread"))


def test_the_order_of_the_input_does_not_matter_but_the_seed_does(tmp_path: Path) -> None:
    rows = random_rows(1_000)
    first = run(tmp_path, rows)
    reversed_rows = run(tmp_path, rows[::-1], name="reversed")
    other_seed = run(tmp_path, rows, seed=43, name="other")
    assert split(first, "test").equals(split(reversed_rows, "test"))
    assert not split(first, "test").equals(split(other_seed, "test"))


def test_the_hash_is_the_same_on_every_machine() -> None:
    frame = pl.DataFrame([("a", "ein Text", *[0] * 6)], schema=HEADER, orient="row")
    expected = int.from_bytes(hashlib.blake2b(b"ein Text", digest_size=8, key=b"42").digest(), "big")
    assert preprocess.with_hash(frame, 42)["hash"].to_list() == [expected]


def test_two_texts_with_the_same_hash_both_stay() -> None:
    rows = [("1", "b"), ("2", "a"), ("3", "b")]
    frame = pl.DataFrame([(*row, *[0] * 6, 9, 0) for row in rows], [*HEADER, "hash", "combination"], orient="row")
    assert preprocess.without_duplicates(frame).select("id", "comment_text").rows() == [("2", "a"), ("1", "b")]


def test_several_files_are_one_data_set(tmp_path: Path) -> None:
    rows = random_rows(500)
    write_csv(tmp_path / "raw" / "b.csv", rows[:200])
    output = run(tmp_path, rows[200:])
    assert sorted(whole(output).rows()) == sorted(rows)


def test_profile_counts_what_is_there(tmp_path: Path) -> None:
    rows: list[Row] = [(str(n), "w " * n + "end", 1, 0, 0, 0, 0, 0) for n in range(100)]
    output = run(tmp_path, [*rows, ("empty", " \n ", 0, 0, 0, 0, 0, 0), rows[0]])
    found = profile(output)
    assert (found["rows_in"], found["rows_out"], found["empty_dropped"], found["duplicates_dropped"]) == (
        102,
        100,
        1,
        1,
    )
    assert found["words"] == {"min": 1, "p25": 25, "median": 50, "p75": 75, "p95": 95, "p99": 99, "max": 100}
    assert found["words_histogram"] == {"1": 1, "2": 2, "4": 4, "8": 8, "16": 16, "32": 32, "64": 37}
    assert sum(found["splits"][name]["rows"] for name in NAMES) == 100
    assert found["splits"]["test"]["label_rates"]["toxic"] == 1.0
    assert found["splits"]["test"]["label_counts"]["threat"] == 0


def test_quotes_line_feeds_and_other_scripts_survive_any_block_size(tmp_path: Path) -> None:
    texts = ['say "hi"', "a,b", 'x\ny\n"\n"', '""', "日本 😀", '"', "\r\nz"]
    write_csv(tmp_path / "dataset.csv", [(n, text, 0, 0, 0, 0, 0, 0) for n, text in enumerate(texts * 3)])
    for size in (7, 20, 64, 10_000):
        blocks = [block.parse() for block in records.read_blocks(tmp_path / "dataset.csv", size)]
        assert pl.concat(blocks)["comment_text"].to_list() == texts * 3


def test_columns_go_by_name_and_others_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "raw" / "dataset.csv"
    path.parent.mkdir()
    lines = ["\ufeffinsult,note,id,threat,comment_text,toxic,severe_toxic,obscene,identity_hate"]
    lines += [f"1,n,i{n},0,text {n},1,0,0,0" for n in range(50)]
    path.write_text("\r\n".join(lines) + "\r\n", encoding="utf-8")
    preprocess.preprocess(path.parent, tmp_path / "out", 0.1, 0.1, 1)
    assert whole(tmp_path / "out").columns == HEADER
    assert whole(tmp_path / "out")["insult"].sum() == 50


def test_buckets_give_back_what_they_got_in_order_and_once(tmp_path: Path) -> None:
    buckets = Buckets(tmp_path / "buckets")
    for value in (2, 1):
        buckets.append(1, value, packed(pl.DataFrame({"a": [value]})))
    assert [frame["a"].item() for frame in buckets.take(1)] == [1, 2]
    assert buckets.take(1) == buckets.take(0) == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("id,comment_text,toxic\n1,a,0\n", "no column severe_toxic, obscene, threat, insult, identity_hate"),
        (f"{','.join(HEADER)}\nx7,a,0,0,2,0,0,0\n", "row 'x7' has obscene = '2', expected 0 or 1"),
        (f"{','.join(HEADER)}\nx6,a,0,0,0,0,0,0\nx7,a,0,0,0,0,0\n", "row 'x7' has identity_hate = '', expected 0 or 1"),
        (f"{','.join(HEADER)}\nx7,a,0,0,0,0,0,0,0\n", "cannot read the rows from byte"),
        ("", "no column id"),
    ],
    ids=["missing column", "no label", "too few fields", "too many fields", "nothing"],
)
def test_bad_input_ends_in_one_line_and_exit_1(tmp_path: Path, content: str, reason: str) -> None:
    (tmp_path / "dataset.csv").write_text(content)
    done = run_script("preprocess.py", "--input-dir", tmp_path, "--output-dir", tmp_path / "out")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("preprocess.py: dataset.csv: ")
    assert reason in done.stderr
    assert not (tmp_path / "out" / "profile.json").exists()


def test_bad_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "dataset.csv").write_bytes(f"{','.join(HEADER)}\n1,caf\xe9,0,0,0,0,0,0\n".encode("latin-1"))
    with pytest.raises(records.BadInput, match=r"dataset\.csv: cannot read the rows from byte"):
        preprocess.preprocess(tmp_path, tmp_path / "out", 0.1, 0.1, 1)


def test_no_input_is_refused(tmp_path: Path) -> None:
    done = run_script("preprocess.py", "--input-dir", tmp_path, "--output-dir", tmp_path / "out")
    assert (done.returncode, done.stderr) == (1, f"preprocess.py: {tmp_path}: no *.csv file in it\n")


def test_a_failed_run_leaves_no_earlier_result(tmp_path: Path) -> None:
    output = run(tmp_path, random_rows(200))
    with pytest.raises(records.BadInput):
        run(tmp_path, [("a", "text", 5, 0, 0, 0, 0, 0)])
    assert [path for path in output.rglob("*") if path.is_file()] == []


# Several instances.


def shard(folder: Path, sources: Path, hosts: int) -> list[Path]:
    """What ShardedByS3Key gives each instance: every n-th file."""
    files = sorted(sources.glob("*.csv"))
    inputs = [folder / f"input-{host}" for host in range(hosts)]
    for host, folder_of_host in enumerate(inputs):
        folder_of_host.mkdir(parents=True)
        for file in files[host::hosts]:
            shutil.copy(file, folder_of_host)
    return inputs


def start_instances(folder: Path, inputs: list[Path]) -> list[subprocess.Popen[str]]:
    hosts = [f"127.0.0.1:{port}" for port in free_ports(len(inputs))]
    started = []
    for host, source in zip(hosts, inputs, strict=True):
        config = source / "resourceconfig.json"
        config.write_text(json.dumps({"current_host": host, "hosts": hosts}))
        command = ["preprocess.py", "--input-dir", source, "--output-dir", folder / f"output-{source.name}"]
        started.append(
            subprocess.Popen(
                [sys.executable, *map(str, command), "--resource-config", str(config)],
                cwd=TRAINING,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    return started


def content(*folders: Path) -> dict[str, bytes]:
    found = [(path.relative_to(folder).as_posix(), path) for folder in folders for path in folder.rglob("*.*")]
    assert len({name for name, _ in found}) == len(found), "two instances wrote the same file"
    return {name: path.read_bytes() for name, path in found}


@pytest.mark.slow
@pytest.mark.parametrize("hosts", [2, 3])
def test_instances_that_share_the_files_write_what_one_machine_writes(tmp_path: Path, hosts: int) -> None:
    """Duplicates lie in different files, and with two files the third instance has none of its own."""
    rows = random_rows(3_000)
    for number, part in enumerate((rows[:1_800], [*rows[1_500:], *rows[:40]])):
        write_csv(tmp_path / "raw" / f"part-{number}.csv", part)
    alone = run_script("preprocess.py", "--input-dir", tmp_path / "raw", "--output-dir", tmp_path / "alone")
    assert alone.returncode == 0, alone.stderr
    inputs = shard(tmp_path, tmp_path / "raw", hosts)
    instances = start_instances(tmp_path, inputs)
    said = [instance.communicate(timeout=300)[0] for instance in instances]
    assert [instance.returncode for instance in instances] == [0] * hosts, said
    assert content(*(tmp_path / f"output-{source.name}" for source in inputs)) == content(tmp_path / "alone")


@pytest.mark.slow
def test_when_one_instance_fails_the_others_end_too(tmp_path: Path) -> None:
    write_csv(tmp_path / "raw" / "good.csv", random_rows(50))
    write_csv(tmp_path / "raw" / "wrong.csv", [("a", "text", 5, 0, 0, 0, 0, 0)])
    instances = start_instances(tmp_path, shard(tmp_path, tmp_path / "raw", 2))
    said = [instance.communicate(timeout=300)[0] for instance in instances]
    assert [instance.returncode for instance in instances] == [1, 1], said
    assert "another instance has ended too early" in said[0]
    assert "wrong.csv" in said[1]
