"""Pages that play a film, or the tracks' own files: what is seen and heard is what the cursor says, within 100 ms."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import attrs
import pytest
from selenium.webdriver.common.keys import Keys

from roomrec_async import Codec, MediaType, Recording, RecordingStatus
from roomrec_async._views.timeline import TrackFile
from roomrec_async.integrations.ffmpeg.probing import probe
from roomrec_async.integrations.html import timeline_html

from .conftest import Browser
from .test_timeline import HOSTILE, recording

WITHIN = 0.1
RATE = 25
SECONDS = 20
# Ten stripes, each 32 pixels wide, are the bits of the frame's number.
NUMBERED = f"color=s=320x180:r={RATE}:d={{}},geq=lum='if(mod(floor(N/pow(2,floor(X/32))),2),255,0)':cb=128:cr=128"
VP8 = ("-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "1M", "-g", "50")
H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")

# Seconds from the start of the room to that of each track: as in the provider's files, all of one offset.
STARTS = {"a": 1.564, "b": 1.584, "c": 6.0, "d": 6.1}
FIRST = min(STARTS.values())

# Number of the frame that a video shows.
FRAME = """
const canvas = document.createElement("canvas");
[canvas.width, canvas.height] = [320, 180];
const context = canvas.getContext("2d", { willReadFrequently: true });
context.drawImage(arguments[0], 0, 0, 320, 180);
const lit = (bit) => context.getImageData(bit * 32 + 16, 90, 1, 1).data[0] > 127;
return [...Array(10).keys()].reduce((number, bit) => number + (lit(bit) ? 2 ** bit : 0), 0);
"""
# Position of the cursor in seconds, as it is drawn.
CURSOR = """
const box = (selector) => document.querySelector(selector).getBoundingClientRect();
const ruler = box(".lanes .ruler"), cursor = box(".cursor");
const length = Number(document.querySelector(".canvas").dataset.length) / 1000;
return ((cursor.left + cursor.width / 2 - ruler.left) / ruler.width) * length;
"""
# Where in the viewport a second is, beside the first row.
PLACE = """
const ruler = document.querySelector(".lanes .ruler").getBoundingClientRect();
const row = document.querySelector(".row").getBoundingClientRect();
const length = Number(document.querySelector(".canvas").dataset.length) / 1000;
return [ruler.left + (ruler.width * arguments[0]) / length, row.bottom + 1];
"""
# Differences between the times of the files that are under the cursor and the cursor, in seconds.
DRIFTS = """
const length = Number(document.querySelector(".canvas").dataset.length) / 1000;
const now = (Number.parseFloat(document.querySelector(".cursor").style.left) / 100) * length;
return [...document.querySelectorAll(".stage video, .stage audio")].filter((media) => !media.paused).map((media) => {
  const track = document.querySelector(`.track[data-src="${media.getAttribute("src")}"]`);
  return media.currentTime - (Number(track.dataset.fileStart) - Number(track.dataset.start)) / 1000 - now;
});
"""


def ffmpeg(*arguments: object) -> None:
    subprocess.run(["ffmpeg", "-nostdin", "-y", "-v", "error", *map(str, arguments)], check=True)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a film, and with a camera and a microphone of each of two participants."""
    if shutil.which("ffmpeg") is None:
        pytest.fail("these tests need ffmpeg: apt-get install ffmpeg")
    directory = tmp_path_factory.mktemp("made")
    tone = ("-f", "lavfi", "-i", f"sine=f=440:r=48000:d={SECONDS}")
    picture = ("-f", "lavfi", "-i", NUMBERED.format(SECONDS))
    ffmpeg(*picture, *tone, *H264, "-c:a", "aac", "-movflags", "+faststart", directory / "a film.mp4")
    ffmpeg(*picture, *tone, *H264, "-c:a", "libopus", directory / "film.mkv")
    for name, source, codec in (
        ("a.mka", tone, ("-c:a", "libopus")),
        ("b.mkv", picture, VP8),
        ("c.mka", tone, ("-c:a", "libopus")),
        ("d.mkv", picture, VP8),
    ):
        offset = ("-output_ts_offset", STARTS[name[0]])
        ffmpeg(*source, *codec, *offset, "-f", "matroska", directory / name)
    return directory


