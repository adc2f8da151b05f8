"""Records as rows and as tables, and merged from two listings."""

from __future__ import annotations

import copy
import io
import pickle
from datetime import datetime, timedelta, timezone

import attrs
import pyarrow as pa
import pytest
from rich.console import Console

from roomrec_async import (
    MediaType,
    Participant,
    ParticipantStatus,
    Recording,
    RecordingStatus,
    Records,
    Room,
    RoomStatus,
)
from roomrec_async._listing.records import merge_listings

AT = datetime(2026, 3, 1, 23, 30, tzinfo=timezone(timedelta(hours=-2)))
HOSTILE = "<script>alert(1)</script>[red]&\x1b[2J"


def recording(number: int = 1, **fields: object) -> Recording:
    return attrs.evolve(
        Recording(
            sid=f"RT{number:032x}",
            room_sid=f"RM{7:032x}",
            type=MediaType.AUDIO,
            status=RecordingStatus.COMPLETED,
            date_created=AT,
            duration=3_725,
            size=1_234_567,
            track_name="microphone",
            links={"media": "/v1/..."},
        ),
        **fields,
    )


def on_a_terminal(records: Records[Recording]) -> str:
    console = Console(file=io.StringIO(), width=200, color_system=None)
    console.print(records)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


class TestDicts:
    def test_every_field_is_there_by_its_name_with_plain_values(self) -> None:
        (row,) = Records([recording(type=MediaType("screen"))]).to_rows()
        assert list(row) == [field.name for field in attrs.fields(Recording)]
        assert (row["type"], type(row["type"])) == ("screen", str)
        assert (row["status"], type(row["status"])) == ("completed", str)
        assert row["date_created"] == AT
        assert row["duration"] == 3_725
        assert row["links"] == {"media": "/v1/..."}
        assert row["offset"] is None

    def test_a_data_frame_takes_them(self) -> None:
        table = pa.Table.from_pylist(Records([recording(1), recording(2, size=None)]).to_rows())
        assert table.column("size").to_pylist() == [1_234_567, None]
        assert table.column("date_created").to_pylist() == [AT, AT]


class TestNotebooks:
    def test_records_are_rows(self) -> None:
        shown = Records(
            [recording(1), recording(2, type=None, date_created=None, duration=None, size=None)]
        )._repr_html_()
        first = f"RT{1:032x},RM{7:032x},audio,completed,2026-03-02 01:30:00,1:02:05,1,234,567,microphone"
        second = f"RT{2:032x},RM{7:032x},-,completed,-,-,-,microphone"
        assert f"<tr>{cells(first.replace('1,234,567', '1;234;567'))}</tr>".replace(";", ",") in shown
        assert f"<tr>{cells(second)}</tr>" in shown
        assert shown.endswith("<p>2 recordings</p>")

    def test_rooms_have_columns_of_their_own(self) -> None:
        room = Room(sid=f"RM{1:032x}", status=RoomStatus.COMPLETED, unique_name="standup", date_created=AT)
        assert (
            f"<tr>{cells(f'RM{1:032x},completed,2026-03-02 01:30:00,-,-,standup')}</tr>"
            in Records([room])._repr_html_()
        )

    def test_participants_have_columns_of_their_own(self) -> None:
        participant = Participant(
            sid=f"PA{1:032x}", room_sid="RM1", status=ParticipantStatus.DISCONNECTED, start_time=AT, identity=HOSTILE
        )
        shown = Records([participant])._repr_html_()
        assert f"<tr>{cells(f'PA{1:032x},RM1,disconnected,2026-03-02 01:30:00,-,-')}" in shown
        assert "<script" not in shown
        assert shown.endswith("<p>1 participant</p>")

    def test_what_participants_typed_is_text(self) -> None:
        shown = Records([recording(track_name=HOSTILE)])._repr_html_()
        assert "<script" not in shown
        assert "&lt;script&gt;alert(1)&lt;/script&gt;[red]&amp;\N{REPLACEMENT CHARACTER}[2J" in shown

    def test_of_many_the_first_are_shown_and_all_are_counted(self) -> None:
        shown = Records([recording(number) for number in range(1_500)])._repr_html_()
        assert shown.count("<tr>") == 1 + 20
        assert "<p>the first 20 of 1,500 recordings</p>" in shown

    @pytest.mark.parametrize(("count", "caption"), [(0, "0 recordings"), (1, "1 recording")])
    def test_few_are_counted_too(self, count: int, caption: str) -> None:
        assert Records(count * [recording()])._repr_html_().endswith(f"<p>{caption}</p>")


class TestTerminals:
    def test_rich_shows_a_table(self) -> None:
        shown = on_a_terminal(Records([recording()]))
        assert all(
            part in shown for part in (f"RT{1:032x}", "1:02:05", "1,234,567", "2026-03-02 01:30:00", "1 recording")
        )

    def test_what_participants_typed_neither_marks_up_nor_steers(self) -> None:
        shown = on_a_terminal(Records([recording(track_name="[red]x[/red]\x1b[2J")]))
        assert "[red]x[/red]\N{REPLACEMENT CHARACTER}[2J" in shown


class TestMerging:
    def test_the_later_listing_wins(self) -> None:
        deleted = recording(2, status=RecordingStatus.DELETED)
        assert merge_listings([recording(1), recording(2), recording(3)], [deleted, recording(4)]) == [
            recording(1),
            recording(3),
            deleted,
            recording(4),
        ]

    def test_recordings_without_a_sid_are_all_kept(self) -> None:
        unnamed = recording(sid=None)
        assert merge_listings([unnamed, recording(1)], [unnamed]) == [unnamed, recording(1), unnamed]

    def test_of_an_empty_listing_and_another_is_the_other(self) -> None:
        assert merge_listings([], [recording(1)]) == merge_listings([recording(1)], []) == [recording(1)]


def test_it_is_a_list() -> None:
    records = Records([recording(1), recording(2)])
    assert records == [recording(1), recording(2)]
    assert copy.copy(records) == pickle.loads(pickle.dumps(records)) == records
    assert isinstance(records, list)


def cells(row: str) -> str:
    return "".join(f"<td>{cell}</td>" for cell in row.split(","))


@pytest.mark.parametrize(
    "date",
    [
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))),
        datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone(timedelta(hours=-12))),
    ],
)
def test_absurd_dates_and_numbers_are_shown(date: datetime) -> None:
    records = Records([recording(date_created=date, duration=10**15, size=-(10**400))])
    for shown in (records._repr_html_(), on_a_terminal(records)):
        assert str(date)[:19] in shown
        assert "11574074074 days, 1:46:40" in shown
    assert records.to_rows()[0]["date_created"] == date
    assert repr(date) in repr(records)
    rooms = Records([Room(date_created=date, duration=-(10**15))])
    assert "-11574074075 days, 22:13:20" in rooms._repr_html_()
