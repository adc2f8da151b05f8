"""Timelines in a browser: with pointer and keyboard, in dark mode, printed, and with hostile names."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from roomrec_async import Codec, MediaType, Recording, RecordingStatus
from roomrec_async.integrations.html import timeline_html, timeline_svg

from .conftest import Browser

BEGAN = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
TITLE = "Room RM" + "1" * 32
NAMES = ("microphone", "camera", "screen share of the quarterly figures", "Kamera Zoë", "麦克风", "مكبر الصوت")
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
    "javascript:document.title='owned'",
    "</style><link rel=stylesheet href=https://example.com/x.css>",
    "<a href=https://example.com ping=https://example.com>&amp;&lt;",
    "&quot; onmouseover=&quot;document.title='owned'",
)


def recording(number: int, start: int, duration: int | None = 60, **fields: Any) -> Recording:
    participant = fields.pop("participant", "PA" + "a" * 32)
    values: dict[str, Any] = {
        "sid": f"RT{number:032x}",
        "type": MediaType.AUDIO,
        "status": RecordingStatus.COMPLETED,
        "codec": Codec.OPUS,
        "track_name": "microphone",
        "size": None if duration is None else duration * 4_000,
    }
    return Recording(
        duration=duration,
        offset=1_700_000_000_000 + start * 1000,
        date_created=BEGAN + timedelta(seconds=start),
        grouping_sids={"participant_sid": participant},
        **values | fields,
    )


def room(count: int) -> list[Recording]:
    """Return recordings of all types and statuses, with one participant for every eight."""
    random = Random(count)
    recordings = []
    for number in range(count):
        status = random.choices(list(RecordingStatus), [5, 80, 10, 5])[0]
        kind = random.choice(list(MediaType))
        person = random.randrange(max(1, count // 8))
        duration = None if status is RecordingStatus.PROCESSING else random.choice([0, 1, 30, 600, 1_500])
        recordings.append(
            recording(
                number,
                random.randrange(3_600),
                duration,
                type=kind,
                status=status,
                codec=Codec.VP8 if kind is MediaType.VIDEO else Codec.OPUS,
                track_name=random.choice(NAMES),
                participant=f"PA{person:032x}",
            )
        )
    return recordings


def details(browser: Browser) -> dict[str, str]:
    """Return the texts of the details panel by heading."""
    (heading,) = browser.find(".panel h2")
    assert heading.is_displayed()
    names, values = browser.find(".panel dt"), browser.find(".panel dd")
    return {"Track": heading.text} | {name.text: value.text for name, value in zip(names, values, strict=True)}


def tracks(browser: Browser) -> list[WebElement]:
    return browser.find(".frame .track")


def focused(browser: Browser) -> int:
    return int(browser.run("return document.activeElement.dataset.track || 0"))


def assert_quiet(browser: Browser) -> None:
    """Check that there was no error, no blocked content and no network request."""
    assert browser.problems() == []
    assert {url.partition(":")[0] for url in browser.requests()} == {"file"}


CAMERA = recording(
    7, 65, 3_723, type=MediaType.VIDEO, codec=Codec.H264, track_name="camera", status=RecordingStatus.DELETED,
    size=1_500_000, participant="PA" + "b" * 32,
)  # fmt: skip
TOLD_OF_CAMERA = {
    "Track": "camera",
    "Participant": "Participant 2",
    "Type": "video",
    "Status": "deleted",
    "Start": "1:05",
    "Duration": "1:02:03",
    "Codec": "H264",
    "Size": "1.5 MB",
    "Created (UTC)": "2026-03-01 09:31:05",
    "Participant SID": "PA" + "b" * 32,
    "Recording SID": f"RT{7:032x}",
}


class TestDetails:
    def test_the_pointer_shows_them(self, browser: Browser) -> None:
        browser.open(timeline_html([recording(1, 0), CAMERA], title=TITLE))
        assert not browser.find(".panel h2")[0].is_displayed()
        browser.hover(tracks(browser)[1])
        assert details(browser) == TOLD_OF_CAMERA
        browser.hover(tracks(browser)[0])
        assert details(browser)["Track"] == "microphone"
        assert_quiet(browser)

    def test_the_keyboard_shows_them(self, browser: Browser) -> None:
        browser.open(timeline_html([recording(1, 0), CAMERA], title=TITLE))
        for _ in range(8):
            browser.press(Keys.TAB)
            if focused(browser):
                break
        assert details(browser)["Track"] == "microphone"
        browser.press(Keys.ARROW_DOWN)
        assert details(browser) == TOLD_OF_CAMERA
        assert_quiet(browser)

    def test_a_processing_one_has_no_duration_and_no_size(self, browser: Browser) -> None:
        browser.open(
            timeline_html([recording(1, 0), recording(2, 5, None, status=RecordingStatus.PROCESSING)], title=TITLE)
        )
        browser.hover(tracks(browser)[1])
        shown = details(browser)
        assert (shown["Status"], shown["Duration"], shown["Size"]) == ("processing", "still being recorded", "unknown")

    def test_a_screen_reader_hears_them(self, browser: Browser) -> None:
        browser.open(timeline_html([recording(1, 0), CAMERA], title=TITLE))
        grid, track = browser.find("[role=grid]")[0], tracks(browser)[1]
        assert (grid.aria_role, grid.accessible_name) == ("grid", f"Timeline of {TITLE}")
        assert (track.aria_role, track.accessible_name) == (
            "gridcell",
            "camera, Participant 2, video, deleted, start 1:05, duration 1:02:03",
        )

    def test_the_table_has_all_of_them(self, browser: Browser) -> None:
        browser.open(timeline_html(room(40), title=TITLE))
        browser.find("summary")[-1].click()
        rows = browser.find("tbody tr")
        assert len(rows) == 40
        assert all(row.is_displayed() for row in rows)
        assert sorted(row.text.split()[-1] for row in rows) == sorted(str(each.sid) for each in room(40))


class TestKeyboard:
    def test_arrows_lead_to_every_track(self, browser: Browser) -> None:
        browser.open(timeline_html(room(40), title=TITLE))
        browser.run("document.querySelector('.frame .track').focus()")
        reached = [focused(browser)]
        for _ in range(39):
            browser.press(Keys.ARROW_RIGHT)
            reached.append(focused(browser))
        assert reached == list(range(1, 41))
        browser.press(Keys.ARROW_RIGHT)
        assert focused(browser) == 40
        browser.press(Keys.ARROW_LEFT)
        assert focused(browser) == 39

    def test_up_and_down_lead_to_what_is_nearest_in_time(self, browser: Browser) -> None:
        recordings = [
            recording(1, 0, 100),
            recording(2, 500, 100),
            recording(3, 900, 100),
            recording(4, 480, 100, type=MediaType.VIDEO),
        ]
        browser.open(timeline_html(recordings, title=TITLE))
        browser.run("document.querySelector('[data-track=\"4\"]').focus()")
        visited = []
        for key in (Keys.ARROW_UP, Keys.END, Keys.HOME, Keys.ARROW_DOWN, Keys.ARROW_DOWN):
            browser.press(key)
            visited.append(focused(browser))
        assert visited == [2, 3, 1, 4, 4]

    def test_ctrl_end_and_ctrl_home_lead_to_the_ends(self, browser: Browser) -> None:
        browser.open(timeline_html(room(500), title=TITLE))
        browser.run("document.querySelector('.frame .track').focus()")
        for key, expected in ((Keys.END, 500), (Keys.HOME, 1)):
            ActionChains(browser.driver).key_down(Keys.CONTROL).send_keys(key).key_up(Keys.CONTROL).perform()
            assert focused(browser) == expected

    def test_the_timeline_is_one_stop(self, browser: Browser) -> None:
        browser.open(timeline_html(room(40), title=TITLE))
        browser.run("document.querySelector('[data-track=\"17\"]').focus()")
        assert len(browser.find('.frame [tabindex="0"]')) == 1
        browser.press(Keys.TAB)
        assert focused(browser) == 0
        ActionChains(browser.driver).key_down(Keys.SHIFT).send_keys(Keys.TAB).key_up(Keys.SHIFT).perform()
        assert focused(browser) == 17

    def test_zoom_keeps_the_track_in_view(self, browser: Browser) -> None:
        browser.open(timeline_html(room(40), title=TITLE))
        browser.run("document.querySelector('[data-track=\"9\"]').focus()")
        before = browser.run("return document.querySelector('[data-track=\"9\"]').offsetWidth")
        browser.press("+", "+")
        assert browser.find(".zoom output")[0].text == "4\N{MULTIPLICATION SIGN}"
        assert browser.run(VISIBLE, 9)
        browser.press("0")
        assert browser.find(".zoom output")[0].text == "1\N{MULTIPLICATION SIGN}"
        assert browser.run("return document.querySelector('[data-track=\"9\"]').offsetWidth") == before

    def test_a_name_stays_in_view_while_its_track_is(self, browser: Browser) -> None:
        browser.open(timeline_html([recording(1, 0, 3_600, track_name="all day")], title=TITLE))
        browser.run("document.querySelector('.frame .track').focus()")
        browser.press("+", "+", "+")
        browser.run("document.querySelector('.frame').scrollLeft = 3000")
        edge = browser.run("return document.querySelector('.corner').getBoundingClientRect().right")
        left = browser.run("return document.querySelector('.frame .track span').getBoundingClientRect().left")
        assert left == pytest.approx(edge, abs=2)


# True if nothing hides the middle of a track: neither the axis, nor the labels, nor the frame's edge.
VISIBLE = """
const track = document.querySelector(`[data-track="${arguments[0]}"]`);
const box = track.getBoundingClientRect(), frame = document.querySelector(".frame").getBoundingClientRect();
const labels = document.querySelector(".corner").getBoundingClientRect().right;
const left = Math.max(box.left, labels), right = Math.min(box.right, frame.right);
const at = document.elementFromPoint((left + right) / 2, (box.top + box.bottom) / 2);
return right > left && at !== null && at.closest(".track") === track;
"""

# Boxes of all texts, each clipped to the visible part of its ancestors within the canvas.
LABELS = """
const seen = (element) => {
  let {left, right, top, bottom} = element.getBoundingClientRect();
  for (let outer = element.parentElement; !outer.matches(".canvas"); outer = outer.parentElement) {
    if (getComputedStyle(outer).overflow === "visible") continue;
    const box = outer.getBoundingClientRect();
    left = Math.max(left, box.left); right = Math.min(right, box.right);
    top = Math.max(top, box.top); bottom = Math.min(bottom, box.bottom);
  }
  return {left, right, top, bottom, text: element.textContent};
};
const texts = document.querySelectorAll(arguments[0]);
return [...texts].filter((text) => text.getClientRects().length).map(seen);
"""


def overlapping(boxes: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return pairs of texts that overlap by more than half a pixel."""
    found, ordered = [], sorted(boxes, key=lambda box: box["top"])
    for place, one in enumerate(ordered):
        for other in ordered[place + 1 :]:
            if other["top"] >= one["bottom"] - 0.5:
                break
            if min(one["right"], other["right"]) - max(one["left"], other["left"]) > 0.5:
                found.append((one["text"], other["text"]))
    return found


