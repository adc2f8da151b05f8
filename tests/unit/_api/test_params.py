"""Paths and query parameters: which arguments are sent, in which form, and which are refused."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from roomrec_async import (
    DateWindow,
    InvalidArgumentError,
    MediaType,
    Recording,
    RecordingsClient,
    RecordingStatus,
    RoomStatus,
)
from roomrec_async._api.params import (
    MAX_PAGE_SIZE,
    account_recordings_parameters,
    check_limit,
    media_parameters,
    media_path,
    page_key,
    parse_query,
    participants_parameters,
    participants_path,
    query_string,
    recording_path,
    recordings_parameters,
    recordings_path,
    requote_query,
    rooms_parameters,
)

ROOM_SID = "RM" + "a1" * 16
SID = "RT" + "b2" * 16
SOURCE_SID = "MT" + "c3" * 16
GROUPING_SIDS = ("RM" + "d4" * 16, "PA" + "e5" * 16)
NAIVE = datetime.fromisoformat("2017-06-01T00:00:00")
AFTER = datetime(2017, 1, 1, 0, 0, 1, tzinfo=UTC)
NOON = datetime(2017, 6, 1, 12, tzinfo=UTC)
BEFORE = datetime(2017, 12, 31, 23, 59, 59, tzinfo=UTC)
KATHMANDU = timezone(timedelta(hours=5, minutes=45))
LISTS = [recordings_parameters, account_recordings_parameters, rooms_parameters, participants_parameters]


def refusal(call: Callable[..., object], *arguments: object, **options: object) -> str:
    with pytest.raises(InvalidArgumentError) as caught:
        call(*arguments, **options)
    return str(caught.value)


# Paths


@pytest.mark.parametrize("sid", ["RM" + "0123456789abcdef" * 2, "RM" + "0123456789ABCDEF" * 2])
def test_the_path_of_a_rooms_recordings(sid: str) -> None:
    assert recordings_path(sid) == f"/v1/Rooms/{sid}/Recordings"


@pytest.mark.parametrize("sid", ["", None, ROOM_SID[:-1], f"{ROOM_SID}/", "../Rooms", "my-room", SID], ids=repr)
def test_a_path_is_made_of_a_room_sid_only(sid: Any) -> None:
    for message in (refusal(recordings_path, sid), refusal(participants_path, sid), refusal(recording_path, sid, SID)):
        assert message.startswith("room_sid must be ")
        assert f", not {sid!r}" in message


@pytest.mark.parametrize("sid", ["RT" + "0123456789abcdef" * 2, "RT" + "0123456789ABCDEF" * 2])
def test_the_path_of_a_recording(sid: str) -> None:
    assert recording_path(ROOM_SID, sid) == f"/v1/Rooms/{ROOM_SID}/Recordings/{sid}"


@pytest.mark.parametrize("sid", ["", None, SID[:-1], f"{SID}/", "../..", ROOM_SID], ids=repr)
def test_the_path_of_a_recording_is_made_of_its_sid_only(sid: Any) -> None:
    expected = f"a recording's sid must be 'RT' and 32 hexadecimal digits, not {sid!r}"
    assert refusal(recording_path, ROOM_SID, sid) == expected


def test_media_are_found_by_the_sids_of_their_recording() -> None:
    lies = {"url": "https://evil.example/x", "links": {"media": "https://evil.example/y"}}
    of_a_room = Recording(sid=SID, room_sid=ROOM_SID, **lies)
    assert media_path(of_a_room) == f"/v1/Rooms/{ROOM_SID}/Recordings/{SID}/Media"
    assert media_path(Recording(sid=SID, **lies)) == f"/v1/Recordings/{SID}/Media"


@pytest.mark.parametrize(
    ("recording", "message"),
    [
        (Recording(room_sid=ROOM_SID), "the Recording has no sid: name it by the SIDs of its room and its own"),
        (
            Recording(sid="../..", room_sid=ROOM_SID),
            "a recording's sid must be 'RT' and 32 hexadecimal digits, not '.+'",
        ),
        (Recording(sid="../.."), "a recording's sid must be 'RT' and 32 hexadecimal digits, not '.+'"),
        (Recording(sid=SID, room_sid=""), "room_sid must be 'RM' and 32 hexadecimal digits, not ''"),
        (Recording(sid=SID, room_sid="../.."), "room_sid must be 'RM' and 32 hexadecimal digits, not '.+'"),
        (SID, f"recording must be a Recording, not '{SID}': fetch it with client.recording.*"),
        (None, "recording must be a Recording, not None: a variable or a field .* is empty"),
    ],
)
def test_media_of_what_has_no_valid_sids_are_refused(recording: Any, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"^{message}$"):
        media_path(recording)


# SIDs


NOT_ONE_LINE_OF_HEX = [
    pytest.param("", id="empty"),
    pytest.param("RM" + "a" * 31, id="one digit short"),
    pytest.param("RM" + "a" * 33, id="one digit long"),
    pytest.param("RM" + "a" * 31 + "g", id="not hexadecimal"),
    pytest.param("RM" + "a" * 32 + "\n", id="newline at the end"),
    pytest.param(" RM" + "a" * 32, id="space before"),
    pytest.param("RM" + "a" * 31 + "\u0661", id="digit of another script"),
    pytest.param("RM" + "a" * 31 + "/", id="slash"),
    pytest.param(b"RM" + b"a" * 32, id="bytes"),
    pytest.param(1, id="int"),
]


@pytest.mark.parametrize("sid", [SOURCE_SID, "mt" + "0123456789abcdef" * 2, "Zz" + "0123456789ABCDEF" * 2])
def test_a_source_sid_is_two_letters_and_32_hexadecimal_digits(sid: str) -> None:
    assert recordings_parameters(source_sid=sid) == {"SourceSid": sid}


@pytest.mark.parametrize(
    "sid",
    [
        *NOT_ONE_LINE_OF_HEX,
        pytest.param("M1" + "a" * 32, id="a digit in the prefix"),
        pytest.param("\xc4T" + "a" * 32, id="a letter beyond ASCII"),
        pytest.param("M" + "a" * 32, id="prefix of one letter"),
    ],
)
def test_anything_else_is_no_source_sid(sid) -> None:
    with pytest.raises(InvalidArgumentError, match="source_sid must be two letters and 32 hexadecimal digits"):
        recordings_parameters(source_sid=sid)


@pytest.mark.parametrize("parameters", [recordings_parameters, account_recordings_parameters])
def test_a_source_that_is_no_sid_is_refused(parameters: Callable[..., object]) -> None:
    message = refusal(parameters, source_sid="a-track")
    assert message == "source_sid must be two letters and 32 hexadecimal digits, not 'a-track'"


def test_each_grouping_sid_is_a_parameter_of_its_own() -> None:
    first, second = GROUPING_SIDS
    query = query_string(account_recordings_parameters(grouping_sids=[first, second], media_type="audio"))
    assert query == f"GroupingSid={first}&GroupingSid={second}&MediaType=audio"
    assert parse_query(query) == {"GroupingSid": (first, second), "MediaType": ("audio",)}


def test_one_string_is_no_list_of_grouping_sids() -> None:
    message = refusal(account_recordings_parameters, grouping_sids=ROOM_SID)
    assert message == f"grouping_sids must be a list of SIDs, not '{ROOM_SID}'"


def test_a_grouping_sid_that_is_none_of_the_kind_is_refused() -> None:
    message = refusal(account_recordings_parameters, grouping_sids=[ROOM_SID, "my-room"])
    assert message == "grouping_sids must be two letters and 32 hexadecimal digits, not 'my-room'"


@pytest.mark.parametrize("sids", [[None], [ROOM_SID, None], (None, ROOM_SID)], ids=["alone", "behind", "before"])
def test_a_grouping_sid_that_is_missing_is_refused_and_does_not_list_the_whole_account(sids: Any) -> None:
    message = refusal(account_recordings_parameters, grouping_sids=sids)
    assert message == "grouping_sids must be a list of SIDs, and one of them is None"


@pytest.mark.parametrize("sids", [None, 5, {ROOM_SID: 1}, iter([ROOM_SID])], ids=["none", "int", "dict", "iterator"])
def test_what_is_no_list_of_grouping_sids_is_refused(sids: Any) -> None:
    assert refusal(account_recordings_parameters, grouping_sids=sids).startswith(
        "grouping_sids must be a list of SIDs, not "
    )


@pytest.mark.parametrize("value", ["RM" + 32 * "0", None, 5, ["RM"], ["RM" + 32 * "0", None], [None]])
def test_rooms_and_participants_that_narrow_a_list_are_never_dropped(value: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="grouping_sids must be"):
        account_recordings_parameters(grouping_sids=value)


@pytest.mark.parametrize("sids", [[], ()], ids=["list", "tuple"])
def test_no_grouping_sids_are_no_filter(sids: Any) -> None:
    assert account_recordings_parameters(grouping_sids=sids) == {}


# Integers


@pytest.mark.parametrize(
    ("name", "parameter", "value"),
    [
        ("page_size", "PageSize", 1),
        ("page_size", "PageSize", 2),
        ("page_size", "PageSize", 999),
        ("page_size", "PageSize", 1000),
        ("page", "Page", 0),
        ("page", "Page", 1),
        ("page", "Page", 2**63 - 1),
    ],
)
def test_integers_within_their_bounds_are_sent(name: str, parameter: str, value: int) -> None:
    assert recordings_parameters(**{name: value}) == {parameter: str(value)}


@pytest.mark.parametrize(
    ("name", "bounds"), [("page_size", "from 1 to 1000"), ("page", "from 0")], ids=["page_size", "page"]
)
@pytest.mark.parametrize(
    "value", [-1, True, False, 1.0, 50.5, "50", "", b"5", float("nan"), Decimal(5), [5], -(2**63)], ids=repr
)
def test_integers_beyond_their_bounds_or_of_another_type_are_refused(name: str, bounds: str, value) -> None:
    with pytest.raises(InvalidArgumentError, match=rf"^{name} must be an integer {bounds}, not "):
        recordings_parameters(**{name: value})


@pytest.mark.parametrize("value", [0, 1001])
def test_the_page_size_ends_at_its_bounds(value: int) -> None:
    with pytest.raises(InvalidArgumentError, match=rf"^page_size must be an integer from 1 to 1000, not {value}$"):
        recordings_parameters(page_size=value)


def test_the_page_ends_at_64_bits() -> None:
    with pytest.raises(InvalidArgumentError, match=rf"^page must be an integer from 0, not {2**63}$"):
        recordings_parameters(page=2**63)


def test_the_largest_page_size_is_the_one_of_the_reference() -> None:
    assert MAX_PAGE_SIZE == 1000


def test_the_largest_page_of_the_accounts_recordings_has_100() -> None:
    assert account_recordings_parameters(page_size=100) == {"PageSize": "100"}
    message = refusal(account_recordings_parameters, page_size=101)
    assert message == "page_size must be an integer from 1 to 100, not 101"


@pytest.mark.parametrize("limit", [None, 0, 1, 10**9, 2**63 - 1])
def test_a_limit_is_none_or_a_number_from_0(limit: int | None) -> None:
    assert check_limit(limit) == limit


@pytest.mark.parametrize("limit", [-1, True, False, 1.0, "1", 2**63], ids=repr)
def test_any_other_limit_is_refused(limit) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^limit must be an integer from 0, not "):
        check_limit(limit)


def test_a_limit_is_refused_with_what_was_given() -> None:
    assert refusal(check_limit, -1) == "limit must be an integer from 0, not -1"


@pytest.mark.parametrize("name", ["page", "page_size", "limit"])
def test_an_integer_of_thousands_of_digits_is_refused_in_one_line(name: str) -> None:
    check = check_limit if name == "limit" else recordings_parameters
    with pytest.raises(InvalidArgumentError, match=rf"^{name} must be an integer from .*, not a very large int$"):
        check(10**5000) if name == "limit" else check(**{name: 10**5000})


# Dates


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


class NotATime(datetime):
    """Like pandas.NaT, which is a datetime and not equal to itself, and refuses to have a UTC offset."""

    def utcoffset(self) -> timedelta:
        raise ValueError("NaTType does not support utcoffset")

    def __repr__(self) -> str:
        return "NaT"


class BrokenZone(tzinfo):
    def utcoffset(self, _: datetime | None) -> timedelta:
        raise RuntimeError("no")

    def __repr__(self) -> str:
        raise RuntimeError("no")


DATES = [
    pytest.param(datetime(2017, 12, 31, 23, 59, 59, tzinfo=UTC), "2017-12-31T23:59:59Z", id="UTC"),
    pytest.param(
        datetime(2018, 1, 1, 5, 44, 59, tzinfo=KATHMANDU), "2017-12-31T23:59:59Z", id="the day before, east of UTC"
    ),
    pytest.param(
        datetime(2017, 12, 31, 16, 0, tzinfo=timezone(timedelta(hours=-8))),
        "2018-01-01T00:00:00Z",
        id="the year after, west of UTC",
    ),
    pytest.param(datetime(2017, 6, 1, 12, 0, 0, 1, tzinfo=UTC), "2017-06-01T12:00:01Z", id="one microsecond"),
    pytest.param(datetime(2017, 6, 1, 12, 0, 0, 500000, tzinfo=UTC), "2017-06-01T12:00:01Z", id="half a second"),
    pytest.param(
        datetime(2017, 6, 1, 12, 0, 0, 999999, tzinfo=KATHMANDU),
        "2017-06-01T06:15:01Z",
        id="microseconds of another offset",
    ),
    pytest.param(datetime(2017, 12, 31, 23, 59, 59, 1, tzinfo=UTC), "2018-01-01T00:00:00Z", id="into the next year"),
    pytest.param(datetime.max.replace(tzinfo=UTC), "9999-12-31T23:59:59Z", id="the last second of the calendar"),
    pytest.param(datetime(987, 6, 1, tzinfo=UTC), "0987-06-01T00:00:00Z", id="a year of three digits"),
]


@pytest.mark.parametrize(("value", "sent"), DATES)
@pytest.mark.parametrize(
    ("name", "parameter"),
    [("date_created_after", "DateCreatedAfter"), ("date_created_before", "DateCreatedBefore")],
)
def test_dates_are_sent_in_utc(name: str, parameter: str, value: datetime, sent: str) -> None:
    assert recordings_parameters(**{name: value}) == {parameter: sent}


@pytest.mark.parametrize("name", ["date_created_after", "date_created_before"])
@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        pytest.param(NAIVE, "must have a time zone: .* is naive.*UTC", id="naive"),
        pytest.param(date(2017, 6, 1), "must be a datetime, not ", id="date"),
        pytest.param("2017-06-01T00:00:00Z", "must be a datetime, not '2017-06-01T00:00:00Z'", id="str"),
        pytest.param("", "must be a datetime, not ''", id="empty str"),
        pytest.param(1496275200, "must be a datetime, not 1496275200", id="int"),
        pytest.param(0, "must be a datetime, not 0", id="zero"),
        pytest.param(NotATime(2017, 6, 1), "must be a datetime with a time zone, not NaT", id="pandas.NaT"),
        pytest.param(float("nan"), "must be a datetime, not nan", id="NaN"),
        pytest.param(Unprintable(), "must be a datetime, not a Unprintable that cannot be shown", id="unprintable"),
        pytest.param(
            datetime(2017, 6, 1, tzinfo=BrokenZone()), "must be a datetime with a time zone, not a datetime", id="zone"
        ),
    ],
)
@pytest.mark.parametrize("with_the_other", [False, True], ids=["alone", "beside an aware one"])
def test_dates_without_a_zone_or_of_another_type_are_refused_by_name(
    name: str, value, complaint: str, with_the_other: bool
) -> None:
    other = {"date_created_after", "date_created_before"} - {name}
    given = dict.fromkeys(other, NOON) if with_the_other else {}
    with pytest.raises(InvalidArgumentError, match=rf"^{name} {complaint}"):
        recordings_parameters(**given, **{name: value})


@pytest.mark.parametrize(
    "instant",
    [
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-1))),
        datetime.min.replace(tzinfo=timezone(timedelta(hours=1))),
    ],
)
def test_an_instant_beyond_the_calendar_in_utc_is_refused(instant: datetime) -> None:
    with pytest.raises(InvalidArgumentError, match="date_created_after is outside the years"):
        recordings_parameters(date_created_after=instant)


def test_an_instant_beyond_the_calendar_is_refused_without_the_overflow_behind_it() -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        recordings_parameters(date_created_after=datetime.min.replace(tzinfo=timezone(timedelta(hours=1))))
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("after", "before"),
    [
        pytest.param(NOON + timedelta(microseconds=1), NOON, id="by a microsecond"),
        pytest.param(NOON + timedelta(days=365), NOON, id="by a year"),
        pytest.param(NOON, NOON.replace(hour=13, tzinfo=KATHMANDU), id="by their offsets"),
    ],
)
def test_a_window_that_ends_before_it_begins_is_refused(after: datetime, before: datetime) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^date_created_after \(.*\) is later than date_created_before"):
        recordings_parameters(date_created_after=after, date_created_before=before)


@pytest.mark.parametrize(
    ("after", "before"),
    [
        pytest.param(NOON, NOON, id="equal"),
        pytest.param(NOON, NOON.astimezone(KATHMANDU), id="equal, in two zones"),
        pytest.param(NOON, NOON + timedelta(microseconds=1), id="a microsecond"),
        pytest.param(NOON.replace(hour=13, tzinfo=KATHMANDU), NOON, id="only by their offsets"),
    ],
)
def test_any_other_window_is_sent(after: datetime, before: datetime) -> None:
    sent = recordings_parameters(date_created_after=after, date_created_before=before)
    assert sorted(sent) == ["DateCreatedAfter", "DateCreatedBefore"]


@pytest.fixture(params=["Asia/Kathmandu", "America/Los_Angeles", "XYZ-5:45"])
def _machine_elsewhere(request: pytest.FixtureRequest) -> Iterator[None]:
    if not hasattr(time, "tzset"):
        pytest.skip("the zone of a process cannot be set here")
    with pytest.MonkeyPatch.context() as there:
        there.setenv("TZ", request.param)
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("_machine_elsewhere")
def test_dates_are_sent_in_utc_wherever_the_machine_is() -> None:
    noon_in_kathmandu = datetime(2017, 6, 1, 12, tzinfo=timezone(timedelta(hours=5, minutes=45)))
    sent = recordings_parameters(date_created_after=AFTER, date_created_before=noon_in_kathmandu)
    assert sent == {"DateCreatedAfter": "2017-01-01T00:00:01Z", "DateCreatedBefore": "2017-06-01T06:15:00Z"}


# Enums, names and tokens


@pytest.mark.parametrize(
    ("status", "sent"),
    [
        ("processing", "processing"),
        ("completed", "completed"),
        ("deleted", "deleted"),
        ("failed", "failed"),
        ("COMPLETED", "completed"),
        ("Deleted", "deleted"),
        ("pRoCeSsInG", "processing"),
        (RecordingStatus.FAILED, "failed"),
    ],
)
def test_a_status_is_sent_in_the_spelling_of_the_reference(status, sent: str) -> None:
    parameters = recordings_parameters(status=status)
    assert parameters == {"Status": sent}
    assert type(parameters["Status"]) is str


@pytest.mark.parametrize(
    "status",
    ["", "done", "completed ", "completed\n", "in-progress", b"completed", 1, True, RecordingStatus("archived")],
    ids=repr,
)
def test_an_unknown_status_is_refused_with_those_that_there_are(status) -> None:
    with pytest.raises(
        InvalidArgumentError, match=r"^status must be one of processing, completed, deleted, failed, not "
    ):
        recordings_parameters(status=status)


@pytest.mark.parametrize(
    ("given", "sent"), [("audio", "audio"), ("VIDEO", "video"), ("data", "data"), (MediaType.DATA, "data")]
)
def test_a_media_type_is_sent_in_the_spelling_of_the_reference(given: str, sent: str) -> None:
    assert account_recordings_parameters(media_type=given) == {"MediaType": sent}


@pytest.mark.parametrize(
    ("parameters", "given", "known"),
    [
        (recordings_parameters, {"status": "in-progress"}, "processing, completed, deleted, failed"),
        (account_recordings_parameters, {"status": "in-progress"}, "processing, completed, deleted, failed"),
        (account_recordings_parameters, {"media_type": "screen"}, "audio, video, data"),
        (rooms_parameters, {"status": "processing"}, "in-progress, completed, failed"),
        (participants_parameters, {"status": "gone"}, "connected, disconnected, reconnecting"),
    ],
)
def test_a_value_that_the_list_does_not_know_is_refused_with_those_it_knows(
    parameters: Callable[..., object], given: dict[str, str], known: str
) -> None:
    ((name, value),) = given.items()
    assert refusal(parameters, **given) == f"{name} must be one of {known}, not '{value}'"


def test_a_status_of_another_list_with_the_same_spelling_is_taken() -> None:
    assert rooms_parameters(status=RecordingStatus.FAILED) == {"Status": "failed"}


@pytest.mark.parametrize("name", ["a", "stand-up", "a & b=c", "two\nlines", "\n", " ", "Zoë's room", "x" * 500])
def test_a_room_may_have_any_name(name: str) -> None:
    parameters = rooms_parameters(unique_name=name)
    assert parameters == {"UniqueName": name}
    assert parse_query(query_string(parameters)) == {"UniqueName": (name,)}


@pytest.mark.parametrize("name", ["", b"stand-up", 1, ["a"], "half a \ud83d pair", "\udcff"], ids=ascii)
def test_an_empty_name_and_what_is_no_text_are_refused(name: Any) -> None:
    message = refusal(rooms_parameters, unique_name=name)
    assert message == f"unique_name must be a name of Unicode characters, not {name!r}"
    message = refusal(participants_parameters, identity=name)
    assert message == f"identity must be a name of Unicode characters, not {name!r}"


@pytest.mark.parametrize("token", ["PT0", "0", "a%2Bb+c/d==", "!~", "x" * 5000])
def test_a_page_token_is_any_printable_ascii(token: str) -> None:
    assert recordings_parameters(page_token=token) == {"PageToken": token}


@pytest.mark.parametrize(
    "token", ["", " ", "a b", " a", "a ", "a\n", "\na", "a\tb", "a\x00b", "\x7f", "\xe9", "\u2028", b"a", 1], ids=repr
)
def test_any_other_page_token_is_refused(token) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^page_token must be a token that the API provided, not "):
        recordings_parameters(page_token=token)


# Lists as a whole


def test_all_filters_of_the_accounts_recordings_are_sent_by_the_apis_names() -> None:
    parameters = account_recordings_parameters(
        status="completed",
        source_sid=SOURCE_SID,
        grouping_sids=GROUPING_SIDS,
        date_created_after=AFTER,
        date_created_before=BEFORE,
        media_type="video",
        page_size=50,
        page=0,
        page_token="PT0",
    )
    assert parameters == {
        "Status": "completed",
        "DateCreatedBefore": "2017-12-31T23:59:59Z",
        "DateCreatedAfter": "2017-01-01T00:00:01Z",
        "SourceSid": SOURCE_SID,
        "GroupingSid": GROUPING_SIDS,
        "MediaType": "video",
        "PageSize": "50",
        "Page": "0",
        "PageToken": "PT0",
    }


def test_all_filters_of_participants_are_sent_by_the_apis_names() -> None:
    parameters = participants_parameters(
        status="Disconnected",
        identity="Zoë & Co",
        date_created_after=AFTER,
        date_created_before=BEFORE,
        page_size=1000,
        page=1,
        page_token="PT1",
    )
    assert parameters == {
        "Status": "disconnected",
        "Identity": "Zoë & Co",
        "DateCreatedBefore": "2017-12-31T23:59:59Z",
        "DateCreatedAfter": "2017-01-01T00:00:01Z",
        "PageSize": "1000",
        "Page": "1",
        "PageToken": "PT1",
    }


def test_the_path_of_participants_is_made_of_a_room_sid_only() -> None:
    assert participants_path(ROOM_SID) == f"/v1/Rooms/{ROOM_SID}/Participants"
    for wrong in ("RM1", f"{ROOM_SID}/..", "", None):
        with pytest.raises(InvalidArgumentError):
            participants_path(wrong)


def test_all_filters_of_rooms_are_sent_by_the_apis_names() -> None:
    parameters = rooms_parameters(
        status=RoomStatus.COMPLETED,
        unique_name="stand-up",
        date_created_after=AFTER,
        date_created_before=BEFORE,
        page_size=1000,
        page=1,
        page_token="PT1",
    )
    assert parameters == {
        "Status": "completed",
        "UniqueName": "stand-up",
        "DateCreatedBefore": "2017-12-31T23:59:59Z",
        "DateCreatedAfter": "2017-01-01T00:00:01Z",
        "PageSize": "1000",
        "Page": "1",
        "PageToken": "PT1",
    }


@pytest.mark.parametrize("parameters", LISTS)
def test_a_list_without_filters_sends_none(parameters: Callable[..., object]) -> None:
    assert parameters() == {}


@pytest.mark.parametrize("parameters", LISTS)
def test_each_list_refuses_in_the_same_words(parameters: Callable[..., object]) -> None:
    too_late = datetime.max.replace(tzinfo=timezone(timedelta(hours=-1)))
    assert refusal(parameters, page=-1) == "page must be an integer from 0, not -1"
    number = "a text, such as an environment variable, becomes a number with int(...)"
    assert refusal(parameters, page_size="5").endswith(f", not '5': {number}")
    assert refusal(parameters, page_token="a b") == "page_token must be a token that the API provided, not 'a b'"
    assert refusal(parameters, date_created_after=1) == (
        "date_created_after must be a datetime, not 1: "
        "datetime.fromtimestamp(value, UTC) makes one of seconds since 1970"
    )
    assert refusal(parameters, date_created_before=NAIVE) == (
        "date_created_before must have a time zone: datetime.datetime(2017, 6, 1, 0, 0) is naive. "
        "For UTC, use .replace(tzinfo=datetime.UTC)"
    )
    assert refusal(parameters, date_created_after=too_late) == (
        f"date_created_after is outside the years 1 to 9999 in UTC: {too_late!r}"
    )
    assert refusal(parameters, date_created_after=BEFORE, date_created_before=AFTER) == (
        "date_created_after (2017-12-31T23:59:59+00:00) is later than date_created_before (2017-01-01T00:00:01+00:00)"
    )


# Media


@pytest.mark.parametrize("ttl", [1, 2, 3599, 3600])
@pytest.mark.parametrize("disposition", ["attachment", "inline"])
def test_how_media_are_asked_for_is_sent_by_the_apis_names(ttl: int, disposition: str) -> None:
    parameters = media_parameters(ttl=ttl, content_disposition=disposition)
    assert parameters == {"Ttl": str(ttl), "ContentDisposition": disposition}


def test_media_can_be_asked_for_without_saying_how() -> None:
    assert media_parameters(ttl=None, content_disposition=None) == {}


@pytest.mark.parametrize("ttl", [0, -1, 3601, True, 600.0, "ten"], ids=repr)
def test_a_ttl_beyond_an_hour_or_below_a_second_is_refused(ttl: Any) -> None:
    message = refusal(media_parameters, ttl=ttl, content_disposition=None)
    assert message == f"ttl must be an integer from 1 to 3600, not {ttl!r}"


@pytest.mark.parametrize("disposition", ["", "Inline", "attachment; filename=x", 1, ["inline"]], ids=repr)
def test_any_other_content_disposition_is_refused(disposition: Any) -> None:
    message = refusal(media_parameters, ttl=None, content_disposition=disposition)
    assert message == f"content_disposition must be 'attachment' or 'inline', not {disposition!r}"


# Queries


def test_nothing_given_is_nothing_sent() -> None:
    assert recordings_parameters() == {}
    assert query_string({}) == ""
    assert parse_query("") == {}


EVERYTHING = {
    "page_token": "PT/1+2=",
    "page": 0,
    "page_size": 50,
    "source_sid": SOURCE_SID,
    "date_created_after": datetime(2017, 1, 1, 0, 0, 1, tzinfo=UTC),
    "date_created_before": datetime(2017, 12, 31, 23, 59, 59, tzinfo=UTC),
    "status": "completed",
}


def test_the_query_is_written_as_the_service_writes_its_own() -> None:
    assert query_string(recordings_parameters(**EVERYTHING)) == (
        "Status=completed&DateCreatedBefore=2017-12-31T23%3A59%3A59Z&DateCreatedAfter=2017-01-01T00%3A00%3A01Z"
        f"&SourceSid={SOURCE_SID}&PageSize=50&Page=0&PageToken=PT%2F1%2B2%3D"
    )


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        ("a:b", "a%3Ab"),
        ("a b", "a%20b"),
        ("a+b", "a%2Bb"),
        ("a&b=c", "a%26b%3Dc"),
        ("a%20b", "a%2520b"),
        ("a#b?c/d", "a%23b%3Fc%2Fd"),
        ("-._~", "-._~"),
        ("\xe9", "%C3%A9"),
        ("", ""),
    ],
)
def test_values_are_percent_encoded_and_come_back(value: str, encoded: str) -> None:
    assert query_string({"PageToken": value}) == f"PageToken={encoded}"
    assert parse_query(f"PageToken={encoded}") == {"PageToken": (value,)}


@pytest.mark.parametrize(
    "given",
    [EVERYTHING, *({name: value} for name, value in EVERYTHING.items()), {"page_token": "&=%25+#;?a=b&Page=7"}],
    ids="+".join,
)
def test_a_query_is_read_as_what_it_was_made_of(given: dict[str, object]) -> None:
    parameters = recordings_parameters(**given)
    assert parse_query(query_string(parameters)) == {name: (value,) for name, value in parameters.items()}
    assert list(parse_query(query_string(parameters))) == list(parameters)


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("Status=completed&PageToken=a%2Bb", "Status=completed&PageToken=a%2Bb"),
        ("PageToken=b HTTP/1.1\r\nHost: evil", "PageToken=b%20HTTP/1.1%0D%0AHost:%20evil"),
        ("PageToken=a#b", "PageToken=a%23b"),
        ('PageToken=\xe9\x00"<', "PageToken=%C3%A9%00%22%3C"),
        ("", ""),
    ],
)
def test_a_query_from_outside_keeps_its_escapes_and_cannot_end_the_request_line(given: str, sent: str) -> None:
    assert requote_query(given) == sent


def test_every_character_that_a_query_may_have_stays_as_it_is() -> None:
    # RFC 3986, 3.4: unreserved, percent-encoded, sub-delims, ":", "@", "/" and "?".
    query = "aZ09-._~%2F!$&'()*+,;=:@/?"
    assert requote_query(query) == query


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        pytest.param("PageSize=5&PageToken=a", "PageToken=a&PageSize=5", True, id="in another order"),
        pytest.param("PageSize=5", "PageSize=5&Page=0", True, id="the index of the first page"),
        pytest.param("PageToken=a%2Fb", "PageToken=a/b", True, id="another way to write it"),
        pytest.param("PageSize=5", "PageSize=5&Page=1", False, id="another index"),
        pytest.param("PageToken=a", "PageToken=b", False, id="another token"),
        pytest.param("PageToken=a", "PageToken=a&Status=", False, id="an empty filter"),
        pytest.param("GroupingSid=a&GroupingSid=b", "GroupingSid=a", False, id="one of two values"),
        pytest.param("PageToken=A", "PageToken=a", False, id="another case"),
    ],
)
def test_two_queries_are_one_page_if_they_ask_for_the_same(one: str, other: str, same: bool) -> None:
    assert (page_key(one) == page_key(other)) is same


# Refused before anything is sent


REFUSED = [
    {"status": "done"},
    {"source_sid": "MT1"},
    {"date_created_after": NAIVE},
    {"date_created_before": NAIVE},
    {"date_created_after": NOON, "date_created_before": NOON - timedelta(seconds=1)},
    {"page_size": 1001},
    {"limit": -1},
]


ONLY_OF_ONE_ROOM = [{"page": -1}, {"page_token": "a b"}, {"resume": "nonsense"}]


named = {"ids": "+".join}


@pytest.mark.parametrize("arguments", [*REFUSED, *ONLY_OF_ONE_ROOM], **named)
def test_the_client_refuses_at_the_call_and_sends_nothing(
    service: Any, client: RecordingsClient, arguments: Any
) -> None:
    with pytest.raises(InvalidArgumentError):
        client.recordings(ROOM_SID, **arguments)
    assert not service.requests


@pytest.mark.parametrize("arguments", REFUSED, **named)
@pytest.mark.parametrize("name", ["as_completed", "stream"])
def test_lists_of_many_rooms_refuse_at_the_call_and_send_nothing(
    service: Any, client: RecordingsClient, name: str, arguments: Any
) -> None:
    with pytest.raises(InvalidArgumentError):
        getattr(client, name)([ROOM_SID], **arguments)
    assert not service.requests


@pytest.mark.parametrize("arguments", REFUSED, **named)
@pytest.mark.parametrize("return_exceptions", [False, True])
async def test_gather_refuses_its_arguments_for_all_rooms_and_sends_nothing(
    service: Any, client: RecordingsClient, return_exceptions: bool, arguments: Any
) -> None:
    with pytest.raises(InvalidArgumentError):
        await client.gather([ROOM_SID], return_exceptions=return_exceptions, **arguments)
    assert not service.requests


BERLIN = ZoneInfo("Europe/Berlin")
# The hour from 2 to 3 came twice on this day.
FIRST_TIME = datetime(2026, 10, 25, 2, 50, tzinfo=BERLIN)
SECOND_TIME = datetime(2026, 10, 25, 2, 10, tzinfo=BERLIN, fold=1)


def test_a_window_in_the_hour_that_comes_twice() -> None:
    recordings_parameters(date_created_after=FIRST_TIME, date_created_before=SECOND_TIME)
    DateWindow(FIRST_TIME, SECOND_TIME)
    with pytest.raises(InvalidArgumentError, match="later than"):
        recordings_parameters(date_created_after=SECOND_TIME, date_created_before=FIRST_TIME)
    with pytest.raises(InvalidArgumentError, match="ends before"):
        DateWindow(SECOND_TIME, FIRST_TIME)


def test_a_window_as_long_as_the_calendar() -> None:
    east, west = timezone(timedelta(hours=14)), timezone(-timedelta(hours=12))
    DateWindow(datetime.min.replace(tzinfo=east), datetime.max.replace(tzinfo=west))
