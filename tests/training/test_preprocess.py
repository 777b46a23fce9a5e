"""The output of preprocess.py for any input. It depends only on the rows and the seed."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from scripts import HEADER, TRAINING, Row, run_script, write_csv

import preprocess
from fitting.local_workers import free_ports
from preparation import buckets
from preparation.cluster import ClusterError, start_cluster
from preparation.profiling import SPLITS
from tests.conftest import LIMIT_SECONDS

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
    preprocess.preprocess(folder / "raw", folder / name, (0.1, 0.1), seed)
    return folder / name


def split(output: Path, name: str) -> pl.DataFrame:
    return pl.concat([pl.read_parquet(path) for path in sorted((output / name).glob("*.parquet"))])


def whole(output: Path) -> pl.DataFrame:
    return pl.concat([split(output, name) for name in SPLITS])


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


def test_each_bucket_stratifies_over_combinations_to_a_row(tmp_path: Path) -> None:
    output = run(tmp_path, random_rows(5_000))
    counts = {name: split(output, name).group_by(LABELS).len() for name in SPLITS}
    total = whole(output).group_by(LABELS).len("all")
    for name, fraction in (("train", 0.8), ("validation", 0.1), ("test", 0.1)):
        both = total.join(counts[name], on=LABELS, how="left").fill_null(0)
        assert (both["len"] - fraction * both["all"]).abs().max() < buckets.MIN_BUCKETS  # type: ignore[operator]
        assert abs(both["len"].sum() - fraction * 5_000) < 20


def test_rare_combinations_do_not_all_go_to_train(tmp_path: Path) -> None:
    """Each of 64 combinations has about 16 rows. With rounding down, none of a bucket's 4 rows would be held out."""
    rows = [(str(n), f"text {n}", *(n >> bit & 1 for bit in range(6))) for n in range(1_024)]
    output = run(tmp_path, rows)  # type: ignore[arg-type]
    for name in ("validation", "test"):
        assert 70 < split(output, name).height < 135
        assert split(output, name).select(LABELS).n_unique() > 40


def test_a_text_that_is_there_twice_stays_once_with_every_label(tmp_path: Path) -> None:
    rows = random_rows(1_000)
    first, second = ("one", "The  same\ntext", 0, 0, 1, 0, 0, 0), ("two", " The same text ", 1, 0, 0, 0, 0, 0)
    output = run(tmp_path, [*rows[:300], first, *rows[300:], second])
    same = whole(output).filter(pl.col("comment_text") == "The same text").rows()
    assert same == [("one", "The same text", 1, 0, 1, 0, 0, 0)]
    assert profile(output)["duplicates_dropped"] == 1
    assert whole(output)["comment_text"].is_unique().all()


def test_duplicates_far_apart_in_the_file_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preprocess, "BATCH_ROWS", 100)
    monkeypatch.setattr(buckets, "BUCKET_BYTES", 5_000)
    rows = random_rows(800)
    output = run(tmp_path, [*rows, *rows])
    assert sorted(whole(output).rows()) == sorted(rows)
    assert profile(output)["duplicates_dropped"] == 800


def test_the_size_of_a_batch_does_not_change_the_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = random_rows(3_000)
    at_once = run(tmp_path, rows)
    monkeypatch.setattr(preprocess, "BATCH_ROWS", 100)
    assert digests(run(tmp_path, rows, name="pieces")) == digests(at_once)


def test_many_buckets_hold_the_same_rows_in_the_same_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = random_rows(3_000)
    few = run(tmp_path, rows)
    monkeypatch.setattr(buckets, "BUCKET_BYTES", 30_000)
    large = run(tmp_path, rows, name="many")
    assert len(list((large / "train").iterdir())) > 10
    assert sorted(whole(few).rows()) == sorted(whole(large).rows())
    hashes = [buckets.hash_texts(split(output, "train")["comment_text"], 42).to_list() for output in (few, large)]
    assert hashes == [sorted(column) for column in hashes]
    for name in SPLITS:
        assert abs(split(few, name).height - split(large, name).height) < 60


