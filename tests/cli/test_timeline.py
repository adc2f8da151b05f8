"""``roomrec timeline`` against a simulator on a real socket."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from roomrec_async.simulator import Simulator, faults

from .conftest import (
    UNKNOWN_ROOM,
    UNLIMITED,
    Command,
)

STATUSES = ("processing", "completed", "deleted", "failed")
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def shared() -> Iterator[Simulator]:
    with Simulator(6, 40, 3, **UNLIMITED) as simulator:
        yield simulator


def recorded(simulator: Simulator, room_sid: str) -> list[dict[str, Any]]:
    return [record for status in STATUSES for record in simulator.recordings(room_sid, status)]


def room_of_all_statuses(simulator: Simulator) -> str:
    return next(
        sid for sid in simulator.room_sids if {record["status"] for record in recorded(simulator, sid)} == {*STATUSES}
    )


def summary(simulator: Simulator, room_sid: str) -> str:
    records = recorded(simulator, room_sid)
    participants = {record["grouping_sids"]["participant_sid"] for record in records}
    return f"{len(records)} recordings of {len(participants)} participants"


def sids_in(page: str) -> list[str]:
    return re.findall(r"RT[0-9a-f]{32}", page)


class TestFiles:
    def test_a_page_has_every_recording_once_the_deleted_ones_too(
        self, simulator: Simulator, roomrec: Command, tmp_path: Path
    ) -> None:
        room_sid, file = room_of_all_statuses(simulator), tmp_path / "room.html"
        asked = simulator.stats.requests
        outcome = roomrec("timeline", room_sid, "-o", file)
        assert outcome == (0, "", f"{file}: {summary(simulator, room_sid)}\n")
        assert sorted(sids_in(file.read_text("utf-8"))) == sorted(each["sid"] for each in recorded(simulator, room_sid))
        assert simulator.stats.requests == asked + 2
        assert [path.name for path in tmp_path.iterdir()] == ["room.html"]

    def test_a_drawing_is_xml_with_a_title_for_each_recording(
        self, simulator: Simulator, roomrec: Command, tmp_path: Path
    ) -> None:
        room_sid, file = room_of_all_statuses(simulator), tmp_path / "room.SVG"
        assert roomrec("timeline", room_sid, "-o", file).code == 0
        root = ET.fromstring(file.read_bytes())
        titles = [
            title.text or "" for each in root.iter(f"{SVG}svg") if "track" in each.get("class", "") for title in each
            if title.tag == f"{SVG}title"
        ]  # fmt: skip
        assert len(titles) == len(recorded(simulator, room_sid))
        assert {status for status in STATUSES for title in titles if f", {status}, " in title} == {*STATUSES}

    def test_what_is_deleted_between_the_two_lists_is_in_once(
        self, simulator: Simulator, roomrec: Command, tmp_path: Path
    ) -> None:
        room_sid = room_of_all_statuses(simulator)
        first = recorded(simulator, room_sid)
        gone = next(each["sid"] for each in first if each["status"] == "completed")
        deleted = next(each["sid"] for each in first if each["status"] == "deleted")
        # The list of deleted recordings has one that the other list had, too.
        simulator.inject(
            faults.Replace(lambda body: body.replace(deleted.encode(), gone.encode())),
            path_contains=room_sid,
            times=2,
        )
        outcome = roomrec("timeline", room_sid, "-o", tmp_path / "room.html")
        page = (tmp_path / "room.html").read_text("utf-8")
        assert outcome.code == 0
        assert sids_in(page).count(gone) == 1
        (row,) = (row for row in page.split("<tr ") if gone in row)
        assert "<td>deleted</td>" in row

    def test_an_empty_room(self, roomrec: Command, tmp_path: Path) -> None:
        with Simulator(1, 0, 3) as empty:
            outcome = roomrec(
                "timeline", empty.room_sids[0], "-o", tmp_path / "room.html", "--base-url", empty.base_url
            )
        assert outcome.code == 0
        assert outcome.err.endswith(": 0 recordings of 0 participants\n")
        assert "Nothing was recorded in this room." in (tmp_path / "room.html").read_text("utf-8")

    def test_a_file_that_is_there_is_replaced(self, simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
        file = tmp_path / "room.svg"
        file.write_text("of yesterday", "utf-8")
        assert roomrec("timeline", room_of_all_statuses(simulator), "-o", file).code == 0
        assert file.read_text("utf-8").startswith("<svg")


class TestKept:
    @pytest.fixture
    def archive(self, simulator: Simulator, roomrec: Command, tmp_path: Path) -> Path:
        room_sid = room_of_all_statuses(simulator)
        assert roomrec("archive", room_sid, "-o", tmp_path / "archive").code in (0, 1)
        return tmp_path / "archive"

    def test_of_an_archive_without_an_account(
        self, simulator: Simulator, roomrec: Command, archive: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        room_sid = room_of_all_statuses(simulator)
        for name in ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"):
            monkeypatch.delenv(name, raising=False)
        asked = simulator.stats.requests
        kept = {record["sid"] for record in simulator.recordings(room_sid, "completed")}
        for source in ((archive,), (archive / room_sid,), (archive / "manifest.jsonl", room_sid)):
            page = archive.parent / "room.html"
            roomrec("timeline", *source, "-o", page)
            assert set(sids_in(page.read_text("utf-8"))) >= kept
        assert simulator.stats.requests == asked

    def test_identities_need_an_account(self, roomrec: Command, archive: Path) -> None:
        line = roomrec.fails("timeline", archive, "-o", archive / "room.html", "--identities")
        assert "--identities is for a room of the account" in line

    def test_identities_are_shown_escaped(self, simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
        room_sid = room_of_all_statuses(simulator)
        assert roomrec("timeline", room_sid, "-o", tmp_path / "room.html", "--identities").code == 0
        page = (tmp_path / "room.html").read_text("utf-8")
        assert "alice" in page
        assert "<b>Dr. O" not in page
        assert "Participant 1" not in page


class TestPlaying:
    def test_a_page_names_its_film_relative_to_itself(
        self, simulator: Simulator, roomrec: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "films").mkdir()
        (tmp_path / "pages").mkdir()
        (tmp_path / "films" / "room.mp4").write_bytes(b"a film")
        arguments = ("-o", "pages/room.html", "--film", "films/room.mp4")
        assert roomrec("timeline", room_of_all_statuses(simulator), *arguments).code == 0
        assert ' src="../films/room.mp4"' in (tmp_path / "pages" / "room.html").read_text("utf-8")

    def test_media_place_the_tracks_and_bad_ones_are_named(
        self, simulator: Simulator, roomrec: Command, tmp_path: Path
    ) -> None:
        if shutil.which("ffmpeg") is None:
            pytest.fail("this test needs ffmpeg: apt-get install ffmpeg")
        room_sid = room_of_all_statuses(simulator)
        usable = [each for each in recorded(simulator, room_sid) if each["type"] == "audio"][:3]
        media = tmp_path / "media"
        media.mkdir()
        paths = [media / f"{each['sid']}.{each['container_format']}" for each in usable]
        tone = ("ffmpeg", "-v", "error", "-f", "lavfi", "-i", "sine=d=2", "-c:a", "libopus", "-output_ts_offset")
        subprocess.run([*tone, "4.5", "-f", "matroska", paths[0]], check=True)
        paths[1].write_bytes(b"junk" * 100)
        paths[2].write_bytes(b"")
        outcome = roomrec("timeline", room_sid, "-o", tmp_path / "room.html", "--media", media)
        assert outcome.code == 1
        assert f"{usable[1]['sid']}: {paths[1]} cannot be read as Matroska" in outcome.err
        assert f"{usable[2]['sid']}: {paths[2]} is empty" in outcome.err
        assert f"{summary(simulator, room_sid)}, 1 with media, 2 failed\n" in outcome.err
        page = (tmp_path / "room.html").read_text("utf-8")
        assert page.count(" data-src=") == 1
        assert f'data-src="media/{paths[0].name}"' in page


class TestFailures:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("-o", "room.pdf"), "a timeline's file must end in .html or .svg, not 'room.pdf'"),
            (("-o", "room"), "must end in .html or .svg"),
            ((), "Missing option"),
            (("-o", "."), "is a directory"),
            (("-o", "nowhere/room.html"), "there is no directory 'nowhere'"),
            (("-o", "room.html", "--film", "none.mp4"), "there is no film none.mp4: make it with 'roomrec mux'"),
            (("-o", "room.html", "--film", "."), "is a directory"),
            (("-o", "room.html", "--film", "s3://bucket/room.mp4"), "s3://"),
            (("-o", "room.svg", "--film", "none.mp4"), "--film needs a page: 'room.svg' must end in .html"),
            (("-o", "room.html", "--media", "none"), "there is no directory none: fill it with 'roomrec download'"),
        ],
    )
    def test_a_bad_file_is_refused_before_anything_is_sent(
        self,
        simulator: Simulator,
        roomrec: Command,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        arguments: tuple[str, ...],
        message: str,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        asked = simulator.stats.requests
        assert message in roomrec.fails("timeline", room_of_all_statuses(simulator), *arguments)
        assert (simulator.stats.requests, list(tmp_path.iterdir())) == (asked, [])

    @pytest.mark.parametrize("room", ["RM123", "-", "daily/"])
    def test_a_bad_room_is_refused_before_anything_is_sent(
        self, simulator: Simulator, roomrec: Command, tmp_path: Path, room: str
    ) -> None:
        asked = simulator.stats.requests
        line = roomrec.fails("timeline", room, "-o", tmp_path / "room.html")
        assert "a room SID must be 'RM' and 32 hexadecimal digits" in line
        assert (simulator.stats.requests, list(tmp_path.iterdir())) == (asked, [])

    def test_a_room_that_is_not_there_leaves_what_was(self, roomrec: Command, tmp_path: Path) -> None:
        (tmp_path / "room.html").write_text("of yesterday", "utf-8")
        outcome = roomrec("timeline", UNKNOWN_ROOM, "-o", tmp_path / "room.html")
        assert outcome.code == 1
        assert outcome.err.startswith("roomrec: HTTP 404, code 20404: ")
        assert [(path.name, path.read_text("utf-8")) for path in tmp_path.iterdir()] == [("room.html", "of yesterday")]

    def test_the_list_of_deleted_recordings_is_refused(
        self, simulator: Simulator, roomrec: Command, tmp_path: Path
    ) -> None:
        refusal = faults.Respond(403, b'{"code": 20403, "message": "no", "status": 403}')
        simulator.inject(refusal, path_contains="Status=deleted", times=None)
        room_sid = room_of_all_statuses(simulator)
        outcome = roomrec("timeline", room_sid, "-o", tmp_path / "room.html")
        assert (outcome.code, list(tmp_path.iterdir())) == (1, [])

    def test_without_the_extra_it_says_so_before_anything_is_sent(
        self, simulator: Simulator, roomrec: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "jinja2", None)
        monkeypatch.delitem(sys.modules, "roomrec_async.integrations.html", raising=False)
        asked = simulator.stats.requests
        outcome = roomrec("timeline", room_of_all_statuses(simulator), "-o", tmp_path / "room.html")
        message = "roomrec: pages and drawings need jinja2: pip install 'roomrec-async[html]'\n"
        assert outcome == (2, "", message)
        assert (simulator.stats.requests, list(tmp_path.iterdir())) == (asked, [])

    def test_wrong_credentials(self, roomrec: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TWILIO_AUTH_TOKEN", "wrong-but-secret")
        outcome = roomrec("timeline", UNKNOWN_ROOM, "-o", tmp_path / "room.html")
        assert (outcome.code, list(tmp_path.iterdir())) == (3, [])
        assert "wrong-but-secret" not in outcome.err

    def test_hostile_names_are_escaped(self, simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
        typed = rb"\u0000\u202e\ud800]]></script><script>alert(1)</script>&amp;\" onmouseover=\"x"
        simulator.inject(
            faults.Replace(lambda body: body.replace(b'"track_name":"', b'"track_name":"' + typed)), times=None
        )
        for name in ("room.html", "room.svg"):
            assert roomrec("timeline", room_of_all_statuses(simulator), "-o", tmp_path / name).code == 0
        shown = '\ufffd\ufffd\ufffd]]></script><script>alert(1)</script>&amp;" onmouseover="x'
        assert "<script>alert" not in (tmp_path / "room.html").read_text("utf-8")
        root = ET.fromstring((tmp_path / "room.svg").read_bytes())
        titles = [title.text for title in root.iter(f"{SVG}title") if (title.text or "").startswith(shown)]
        assert len(titles) == len(recorded(simulator, room_of_all_statuses(simulator)))
        assert not [each for each in root.iter() if each.tag.endswith("script") or "onmouseover" in each.attrib]
