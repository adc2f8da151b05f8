"""What the filters of a list may be, and the query string that they become."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from roomrec_async import InvalidArgumentError, RecordingsClient, RecordingStatus
from roomrec_async._api.params import (
    MAX_PAGE_SIZE,
    account_recordings_parameters,
    check_limit,
    query_parameters,
    query_string,
    recordings_parameters,
    recordings_path,
    requoted,
)
from roomrec_async._validate import check_room_sid

ROOM_SID = "RM" + "a" * 32
SOURCE_SID = "MT" + "a" * 32
NOON = datetime(2017, 6, 1, 12, tzinfo=UTC)
KATHMANDU = timezone(timedelta(hours=5, minutes=45))

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


@pytest.mark.parametrize("sid", ["RM" + "0123456789abcdef" * 2, "RM" + "0123456789ABCDEF" * 2])
def test_a_room_sid_is_rm_and_32_hexadecimal_digits(sid: str) -> None:
    assert check_room_sid(sid) == sid
    assert recordings_path(sid) == f"/v1/Rooms/{sid}/Recordings"


@pytest.mark.parametrize(
    "sid",
    [
        *NOT_ONE_LINE_OF_HEX,
        pytest.param(None, id="none"),
        pytest.param("rm" + "a" * 32, id="lower case prefix"),
        pytest.param("RT" + "a" * 32, id="a recording"),
        pytest.param("my-room", id="a unique name"),
        pytest.param("../Rooms", id="path"),
    ],
)
@pytest.mark.parametrize("checked", [check_room_sid, recordings_path])
def test_anything_else_is_no_room_sid(checked, sid) -> None:
    with pytest.raises(InvalidArgumentError, match="room_sid must be 'RM' and 32 hexadecimal digits"):
        checked(sid)


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


@pytest.mark.parametrize("limit", [None, 0, 1, 10**9, 2**63 - 1])
def test_a_limit_is_none_or_a_number_from_0(limit: int | None) -> None:
    assert check_limit(limit) == limit


@pytest.mark.parametrize("limit", [-1, True, False, 1.0, "1", 2**63], ids=repr)
def test_any_other_limit_is_refused(limit) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^limit must be an integer from 0, not "):
        check_limit(limit)


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
    pytest.param(datetime(2017, 6, 1, 12, 0, 0, 1, tzinfo=UTC), "2017-06-01T12:00:00.000001Z", id="one microsecond"),
    pytest.param(datetime(2017, 6, 1, 12, 0, 0, 500000, tzinfo=UTC), "2017-06-01T12:00:00.500000Z", id="half a second"),
    pytest.param(
        datetime(2017, 6, 1, 12, 0, 0, 999999, tzinfo=KATHMANDU),
        "2017-06-01T06:15:00.999999Z",
        id="microseconds of another offset",
    ),
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
        pytest.param(datetime(2017, 6, 1), "must have a time zone: .* is naive.*UTC", id="naive"),  # noqa: DTZ001
        pytest.param(date(2017, 6, 1), "must be a datetime, not ", id="date"),
        pytest.param("2017-06-01T00:00:00Z", "must be a datetime, not '2017-06-01T00:00:00Z'", id="str"),
        pytest.param("", "must be a datetime, not ''", id="empty str"),
        pytest.param(1496275200, "must be a datetime, not 1496275200", id="int"),
        pytest.param(0, "must be a datetime, not 0", id="zero"),
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


@pytest.mark.parametrize("token", ["PT0", "0", "a%2Bb+c/d==", "!~", "x" * 5000])
def test_a_page_token_is_any_printable_ascii(token: str) -> None:
    assert recordings_parameters(page_token=token) == {"PageToken": token}


@pytest.mark.parametrize(
    "token", ["", " ", "a b", " a", "a ", "a\n", "\na", "a\tb", "a\x00b", "\x7f", "\xe9", "\u2028", b"a", 1], ids=repr
)
def test_any_other_page_token_is_refused(token) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^page_token must be what the API provided, not "):
        recordings_parameters(page_token=token)


def test_nothing_given_is_nothing_sent() -> None:
    assert recordings_parameters() == {}
    assert query_string({}) == ""
    assert query_parameters("") == {}


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
    assert query_parameters(f"PageToken={encoded}") == {"PageToken": (value,)}


@pytest.mark.parametrize(
    "given",
    [EVERYTHING, *({name: value} for name, value in EVERYTHING.items()), {"page_token": "&=%25+#;?a=b&Page=7"}],
    ids="+".join,
)
def test_a_query_is_read_as_what_it_was_made_of(given: dict[str, object]) -> None:
    parameters = recordings_parameters(**given)
    assert query_parameters(query_string(parameters)) == {name: (value,) for name, value in parameters.items()}
    assert list(query_parameters(query_string(parameters))) == list(parameters)


@pytest.mark.parametrize("name", ["page", "page_size", "limit"])
def test_an_integer_of_thousands_of_digits_is_refused_in_one_line(name: str) -> None:
    check = check_limit if name == "limit" else recordings_parameters
    with pytest.raises(InvalidArgumentError, match=rf"^{name} must be an integer from .*, not a very large int$"):
        check(10**5000) if name == "limit" else check(**{name: 10**5000})


@pytest.mark.parametrize(
    "instant",
    [
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-1))),
        datetime.min.replace(tzinfo=timezone(timedelta(hours=1))),
    ],
)
def test_an_instant_beyond_the_calendar_in_utc_is_refused(instant: datetime) -> None:
    with pytest.raises(InvalidArgumentError, match="date_created_after lies outside the years"):
        recordings_parameters(date_created_after=instant)


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
def test_the_query_of_somebody_else_keeps_its_escapes_and_cannot_end_the_request_line(given: str, sent: str) -> None:
    assert requoted(given) == sent


# Refused before anything is sent

REFUSED = [
    {"status": "done"},
    {"source_sid": "MT1"},
    {"date_created_after": datetime(2017, 6, 1)},  # noqa: DTZ001
    {"date_created_before": datetime(2017, 6, 1)},  # noqa: DTZ001
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


@pytest.mark.parametrize("value", ["RM" + 32 * "0", None, 5, ["RM"], ["RM" + 32 * "0", None], [None]])
def test_rooms_and_participants_that_narrow_a_list_are_never_dropped(value: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="grouping_sids must be"):
        account_recordings_parameters(grouping_sids=value)
