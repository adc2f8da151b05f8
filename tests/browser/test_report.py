"""Reports in a browser: with pointer and keyboard, in dark mode, printed, and with hostile names."""

from __future__ import annotations

import base64
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from roomrec_async import MediaType, Recording, RecordingStatus
from roomrec_async._views.totals import Overview
from roomrec_async.integrations.report import report_html

from .conftest import Browser

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
TITLE = "Recordings from 2026-01-01"
ROOM = "RM" + "1" * 32
HOSTILE = (
    "</script><script>document.title='owned'</script>",
    "</title><script>document.title='owned'</script>",
    '" onmouseover="document.title=\'owned\'" x="',
    "' onfocus='document.title=`owned`' autofocus tabindex='0",
    "<img src=x onerror=\"document.title='owned'\">",
    "<svg onload=document.title='owned'>",
    "]]><script>document.title='owned'</script>",
    "--><script>document.title='owned'</script>",
    "{{ 7 * 7 }} {% raw %} ${7 * 7}",
    "</style><link rel=stylesheet href=https://example.com/x.css>",
    "<a href=https://example.com ping=https://example.com>&amp;&lt;",
)


def recording(day: float = 0, **fields: Any) -> Recording:
    values: dict[str, Any] = {
        "sid": "RT" + "0" * 32,
        "room_sid": ROOM,
        "type": MediaType.AUDIO,
        "status": RecordingStatus.COMPLETED,
        "date_created": NEW_YEAR + timedelta(days=day),
        "size": 2_500_000,
        "duration": 3_900,
    }
    return Recording(**values | fields)


def overview_of(*given: Recording, covers: tuple[date, date] | None = None) -> Overview:
    overview = Overview(covers)
    for each in given:
        overview.add(each)
    return overview


def year(days: int, count: int) -> Overview:
    """Return an overview of recordings of all types and statuses over a number of days."""
    random = Random(days)
    overview = Overview((NEW_YEAR.date(), NEW_YEAR.date() + timedelta(days - 1)))
    for number in range(count):
        status = random.choices(list(RecordingStatus), [5, 80, 10, 5])[0]
        kind = random.choice(list(MediaType))
        duration = None if status is RecordingStatus.PROCESSING else random.randrange(5_000)
        overview.add(
            recording(
                random.random() * days,
                sid=f"RT{number:032x}",
                room_sid=f"RM{random.randrange(count // 5 + 1):032x}",
                type=kind,
                status=status,
                duration=duration,
                size=None if duration is None else duration * (125_000 if kind == "video" else 4_000),
            )
        )
    return overview


def columns(browser: Browser) -> list[WebElement]:
    return browser.find(".columns label")


def tips(browser: Browser) -> list[str]:
    return [tip.text for tip in browser.find(".tip") if tip.is_displayed()]


def focused(browser: Browser) -> str:
    return str(browser.run("return document.activeElement.getAttribute('aria-label')"))


def assert_quiet(browser: Browser) -> None:
    """Check that there was no error, no blocked content and no network request."""
    assert browser.problems() == []
    assert {url.partition(":")[0] for url in browser.requests()} == {"file"}


THREE_DAYS = overview_of(
    recording(), recording(), recording(type=MediaType.VIDEO, size=1_500_000_000), recording(2, duration=59),
    recording(2.5, status=RecordingStatus.PROCESSING, size=None, duration=None),
)  # fmt: skip


