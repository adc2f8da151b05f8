"""Timelines as files: whatever a participant typed, the page stays well-formed HTML and the drawing XML."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roomrec_async import Codec, MediaType, Recording, RecordingStatus
from roomrec_async._text import safe_text
from roomrec_async._views.timeline import TrackFile
from roomrec_async.integrations.html import timeline_html, timeline_svg

# Half surrogate pairs, too: JSON can say them.
TYPED = st.text(st.characters(), max_size=40) | st.text("<>&\"'/=]-! script", max_size=40)
SVG = "{http://www.w3.org/2000/svg}"


class _Page(HTMLParser):
    """The elements and event handlers of a page, and the text of its table's cells."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.handlers: list[str] = []
        self.cells: list[str] = []
        self._in_cell = False
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        self._in_cell = self._in_cell or tag in {"td", "th"}
        if tag in {"td", "th"}:
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        self._in_cell = self._in_cell and tag not in {"td", "th"}

    def handle_data(self, data: str) -> None:
        if self._in_cell:
            self.cells[-1] += data


def made_of(typed: str) -> list[Recording]:
    """Return a recording with this text in every field that holds text."""
    return [
        Recording(
            sid=typed,
            source_sid=typed,
            status=RecordingStatus(typed),
            type=MediaType(typed),
            codec=Codec(typed),
            track_name=typed,
            grouping_sids={"participant_sid": typed},
            offset=0,
            duration=5,
        )
    ]


EXPECTED = _Page(timeline_html(made_of("plain"), title="plain")).elements


@given(TYPED.filter(str.strip))
def test_a_page_has_the_elements_that_it_should_have_and_no_others(typed: str) -> None:
    page = timeline_html(made_of(typed), title=typed)
    page.encode()
    read = _Page(page)
    assert read.handlers == []
    assert len(read.elements) in {len(EXPECTED), len(EXPECTED) + 1}
    assert set(read.elements) <= {*EXPECTED, "small"}
    assert read.cells[11] == safe_text(typed)


@given(TYPED.filter(str.strip))
def test_a_drawing_is_xml(typed: str) -> None:
    root = ET.fromstring(timeline_svg(made_of(typed), title=typed).encode())
    (track,) = (each for each in root.iter(f"{SVG}svg") if each.get("class", "").startswith("track "))
    assert (track.findtext(f"{SVG}title") or "").startswith(safe_text(typed).strip())
    assert root.findtext(f"{SVG}title") == f"Timeline of {safe_text(typed)}"


# Instants that UTC has no date for.
FIRST = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))
LAST = datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone(timedelta(hours=-12)))


@pytest.mark.parametrize("date", [FIRST, LAST])
@pytest.mark.parametrize("number", [-1, 10**15, 2**63, 10**400])
@pytest.mark.parametrize("status", [RecordingStatus.COMPLETED, RecordingStatus.PROCESSING])
def test_numbers_and_dates_may_be_absurd(date: datetime, number: int, status: RecordingStatus) -> None:
    odd = Recording(sid="RT1", status=status, size=number, duration=number, offset=number, date_created=date)
    undated = Recording(sid="RT2", duration=5, offset=0)
    for recordings in (
        [odd],
        [odd, undated],
        [Recording(date_created=FIRST), Recording(date_created=LAST, duration=1)],
    ):
        page = timeline_html(recordings, title="odd")
        assert _Page(page).handlers == []
        ET.fromstring(timeline_svg(recordings, title="odd").encode())
    assert date.isoformat(" ") in timeline_html([odd], title="odd")


RECORDINGS = [
    Recording(sid="RT1", offset=0, duration=5, type=MediaType.AUDIO, grouping_sids={"participant_sid": "PA1"})
]


@settings(deadline=None)
@given(TYPED)
def test_a_participants_name_is_only_text(typed: str) -> None:
    page = timeline_html(RECORDINGS, title="x", names={"PA1": typed})
    page.encode()
    assert _Page(page).handlers == []
    assert set(_Page(page).elements) <= {*EXPECTED, "small"}
    root = ET.fromstring(timeline_svg(RECORDINGS, title="x", names={"PA1": typed}).encode())
    (who,) = (each for each in root.iter(f"{SVG}text") if each.get("class") == "who")
    assert "".join(who.itertext()).strip()


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("pages/room.mp4", "room.mp4"),
        ("films/room.mp4", "../films/room.mp4"),
        ("pages/a:b?#%.mp4", "a%3Ab%3F%23%25.mp4"),
        ("pages/'\"><script>.mp4", "%27%22%3E%3Cscript%3E.mp4"),
        ("pages/\udcff.mp4", "%FF.mp4"),
    ],
)
def test_a_film_is_named_relative_to_the_page(path: str, url: str) -> None:
    page = timeline_html(RECORDINGS, title="x", film=path, directory="pages")
    assert f' src="{url}"' in page


def test_only_a_page_that_plays_may_load_media() -> None:
    media = {"RT1": TrackFile(Path("media/RT1.mka"), 0, 5_000)}
    still, playing = timeline_html(RECORDINGS, title="x"), timeline_html(RECORDINGS, title="x", files=media)
    assert "media-src" not in still
    assert "connect-src" not in still
    assert "media-src 'self' file: blob:; connect-src 'self';" in playing
    assert 'data-src="media/RT1.mka"' in playing


def test_a_drawing_says_about_where_it_does_not_know() -> None:
    recordings = [
        Recording(sid="RT1", offset=0, duration=5, date_created=FIRST.replace(year=2026)),
        Recording(sid="RT2", offset=0, duration=5, date_created=FIRST.replace(year=2026) + timedelta(seconds=70)),
    ]
    drawing = timeline_svg(recordings, title="x")
    assert "start about 1:10" in drawing
    assert "times are approximate" in drawing
    files = {f"RT{number}": TrackFile(Path("x"), number * 1_000, 5_000) for number in (1, 2)}
    assert "about" not in timeline_svg(recordings, title="x", files=files)


def test_a_page_is_the_same_however_the_recordings_come() -> None:
    recordings = [Recording(sid=f"RT{number}", offset=number % 3 * 1000, duration=2) for number in range(9)]
    assert timeline_html(recordings, title="x") == timeline_html(reversed(recordings), title="x")