def test_more_buckets_than_a_batch_may_have_files_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With three files for each batch, the rows are scattered several times: in ranges, in smaller ranges, ..."""
    rows = random_rows(3_000)
    monkeypatch.setattr(buckets, "BUCKET_BYTES", 5_000)
    once = run(tmp_path, rows)
    assert len(list((once / "train").iterdir())) > 27
    monkeypatch.setattr(preprocess, "BATCH_ROWS", 100)
    monkeypatch.setattr(buckets, "BATCH_BYTES", 10_000)
    monkeypatch.setattr(buckets, "MOST_FILES", 3)
    assert digests(run(tmp_path, rows, name="ranges")) == digests(once)
    assert not (tmp_path / "ranges" / buckets.FOLDER).exists()


def test_rows_in_several_files_are_in_as_many_buckets_as_in_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The headers of several files do not add a bucket."""
    rows = random_rows(400)
    size = write_csv(tmp_path / "raw" / "dataset.csv", rows) - len(",".join(HEADER)) - 2
    monkeypatch.setattr(buckets, "BUCKET_BYTES", -(-size // 12) + 1)
    single = run(tmp_path, rows)
    (tmp_path / "shards").mkdir()
    for number in range(5):
        write_csv(tmp_path / "shards" / f"{number}.csv", rows[80 * number : 80 * (number + 1)])
    preprocess.preprocess(tmp_path / "shards", tmp_path / "several", (0.1, 0.1), 42)
    assert len(list((single / "train").iterdir())) == 11
    assert digests(tmp_path / "several") == digests(single)


def test_the_same_rows_and_seed_give_the_same_bytes(tmp_path: Path) -> None:
    first = run(tmp_path, random_rows(2_000))
    assert digests(first) == digests(run(tmp_path, random_rows(2_000), name="again"))
    arguments = ("--input-dir", tmp_path / "raw", "--output-dir", tmp_path / "one thread")
    assert run_script("preprocess.py", *arguments, POLARS_MAX_THREADS="1").returncode == 0
    assert digests(first) == digests(tmp_path / "one thread")


def test_the_order_of_the_input_does_not_matter_but_the_seed_does(tmp_path: Path) -> None:
    rows = random_rows(1_000)
    first = run(tmp_path, rows)
    reversed_rows = run(tmp_path, rows[::-1], name="reversed")
    other_seed = run(tmp_path, rows, seed=43, name="other")
    assert split(first, "test").equals(split(reversed_rows, "test"))
    assert not split(first, "test").equals(split(other_seed, "test"))


def test_the_hash_is_the_same_on_every_machine() -> None:
    expected = int.from_bytes(hashlib.blake2b(b"ein Text", digest_size=8, key=b"42").digest(), "big")
    assert buckets.hash_texts(pl.Series(["ein Text"]), 42).to_list() == [expected]


def test_two_texts_with_the_same_hash_both_stay() -> None:
    rows = [("2", "b"), ("3", "a"), ("1", "b")]
    frame = pl.DataFrame([(*row, *[0] * 6, 9) for row in rows], [*HEADER, "hash"], orient="row")
    assert sorted(preprocess.merge_duplicates(frame).select("id", "comment_text").rows()) == [("1", "b"), ("3", "a")]


def test_several_files_are_one_data_set(tmp_path: Path) -> None:
    rows = random_rows(500)
    write_csv(tmp_path / "raw" / "b.csv", rows[:200])
    output = run(tmp_path, rows[200:])
    assert sorted(whole(output).rows()) == sorted(rows)


def test_the_profile_counts_the_rows_and_labels(tmp_path: Path) -> None:
    rows: list[Row] = [(str(n), "w " * n + "end", 1, 0, 0, 0, 0, 0) for n in range(100)]
    output = run(tmp_path, [*rows, ("empty", " \n ", 0, 0, 0, 0, 0, 0), rows[0]])
    result = profile(output)
    assert (result["rows_in"], result["rows_out"], result["empty_dropped"], result["duplicates_dropped"]) == (
        102,
        100,
        1,
        1,
    )
    assert result["words"] == {"min": 1, "p25": 25, "median": 50, "p75": 75, "p95": 95, "p99": 99, "max": 100}
    assert result["words_histogram"] == {"1": 1, "2": 2, "4": 4, "8": 8, "16": 16, "32": 32, "64": 37}
    assert sum(result["splits"][name]["rows"] for name in SPLITS) == 100
    assert result["splits"]["test"]["label_rates"]["toxic"] == 1.0
    assert result["splits"]["test"]["label_counts"]["threat"] == 0


def test_a_row_may_be_longer_than_the_pieces_that_are_read_ahead(tmp_path: Path) -> None:
    long = "word " * 1_000_000 + "end"
    assert len(long) > 2 * int(os.environ["POLARS_CSV_CHUNK_SIZE"])
    rows = random_rows(300)
    rows[100:100] = [("long", long, 0, 0, 0, 0, 0, 0)]
    write_csv(tmp_path / "raw" / "dataset.csv", rows)
    done = run_script("preprocess.py", "--input-dir", tmp_path / "raw", "--output-dir", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert sorted(whole(tmp_path / "out").rows()) == sorted(rows)


def test_quotes_line_feeds_and_other_scripts_survive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preprocess, "BATCH_ROWS", 2)
    texts = ['say "hi"', "a,b", 'x "\n"', '""', "日本 😀", '"', "z, \r\n,z"]
    output = run(tmp_path, [(f"{n}", text, 0, 0, 0, 0, 0, 0) for n, text in enumerate(texts)])
    cleaned = ['say "hi"', "a,b", 'x " "', '""', "日本 😀", '"', "z, ,z"]
    assert sorted(whole(output)["comment_text"]) == sorted(cleaned)


def test_columns_go_by_name_and_others_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "raw" / "dataset.csv"
    path.parent.mkdir()
    lines = ["\ufeffinsult,note,id,threat,comment_text,toxic,severe_toxic,obscene,identity_hate"]
    lines += [f"1,n,i{n},0,text {n},1,0,0,0" for n in range(50)]
    path.write_text("\r\n".join(lines) + "\r\n", encoding="utf-8")
    preprocess.preprocess(path.parent, tmp_path / "out", (0.1, 0.1), 1)
    assert whole(tmp_path / "out").columns == HEADER
    assert whole(tmp_path / "out")["insult"].sum() == 50


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("id,comment_text,toxic\n1,a,0\n", "no column severe_toxic, obscene, threat, insult, identity_hate"),
        (f"{','.join(HEADER)}\nx7,a,0,0,2,0,0,0\n", "line 2: row 'x7' has obscene = '2', expected 0 or 1"),
        (
            f"{','.join(HEADER)}\nx6,a,0,0,0,0,0,0\nx7,a,0,0,0,0,0\n",
            "line 3: row 'x7' has identity_hate = '', expected 0 or 1",
        ),
        (
            f'{",".join(HEADER)}\nx6,"a\nb",0,0,0,0,0,0\nx7,"c\nd",0,0,0,no,0,0\nx8,e,7,0,0,0,0,0\n',
            "line 4: row 'x7' has threat = 'no', expected 0 or 1",
        ),
        (f"{','.join(HEADER)}\nx6,a,0,0,0,0,0,0\nx7,a,0,0,0,0,0,0,0\n", "line 3 has 9 values, the header 8"),
        (f"{','.join(HEADER)}\nx6,a,0,0,0,0,0,0\n\n", "line 3: row '' has toxic = '', expected 0 or 1"),
        ("", "empty CSV"),
    ],
    ids=["missing column", "no label", "too few fields", "line breaks", "too many fields", "blank line", "nothing"],
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
    with pytest.raises(preprocess.BadInput, match=r"dataset\.csv: line 2, column comment_text: invalid UTF-8"):
        preprocess.preprocess(tmp_path, tmp_path / "out", (0.1, 0.1), 1)


def test_no_input_is_refused(tmp_path: Path) -> None:
    done = run_script("preprocess.py", "--input-dir", tmp_path, "--output-dir", tmp_path / "out")
    assert (done.returncode, done.stderr) == (1, f"preprocess.py: {tmp_path}: no *.csv file in it\n")


def test_a_failed_run_leaves_no_earlier_result(tmp_path: Path) -> None:
    output = run(tmp_path, random_rows(200))
    with pytest.raises(preprocess.BadInput):
        run(tmp_path, [("a", "text", 5, 0, 0, 0, 0, 0)])
    assert [path for path in output.rglob("*") if path.is_file()] == []


# Several instances.


def start_instances(folder: Path, count: int) -> list[subprocess.Popen[str]]:
    hosts = [f"127.0.0.1:{port}" for port in free_ports(count)]
    instances = []
    for number, host in enumerate(hosts):
        config = folder / f"resourceconfig-{number}.json"
        config.write_text(json.dumps({"current_host": host, "hosts": hosts}))
        command = [sys.executable, "preprocess.py", "--input-dir", folder / "raw", "--output-dir", folder / f"{number}"]
        instances.append(
            subprocess.Popen(
                [*map(str, command)],
                cwd=TRAINING,
                env={"PATH": "/usr/bin:/bin", "SM_RESOURCE_CONFIG_FILE": str(config)},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        )
    return instances


def wait_for_line(instance: subprocess.Popen[str], text: str) -> None:
    assert instance.stdout is not None
    assert any(text in line for line in instance.stdout), f"the instance ended without {text!r}"


def write_files(folder: Path, count: int, rows: int) -> None:
    """Write rows into several files. Some rows are in two of them."""
    table = random_rows(rows)
    for number in range(count):
        write_csv(folder / f"part-{number}.csv", [*table[number::count], *table[:40]])


@pytest.fixture
def alone(tmp_path: Path) -> dict[str, str]:
    write_files(tmp_path / "raw", 3, 30_000)
    preprocess.preprocess(tmp_path / "raw", tmp_path / "alone", (0.1, 0.1), 42)
    return digests(tmp_path / "alone")


@pytest.mark.slow
def test_processes_of_one_machine_write_the_same_files(tmp_path: Path, alone: dict[str, str]) -> None:
    arguments = ("--input-dir", tmp_path / "raw", "--output-dir", tmp_path / "together", "--workers", 2)
    done = run_script("preprocess.py", *arguments)
    assert done.returncode == 0, done.stderr
    assert digests(tmp_path / "together") == alone


@pytest.mark.slow
def test_a_task_for_several_buckets_writes_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_files(tmp_path / "raw", 3, 3_000)
    monkeypatch.setattr(buckets, "BUCKET_BYTES", 10_000)
    preprocess.preprocess(tmp_path / "raw", tmp_path / "alone", (0.1, 0.1), 42)
    assert len(list((tmp_path / "alone" / "train").iterdir())) > 12
    monkeypatch.setattr(buckets, "MOST_TASKS", 4)
    preprocess.preprocess(tmp_path / "raw", tmp_path / "together", (0.1, 0.1), 42, workers=2)
    assert digests(tmp_path / "together") == digests(tmp_path / "alone")


@pytest.mark.slow
def test_several_instances_write_the_files_of_one_even_if_one_is_killed(tmp_path: Path, alone: dict[str, str]) -> None:
    instances = start_instances(tmp_path, 3)
    try:
        wait_for_line(instances[1], "Registered to")
        os.killpg(instances[1].pid, signal.SIGSTOP)  # so the work cannot be over
        wait_for_line(instances[0], "3 workers are ready")
        os.killpg(instances[2].pid, signal.SIGKILL)
        os.killpg(instances[1].pid, signal.SIGCONT)
        output = [instance.communicate(timeout=LIMIT_SECONDS)[0] for instance in instances]
    finally:
        for instance in instances:
            instance.kill()
    assert [instance.returncode for instance in instances] == [0, 0, -signal.SIGKILL], output
    assert {**digests(tmp_path / "1"), **digests(tmp_path / "0")} == alone


@pytest.mark.slow
def test_an_instance_ends_without_an_error_when_the_first_is_gone(tmp_path: Path) -> None:
    write_files(tmp_path / "raw", 2, 500)
    instances = start_instances(tmp_path, 2)
    try:
        wait_for_line(instances[1], "Registered to")
        os.killpg(instances[1].pid, signal.SIGSTOP)  # so the work cannot be over
        wait_for_line(instances[0], "2 workers are ready")
        os.killpg(instances[0].pid, signal.SIGKILL)
        instances[0].communicate(timeout=LIMIT_SECONDS)
        os.killpg(instances[1].pid, signal.SIGCONT)
        output, _ = instances[1].communicate(timeout=LIMIT_SECONDS)
    finally:
        for instance in instances:
            instance.kill()
    assert instances[1].returncode == 0, output
    assert list((tmp_path / "1").glob("profile.json")) == []


@pytest.mark.slow
def test_bad_input_ends_all_instances(tmp_path: Path) -> None:
    write_csv(tmp_path / "raw" / "good.csv", random_rows(50))
    write_csv(tmp_path / "raw" / "wrong.csv", [("a", "text", 5, 0, 0, 0, 0, 0)])
    instances = start_instances(tmp_path, 2)
    output = [instance.communicate(timeout=LIMIT_SECONDS)[0] for instance in instances]
    assert [instance.returncode for instance in instances] == [1, 0], output
    assert "wrong.csv: line 2: row 'a' has toxic = '5', expected 0 or 1" in output[0]
    assert [path for path in (tmp_path / "0").rglob("*") if path.is_file()] == []


@pytest.mark.slow
def test_a_task_that_kills_every_worker_is_an_error_of_the_cluster() -> None:
    with (
        pytest.raises(ClusterError, match="too many workers have died"),
        start_cluster(["127.0.0.1"], 1) as client,
    ):
        client.submit(os._exit, 1).result()
