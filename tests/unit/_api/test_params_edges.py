"""The edges of what is sent: the account's recordings, rooms, media, single recordings, and the exact refusals."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from roomrec_async import InvalidArgumentError, MediaType, Recording, RecordingStatus, RoomStatus
from roomrec_async._api.params import (
    account_recordings_parameters,
    check_limit,
    media_parameters,
    media_path,
    page_key,
    query_parameters,
    query_string,
    recording_path,
    recordings_parameters,
    requoted,
    rooms_parameters,
)
from roomrec_async._validate import check_recording_sid, check_room_sid, check_seconds

ROOM_SID = "RM" + "a1" * 16
SID = "RT" + "b2" * 16
SOURCE_SID = "MT" + "c3" * 16
GROUPING_SIDS = ("RM" + "d4" * 16, "PA" + "e5" * 16)
AFTER = datetime(2017, 1, 1, 0, 0, 1, tzinfo=UTC)
BEFORE = datetime(2017, 12, 31, 23, 59, 59, tzinfo=UTC)
LISTS = [recordings_parameters, account_recordings_parameters, rooms_parameters]


def refusal(call: Callable[..., object], *arguments: object, **options: object) -> str:
    with pytest.raises(InvalidArgumentError) as caught:
        call(*arguments, **options)
    return str(caught.value)


# The account's recordings


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


def test_each_grouping_sid_is_a_parameter_of_its_own() -> None:
    first, second = GROUPING_SIDS
    query = query_string(account_recordings_parameters(grouping_sids=[first, second], media_type="audio"))
    assert query == f"GroupingSid={first}&GroupingSid={second}&MediaType=audio"
    assert query_parameters(query) == {"GroupingSid": (first, second), "MediaType": ("audio",)}


def test_one_string_is_no_list_of_grouping_sids() -> None:
    told = refusal(account_recordings_parameters, grouping_sids=ROOM_SID)
    assert told == f"grouping_sids must be a list of SIDs, not '{ROOM_SID}'"


def test_a_grouping_sid_that_is_none_of_the_kind_is_refused() -> None:
    told = refusal(account_recordings_parameters, grouping_sids=[ROOM_SID, "my-room"])
    assert told == "grouping_sids must be two letters and 32 hexadecimal digits, not 'my-room'"


@pytest.mark.parametrize("sids", [[None], [ROOM_SID, None], (None, ROOM_SID)], ids=["alone", "behind", "before"])
def test_a_grouping_sid_that_is_missing_is_refused_and_does_not_list_the_whole_account(sids: Any) -> None:
    told = refusal(account_recordings_parameters, grouping_sids=sids)
    assert told == "grouping_sids must be a list of SIDs, and one of them is None"


@pytest.mark.parametrize("sids", [None, 5, {ROOM_SID: 1}, iter([ROOM_SID])], ids=["none", "int", "dict", "iterator"])
def test_what_is_no_list_of_grouping_sids_is_refused(sids: Any) -> None:
    assert refusal(account_recordings_parameters, grouping_sids=sids).startswith(
        "grouping_sids must be a list of SIDs, not "
    )


@pytest.mark.parametrize("sids", [[], ()], ids=["list", "tuple"])
def test_no_grouping_sids_are_no_filter(sids: Any) -> None:
    assert account_recordings_parameters(grouping_sids=sids) == {}


def test_the_largest_page_of_the_accounts_recordings_has_100() -> None:
    assert account_recordings_parameters(page_size=100) == {"PageSize": "100"}
    told = refusal(account_recordings_parameters, page_size=101)
    assert told == "page_size must be an integer from 1 to 100, not 101"


@pytest.mark.parametrize(
    ("given", "sent"), [("audio", "audio"), ("VIDEO", "video"), ("data", "data"), (MediaType.DATA, "data")]
)
def test_a_media_type_is_sent_in_the_spelling_of_the_reference(given: str, sent: str) -> None:
    assert account_recordings_parameters(media_type=given) == {"MediaType": sent}


@pytest.mark.parametrize("parameters", [recordings_parameters, account_recordings_parameters])
def test_a_source_that_is_no_sid_is_refused(parameters: Callable[..., object]) -> None:
    told = refusal(parameters, source_sid="a-track")
    assert told == "source_sid must be two letters and 32 hexadecimal digits, not 'a-track'"


# Rooms


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


@pytest.mark.parametrize("name", ["a", "stand-up", "a & b=c", "two\nlines", "\n", " ", "Zoë's room", "x" * 500])
def test_a_room_may_have_any_name(name: str) -> None:
    parameters = rooms_parameters(unique_name=name)
    assert parameters == {"UniqueName": name}
    assert query_parameters(query_string(parameters)) == {"UniqueName": (name,)}


@pytest.mark.parametrize("name", ["", b"stand-up", 1, ["a"]], ids=repr)
def test_an_empty_name_and_what_is_no_text_are_refused(name: Any) -> None:
    assert refusal(rooms_parameters, unique_name=name) == f"unique_name must be a name, not {name!r}"


# What the lists have in common


@pytest.mark.parametrize("parameters", LISTS)
def test_a_list_without_filters_sends_none(parameters: Callable[..., object]) -> None:
    assert parameters() == {}


@pytest.mark.parametrize(
    ("parameters", "given", "known"),
    [
        (recordings_parameters, {"status": "in-progress"}, "processing, completed, deleted, failed"),
        (account_recordings_parameters, {"status": "in-progress"}, "processing, completed, deleted, failed"),
        (account_recordings_parameters, {"media_type": "screen"}, "audio, video, data"),
        (rooms_parameters, {"status": "processing"}, "in-progress, completed, failed"),
    ],
)
def test_a_value_that_the_list_does_not_know_is_refused_with_those_it_knows(
    parameters: Callable[..., object], given: dict[str, str], known: str
) -> None:
    ((name, value),) = given.items()
    assert refusal(parameters, **given) == f"{name} must be one of {known}, not '{value}'"


def test_a_status_of_another_list_with_the_same_spelling_is_taken() -> None:
    assert rooms_parameters(status=RecordingStatus.FAILED) == {"Status": "failed"}


@pytest.mark.parametrize("parameters", LISTS)
def test_each_list_refuses_in_the_same_words(parameters: Callable[..., object]) -> None:
    naive = datetime(2017, 6, 1)  # noqa: DTZ001
    too_late = datetime.max.replace(tzinfo=timezone(timedelta(hours=-1)))
    assert refusal(parameters, page=-1) == "page must be an integer from 0, not -1"
    assert refusal(parameters, page_size="5").endswith(", not '5'")
    assert refusal(parameters, page_token="a b") == "page_token must be what the API provided, not 'a b'"
    assert refusal(parameters, date_created_after=1) == "date_created_after must be a datetime, not 1"
    assert refusal(parameters, date_created_before=naive) == (
        "date_created_before must have a time zone: datetime.datetime(2017, 6, 1, 0, 0) is naive. "
        "For UTC, use .replace(tzinfo=datetime.UTC)"
    )
    assert refusal(parameters, date_created_after=too_late) == (
        f"date_created_after lies outside the years 1 to 9999 in UTC: {too_late!r}"
    )
    assert refusal(parameters, date_created_after=BEFORE, date_created_before=AFTER) == (
        "date_created_after (2017-12-31T23:59:59+00:00) is later than date_created_before (2017-01-01T00:00:01+00:00)"
    )


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


def test_an_instant_beyond_the_calendar_is_told_without_its_arithmetic() -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        recordings_parameters(date_created_after=datetime.min.replace(tzinfo=timezone(timedelta(hours=1))))
    assert caught.value.__suppress_context__


def test_a_limit_is_refused_with_what_was_given() -> None:
    assert refusal(check_limit, -1) == "limit must be an integer from 0, not -1"


# One recording


@pytest.mark.parametrize("sid", ["RT" + "0123456789abcdef" * 2, "RT" + "0123456789ABCDEF" * 2])
def test_a_recordings_sid_is_rt_and_32_hexadecimal_digits(sid: str) -> None:
    assert check_recording_sid(sid) == sid
    assert recording_path(ROOM_SID, sid) == f"/v1/Rooms/{ROOM_SID}/Recordings/{sid}"


@pytest.mark.parametrize(
    "sid",
    ["", "RT" + "a" * 31, "RT" + "a" * 33, "RT" + "a" * 31 + "g", f"{SID}\n", f" {SID}", ROOM_SID, "rt" + "a" * 32],
    ids=repr,
)
def test_anything_else_is_no_recordings_sid(sid: str) -> None:
    told = f"a recording's sid must be 'RT' and 32 hexadecimal digits, not {sid!r}"
    assert refusal(check_recording_sid, sid) == told
    assert refusal(recording_path, ROOM_SID, sid) == told


@pytest.mark.parametrize("value", [None, 1, b"RT" + b"a" * 32], ids=repr)
def test_a_sid_that_is_no_text_is_refused_with_what_it_is(value: Any) -> None:
    assert refusal(check_recording_sid, value).endswith(f", not {value!r}")
    assert refusal(check_room_sid, value) == f"room_sid must be 'RM' and 32 hexadecimal digits, not {value!r}"


def test_a_recording_is_not_looked_for_in_what_is_no_room() -> None:
    assert refusal(recording_path, SID, SID).startswith("room_sid must be")


# Its media


def test_media_are_found_by_the_sids_of_their_recording() -> None:
    lies = {"url": "https://evil.example/x", "links": {"media": "https://evil.example/y"}}
    of_a_room = Recording(sid=SID, room_sid=ROOM_SID, **lies)
    assert media_path(of_a_room) == f"/v1/Rooms/{ROOM_SID}/Recordings/{SID}/Media"
    assert media_path(Recording(sid=SID, **lies)) == f"/v1/Recordings/{SID}/Media"


@pytest.mark.parametrize(
    ("recording", "message"),
    [
        (Recording(room_sid=ROOM_SID), "a recording's sid must be 'RT' and 32 hexadecimal digits, not ''"),
        (
            Recording(sid="../..", room_sid=ROOM_SID),
            "a recording's sid must be 'RT' and 32 hexadecimal digits, not '.+'",
        ),
        (Recording(sid="../.."), "a recording's sid must be 'RT' and 32 hexadecimal digits, not '.+'"),
        (Recording(sid=SID, room_sid=""), "room_sid must be 'RM' and 32 hexadecimal digits, not ''"),
        (Recording(sid=SID, room_sid="../.."), "room_sid must be 'RM' and 32 hexadecimal digits, not '.+'"),
        (SID, f"recording must be a Recording, not '{SID}'"),
        (None, "recording must be a Recording, not None"),
    ],
)
def test_what_has_no_sids_to_find_media_by_is_refused(recording: Any, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"^{message}$"):
        media_path(recording)


@pytest.mark.parametrize("ttl", [1, 2, 3599, 3600])
@pytest.mark.parametrize("disposition", ["attachment", "inline"])
def test_how_media_are_asked_for_is_sent_by_the_apis_names(ttl: int, disposition: str) -> None:
    parameters = media_parameters(ttl=ttl, content_disposition=disposition)
    assert parameters == {"Ttl": str(ttl), "ContentDisposition": disposition}


def test_media_can_be_asked_for_without_saying_how() -> None:
    assert media_parameters(ttl=None, content_disposition=None) == {}


@pytest.mark.parametrize("ttl", [0, -1, 3601, True, 600.0, "600"], ids=repr)
def test_a_ttl_beyond_an_hour_or_below_a_second_is_refused(ttl: Any) -> None:
    told = refusal(media_parameters, ttl=ttl, content_disposition=None)
    assert told == f"ttl must be an integer from 1 to 3600, not {ttl!r}"


@pytest.mark.parametrize("disposition", ["", "Inline", "attachment; filename=x", 1, ["inline"]], ids=repr)
def test_any_other_content_disposition_is_refused(disposition: Any) -> None:
    told = refusal(media_parameters, ttl=None, content_disposition=disposition)
    assert told == f"content_disposition must be 'attachment' or 'inline', not {disposition!r}"


# Seconds


@pytest.mark.parametrize("value", [0, 0.0, 1, 0.5, sys.float_info.max], ids=repr)
def test_seconds_are_any_number_from_0(value: float) -> None:
    assert check_seconds("wait", value) == value


@pytest.mark.parametrize(
    "value",
    [-1, -0.001, float("inf"), float("-inf"), float("nan"), True, False, "1", None, timedelta(1)],
    ids=repr,
)
def test_anything_else_is_no_number_of_seconds(value: Any) -> None:
    assert refusal(check_seconds, "wait", value) == f"wait must be a number of seconds from 0, not {value!r}"


# Queries


def test_every_character_that_a_query_may_have_stays_as_it_is() -> None:
    # RFC 3986, 3.4: unreserved, percent-encoded, sub-delims, ":", "@", "/" and "?".
    query = "aZ09-._~%2F!$&'()*+,;=:@/?"
    assert requoted(query) == query


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