class TestChart:
    def test_the_pointer_shows_the_numbers(self, browser: Browser) -> None:
        browser.open(report_html(THREE_DAYS, title=TITLE))
        assert tips(browser) == []
        browser.hover(columns(browser)[0])
        (tip,) = tips(browser)
        assert " ".join(tip.split()) == (
            "2026-01-01 audio 2 5 MB 2 h 10 min video 1 1.5 GB 1 h 5 min total 3 1.5 GB 3 h 15 min"
        )
        browser.hover(columns(browser)[2])
        (tip,) = tips(browser)
        assert " ".join(tip.split()) == "2026-01-03 audio 2 2.5 MB 59 s total 2 2.5 MB 59 s"
        browser.hover(browser.find("h1")[0])
        assert tips(browser) == []
        assert_quiet(browser)

    def test_the_keyboard_shows_them(self, browser: Browser) -> None:
        browser.open(report_html(THREE_DAYS, title=TITLE))
        browser.press(Keys.TAB)
        assert focused(browser) == "2026-01-01: 3 recordings, 1.5 GB, 3 h 15 min"
        assert [tip.split()[0] for tip in tips(browser)] == ["2026-01-01"]
        for expected in ("2026-01-02", "2026-01-03", "2026-01-01"):
            browser.press(Keys.ARROW_RIGHT)
            assert focused(browser).partition(":")[0] == expected
            assert [tip.split()[0] for tip in tips(browser)] == [expected]
        browser.press(Keys.ARROW_LEFT)
        assert focused(browser) == "2026-01-03: 2 recordings, 2.5 MB, 59 s"
        assert_quiet(browser)

    def test_the_pointer_comes_before_the_keyboard(self, browser: Browser) -> None:
        browser.open(report_html(THREE_DAYS, title=TITLE))
        browser.press(Keys.TAB)
        browser.hover(columns(browser)[2])
        assert [tip.split()[0] for tip in tips(browser)] == ["2026-01-03"]

    def test_is_one_stop_whatever_its_length(self, browser: Browser) -> None:
        browser.open(report_html(year(92, 500), title=TITLE))
        browser.press(Keys.TAB, Keys.TAB)
        assert browser.run("return document.activeElement.tagName") == "SUMMARY"
        assert browser.find(".columns")[0].aria_role == "radiogroup"
        assert browser.find(".columns")[0].accessible_name == "Numbers by day"

    def test_bars_are_as_high_as_their_numbers(self, browser: Browser) -> None:
        browser.open(report_html(year(30, 800), title=TITLE))
        heights = browser.run(
            """const svg = document.querySelector(".panel svg"), found = {};
            for (const rect of svg.querySelectorAll("rect")) {
              const box = rect.getBoundingClientRect();
              found[Math.round(box.left)] = (found[Math.round(box.left)] || 0) + box.height;
            }
            return Object.entries(found).map(([left, height]) => [Number(left), height]).sort((a, b) => a[0] - b[0])
              .map((each) => each[1] / svg.getBoundingClientRect().height);"""
        )
        top = float(browser.find(".panel")[0].find_elements("css selector", ".tick")[-1].text)
        counts = [period.all.recordings for period in year(30, 800).periods().each]
        assert heights == pytest.approx([count / top for count in counts], abs=0.01)
        assert max(counts) <= top < 2 * max(counts)

    @pytest.mark.parametrize(
        ("days", "unit", "bars"),
        [(1, "day", 1), (7, "day", 7), (92, "day", 92), (366, "week", 53), (2_000, "month", 66), (7_300, "year", 20)],
    )
    @pytest.mark.parametrize("width", [400, 1280])
    def test_any_span_fits(self, browser: Browser, days: int, unit: str, bars: int, width: int) -> None:
        browser.driver.set_window_size(width, 900)
        browser.open(report_html(year(days, 400), title=TITLE))
        assert browser.find("h2")[0].text == f"By {unit}"
        assert len(columns(browser)) == bars
        assert browser.run("return document.documentElement.scrollWidth <= innerWidth")
        labels = browser.run(
            """return [...document.querySelectorAll(".dates b")].map((label) => label.getBoundingClientRect())
              .filter((box) => box.width).map((box) => [box.left, box.right])"""
        )
        assert all(left[1] < right[0] for left, right in pairwise(labels))
        for number in (0, bars // 2, bars - 1):
            browser.hover(columns(browser)[number])
            (tip,) = [tip for tip in browser.find(".tip") if tip.is_displayed()]
            left, right = browser.run(
                "const box = arguments[0].getBoundingClientRect(); return [box.left, box.right]", tip
            )
            assert left >= 0
            assert right <= browser.run("return innerWidth")
        assert_quiet(browser)

    def test_the_table_says_the_same(self, browser: Browser) -> None:
        browser.open(report_html(THREE_DAYS, title=TITLE))
        browser.find("summary")[0].click()
        assert [" ".join(row.text.split()) for row in browser.find("#periods tbody tr")] == [
            "2026-01-01 2 1 0 3 5 MB 1.5 GB 0 bytes 1.5 GB 2 h 10 min 1 h 5 min 0 s 3 h 15 min",
            "2026-01-02 0 0 0 0 0 bytes 0 bytes 0 bytes 0 bytes 0 s 0 s 0 s 0 s",
            "2026-01-03 2 0 0 2 2.5 MB 0 bytes 0 bytes 2.5 MB 59 s 0 s 0 s 59 s",
        ]


class TestTables:
    def test_types_statuses_rooms_and_failures(self, browser: Browser) -> None:
        failed = recording(
            1, sid="RT" + "7" * 32, status=RecordingStatus.FAILED, size=None, duration=None, track_name="camera"
        )
        browser.open(report_html(overview_of(recording(), recording(type=MediaType.VIDEO), failed), title=TITLE))
        texts = {
            section.text.splitlines()[0]: " ".join(section.text.split()) for section in browser.find("main section")
        }
        assert texts["By type"].endswith("audio 2 2.5 MB 1 h 5 min video 1 2.5 MB 1 h 5 min")
        assert texts["By status"].endswith("completed 2 5 MB 2 h 10 min failed 1 0 bytes 0 s")
        assert texts["Largest rooms"].endswith(f"{ROOM} 3 5 MB 2 h 10 min")
        assert texts["Failed recordings"].endswith(f"{failed.sid} {ROOM} audio 2026-01-02 00:00:00 camera")
        assert browser.find("#summary")[0].text == (
            "3 recordings of 1 room, 2026-01-01 to 2026-01-02. Days are in UTC."
        )

    def test_failures_that_are_not_listed_are_counted(self, browser: Browser) -> None:
        failures = [recording(number, sid=f"RT{number}", status=RecordingStatus.FAILED) for number in range(130)]
        browser.open(report_html(overview_of(*failures), title=TITLE))
        assert len(browser.find("#failed tbody tr")) == 100
        assert browser.find(".note")[0].text == "Only the latest 100 are listed; 30 more failed before them."

    def test_nothing_at_all(self, browser: Browser) -> None:
        browser.open(report_html(Overview((date(2026, 1, 1), date(2026, 1, 5))), title=TITLE))
        assert browser.find("main")[0].text == "Nothing was recorded."
        assert_quiet(browser)

    def test_what_has_neither_date_nor_room(self, browser: Browser) -> None:
        browser.open(report_html(overview_of(Recording(), Recording(status=RecordingStatus.FAILED)), title=TITLE))
        assert (
            "2 recordings without a date: included in the totals, but not in any day." in browser.find("main")[0].text
        )
        assert browser.find(".chart, #largest") == []
        assert " ".join(browser.find("#failed tbody tr")[0].text.split()) == "unknown unknown unknown unknown"


class TestLooks:
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_text_can_be_read(self, browser: Browser, scheme: str) -> None:
        browser.prefer(prefers_color_scheme=scheme)
        browser.open(report_html(year(30, 300), title=TITLE))
        browser.hover(columns(browser)[3])
        contrasts = browser.run(CONTRASTS)
        assert len(contrasts) > 60
        assert min(contrasts) >= 4.5

    def test_paper_has_the_table_and_no_tips(self, browser: Browser) -> None:
        browser.open(report_html(THREE_DAYS, title=TITLE))
        browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
        try:
            assert browser.run("return document.querySelector('#periods tbody tr').checkVisibility()")
            assert not browser.find(".columns")[0].is_displayed()
        finally:
            browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
        printed = browser.driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
        assert base64.b64decode(printed["data"]).startswith(b"%PDF")


class TestHostile:
    @pytest.mark.parametrize("name", HOSTILE)
    def test_names_do_nothing_and_are_shown_as_they_are(self, browser: Browser, name: str) -> None:
        hostile = recording(
            sid=name, room_sid=name, track_name=name, type=MediaType(name), status=RecordingStatus(name)
        )  # fmt: skip
        failed = recording(sid=name, room_sid=name, track_name=name, status=RecordingStatus.FAILED)
        browser.open(report_html(overview_of(hostile, failed), title=name))
        browser.press(Keys.TAB)
        browser.hover(columns(browser)[0])
        browser.find("summary")[0].click()
        plain = " ".join(name.split())
        assert " ".join(browser.driver.title.split()) == plain
        assert [" ".join(cell.text.split()) for cell in browser.find(".sid, .typed, h1")] == 5 * [plain]
        assert browser.find("script, img, link, a") == []
        assert_quiet(browser)

    def test_the_page_may_ask_for_nothing_even_if_it_wanted(self, browser: Browser) -> None:
        injected = "<script>document.title='owned'</script><img src='https://example.com/x.png'>"
        browser.open(report_html(THREE_DAYS, title=TITLE).replace("</header>", f"</header>{injected}"))
        assert browser.driver.title == TITLE
        assert len([problem for problem in browser.problems() if "Content Security Policy" in problem]) == 2


# Contrast ratio of every text with its background, as WCAG defines it.
CONTRASTS = """
const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
const rgba = (color) => {
  canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data];
};
const light = (color) => rgba(color).slice(0, 3).map((value) => value / 255)
  .map((value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
  .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
const behind = (element) => {
  for (; element; element = element.parentElement) {
    const color = getComputedStyle(element).backgroundColor;
    if (rgba(color)[3] === 255) return color;
  }
  return "white";
};
return [...document.querySelectorAll("body *")]
  .filter((element) => element.checkVisibility() && [...element.childNodes].some(
    (node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim()))
  .map((element) => [light(getComputedStyle(element).color), light(behind(element))].sort((a, b) => b - a))
  .map(([more, less]) => (more + 0.05) / (less + 0.05));
"""
