"""``roomrec delete`` against a simulator on a real socket."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from aiohttp import web

from roomrec_async.simulator import Simulator, faults
from roomrec_async.simulator.http_exchange import Exchange

from .conftest import (
    UNKNOWN_ROOM,
    Command,
    assert_harmless,
    completed,
    deletions,
    hostile,
    plain_rooms,
    run_on_terminal,
    run_process,
    screen,
)


class DeletedElsewhere:
    """Deletes the recording before the command does, as another program would."""

    async def handle(self, exchange: Exchange, /) -> web.Response:
        await exchange.get_response()
        return await exchange.get_response()


class TestDelete:
    def test_without_yes_it_only_shows(self, fresh: Simulator, roomrec: Command) -> None:
        records = completed(fresh)
        outcome = roomrec("delete", *fresh.room_sids)
        assert outcome.code == 0
        assert sorted(line.split()[0] for line in outcome.lines) == sorted(record["sid"] for record in records)
        left_out, summary = outcome.errors
        assert left_out == "not shown for lack of width: status, length, participant"
        assert summary.startswith(f"nothing was deleted: --yes would delete {len(records)} recordings, ")
        assert not deletions(fresh)
        assert completed(fresh) == records

    def test_with_yes_they_are_gone(self, fresh: Simulator, roomrec: Command) -> None:
        gone, kept = fresh.room_sids[:2], fresh.room_sids[2:]
        sids, others = [record["sid"] for record in completed(fresh, *gone)], completed(fresh, *kept)
        outcome = roomrec("delete", *gone, "--yes")
        assert (outcome.code, sorted(outcome.lines)) == (0, sorted(sids))
        (summary,) = outcome.errors
        assert summary.startswith(f"{len(sids)} recordings, ")
        assert summary.endswith(" deleted")
        assert (completed(fresh, *gone), completed(fresh, *kept)) == ([], others)
        again = roomrec("delete", *gone, "--yes")
        assert again == (0, "", "0 recordings, 0 bytes deleted\n")
        assert len(deletions(fresh)) == len(sids)

    def test_only_what_was_asked_for(self, fresh: Simulator, roomrec: Command) -> None:
        room_sid = plain_rooms(fresh)[0]
        before = completed(fresh, room_sid)
        last = max(record["date_created"] for record in before)
        assert roomrec("delete", room_sid, "--before", last, "--yes").code == 0
        after = completed(fresh, room_sid)
        assert after == [record for record in before if record["date_created"] == last]
        assert len(after) < len(before)
        others = [record for sid in fresh.room_sids for record in fresh.recordings(sid, "processing")]
        outcome = roomrec("delete", *fresh.room_sids, "--status", "processing", "--yes")
        assert (outcome.code, sorted(outcome.lines)) == (0, sorted(record["sid"] for record in others))
        assert completed(fresh, room_sid) == after

    def test_rooms_come_from_standard_input(self, fresh: Simulator) -> None:
        room_sid = plain_rooms(fresh)[0]
        outcome = run_process("delete", "-", "--yes", given=f"nonsense\n{room_sid}\n")
        assert outcome.code == 1
        assert outcome.errors[0].startswith("standard input:1: no room is named 'nonsense'")
        assert completed(fresh, room_sid) == []

    def test_those_that_fail_do_not_stop_the_others(self, fresh: Simulator, roomrec: Command) -> None:
        room_sid = plain_rooms(fresh)[0]
        refused, *others = completed(fresh, room_sid)
        fresh.inject(faults.Respond(403), path_contains=refused["sid"])
        outcome = roomrec("delete", room_sid, UNKNOWN_ROOM, "--yes")
        assert outcome.code == 1
        assert sorted(outcome.lines) == sorted(record["sid"] for record in others)
        *failures, last = outcome.errors
        assert sorted(line.partition(": HTTP")[0] for line in failures) == sorted([refused["sid"], UNKNOWN_ROOM])
        assert last.endswith(" deleted, 2 failed")
        assert completed(fresh, room_sid) == [refused]

    def test_what_is_gone_already_is_counted(self, fresh: Simulator, roomrec: Command) -> None:
        room_sid = plain_rooms(fresh)[0]
        first, second, *_ = records = completed(fresh, room_sid)
        fresh.inject(DeletedElsewhere(), path_contains=first["sid"])
        # The answers to the others come before and after.
        fresh.inject(faults.StallHeaders(0.3), path_contains=second["sid"])
        outcome = roomrec("delete", room_sid, "--yes")
        assert (outcome.code, len(outcome.lines), completed(fresh, room_sid)) == (0, len(records), [])
        assert outcome.errors[0].endswith(" deleted (1 already gone)")

    def test_hostile_fields_do_not_steer_the_terminal(
        self, simulator: Simulator, roomrec: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLUMNS", "200")
        for field in ("track_name", "sid", "type"):
            simulator.inject(hostile(field))
            outcome = roomrec("delete", plain_rooms(simulator)[0])
            assert (outcome.code, len(outcome.errors)) == (0, 1)
            assert_harmless(outcome.out)
        for field in ("status", "room_sid"):
            simulator.inject(hostile(field))
            outcome = roomrec("delete", plain_rooms(simulator)[0])
            assert (outcome.code, outcome.out) == (1, "")
            assert_harmless(outcome.err)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ([], "no rooms: give room SIDs or names, --from-file FILE, or - for standard input"),
            (["RM123"], "a room SID must be"),
            ([UNKNOWN_ROOM, "--status", "deleted"], "'deleted' is not one of"),
            ([UNKNOWN_ROOM, "--before", "2026-03-01T09:30"], "has no time zone"),
            ([UNKNOWN_ROOM, "--no-such-option"], "No such option"),
        ],
    )
    def test_mistakes(self, fresh: Simulator, roomrec: Command, arguments: list[str], message: str) -> None:
        assert message in roomrec.fails("delete", "--yes", *arguments)
        assert not fresh.requests

    def test_wrong_credentials(self, fresh: Simulator, roomrec: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TWILIO_AUTH_TOKEN", "wrong-but-secret")
        assert "secret" not in roomrec.fails("delete", *fresh.room_sids, "--yes", code=3)
        assert not deletions(fresh)

    def test_what_is_deleted_stays_whole_beside_the_progress(self, fresh: Simulator) -> None:
        room_sids = plain_rooms(fresh)[:2]
        sids = [record["sid"] for record in completed(fresh, *room_sids)]
        *lines, last = screen(run_on_terminal("delete", *room_sids, "--yes"))
        assert sorted(lines) == sorted(sids)
        assert last.startswith(f"{len(sids)} recordings, ")


class TestOtherLists:
    """A gateway, or a fault of the service, answers with another list than the one that was asked for."""

    @pytest.fixture
    def room_sid(self, fresh: Simulator) -> str:
        return plain_rooms(fresh)[0]

    def say(self, fresh: Simulator, sid: str, **fields: object) -> None:
        """Let the list say something else of a recording."""

        def edit(body: bytes) -> bytes:
            page = json.loads(body)
            for record in page["recordings"]:
                record.update(fields if record["sid"] == sid else {})
            return json.dumps(page).encode()

        fresh.inject(faults.Replace(edit), times=None, path_contains="/Recordings?")

    def test_what_was_not_asked_for_stays(self, fresh: Simulator, roomrec: Command, room_sid: str) -> None:
        first, *others = completed(fresh, room_sid)
        self.say(fresh, first["sid"], date_created="2030-01-01T00:00:00Z")
        window = ("--after", "2000-01-01T00:00:00Z", "--before", "2029-01-01T00:00:00Z")
        for yes in ((), ("--yes",)):
            outcome = roomrec("delete", room_sid, *window, *yes)
            assert (outcome.code, len(outcome.lines)) == (0, len(others))
            assert first["sid"] not in outcome.out
        assert completed(fresh, room_sid) == [first]

    @pytest.mark.parametrize(
        ("fields", "reason"),
        [
            ({"room_sid": UNKNOWN_ROOM}, f"it says that it is of {UNKNOWN_ROOM}, which was not named"),
            ({"status": "processing"}, "it is not completed, but processing"),
            ({"status": None}, "it is not completed, but of unknown status"),
            ({"date_created": None}, "it has no date, and may lie outside the window"),
        ],
        ids=["room", "status", "no status", "date"],
    )
    def test_what_cannot_be_told_stays_and_is_named(
        self, fresh: Simulator, roomrec: Command, room_sid: str, fields: dict[str, object], reason: str
    ) -> None:
        first, *others = completed(fresh, room_sid)
        self.say(fresh, first["sid"], **fields)
        for yes in ((), ("--yes",)):
            outcome = roomrec("delete", room_sid, "--after", "2000-01-01T00:00:00Z", *yes)
            assert (outcome.code, len(outcome.lines)) == (1, len(others))
            assert outcome.errors[0] == f"{first['sid']}: it is not deleted: {reason}"
        assert completed(fresh, room_sid) == [first]

    def test_without_a_window_no_date_is_needed(self, fresh: Simulator, roomrec: Command, room_sid: str) -> None:
        first, *_ = completed(fresh, room_sid)
        self.say(fresh, first["sid"], date_created=None)
        assert roomrec("delete", room_sid, "--yes").code == 0
        assert completed(fresh, room_sid) == []


class TestAccounts:
    """With a parent account's API key and a subaccount's SID, the service answers with the parent's recordings."""

    @pytest.fixture
    def parent(self, fresh: Simulator, monkeypatch: pytest.MonkeyPatch) -> str:
        records = fresh.credentials.account_sid
        foreign = "AC" + "f" * 32
        fresh.inject(faults.Replace(lambda body: body.replace(records.encode(), foreign.encode())), times=None)
        return foreign

    @pytest.mark.parametrize("command", [("delete",), ("archive", "--delete", "-o")])
    def test_recordings_of_another_account_stay(
        self, fresh: Simulator, roomrec: Command, tmp_path: Path, parent: str, command: tuple[str, ...]
    ) -> None:
        room_sid = plain_rooms(fresh)[0]
        before = completed(fresh, room_sid)
        directory = [tmp_path / "archive"] if command[0] == "archive" else []
        preview = roomrec(*command, *directory, room_sid)
        assert (preview.code, preview.lines) == (0, [])
        assert f"; {len(before)} more " in preview.err
        outcome = roomrec(*command, *directory, room_sid, "--yes")
        assert outcome.code == 1
        assert f"it belongs to account {parent}, and not to {fresh.credentials.account_sid}" in outcome.err
        assert completed(fresh, room_sid) == before
        assert deletions(fresh) == []

    @pytest.mark.parametrize("command", [("delete",), ("archive", "--delete", "-o")])
    def test_those_of_an_account_that_is_named_are_deleted(
        self, fresh: Simulator, roomrec: Command, tmp_path: Path, parent: str, command: tuple[str, ...]
    ) -> None:
        room_sid = plain_rooms(fresh)[0]
        count = len(completed(fresh, room_sid))
        directory = [tmp_path / "archive"] if command[0] == "archive" else []
        outcome = roomrec(*command, *directory, room_sid, "--yes", "--account-sid", parent)
        assert outcome.code == 0
        assert completed(fresh, room_sid) == []
        assert len(deletions(fresh)) == count

    def test_mistakes(self, roomrec: Command, tmp_path: Path) -> None:
        assert "'AC' and 32" in roomrec.fails("delete", UNKNOWN_ROOM, "--account-sid", "parent")
        arguments = ("archive", UNKNOWN_ROOM, "-o", tmp_path / "archive", "--account-sid", "AC" + "f" * 32)
        assert "--account-sid is for --delete" in roomrec.fails(*arguments)