@attrs.frozen
class RoomPage:
    """The page of a room of two participants, beside its media."""

    browser: Browser
    files: dict[str, TrackFile]

    def recordings(self) -> list[Recording]:
        return [
            recording(
                number,
                0,
                SECONDS,
                sid=name,
                type=MediaType.AUDIO if name in "ac" else MediaType.VIDEO,
                codec=Codec.OPUS if name in "ac" else Codec.VP8,
                participant="PA1" if name in "ab" else "PA2",
            )
            for number, name in enumerate(STARTS)
        ]

    def write(self, *, extra: list[Recording] | None = None, **shown: Any) -> Path:
        page = self.browser.directory / "room.html"
        text = timeline_html(self.recordings() + (extra or []), title="Room", directory=page.parent, **shown)
        page.write_text(text, "utf-8")
        return page

    def open_film(self, name: str = "a film.mp4", **shown: Any) -> None:
        self.browser.go(self.write(film=self.browser.directory / name, **{"files": self.files} | shown).as_uri())
        wait_until(lambda: self.browser.run("return document.querySelector('.film').readyState") >= 2)

    def click_at(self, seconds: float) -> None:
        self.browser.click(*self.browser.run(PLACE, seconds))

    @property
    def cursor(self) -> float:
        return float(self.browser.run(CURSOR))

    def frames(self) -> list[float]:
        """Return the times of the frames that are shown, in seconds from the start of their file."""
        videos = [video for video in self.browser.find(".stage video") if video.is_displayed()]
        return [self.browser.run(FRAME, video) / RATE for video in videos]


@pytest.fixture
async def page(browser: Browser, made: Path) -> RoomPage:
    files: dict[str, TrackFile] = {}
    for path in made.iterdir():
        copy = browser.directory / path.name
        copy.hardlink_to(path)
        if path.stem in STARTS:
            measured = await probe(copy)
            files[path.stem] = TrackFile(copy, measured.start, measured.length)
    browser.resize(1200, 900)
    return RoomPage(browser, files)