class TestLayout:
    @pytest.mark.parametrize("count", [2, 40, 500])
    @pytest.mark.parametrize("width", [1280, 500])
    def test_no_label_is_over_another(self, browser: Browser, count: int, width: int) -> None:
        browser.driver.set_window_size(width, 900)
        browser.open(timeline_html(room(count), title=TITLE))
        for selector in (".axis .scale b", ".row .track span", ".who, .types span", ".row .track"):
            boxes = browser.run(LABELS, selector)
            assert len(boxes) >= 2 or count == 2
            assert overlapping(boxes) == []
        assert_quiet(browser)

    @pytest.mark.parametrize("zooms", [0, 2, 5])
    def test_marks_are_apart_however_enlarged(self, browser: Browser, zooms: int) -> None:
        browser.open(timeline_html(room(40), title=TITLE))
        browser.run("document.querySelector('.frame .track').focus()")
        browser.press(*"+" * zooms)
        boxes = browser.run(LABELS, ".axis .scale b")
        assert len(boxes) > 3 * 2**zooms
        assert all(following["left"] - one["right"] > 4 for one, following in pairwise(boxes))

    @pytest.mark.parametrize("count", [2, 40, 500])
    def test_every_track_can_be_brought_into_view(self, browser: Browser, count: int) -> None:
        browser.open(timeline_html(room(count), title=TITLE))
        browser.run("document.querySelector('.frame .track').focus()")
        hidden = []
        for number in range(1, count + 1):
            if not browser.run(VISIBLE, number):
                hidden.append(number)
            browser.press(Keys.ARROW_RIGHT)
        assert hidden == []

    def test_axis_and_labels_stay_when_the_timeline_is_scrolled(self, browser: Browser) -> None:
        browser.open(timeline_html(room(500), title=TITLE))
        browser.run("document.querySelector('.frame .track').focus()")
        browser.press("+", "+")
        before = {name: browser.find(name)[0].rect for name in (".corner", ".frame")}
        browser.run("document.querySelector('.frame').scrollTo(700, 2000)")
        assert browser.run("const f = document.querySelector('.frame'); return [f.scrollLeft, f.scrollTop]") == [
            700,
            2000,
        ]
        assert {name: browser.find(name)[0].rect for name in (".corner", ".frame")} == before
        label = browser.run("return document.querySelector('.label').getBoundingClientRect().left")
        assert label == pytest.approx(before[".corner"]["x"], abs=1)

    def test_statuses_differ_without_their_colours(self, browser: Browser) -> None:
        statuses = list(RecordingStatus)
        recordings = [
            recording(n, n * 100, None if status is RecordingStatus.PROCESSING else 90, status=status)
            for n, status in enumerate(statuses)
        ]
        browser.open(timeline_html(recordings, title=TITLE))
        looks = {
            tuple(
                track.value_of_css_property(name)
                for name in ("border-right-style", "border-top-style", "border-top-width", "text-decoration")
            )
            for track in tracks(browser)
        }
        assert len(looks) == len(statuses)

    def test_dark_is_dark(self, browser: Browser) -> None:
        for text, ending in (
            (timeline_html(room(40), title=TITLE), ".html"),
            (timeline_svg(room(40), title=TITLE), ".svg"),
        ):
            backgrounds = []
            for scheme in ("light", "dark"):
                browser.prefer(prefers_color_scheme=scheme)
                browser.open(text, ending)
                element = "body" if ending == ".html" else ".page"
                name = "backgroundColor" if ending == ".html" else "fill"
                backgrounds.append(browser.run(f"return getComputedStyle(document.querySelector('{element}')).{name}"))
            assert backgrounds == ["rgb(252, 252, 251)", "rgb(21, 23, 26)"]

    def test_paper_gets_the_whole_of_it(self, browser: Browser) -> None:
        browser.open(timeline_html(room(500), title=TITLE))
        browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
        try:
            height, shown = browser.run(
                "const f = document.querySelector('.frame'); return [f.scrollHeight, f.getBoundingClientRect().height]"
            )
        finally:
            browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
        assert shown >= height > 2_000


