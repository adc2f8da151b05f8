"""Reports as files: readable scales, and well-formed pages whatever a participant typed."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from html import unescape
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomrec_async import MediaType, Recording, RecordingStatus
from roomrec_async._text import safe_text
from roomrec_async._views.totals import Overview
from roomrec_async.integrations.report import report_html

# What the API knows would be counted with its own kind, in other rows.
KNOWN = {member.value for enum in (MediaType, RecordingStatus) for member in enum}
TYPED = st.text(st.characters(), max_size=40).filter(lambda text: text.lower() not in KNOWN) | st.text(
    "<>&\"'/=]-! script", max_size=40
)
CREATED = datetime(2026, 3, 1, tzinfo=UTC)
UNITS = {"byte": 1, "bytes": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "PB": 10**15, "EB": 10**18,
         "ZB": 10**21, "s": 1, "min": 60, "h": 3_600}  # fmt: skip


class _Page(HTMLParser):
    """The elements and event handlers of a page, and the texts of the elements that show untrusted text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.handlers: list[str] = []
        self.typed: list[str] = []
        self._into: str | None = None
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        if tag == "h1" or dict(attrs).get("class") in ("sid", "typed"):
            self._into = tag
            self.typed.append("")

    def handle_endtag(self, tag: str) -> None:
        self._into = None if tag == self._into else self._into

    def handle_data(self, data: str) -> None:
        if self._into:
            self.typed[-1] += data


def overview_of(*given: Recording) -> Overview:
    overview = Overview()
    for each in given:
        overview.add(each)
    return overview


def page_of(typed: str) -> str:
    values = {"sid": typed, "room_sid": typed, "track_name": typed, "type": MediaType(typed), "date_created": CREATED}
    hostile = Recording(**values, status=RecordingStatus(typed))
    return report_html(overview_of(hostile, Recording(**values, status=RecordingStatus.FAILED)), title=typed)


@given(TYPED)
def test_whatever_was_typed_is_text(typed: str) -> None:
    page, harmless = _Page(page_of(typed)), _Page(page_of("typed"))
    assert page.elements == harmless.elements
    assert page.handlers == []
    # A parser reads any line ending as a line feed, and the page shows an empty SID as unknown.
    assert [text.replace("\r", "\n") for text in page.typed if text != "unknown"] == [
        safe_text(typed).replace("\r", "\n") for text in page.typed if text != "unknown"
    ]


@pytest.mark.parametrize(
    "date",
    [
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))),
        datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone(timedelta(hours=-12))),
    ],
)
@pytest.mark.parametrize("number", [-1, 10**15, 2**63, 10**400])
def test_numbers_and_dates_may_be_absurd(date: datetime, number: int) -> None:
    odd = Recording(size=number, duration=number, date_created=date, status=RecordingStatus.FAILED, room_sid="RM1")
    page = report_html(overview_of(odd, Recording(size=1, duration=2, date_created=CREATED)), title="odd")
    assert date.isoformat(" ") in page
    assert "2026" in page


def number(label: str) -> float:
    """Return the number that a label on a scale stands for."""
    if " " not in label:
        return float(label.replace(",", ""))
    return sum(float(value.replace(",", "")) * UNITS[unit] for value, unit in re.findall(r"([\d.,]+) (\w+)", label))


@given(st.integers(1, 400), st.integers(0, 2**63 - 1) | st.integers(0, 5_000), st.integers(0, 2**31 - 1))
def test_scales_are_round_and_reach_to_the_highest_bar(count: int, size: int, duration: int) -> None:
    one = Recording(date_created=CREATED, type=MediaType.AUDIO, size=size, duration=duration)
    page = report_html(overview_of(*(count * [one])), title="x")
    panels = re.findall(r"<h3>.*?</h3>(.*?)<svg", page, re.DOTALL)
    for panel, most in zip(panels, (count, count * size, count * duration), strict=True):
        labels = [unescape(label) for label in re.findall(r'<span class="tick".*?>(.*?)</span>', panel)]
        ticks = [number(label) for label in labels]
        assert 2 <= len(ticks) <= 6
        assert ticks[0] == 0
        assert ticks == [step * ticks[1] for step in range(len(ticks))]
        assert max(most, 1) <= ticks[-1] * (1 + 1e-9)
        assert most == 0 or ticks[-2] < most * (1 + 1e-9)


def test_only_the_first_label_of_a_year_always_shows_it() -> None:
    begin = datetime(2025, 12, 20, tzinfo=UTC)
    recordings = (Recording(sid=f"RT{day:032x}", date_created=begin + timedelta(days=day)) for day in range(40))
    page = report_html(overview_of(*recordings), title="")
    years = re.findall(r'<i( class="same")?> (\d{4})</i>', page)
    assert len(years) > 4
    assert [year for same, year in years if not same] == ["2025", "2026"]
