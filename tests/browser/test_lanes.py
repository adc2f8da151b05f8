"""Many lanes and narrow windows: search, collapse, zoom by wheel, join lines, contrast, and no sideways scrolling."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from selenium.webdriver.common.keys import Keys

from roomrec_async import MediaType
from roomrec_async.integrations.html import timeline_html

from .conftest import Browser
from .test_timeline import TITLE, focused, overlapping, recording, room

LABELS_OVERLAP = """
return [...document.querySelectorAll(arguments[0])].filter((text) => text.getClientRects().length).map((text) => {
  const {left, right, top, bottom} = text.getBoundingClientRect();
  return {left, right, top, bottom, text: text.textContent};
});
"""
# The ratio of contrast of each text with what is behind it, as WCAG 2 defines it: [text, ratio].
CONTRASTS = r"""
const canvas = document.createElement("canvas");
canvas.width = canvas.height = 1;
const context = canvas.getContext("2d", { willReadFrequently: true });
const rgb = (...colors) => {
  context.clearRect(0, 0, 1, 1);
  for (const color of colors) { context.fillStyle = color; context.fillRect(0, 0, 1, 1); }
  return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
};
const luminance = (color) => {
  const [red, green, blue] = color.map((part) => part / 255).map(
    (part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
};
const behind = (element) => {
  const colors = [];
  for (let each = element; each; each = each.parentElement) colors.unshift(getComputedStyle(each).backgroundColor);
  return colors;
};
const found = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  if (!walker.currentNode.textContent.trim() || !element.getClientRects().length) continue;
  if (element.closest("script, :disabled")) continue;
  const style = getComputedStyle(element);
  if (style.visibility === "hidden") continue;
  const ground = behind(element);
  const [one, other] = [luminance(rgb(...ground, style.color)), luminance(rgb(...ground))].sort();
  found.push([walker.currentNode.textContent.trim(), (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05)]);
}
return found;
"""


def shown_lanes(browser: Browser) -> list[str]:
    return browser.run(
        "return [...document.querySelectorAll('.lane')].filter((lane) => !lane.hidden)"
        ".map((lane) => lane.querySelector('.who bdi').textContent)"
    )


def search(browser: Browser, text: str) -> str:
    (field,) = browser.find(".search input")
    field.clear()
    field.send_keys(text)
    return browser.find(".search output")[0].text


class TestSearch:
    def test_from_40_lanes_on(self, browser: Browser) -> None:
        for count, expected in ((39, False), (40, True)):
            recordings = [recording(number, number, participant=f"PA{number:032x}") for number in range(count)]
            browser.open(timeline_html(recordings, title=TITLE))
            assert bool(browser.find(".search")) is expected
            assert bool(browser.find(".collapse-all")) is expected

    def test_by_names_sids_and_tracks(self, browser: Browser) -> None:
        recordings = [
            recording(number, number, participant=f"PA{number:032x}", track_name=f"track-{number}")
            for number in range(50)
        ]
        browser.open(timeline_html(recordings, title=TITLE, names={f"PA{7:032x}": "Zoë Müller"}))
        assert search(browser, "zoë") == "1 of 50 found"
        assert shown_lanes(browser) == ["Zoë Müller"]
        assert search(browser, "track-33") == "1 of 50 found"
        assert search(browser, f"PA{12:032x}") == "1 of 50 found"
        assert search(browser, "müller TRACK-7") == "1 of 50 found"
        assert search(browser, "müller track-8") == "0 of 50 found"
        assert browser.find(".none")[0].is_displayed()
        browser.run(
            "const f = document.querySelector('.search input'); f.value = ''; f.dispatchEvent(new Event('input'))"
        )
        assert len(shown_lanes(browser)) == 50
        assert not browser.find(".none")[0].is_displayed()

    def test_the_keyboard_goes_to_what_was_found(self, browser: Browser) -> None:
        browser.open(timeline_html(room(500), title=TITLE))
        assert search(browser, f"PA{61:032x}") == "1 of 62 found"
        assert len(browser.find(".lane:not([hidden]) [tabindex='0']")) == 1


class TestCollapse:
    def test_all_and_one(self, browser: Browser) -> None:
        browser.open(timeline_html(room(500), title=TITLE))
        before = browser.run("return document.querySelector('.lanes').offsetHeight")
        (collapse,) = browser.find(".collapse-all")
        collapse.click()
        assert collapse.text == "Expand all"
        assert browser.run("return document.querySelector('.lanes').offsetHeight") < before / 2
        buttons = browser.find(".label button")
        assert {button.get_attribute("aria-expanded") for button in buttons} == {"false"}
        buttons[0].click()
        assert buttons[0].get_attribute("aria-expanded") == "true"
        assert collapse.text == "Collapse all"
        collapse.click()
        collapse.click()
        assert browser.run("return document.querySelector('.lanes').offsetHeight") == before

    def test_arrows_pass_over_collapsed_lanes(self, browser: Browser) -> None:
        recordings = [recording(number, number, participant=f"PA{number:032x}") for number in range(40)]
        browser.open(timeline_html(recordings, title=TITLE))
        browser.run("document.querySelector('.frame .track').focus()")
        browser.press(Keys.ARROW_UP, Keys.ENTER)
        assert browser.run("return document.activeElement.getAttribute('aria-expanded')") == "false"
        browser.press(Keys.ARROW_RIGHT)
        assert focused(browser) == 2
        browser.press(Keys.ARROW_LEFT, Keys.ENTER, Keys.ARROW_RIGHT)
        assert focused(browser) == 1

    @pytest.mark.parametrize("width", [1200, 400])
    def test_no_label_is_over_another(self, browser: Browser, width: int) -> None:
        browser.resize(width, 800)
        browser.open(timeline_html(room(500), title=TITLE))
        browser.find(".collapse-all")[0].click()
        assert overlapping(browser.run(LABELS_OVERLAP, ".who bdi")) == []


class TestWidth:
    @pytest.mark.parametrize("count", [2, 40, 500])
    @pytest.mark.parametrize("width", [1200, 700, 400, 320])
    def test_the_page_does_not_scroll_sideways(self, browser: Browser, count: int, width: int) -> None:
        browser.resize(width, 800)
        browser.open(timeline_html(room(count), title=TITLE, film="film.mp4"))
        assert browser.run("return document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        # Nor does the timeline while nothing is enlarged.
        assert browser.run("const f = document.querySelector('.frame'); return f.scrollWidth - f.clientWidth") == 0

    @pytest.mark.parametrize("count", [2, 40, 500])
    def test_tracks_have_most_of_a_narrow_window(self, browser: Browser, count: int) -> None:
        browser.resize(400, 800)
        browser.open(timeline_html(room(count), title=TITLE))
        assert browser.run("return document.querySelector('.row').offsetWidth") > 400 * 0.7
        for selector in (".axis .scale b", ".types span", ".who bdi"):
            assert overlapping(browser.run(LABELS_OVERLAP, selector)) == []


class TestLines:
    @pytest.mark.parametrize("width", [1200, 400])
    @pytest.mark.parametrize("zooms", [0, 3])
    def test_a_participant_joins_where_their_first_track_lies(self, browser: Browser, width: int, zooms: int) -> None:
        browser.resize(width, 800)
        browser.open(timeline_html(room(40), title=TITLE))
        browser.run("document.querySelector('.frame .track').focus()")
        browser.press(*"+" * zooms)
        distances = browser.run(
            "const left = (element) => element.getBoundingClientRect().left;"
            "return [...document.querySelectorAll('.lane')].map((lane) => "
            "Math.min(...[...lane.querySelectorAll('.track')].map(left)) - left(lane.querySelector('.joined')))"
        )
        assert len(distances) == 5
        assert max(map(abs, distances)) < 1

    def test_a_gap_is_in_the_row_of_the_track_before_it(self, browser: Browser) -> None:
        recordings = [recording(1, 0, 10), recording(2, 5, 20), recording(3, 60, 10)]
        browser.open(timeline_html(recordings, title=TITLE))
        distance = browser.run(
            "const box = (selector) => document.querySelector(selector).getBoundingClientRect();"
            "const gap = box('.gap'), track = box('.row:nth-of-type(2) .track');"
            "return [gap.left - track.right, gap.top - (track.top + track.bottom) / 2]"
        )
        assert max(map(abs, distance)) < 1.5


class TestWheel:
    def wheel(self, browser: Browser, selector: str, delta: int, modifiers: int = 0) -> float:
        x, y = browser.run(
            "const box = document.querySelector(arguments[0]).getBoundingClientRect();"
            "return [box.left + box.width * 0.6, box.top + Math.min(20, box.height / 2)]",
            selector,
        )
        event: dict[str, Any] = {
            "type": "mouseWheel",
            "x": x,
            "y": y,
            "deltaX": 0,
            "deltaY": delta,
            "modifiers": modifiers,
        }
        browser.driver.execute_cdp_cmd("Input.dispatchMouseEvent", event)
        browser.driver.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
        return float(browser.run("return Number(document.querySelector('.canvas').style.getPropertyValue('--zoom'))"))

    def test_with_ctrl_it_zooms_about_the_pointer(self, browser: Browser) -> None:
        browser.open(timeline_html(room(40), title=TITLE))
        under = (
            "const ruler = document.querySelector('.row').getBoundingClientRect();"
            "const frame = document.querySelector('.lanes').parentNode.parentNode.getBoundingClientRect();"
            "return (frame.left + frame.width * 0.6 - ruler.left) / ruler.width"
        )
        before = browser.run(under)
        assert self.wheel(browser, ".frame", -200, 2) == 2
        assert browser.run(under) == pytest.approx(before, abs=0.02)
        assert self.wheel(browser, ".frame", 600, 2) == 1

    def test_alone_it_scrolls_but_zooms_over_the_axis(self, browser: Browser) -> None:
        browser.open(timeline_html(room(40), title=TITLE))
        assert self.wheel(browser, ".lanes", -200) == 1
        assert self.wheel(browser, ".axis", -200) == 2


class TestContrast:
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("count", [2, 40, 500])
    def test_all_texts_have_that_of_wcag_aa(self, browser: Browser, scheme: str, count: int) -> None:
        browser.prefer(prefers_color_scheme=scheme)
        browser.open(timeline_html(room(count), title=TITLE, film="film.mp4"))
        browser.find("summary")[-1].click()
        browser.run("document.querySelector('.frame .track').focus()")
        contrasts = browser.run(CONTRASTS)
        assert len(contrasts) > count
        assert [each for each in contrasts if each[1] < 4.5] == []

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_the_focus_is_seen(self, browser: Browser, scheme: str) -> None:
        browser.prefer(prefers_color_scheme=scheme)
        browser.open(timeline_html(room(500), title=TITLE, film="film.mp4"))
        unseen = []
        for _ in range(14):
            browser.press(Keys.TAB)
            outline = browser.run(
                "const style = getComputedStyle(document.activeElement);"
                "return [document.activeElement.tagName, style.outlineStyle, style.outlineWidth]"
            )
            if outline[0] != "BODY" and (outline[1] == "none" or outline[2] == "0px"):
                unseen.append(outline[0])
        assert unseen == []


class TestNames:
    def test_they_are_shown_isolated_and_cut(self, browser: Browser) -> None:
        recordings = [
            recording(1, 0, participant="PA1"),
            recording(2, 5, participant="PA2"),
            recording(3, 9, participant="PA3", type=MediaType.VIDEO),
        ]
        names = {"PA1": "محمد", "PA2": "\u202egnp", "PA3": "x" * 500}
        browser.open(timeline_html(recordings, title=TITLE, names=names))
        assert shown_lanes(browser) == ["محمد", "\ufffdgnp", "x" * 199 + "…"]
        who = browser.run(
            "return [...document.querySelectorAll('.who')].map((who) => [who.offsetWidth, who.scrollHeight])"
        )
        assert len({width for width, _ in who}) == 1

    def test_an_estimate_is_said_to_be_one(self, browser: Browser) -> None:
        shared = recording(1, 0).offset
        recordings = [attrs.evolve(recording(n, n * 30), offset=shared) for n in range(3)]
        browser.open(timeline_html(recordings, title=TITLE))
        labels = browser.run(
            "return [...document.querySelectorAll('.track[aria-label]')].map((track) => track.ariaLabel)"
        )
        assert sorted(label.partition("start ")[2].partition(",")[0] for label in labels) == [
            "about 0:00",
            "about 0:30",
            "about 1:00",
        ]
        assert "Times are approximate" in browser.find("#summary")[0].text
        assert browser.find(".joined")[0].get_attribute("title") == "joined at about 0:00"
