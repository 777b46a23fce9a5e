"""The page in a real browser: no overflow, no requests, no errors; mistakes stay hidden until a click."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlops_cli.report import ReportContext, report_html
from tests.component.report.browser import BINARY, Browser, chromium
from tests.component.report.materials import LABELS, make, numbers, profile, use_case

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BINARY is None, reason="no Chromium on this machine (Debian: apt-get install chromium)"),
]
LONG = "a_label_" * 40 + "x" * 300


def usual() -> ReportContext:
    return make(live_data=profile(LABELS, rate=0.02, median=8))


def long_names() -> ReportContext:
    return make((LONG, "b" * 200, "c"), texts="w" * 3000, live_data=profile((LONG,), rate=0.5))


def many_labels() -> ReportContext:
    return make(tuple(f"label_{index}" for index in range(40)))


def regression() -> ReportContext:
    metrics = {"metrics": {"test": {"price": {"mae": 8000.0}}}}
    instances = json.dumps([{"area": index} for index in range(300)]).encode()
    case = use_case(name="house-prices")
    return make(content=numbers(), rival=None, instances=instances, metrics=metrics, case=case, about_data={})


def bare() -> ReportContext:
    return make(content=None, instances=None, rival=None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(params=[usual, long_names, many_labels, regression, bare])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    make_context: Callable[[], ReportContext] = request.param
    path = tmp_path / "report.html"
    path.write_text(report_html(make_context()), "utf-8")
    return path


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_nothing_sticks_out_nothing_is_loaded_and_nothing_goes_wrong(browser: Browser, file: Path, width: int) -> None:
    browser.open(file, width)
    browser.value("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert browser.value("document.documentElement.scrollWidth") <= width
    assert [item["request"]["url"] for item in browser.told("Network.requestWillBeSent")] == [file.as_uri()]
    assert browser.told("Log.entryAdded") == []
    assert browser.told("Runtime.exceptionThrown") == []
    assert browser.told("Runtime.consoleAPICalled") == []


@pytest.mark.parametrize("width", [320, 390])
def test_the_table_is_whole_on_a_phone(browser: Browser, file: Path, width: int) -> None:
    browser.open(file, width)
    hidden = "[...document.querySelectorAll('#labels .scroll')].map(one => one.scrollWidth - one.clientWidth)"
    assert [pixels for pixels in browser.value(hidden) if pixels > 0] == []


def test_offensive_texts_are_shown_only_after_a_click(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(report_html(usual()), "utf-8")
    browser.open(path, 390)
    seen = "[...document.querySelectorAll('q')].filter(one => one.checkVisibility()).length"
    assert browser.value("document.querySelectorAll('q').length") > 0
    assert browser.value(seen) == 0
    browser.value("document.querySelectorAll('#mistakes summary').forEach(one => one.click())")
    assert browser.value(seen) == browser.value("document.querySelectorAll('q').length")


@pytest.mark.parametrize("width", [390, 1280])
def test_the_smallest_letters_can_be_read(browser: Browser, tmp_path: Path, width: int) -> None:
    """Text in a plot scales with the plot. Its height on the screen is in pixels."""
    path = tmp_path / "report.html"
    path.write_text(report_html(usual()), "utf-8")
    browser.open(path, width)
    sizes = browser.value(
        "[...document.querySelectorAll('svg text')].map(one => parseFloat(getComputedStyle(one).fontSize)"
        " * one.getScreenCTM().a)"
    )
    assert len(sizes) > 50
    assert min(sizes) >= 8


def test_the_first_screen_of_a_phone_has_the_conclusion_and_the_figures(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(report_html(usual()), "utf-8")
    browser.open(path, 390, 844)
    assert browser.value("document.querySelector('.tiles').getBoundingClientRect().bottom") <= 844


def test_printed_it_has_every_plot_and_nothing_that_may_offend(browser: Browser, file: Path) -> None:
    browser.open(file, 794)  # the width of A4
    browser("Emulation.setEmulatedMedia", media="print")
    try:
        assert browser.value("document.documentElement.scrollWidth") <= 794
        assert browser.value("[...document.querySelectorAll('svg')].every(one => one.checkVisibility())")
        assert browser.value("[...document.querySelectorAll('q, nav')].some(one => one.checkVisibility())") is False
    finally:
        browser("Emulation.setEmulatedMedia", media="")
    assert browser.printed().startswith(b"%PDF-")