class WithRanges(SimpleHTTPRequestHandler):
    """Serves byte ranges, as most web servers do; the standard library's server has none."""

    def log_message(self, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        if wanted is None:
            super().do_GET()
            return
        content = Path(self.translate_path(self.path)).read_bytes()
        first = int(wanted.removeprefix("bytes=").partition("-")[0])
        last = int(wanted.partition("-")[2] or len(content) - 1)
        self.send_response(206)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        self.send_header("Content-Length", str(last + 1 - first))
        self.end_headers()
        self.wfile.write(content[first : last + 1])


class WithoutRanges(SimpleHTTPRequestHandler):
    """What ``python -m http.server`` is."""

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(params=[WithRanges, WithoutRanges])
def server(request: pytest.FixtureRequest, browser: Browser) -> Iterator[str]:
    """URL of a server of the browser's directory."""
    handler = partial(request.param, directory=str(browser.directory))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def wait_until(condition: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def settled(browser: Browser) -> bool:
    """Return True if nothing is seeking or loading."""
    return bool(
        browser.run(
            "return [...document.querySelectorAll('.stage video, .stage audio')]"
            ".every((media) => !media.seeking && media.readyState >= 2)"
        )
    )


class TestFilm:
    @pytest.mark.parametrize("width", [1_200, 400])
    @pytest.mark.parametrize("key", [Keys.HOME, Keys.END])
    def test_the_time_is_in_view_at_both_ends(self, page: RoomPage, width: int, key: str) -> None:
        page.browser.resize(width, 900)
        page.open_film()
        page.browser.run("document.querySelector('.thumb').focus()")
        page.browser.press(key)
        thumb, cursor, corner, frame = (
            page.browser.run("return document.querySelector(arguments[0]).getBoundingClientRect()", selector)
            for selector in (".thumb", ".cursor", ".corner", ".frame")
        )
        assert corner["right"] <= thumb["left"]
        assert thumb["right"] <= frame["right"]
        # They touch.
        assert thumb["left"] <= cursor["right"]
        assert cursor["left"] <= thumb["right"]

    @pytest.mark.parametrize("name", ["a film.mp4", "film.mkv"])
    def test_it_plays_and_the_cursor_runs_along(self, page: RoomPage, name: str) -> None:
        page.open_film(name)
        page.browser.run("document.querySelector('.thumb').focus()")
        page.browser.press(Keys.SPACE)
        wait_until(lambda: page.cursor > 1)
        before, film, after = (
            page.cursor,
            page.browser.run("return document.querySelector('.film').currentTime"),
            page.cursor,
        )
        assert before - WITHIN <= film <= after + WITHIN
        page.browser.press(Keys.SPACE)
        assert page.browser.run("return document.querySelector('.film').paused")
        assert page.browser.problems() == []

    @pytest.mark.parametrize("seconds", [0.4, 7.3, 12, 19.1])
    def test_a_click_on_the_lanes_seeks(self, page: RoomPage, seconds: float) -> None:
        page.open_film()
        page.click_at(seconds)
        wait_until(lambda: settled(page.browser))
        wait_until(lambda: abs(page.cursor - seconds) < WITHIN)

    def test_the_picture_is_that_of_the_cursor_on_any_server(self, page: RoomPage, server: str) -> None:
        page.write(film=page.browser.directory / "a film.mp4", files=page.files)
        page.browser.go(f"{server}/room.html")
        wait_until(lambda: settled(page.browser))
        for seconds in (13, 2.5, 18.2):
            page.click_at(seconds)
            expected = [pytest.approx(seconds, abs=WITHIN)]
            deadline = time.monotonic() + 5
            while page.frames() != expected and time.monotonic() < deadline:
                time.sleep(0.1)
            assert (page.frames(), page.cursor) == (expected, expected[0])
        assert page.browser.problems() == []

    def test_it_starts_with_the_first_track_in_it_not_with_one_that_was_deleted(self, page: RoomPage) -> None:
        gone = recording(9, -5, 2, sid="gone", status=RecordingStatus.DELETED, participant="PA3")
        early = attrs.evolve(gone, offset=gone.offset)
        page.open_film(extra=[early], files=None)
        start = page.browser.run("return Number(document.querySelector('.film').dataset.start) / 1000")
        assert start == pytest.approx(5)
        page.click_at(9)
        wait_until(lambda: settled(page.browser))
        film = page.browser.run("return document.querySelector('.film').currentTime")
        assert film == pytest.approx(4, abs=WITHIN)
        assert page.cursor == pytest.approx(9, abs=WITHIN)

    def test_the_axis_is_dragged(self, page: RoomPage) -> None:
        page.open_film()
        from_, to = page.browser.run(PLACE, 3)[0], page.browser.run(PLACE, 15)[0]
        y = page.browser.run("return document.querySelector('.axis').getBoundingClientRect().top") + 8
        for kind, x in (("mousePressed", from_), ("mouseMoved", (from_ + to) / 2), ("mouseMoved", to)):
            event = {"type": kind, "x": x, "y": y, "button": "left", "buttons": 1, "clickCount": 1}
            page.browser.driver.execute_cdp_cmd("Input.dispatchMouseEvent", event)
        event = {"type": "mouseReleased", "x": to, "y": y, "button": "left", "clickCount": 1}
        page.browser.driver.execute_cdp_cmd("Input.dispatchMouseEvent", event)
        wait_until(lambda: abs(page.cursor - 15) < WITHIN)

    def test_a_click_means_the_same_time_however_enlarged(self, page: RoomPage) -> None:
        page.open_film()
        page.browser.run("document.querySelector('.thumb').focus()")
        page.browser.press("+")
        page.click_at(9)
        wait_until(lambda: abs(page.cursor - 9) < WITHIN)

    def test_a_film_that_is_not_there_is_said_to_be_missing(self, page: RoomPage) -> None:
        page.browser.go(page.write(film=page.browser.directory / "none.mp4").as_uri())
        (status,) = page.browser.find(".stage [role=status]")
        wait_until(lambda: status.text)
        assert status.text == "The film cannot be played: it is missing, or this browser cannot play its format."

    @pytest.mark.parametrize("name", ["a:b?#.mp4", "50%.mp4", "'\"><script>.mp4", "données.mp4"])
    def test_it_may_have_any_name(self, page: RoomPage, name: str) -> None:
        (page.browser.directory / "a film.mp4").rename(page.browser.directory / name)
        page.open_film(name)
        assert page.browser.problems() == []

    def test_media_of_elsewhere_are_refused(self, page: RoomPage) -> None:
        page.open_film()
        page.browser.run("document.querySelector('.film').src = 'https://example.com/film.mp4'")
        wait_until(lambda: any("Content Security Policy" in problem for problem in page.browser.problems()))
        assert not [url for url in page.browser.requests() if url.startswith("https:")]

    def test_a_page_without_one_allows_no_media(self, page: RoomPage) -> None:
        page.browser.go(page.write().as_uri())
        (policy,) = page.browser.find("meta[http-equiv]")
        assert "media-src" not in str(policy.get_attribute("content"))
        assert page.browser.find(".thumb, .cursor, video") == []


class TestKeyboard:
    def test_the_position_is_a_slider(self, page: RoomPage) -> None:
        page.open_film()
        page.browser.run("document.querySelector('.thumb').focus()")
        shown = []
        for key in (
            Keys.ARROW_RIGHT,
            Keys.ARROW_UP,
            Keys.ARROW_LEFT,
            Keys.PAGE_DOWN,
            Keys.PAGE_UP,
            Keys.END,
            Keys.HOME,
        ):
            page.browser.press(key)
            wait_until(lambda: settled(page.browser))
            shown.append(round(page.cursor, 1))
        end = page.browser.run("return document.querySelector('.film').duration")
        assert shown == [1, 2, 1, 0, 10, pytest.approx(end, abs=0.1), 0]

    def test_enter_leads_to_the_start_of_a_track(self, page: RoomPage) -> None:
        page.open_film()
        page.browser.run("document.querySelector('[data-track=\"3\"]').focus()")
        page.browser.press(Keys.ENTER)
        wait_until(lambda: abs(page.cursor - (STARTS["c"] - FIRST)) < WITHIN)

    def test_a_screen_reader_hears_the_position_as_it_changes(self, page: RoomPage) -> None:
        page.open_film()
        length = round(page.browser.run("return Number(document.querySelector('.canvas').dataset.length) / 1000 - 0.5"))

        def position() -> tuple[int, str | None]:
            (slider,) = (
                node for node in page.browser.accessibility_tree()
                if node["role"]["value"] == "slider" and node["name"]["value"] == "Position in the room"
            )  # fmt: skip
            # Chromium's protocol leaves out the text of sliders that are not its own.
            return slider["value"]["value"], page.browser.find(".thumb")[0].get_attribute("aria-valuetext")

        assert position() == (0, f"0:00 of 0:{length}")
        page.click_at(7.5)
        wait_until(lambda: position() == (7, f"0:07 of 0:{length}"))
        page.browser.run("document.querySelector('.thumb').focus()")
        page.browser.press(Keys.SPACE)
        wait_until(lambda: position()[0] >= 9)
        assert "0:09" <= str(position()[1]) < "0:20"

    def test_a_screen_reader_finds_film_grid_and_names(self, page: RoomPage) -> None:
        page.open_film(names={"PA1": "Zoë", "PA2": " "})
        found = {
            (node["role"]["value"], node.get("name", {}).get("value")) for node in page.browser.accessibility_tree()
        }
        assert {("region", "Film"), ("grid", "Timeline of Room"), ("group", "Zoom")} <= found
        assert ("rowgroup", "\u2068Zoë\u2069, PA1") in found
        assert ("rowgroup", "Participant 2, PA2") in found
        assert ("gridcell", "microphone, \u2068Zoë\u2069, audio, completed, start 0:00, duration 0:20") in found


class TestTracks:
    def open(self, page: RoomPage, **shown: Any) -> None:
        page.browser.go(page.write(files=page.files, **shown).as_uri())
        wait_until(lambda: page.browser.find(".stage video"))
        wait_until(lambda: settled(page.browser))

    def test_each_picture_is_that_of_the_cursor(self, page: RoomPage, server: str) -> None:
        page.write(files=page.files)
        page.browser.go(f"{server}/room.html")
        wait_until(lambda: settled(page.browser))
        starts = [STARTS["b"] - FIRST, STARTS["d"] - FIRST]
        for seconds, shown in ((2, starts[:1]), (9, starts), (16.4, starts), (22, starts[1:]), (5.2, starts)):
            page.click_at(seconds)
            expected = [pytest.approx(seconds - start, abs=WITHIN) for start in shown]
            deadline = time.monotonic() + 5
            while page.frames() != expected and time.monotonic() < deadline:
                time.sleep(0.1)
            assert page.frames() == expected
        assert page.browser.problems() == []

    def test_they_play_in_sync(self, page: RoomPage) -> None:
        self.open(page)
        page.click_at(3.5)
        page.browser.find(".play")[0].click()
        wait_until(lambda: page.cursor > 3.6)
        began, at = page.cursor, time.monotonic()
        drifts: list[float] = []
        while page.cursor < 7.5:
            drifts += page.browser.run(DRIFTS)
            assert time.monotonic() - at < 15
        # The clock runs at the speed of time: two tracks have begun meanwhile.
        assert page.cursor - began == pytest.approx(time.monotonic() - at, rel=0.1)
        assert len(page.browser.run(DRIFTS)) == 4
        # A file that has just been opened may take two corrections.
        assert sum(abs(drift) > WITHIN for drift in drifts) <= len(drifts) * 0.05
        assert max(map(abs, page.browser.run(DRIFTS))) < WITHIN
        page.browser.find(".play")[0].click()
        assert page.browser.run(DRIFTS) == []

    def test_only_what_is_near_the_cursor_is_open(self, page: RoomPage) -> None:
        self.open(page)
        assert len(page.browser.find(".stage video, .stage audio")) == 2
        page.click_at(9)
        assert len(page.browser.find(".stage video, .stage audio")) == 4
        page.click_at(23)
        assert len(page.browser.find(".stage video, .stage audio")) == 2

    @pytest.mark.parametrize("content", [None, b"", b"junk" * 1000])
    def test_a_bad_file_is_named_and_the_others_play(self, page: RoomPage, content: bytes | None) -> None:
        path = page.browser.directory / "b.mkv"
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        page.browser.go(page.write(files=page.files).as_uri())
        (status,) = page.browser.find(".stage [role=status]")
        wait_until(lambda: status.text)
        assert status.text.startswith("A recording cannot be played: microphone, Participant 1, video")
        page.browser.find(".play")[0].click()
        wait_until(lambda: page.cursor > 1)

    def test_the_end_stops_it_and_playing_again_begins_anew(self, page: RoomPage) -> None:
        self.open(page)
        page.click_at(24)
        button = page.browser.find(".play")[0]
        button.click()
        wait_until(lambda: button.text == "Play")
        button.click()
        wait_until(lambda: button.text == "Pause" and 0 < page.cursor < 5)

    @pytest.mark.parametrize("name", HOSTILE)
    def test_hostile_names_do_nothing(self, page: RoomPage, name: str) -> None:
        self.open(page, names={"PA1": name})
        assert page.browser.find("figcaption")[0].get_attribute("textContent") == name
        assert page.browser.driver.title == "Room"
        assert page.browser.run("return document.scripts.length") == 1
        assert page.browser.problems() == []

    def test_without_pictures_there_is_no_screen(self, page: RoomPage) -> None:
        files = {name: file for name, file in page.files.items() if name in "ac"}
        page.browser.go(page.write(files=files).as_uri())
        assert page.browser.find(".play")[0].is_displayed()
        assert not page.browser.find(".screens")[0].is_displayed()

    def test_less_motion_for_those_who_ask_for_it(self, page: RoomPage) -> None:
        moves = """
        const [done] = arguments, seen = new Set(), cursor = document.querySelector(".cursor");
        const until = performance.now() + 3000;
        const look = () => {
          seen.add(cursor.style.left);
          if (performance.now() < until) requestAnimationFrame(look); else done(seen.size);
        };
        look();
        """
        counts = []
        for motion in ("reduce", "no-preference"):
            page.browser.prefer(prefers_reduced_motion=motion)
            self.open(page)
            page.browser.find(".play")[0].click()
            counts.append(page.browser.driver.execute_async_script(moves))
        assert counts[0] <= 5
        assert counts[1] > 20
