"""Text from outside can neither control a terminal nor make a message too long."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_cli.plain_text import clipped, log_line, one_line, printable
from mlops_cli.processes.output_lines import LastLines, OutputLine, OutputLines

HOSTILE = [
    "\x1b[2K\x1b[1A\x1b[31mred",
    "\x1b]0;title\x07",
    "\x1b]52;c;ZXZpbA==\x1b\\",
    "\x1b]8;;http://evil.example\x1b\\link\x1b]8;;\x1b\\",
    "\x9b2Jcleared",
    "\x9d0;title\x9c",
    "\x1bP1$r\x1b\\",
    "over\rwritten",
    "ring\x07",
    "back\x08\x08space",
    "\u202egnp.exe",
    "\u2066isolated\u2069",
    "line\u2028separator",
    "\x00nul",
    "half \ud800 a pair",
    "\x7f",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_all_terminal_sequences_are_removed(text: str) -> None:
    for plain in (printable(text), one_line(text), log_line(text)):
        assert plain.isprintable()
        plain.encode()


@pytest.mark.parametrize("text", ["", "plain", "[red]no markup[/]", "für 日本 ❤️ 👩‍🔬 \\d", "שלום عليكم", "a\nb\tc"])
def test_usual_text_stays(text: str) -> None:
    assert printable(text) == text


def test_a_byte_that_is_no_text_is_shown_as_a_byte() -> None:
    assert one_line(b"Gr\xf6\xdfe".decode("utf-8", "surrogateescape")) == r"Gr\xf6\xdfe"


def test_in_the_middle_of_a_line_no_line_ends() -> None:
    assert one_line("good\nverdict\tall is well") == r"good\nverdict\tall is well"


@given(st.text())
def test_a_log_line_holds_no_control_character(text: str) -> None:
    assert all(
        character.isprintable() or character == "\t" or unicodedata.category(character) not in ("Cc", "Zl", "Zp")
        for character in log_line(text)
    )


def test_a_clipped_text_names_its_length() -> None:
    assert clipped("x" * 1_080_000, 10) == "x" * 10 + "… (1,080,000 characters)"
    assert clipped("short", 10) == "short"


def read(*chunks: bytes, seconds: float = 0.0) -> list[str]:
    """Return the lines of chunks that arrive at intervals of this number of seconds."""
    lines, shown = OutputLines(), []
    for number, chunk in enumerate(chunks):
        shown += lines.feed(chunk, number * seconds)
    return [line.text for line in (*shown, *lines.close())]


FRAMES = b"".join(b"\r%d/20000 |%s|" % (number, b"#" * 30) for number in range(20000))


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([b"one\ntwo\r\nthree"], ["one", "two", "three"]),
        ([b"one\r", b"\ntwo\r\r\n"], ["one", "two"]),
        ([b"", b"a\n\nb\n"], ["a", "", "b"]),
        ([FRAMES, b"\rdone\n"], ["done"]),
        ([b"1/2 [..]" + b"\x08" * 8 + b"2/2 [==]\n"], ["2/2 [==]"]),
        ([b"\r 50%", b"\r100%", b"Traceback (most recent call last):\n"], ["100%Traceback (most recent call last):"]),
        ([b"\x1b[32mgreen\x1b[0m \x1b[1", b";31mred\x1b[0m\n"], ["green red"]),
        ([b"\x1b[2K  1/2\r\x1b[2K  2/2\r\nok\n"], ["  2/2", "ok"]),
        ([b"\x1b[?25l1/2\r\x1b[2K2/2\x1b[?25h\n"], ["2/2"]),
        ([b"\x1b]8;;http://x\x1b\\text\x1b]8;;\x1b\\\n"], ["text"]),
        ([b"\x1b]0;a title\x07a\x07b\x00c\n"], ["abc"]),
        ([b"\r100%|\xe2\x96", b"\x88| 3/3\n"], ["100%|\u2588| 3/3"]),
        ([b"\r 10% [=> ] 1,024 --.-K/s", b"\r100% [==>] 2,048\r\n", b"saved\n"], ["100% [==>] 2,048", "saved"]),
        ([b"\rprogress 1/2", b"\rprogress 2/2\n"], ["progress 2/2"]),
        ([b"outer 1\n\r inner 1\x1b[A\n\r inner 2\x1b[", b"A\nend\n"], ["outer 1", "end"]),
    ],
)
def test_lines_and_frames(chunks: list[bytes], expected: list[str]) -> None:
    assert [line for line in read(*chunks) if line not in (" 50%",)] == expected


def test_a_frame_that_ends_itself_is_kept_at_the_end() -> None:
    assert read(b"1%\r", b"2%\r", b"the reason\r") == ["the reason"]
    assert read(b"1%\r", b"2%\r\n", b"the reason\n") == ["2%", "the reason"]


def test_a_frame_a_second_is_kept() -> None:
    frames = [b"\r%d%%" % number for number in range(10)]
    assert read(*frames, seconds=0.5) == ["1%", "3%", "5%", "7%", "9%"]


def test_unfinished_text_appears_after_a_while() -> None:
    lines = OutputLines()
    assert list(lines.feed(b"loading", 0.0)) == []
    assert list(lines.feed(b"", 1.0)) == []
    assert list(lines.feed(b"..", 6.0)) == [OutputLine("loading..")]
    assert list(lines.feed(b"\r10%", 6.1)) == []
    assert list(lines.feed(b"", 8.0)) == [OutputLine("10%", overwritten=True)]


@given(st.lists(st.sampled_from([b"\r", b"\n", b"\x08", b"\x1b[", b"A", b"x", b"\xff", b"1", b""]), max_size=30))
def test_chunks_do_not_matter(pieces: list[bytes]) -> None:
    """The same output gives the same lines, at any division into chunks."""
    lines, shown = OutputLines(), []
    for piece in pieces:
        shown += lines.feed(piece, 0.0) if piece else []
    assert [*shown, *lines.close()] == [*(whole := OutputLines()).feed(b"".join(pieces), 0.0), *whole.close()]


def test_the_last_lines_hold_one_frame_and_no_megabytes() -> None:
    tail = LastLines(3)
    for text in ("one", "", "two"):
        tail.add(OutputLine(text))
    for number in range(9):
        tail.add(OutputLine(f"{number}%", overwritten=True))
    tail.add(OutputLine("x" * 1_000_000))
    assert [len(text) for text in tail.texts] == [3, 3, len(clipped("x" * 1_000_000))]


NOISE = """WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1796009654.108035    1925 port.cc:153] oneDNN custom operations are on. You may see slightly different
2024-05-01 10:00:00.123456: I tensorflow/core/util/port.cc:153] oneDNN custom operations are on.
2024-05-01 10:00:00.123456: E external/local_xla/cuda_fft.cc:477] Unable to register cuFFT factory
E0000 00:00:1796009654.108035 1925 cuda_dnn.cc:8310] Unable to register cuDNN factory: Attempting to register factory
2024-05-01 10:00:00.123456: W tensorflow/compiler/tf2tensorrt/utils/py_utils.cc:38] TF-TRT: no TensorRT
To enable the following instructions: AVX2 AVX512F, in other operations, rebuild TensorFlow with the flags."""


def test_the_end_of_an_output_is_without_the_noise_of_libraries() -> None:
    tail = LastLines(8)
    words = [
        "usage: train.py [--epochs N]",
        "2024-05-01 10:00:00.5: F tensorflow/core/a.cc:1] Check failed",
        "I am the error",
    ]
    for line in (words[0], *NOISE.splitlines(), *words[1:]):
        tail.add(OutputLine(line))
    assert tail.texts == words
