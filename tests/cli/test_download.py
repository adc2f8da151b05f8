"""``roomrec download`` against a simulator on real sockets."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from roomrec_async import Recording, from_dict
from roomrec_async.simulator import Simulator, faults

from .conftest import (
    UNKNOWN_ROOM,
    Command,
    assert_harmless,
    completed,
    hostile,
    interrupt,
    is_plain,
    large_recording,
    media_files,
    media_in,
    plain_rooms,
    room_with,
    run_on_terminal,
    run_process,
    screen,
    start_process,
    without_colors,
    without_store_credentials,
)


class TestDownload:
    def test_files_are_those_of_the_rooms(self, simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
        room_sids = plain_rooms(simulator)
        expected = media_files(simulator, completed(simulator, *room_sids))
        outcome = roomrec("download", *room_sids, "-o", tmp_path / "new" / "media")
        assert outcome.code == 0
        assert media_in(tmp_path / "new" / "media") == expected
        assert sorted(outcome.lines) == sorted(str(tmp_path / "new" / "media" / name) for name in expected)
        (summary,) = outcome.errors
        assert summary.startswith(f"{len(expected)} of {len(expected)} recordings, ")

    def test_the_record_of_each_is_beside_it(self, simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
        records = completed(simulator, *plain_rooms(simulator))
        assert roomrec("download", *plain_rooms(simulator), "-o", tmp_path).code == 0
        written = {path.name: from_dict(Recording, json.loads(path.read_text())) for path in tmp_path.glob("*.json")}
        assert written == {f"{each['sid']}.json": from_dict(Recording, each) for each in records}

    def test_what_is_there_is_not_fetched_again(self, simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
        room_sids = plain_rooms(simulator)
        first = roomrec("download", *room_sids, "-o", tmp_path)
        fetched, downloaded = simulator.store.stats.requests, media_in(tmp_path)
        again = roomrec("download", *room_sids, "-o", tmp_path)
        count = len(downloaded)
        assert (again.code, sorted(again.lines)) == (0, sorted(first.lines))
        assert again.errors == [f"{count} of {count} recordings ({count} already there), 0 bytes"]
        assert (simulator.store.stats.requests, media_in(tmp_path)) == (fetched, downloaded)

    def test_rooms_come_from_standard_input_and_files(self, simulator: Simulator, tmp_path: Path) -> None:
        of_input, of_file = plain_rooms(simulator)[:2]
        (tmp_path / "rooms.txt").write_text(f"# one\n{of_file}\n", "utf-8")
        rooms = ("-", "--from-file", tmp_path / "rooms.txt")
        outcome = run_process("download", *rooms, "-o", tmp_path / "media", given=f"nonsense\n{of_input}\n")
        assert outcome.code == 1
        assert outcome.errors[0].startswith("standard input:1: no room is named 'nonsense'")
        assert media_in(tmp_path / "media") == media_files(simulator, completed(simulator, of_input, of_file))

    @pytest.mark.parametrize("kind", ["audio", "VIDEO"])
    def test_of_one_type(self, simulator: Simulator, roomrec: Command, tmp_path: Path, kind: str) -> None:
        room_sids = plain_rooms(simulator)
        outcome = roomrec("download", *room_sids, "-o", tmp_path, "--type", kind)
        wanted = [record for record in completed(simulator, *room_sids) if record["type"] == kind.lower()]
        assert 0 < len(wanted) < len(completed(simulator, *room_sids))
        assert outcome.code == 0
        assert media_in(tmp_path) == media_files(simulator, wanted)

    def test_that_started_in_a_window(self, simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
        room_sid = plain_rooms(simulator)[0]
        records = completed(simulator, room_sid)
        after, before = (max(record["date_created"] for record in records), "2027-01-01T00:00:00+01:00")
        assert roomrec("download", room_sid, "-o", tmp_path, "--after", after, "--before", before).code == 0
        assert media_in(tmp_path) == media_files(simulator, [each for each in records if each["date_created"] == after])
        assert len(media_in(tmp_path)) < len(records)

    def test_lines_of_json_say_what_happened(self, simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
        room_sid = plain_rooms(simulator)[0]
        expected = media_files(simulator, completed(simulator, room_sid))
        for already_there in (False, True):
            outcome = roomrec("download", room_sid, "-o", tmp_path, "--json")
            printed = {Path(each["location"]).name: each for each in map(json.loads, outcome.lines)}
            assert (outcome.code, printed.keys()) == (0, expected.keys())
            for name, content in expected.items():
                digest = None if already_there else hashlib.sha256(content).hexdigest()
                assert name.startswith(printed[name]["recording_sid"])
                assert (printed[name]["size"], printed[name]["sha256"]) == (len(content), digest)
                assert printed[name]["already_there"] is already_there

    def test_into_the_directory_of_a_file_url(self, simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
        room_sid = plain_rooms(simulator)[0]
        outcome = roomrec("download", room_sid, "-o", f"file://{tmp_path}/")
        assert outcome.code == 0
        assert media_in(tmp_path) == media_files(simulator, completed(simulator, room_sid))

    def test_no_more_downloads_at_once_than_asked_for(self, fresh: Simulator, roomrec: Command, tmp_path: Path) -> None:
        fresh.store.inject(faults.StallHeaders(0.02), times=None)
        assert roomrec("download", *plain_rooms(fresh)[:2], "-o", tmp_path, "--at-once", "2").code == 0
        assert fresh.store.stats.peak_in_flight == 2

    def test_media_that_are_not_there_yet_are_waited_for(
        self, simulator: Simulator, roomrec: Command, tmp_path: Path
    ) -> None:
        record = completed(simulator, plain_rooms(simulator)[0])[0]
        arguments = ("download", record["room_sid"], "-o", tmp_path)
        simulator.inject(faults.Respond(404), path_contains=f"{record['sid']}/Media")
        outcome = roomrec(*arguments)
        assert outcome.code == 1
        assert outcome.errors[0].startswith(f"{record['sid']}: HTTP 404")
        simulator.inject(faults.Respond(404), path_contains=f"{record['sid']}/Media")
        assert roomrec(*arguments, "--wait", "10").code == 0
        assert media_in(tmp_path) == media_files(simulator, completed(simulator, record["room_sid"]))

    def test_recordings_that_fail_do_not_stop_the_others(
        self, simulator: Simulator, roomrec: Command, tmp_path: Path
    ) -> None:
        external = completed(simulator, room_with(simulator, "media_external_location"))
        room_sids = [*plain_rooms(simulator), external[0]["room_sid"]]
        expected = media_files(simulator, [record for record in completed(simulator, *room_sids) if is_plain(record)])
        outcome = roomrec("download", *room_sids, UNKNOWN_ROOM, "-o", tmp_path)
        assert outcome.code == 1
        assert media_in(tmp_path) == expected
        *failures, last = outcome.errors
        assert sorted(line.partition(":")[0] for line in failures) == sorted(
            [UNKNOWN_ROOM, *(record["sid"] for record in external)]
        )
        found, failed = len(expected) + len(external), len(failures)
        assert last.startswith(f"{len(expected)} of {found} recordings, {failed} failed, ")

    def test_media_in_a_bucket_of_your_own_are_named_as_such(
        self, simulator: Simulator, roomrec: Command, tmp_path: Path
    ) -> None:
        outcome = roomrec("download", room_with(simulator, "media_external_location"), "-o", tmp_path)
        assert outcome.code == 1
        assert all("bucket" in line for line in outcome.errors[:-1])

    def test_a_key_decrypts(self, simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
        (tmp_path / "key.pem").write_bytes(simulator.private_key_pem)
        room_sid = room_with(simulator, "encryption_key")
        arguments = ("download", room_sid, "-o", tmp_path / "media", "--private-key", tmp_path / "key.pem")
        expected = media_files(simulator, completed(simulator, room_sid))
        assert roomrec(*arguments).code == 0
        assert media_in(tmp_path / "media") == expected
        assert f"({len(expected)} already there)" in roomrec(*arguments).err

    def test_without_the_key_nothing_is_left_behind(
        self, simulator: Simulator, roomrec: Command, tmp_path: Path
    ) -> None:
        room_sid = room_with(simulator, "encryption_key")
        outcome = roomrec("download", room_sid, "-o", tmp_path)
        assert (outcome.code, outcome.out, media_in(tmp_path)) == (1, "", {})
        assert len(outcome.errors) == len(completed(simulator, room_sid)) + 1
        assert all("are encrypted" in line for line in outcome.errors[:-1])

    def test_without_the_key_it_names_the_option(self, simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
        outcome = roomrec("download", room_with(simulator, "encryption_key"), "-o", tmp_path)
        assert all("--private-key" in line for line in outcome.errors[:-1])

    def test_another_key(self, simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
        key = generate_private_key(public_exponent=65_537, key_size=2_048)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (tmp_path / "key.pem").write_bytes(pem)
        arguments = ("-o", tmp_path / "media", "--private-key", tmp_path / "key.pem")
        outcome = roomrec("download", room_with(simulator, "encryption_key"), *arguments)
        assert (outcome.code, outcome.out, media_in(tmp_path / "media")) == (1, "", {})
        assert all("the private key does not match" in line for line in outcome.errors[:-1])

    def test_after_ctrl_c_it_resumes(self, simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
        room_sid, record = large_recording(simulator)
        simulator.store.inject(faults.SlowDrip(100_000), path_contains=record["sid"])
        name = f"{record['sid']}.{record['container_format']}"
        part = tmp_path / f"{name}.part"
        running = start_process("download", room_sid, "-o", tmp_path)
        outcome = interrupt(running, lambda: part.exists() and part.stat().st_size > 0)
        assert (outcome.code, outcome.err) == (130, "roomrec: interrupted\n")
        assert name not in media_in(tmp_path)
        again = roomrec("download", room_sid, "-o", tmp_path, "--json")
        assert again.code == 0
        assert media_in(tmp_path) == media_files(simulator, completed(simulator, room_sid))
        (resumed,) = [each for each in map(json.loads, again.lines) if each["recording_sid"] == record["sid"]]
        assert 0 < resumed["resumed_at"] < record["size"]

    def test_hostile_fields_neither_steer_the_terminal_nor_name_files(
        self, simulator: Simulator, roomrec: Command, tmp_path: Path
    ) -> None:
        room_sid = plain_rooms(simulator)[0]
        expected = media_files(simulator, completed(simulator, room_sid))
        for field in ("track_name", "codec", "container_format"):
            directory = tmp_path / field
            simulator.inject(hostile(field))
            outcome = roomrec("download", room_sid, "-o", directory)
            assert outcome.code == 0
            assert_harmless(outcome.out + outcome.err)
            assert sorted(name.partition(".")[0] for name in media_in(directory)) == sorted(
                name.partition(".")[0] for name in expected
            )

    def test_hostile_sids_and_messages(self, simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
        room_sid = plain_rooms(simulator)[0]
        count = len(completed(simulator, room_sid))
        simulator.inject(faults.Replace(lambda body: body.replace(b'"sid":"RT', b'"sid":"../\\u001b[2J')))
        outcome = roomrec("download", room_sid, "-o", tmp_path / "media")
        assert (outcome.code, outcome.out, len(outcome.errors)) == (1, "", count + 1)
        assert_harmless(outcome.err)
        assert not media_in(tmp_path)
        message = json.dumps({"code": 20003, "message": "\x1b]0;owned\x07\nroomrec: all good", "status": 403})
        simulator.inject(faults.Respond(403, message.encode(), content_type="application/json"), path_contains="/Media")
        outcome = roomrec("download", room_sid, "-o", tmp_path / "media")
        assert (outcome.code, len(outcome.errors)) == (1, 2)
        assert_harmless(outcome.err)

    def test_wrong_credentials_end_it_at_once(
        self, simulator: Simulator, roomrec: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        simulator.inject(faults.Respond(401), path_contains="/Media")
        outcome = roomrec("download", *plain_rooms(simulator), "-o", tmp_path)
        assert outcome.code == 3
        (line,) = outcome.errors
        assert line.startswith("roomrec: HTTP 401")
        monkeypatch.setenv("TWILIO_AUTH_TOKEN", "wrong-but-secret")
        line = roomrec.fails("download", *simulator.room_sids, "-o", tmp_path, code=3)
        assert "HTTP 401, code 20003" in line
        assert "secret" not in line

    def test_where_nothing_can_be_written(self, simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
        room_sid = plain_rooms(simulator)[0]
        (tmp_path / "file").touch()
        assert str(tmp_path / "file") in roomrec.fails("download", room_sid, "-o", tmp_path / "file")
        assert str(tmp_path / "file") in roomrec.fails("download", room_sid, "-o", tmp_path / "file" / "media")
        (name,) = list(media_files(simulator, completed(simulator, room_sid)))[:1]
        (tmp_path / "media" / f"{name}.part").mkdir(parents=True)
        outcome = roomrec("download", room_sid, "-o", tmp_path / "media", "--at-once", "1")
        assert outcome.code == 2
        (line,) = outcome.errors
        assert line.startswith("roomrec: ")
        assert name in line

    @pytest.mark.parametrize(
        ("url", "message"),
        [("s3://bucket/rooms", "credentials"), ("az://container/rooms", "Account must be specified")],
    )
    def test_a_store_without_credentials(
        self, simulator: Simulator, roomrec: Command, monkeypatch: pytest.MonkeyPatch, url: str, message: str
    ) -> None:
        without_store_credentials(simulator, monkeypatch)
        outcome = roomrec("download", plain_rooms(simulator)[0], "-o", url)
        assert outcome.code in {1, 2}
        (line,) = outcome.errors
        assert line.startswith("roomrec: ")
        assert url.rpartition("/")[0] in line
        assert message in line

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["-o", "x"], "no rooms: give room SIDs or names, --from-file FILE, or - for standard input"),
            (["RM123", "-o", "x"], "a room SID must be"),
            ([UNKNOWN_ROOM], "Missing option '-o'"),
            ([UNKNOWN_ROOM, "-o", "x", "--type", "text"], "'text' is not one of"),
            ([UNKNOWN_ROOM, "-o", "x", "--at-once", "0"], "'--at-once': it must be 1 or more, not 0"),
            ([UNKNOWN_ROOM, "-o", "x", "--wait", "-1"], "'--wait': it must be 0 or more, not -1.0"),
            ([UNKNOWN_ROOM, "-o", "x", "--private-key", "/no/such/key"], "'/no/such/key' does not exist"),
            ([UNKNOWN_ROOM, "-o", "x", "--private-key", __file__], "is not a private key in PEM format"),
            ([UNKNOWN_ROOM, "-o", "ftp://host/x"], "destination cannot be ftp://: give a directory, or"),
            ([UNKNOWN_ROOM, "-o", "https://host/x"], "is not an object store"),
            ([UNKNOWN_ROOM, "-o", "s3://key:secret@bucket/x"], "must not contain credentials"),
        ],
    )
    def test_mistakes(
        self, roomrec: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
    ) -> None:
        monkeypatch.chdir(tmp_path)
        line = roomrec.fails("download", *arguments)
        assert message in line
        assert "secret" not in line
        assert not list(tmp_path.iterdir())


class TestOnATerminal:
    def test_a_download_shows_how_far_it_is(self, simulator: Simulator, tmp_path: Path) -> None:
        room_sid, record = large_recording(simulator)
        count = len(completed(simulator, room_sid))
        simulator.store.inject(faults.SlowDrip(150_000), path_contains=record["sid"])
        with (tmp_path / "out.txt").open("w") as out:
            shown = run_on_terminal("download", room_sid, "-o", tmp_path / "media", stdout=out)
        amounts, rate, left = r"[\d.]+/[\d.]+ [kM]B", r"[\d.]+ [kM]B/s", r"\d:\d\d:\d\d"
        assert re.search(f"{amounts} {rate} {left} \\d of {count} recordings", without_colors(shown))
        assert "\N{HORIZONTAL ELLIPSIS}" not in shown
        (line,) = screen(shown)
        assert line.startswith(f"{count} of {count} recordings, ")
        assert len((tmp_path / "out.txt").read_text("utf-8").splitlines()) == count

    def test_lines_stay_whole_beside_the_progress(self, simulator: Simulator, tmp_path: Path) -> None:
        room_sid, record = large_recording(simulator)
        expected = media_files(simulator, completed(simulator, room_sid))
        simulator.store.inject(faults.SlowDrip(400_000), path_contains=record["sid"])
        *lines, last = screen(run_on_terminal("download", room_sid, "-o", tmp_path))
        assert sorted(lines) == sorted(str(tmp_path / name) for name in expected)
        assert last.startswith(f"{len(expected)} of {len(expected)} recordings, ")

    def test_failures_stay_above_the_progress(self, simulator: Simulator, tmp_path: Path) -> None:
        room_sid, record = large_recording(simulator)
        simulator.store.inject(faults.SlowDrip(400_000), path_contains=record["sid"])
        with (tmp_path / "out.txt").open("w") as out:
            shown = run_on_terminal("download", UNKNOWN_ROOM, room_sid, "-o", tmp_path / "media", stdout=out)
        failure, last = screen(shown)
        assert failure.startswith(f"{UNKNOWN_ROOM}: HTTP 404")
        assert last.endswith("B")

    def test_ctrl_c_leaves_a_clean_line(self, simulator: Simulator, tmp_path: Path) -> None:
        room_sid, record = large_recording(simulator)
        simulator.store.inject(faults.SlowDrip(100_000), path_contains=record["sid"])
        part = tmp_path / f"{record['sid']}.{record['container_format']}.part"
        with (tmp_path / "out.txt").open("w") as out:
            shown = run_on_terminal("download", room_sid, "-o", tmp_path, stdout=out, interrupt=part.exists)
        assert screen(shown) == ["roomrec: interrupted"]
        assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")