class TestHostileNames:
    @pytest.mark.parametrize("name", HOSTILE)
    def test_do_nothing_and_are_shown_as_they_are(self, browser: Browser, name: str) -> None:
        hostile = recording(
            1, 0, track_name=name, participant=name, codec=Codec(name), type=MediaType(name),
            status=RecordingStatus(name), sid=name,
        )  # fmt: skip
        recordings = [hostile, recording(2, 70), recording(3, 10, participant=name)]
        browser.open(timeline_html(recordings, title=name))
        title = browser.driver.title
        (track,) = browser.find(".row.other .track")
        browser.hover(track)
        shown = details(browser)
        browser.press(Keys.TAB, Keys.TAB, Keys.TAB, Keys.ARROW_DOWN, Keys.ARROW_UP)
        browser.find("summary")[-1].click()
        plain = " ".join(name.split())
        assert " ".join(title.split()) == " ".join(browser.driver.title.split()) == plain
        assert {shown[title] for title in ("Track", "Type", "Status", "Codec", "Participant SID", "Recording SID")} == {
            plain
        }
        assert browser.run("return document.scripts.length") == 1
        assert browser.find("img, link, a, body svg") == []
        assert_quiet(browser)

    @pytest.mark.parametrize("name", HOSTILE)
    def test_in_a_drawing(self, browser: Browser, name: str) -> None:
        hostile = recording(1, 0, track_name=name, participant=name, codec=Codec(name), status=RecordingStatus(name))
        browser.open(timeline_svg([hostile, recording(2, 70)], title=name), ".svg")
        texts = browser.run("return [...document.querySelectorAll('.track title')].map((title) => title.textContent)")
        assert any(text.startswith(f"{name}, Participant 1, audio, {name}, start 0:00") for text in texts)
        assert browser.driver.title == f"Timeline of {name}"
        assert browser.find("parsererror, script, image, a, link") == []
        assert_quiet(browser)

    def test_the_page_may_ask_for_nothing_even_if_it_wanted(self, browser: Browser) -> None:
        injected = "<script>document.title='owned'</script><img src='https://example.com/x.png'>"
        browser.open(timeline_html(room(2), title=TITLE).replace("</header>", f"</header>{injected}"))
        assert browser.driver.title == TITLE
        assert len([problem for problem in browser.problems() if "Content Security Policy" in problem]) == 2
