"""Response bodies decoded into models, and models as dictionaries."""

from __future__ import annotations

import copy
import json
import math
import pickle
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import attrs
import pytest

from roomrec_async import (
    Codec,
    ContainerFormat,
    DecodeError,
    MediaType,
    PageMeta,
    Participant,
    ParticipantStatus,
    Recording,
    RecordingStatus,
    Room,
    RoomStatus,
    RoomType,
    from_dict,
    to_dict,
)
from roomrec_async._api import codec
from roomrec_async._api.codec import (
    decode_account_recordings,
    decode_error,
    decode_media_location,
    decode_participants,
    decode_recording,
    decode_recordings,
    decode_rooms,
    deserialize_recordings,
    is_cut_off,
    serialize_recordings,
    to_json_lines,
)

from ...conftest import body, record

EXAMPLE = b"""
{
  "meta": {
    "key": "recordings",
    "url": "https://video.twilio.com/v1/Rooms/RMaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/Recordings?Status=completed&DateCreatedBefore=2017-12-31T23%3A59%3A59Z&DateCreatedAfter=2017-01-01T00%3A00%3A01Z&SourceSid=MTaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa&PageSize=50&Page=0",
    "page": 0,
    "page_size": 50,
    "next_page_url": null,
    "first_page_url": "https://video.twilio.com/v1/Rooms/RMaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/Recordings?Status=completed&DateCreatedBefore=2017-12-31T23%3A59%3A59Z&DateCreatedAfter=2017-01-01T00%3A00%3A01Z&SourceSid=MTaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa&PageSize=50&Page=0",
    "previous_page_url": null
  },
  "recordings": [
    {
      "sid": "RTaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
      "url": "https://video.twilio.com/v1/Rooms/RMaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/Recordings/RTaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
      "size": 23,
      "type": "audio",
      "codec": "opus",
      "links": {
        "media": "https://video.twilio.com/v1/Rooms/RMaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/Recordings/RTaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/Media"
      },
      "offset": 10,
      "status": "completed",
      "duration": 10,
      "room_sid": "RMaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
      "source_sid": "MTaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
      "track_name": "A name",
      "account_sid": "ACaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
      "date_created": "2015-07-30T20:00:00Z",
      "date_deleted": "2015-07-30T22:00:00Z",
      "date_updated": "2015-07-30T21:00:00Z",
      "grouping_sids": {
        "room_sid": "RMaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "participant_sid": "PAaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
      },
      "encryption_key": "public_key",
      "container_format": "mka",
      "media_external_location": "https://my-super-duper-bucket.s3.amazonaws.com/my/path/"
    }
  ]
}
"""
A32 = "a" * 32
EXAMPLE_ROOM_URL = f"https://video.twilio.com/v1/Rooms/RM{A32}"
EXAMPLE_QUERY = (
    "Status=completed&DateCreatedBefore=2017-12-31T23%3A59%3A59Z&DateCreatedAfter=2017-01-01T00%3A00%3A01Z"
    f"&SourceSid=MT{A32}&PageSize=50&Page=0"
)
EXAMPLE_RECORDING = Recording(
    sid=f"RT{A32}",
    account_sid=f"AC{A32}",
    room_sid=f"RM{A32}",
    source_sid=f"MT{A32}",
    status=RecordingStatus.COMPLETED,
    type=MediaType.AUDIO,
    codec=Codec.OPUS,
    container_format=ContainerFormat.MKA,
    track_name="A name",
    size=23,
    duration=10,
    offset=10,
    date_created=datetime(2015, 7, 30, 20, tzinfo=UTC),
    date_updated=datetime(2015, 7, 30, 21, tzinfo=UTC),
    date_deleted=datetime(2015, 7, 30, 22, tzinfo=UTC),
    url=f"{EXAMPLE_ROOM_URL}/Recordings/RT{A32}",
    media_external_location="https://my-super-duper-bucket.s3.amazonaws.com/my/path/",
    encryption_key="public_key",
    grouping_sids={"room_sid": f"RM{A32}", "participant_sid": f"PA{A32}"},
    links={"media": f"{EXAMPLE_ROOM_URL}/Recordings/RT{A32}/Media"},
)
FIELDS = json.loads(EXAMPLE)["recordings"][0].keys()
META = b'{"page": 0, "next_page_url": null}'


def decoded(fields: dict[str, object]) -> Recording:
    """Decode a page of one record, and return it."""
    page = decode_recordings(body([fields]))
    assert page.error is None
    assert len(page.items) == 1
    return page.items[0]


def decoded_leniently(fields: dict[str, object]) -> Recording:
    """Return the record as the lenient decoder reads it, which a page only has for those that need repair."""
    return from_dict(Recording, json.loads(json.dumps(fields)))


def decoded_beside(fields: dict[str, object]) -> Recording:
    """Return the record, from a page that the strict decoder refuses because of another one."""
    page = decode_recordings(body([fields, record(2, size="2")]))
    assert page.error is None
    assert page.items[1].size == 2
    return page.items[0]


either_way = pytest.mark.parametrize(
    "decode", [decoded, decoded_leniently, decoded_beside], ids=["strict", "lenient", "beside one that needs repair"]
)


def test_the_example_of_the_reference_is_decoded() -> None:
    page = decode_recordings(EXAMPLE)
    assert page.error is None
    assert page.items == [EXAMPLE_RECORDING]
    assert page.meta == PageMeta(
        key="recordings",
        page=0,
        page_size=50,
        url=f"{EXAMPLE_ROOM_URL}/Recordings?{EXAMPLE_QUERY}",
        first_page_url=f"{EXAMPLE_ROOM_URL}/Recordings?{EXAMPLE_QUERY}",
        previous_page_url=None,
        next_page_url=None,
    )


def test_the_example_has_every_field() -> None:
    assert len(FIELDS) == 20
    assert {field.name for field in attrs.fields(Recording)} == set(FIELDS)


def test_a_page_without_records() -> None:
    page = decode_recordings(b'{"recordings": [], "meta": ' + META + b"}")
    assert (page.items, page.error, page.meta) == ([], None, PageMeta(page=0))


@either_way
@pytest.mark.parametrize("field", FIELDS)
def test_a_field_that_is_null_or_absent_is_none_and_the_others_stay(field: str, decode) -> None:
    complete = json.loads(EXAMPLE)["recordings"][0]
    without = {name: value for name, value in complete.items() if name != field}
    expected = attrs.evolve(EXAMPLE_RECORDING, **{field: None})
    assert decode({**complete, field: None}) == expected
    assert decode(without) == expected


@either_way
@pytest.mark.parametrize("fields", [{}, dict.fromkeys(FIELDS)], ids=["absent", "null"])
def test_a_record_without_values_has_only_none(fields: dict[str, object], decode) -> None:
    assert decode(fields) == Recording()


@either_way
def test_unknown_fields_are_passed_over(decode) -> None:
    known = record(1)
    assert decode({**known, "bitrate": 9, "Sid": "other", "nested": {"sid": [None]}}) == decode(known)


def test_unknown_fields_of_the_page_and_its_meta_are_passed_over() -> None:
    page = decode_recordings(b'{"recordings": [], "meta": {"key": "k", "total": 3}, "hint": []}')
    assert page.meta == PageMeta(key="k")


@either_way
def test_the_two_decoders_agree_on_a_valid_record(decode) -> None:
    assert decode(json.loads(EXAMPLE)["recordings"][0]) == EXAMPLE_RECORDING


@pytest.mark.parametrize(
    "date",
    [
        pytest.param("2015-07-30T20:00:00z", id="lower case zone"),
        pytest.param("2015-07-30t20:00:00Z", id="lower case separator"),
        pytest.param("2015-07-30 20:00:00Z", id="space"),
        pytest.param("2015-07-30T20:00:00.123456789Z", id="nanoseconds"),
        pytest.param("2015-07-30T20:00:00.9999999Z", id="a second but for a tenth of a microsecond"),
        pytest.param("2015-07-30T20:00:00+05:45", id="another offset"),
        pytest.param("2015-07-30T20:00:00-00:00", id="negative zero"),
    ],
)
def test_a_date_is_the_same_whatever_else_is_on_its_page(date: str) -> None:
    alone, beside_one_to_repair = decoded({"date_created": date}), decoded_leniently({"date_created": date})
    assert alone.date_created is not None
    assert alone == beside_one_to_repair


# Enums


@either_way
@pytest.mark.parametrize(
    ("field", "sent", "member"),
    [
        ("codec", "opus", Codec.OPUS),
        ("codec", "OPUS", Codec.OPUS),
        ("codec", "Opus", Codec.OPUS),
        ("codec", "oPuS", Codec.OPUS),
        ("codec", "vp8", Codec.VP8),
        ("codec", "h264", Codec.H264),
        ("codec", "pcmu", Codec.PCMU),
        ("status", "COMPLETED", RecordingStatus.COMPLETED),
        ("status", "Processing", RecordingStatus.PROCESSING),
        ("type", "AUDIO", MediaType.AUDIO),
        ("type", "Data", MediaType.DATA),
        ("container_format", "MKV", ContainerFormat.MKV),
    ],
)
def test_enums_ignore_case(field: str, sent: str, member: object, decode) -> None:
    value = getattr(decode({field: sent}), field)
    assert value is member
    assert value.is_known


@either_way
@pytest.mark.parametrize(
    ("field", "enum", "sent"),
    [
        ("codec", Codec, "AV1"),
        ("codec", Codec, "opus/48000"),
        ("codec", Codec, ""),
        ("status", RecordingStatus, "paused"),
        ("type", MediaType, "Text"),
        ("container_format", ContainerFormat, "webm"),
    ],
)
def test_an_unknown_enum_value_is_kept(field: str, enum, sent: str, decode) -> None:
    listed = list(enum)
    value = getattr(decode({field: sent}), field)
    assert isinstance(value, enum)
    assert not value.is_known
    assert value == sent
    assert str(value) == sent
    assert value.value == sent
    assert hash(value) == hash(sent)
    assert {sent: "found"}[value] == "found"
    for copied in (pickle.loads(pickle.dumps(value)), copy.copy(value), copy.deepcopy(value)):
        assert type(copied) is enum
        assert copied == sent
        assert not copied.is_known
    assert value not in listed
    assert list(enum) == listed


@pytest.mark.parametrize("member", [*RecordingStatus, *MediaType, *ContainerFormat, *Codec, *RoomStatus, *RoomType])
def test_known_enum_values_are_their_strings(member) -> None:
    assert member.is_known
    assert hash(member) == hash(member.value)
    assert pickle.loads(pickle.dumps(member)) is member
    assert copy.deepcopy(member) is member


def test_the_enums_list_what_the_reference_lists() -> None:
    assert [value.value for value in RecordingStatus] == ["processing", "completed", "deleted", "failed"]
    assert [value.value for value in MediaType] == ["audio", "video", "data"]
    assert [value.value for value in ContainerFormat] == ["mka", "mkv"]
    assert [value.value for value in Codec] == ["VP8", "H264", "OPUS", "PCMU"]


# Repairs

EIGHT = datetime(2015, 7, 30, 20, tzinfo=UTC)


@either_way
@pytest.mark.parametrize(
    ("field", "sent", "expected"),
    [
        pytest.param("size", "23", 23, id="number as string"),
        pytest.param("size", " 23 ", 23, id="number as padded string"),
        pytest.param("size", 23.0, 23, id="integral float"),
        pytest.param("duration", 12.7, 12, id="fraction"),
        pytest.param("duration", "12.7", 12, id="fraction as string"),
        pytest.param("offset", -12.7, -12, id="negative fraction"),
        pytest.param("offset", " -12.700 ", -12, id="negative fraction as string"),
        pytest.param("size", 0, 0, id="zero"),
        pytest.param("size", "0", 0, id="zero as string"),
        pytest.param("size", 2**40, 2**40, id="a terabyte"),
        pytest.param("size", str(2**70), 2**70, id="beyond 64 bits as string"),
        pytest.param("size", 2**70, 2**70, id="beyond 64 bits"),
        pytest.param("size", "", None, id="empty number"),
        pytest.param("size", " \t", None, id="blank number"),
        pytest.param("offset", "-5", -5, id="negative number as string"),
        pytest.param("offset", -5, -5, id="negative number"),
        pytest.param("track_name", 7, "7", id="text as number"),
        pytest.param("track_name", "", "", id="empty text"),
        pytest.param("track_name", "\u202e\x00\U0001f600", "\u202e\x00\U0001f600", id="odd text"),
        pytest.param("grouping_sids", [], None, id="empty array for a map"),
        pytest.param("links", [], None, id="empty array for links"),
        pytest.param("links", "", None, id="empty text for links"),
        pytest.param("links", {}, {}, id="empty map"),
        pytest.param(
            "grouping_sids",
            {"room_sid": 1, "participant_sid": None, "x": [{"y": 1.5}], "": True},
            {"room_sid": 1, "participant_sid": None, "x": [{"y": 1.5}], "": True},
            id="odd values inside a map",
        ),
        pytest.param("date_created", "2015-07-30T20:00:00Z", EIGHT, id="ISO 8601"),
        pytest.param("date_created", "2015-07-30T20:00:00+00:00", EIGHT, id="with offset"),
        pytest.param("date_created", "2015-07-30T22:30:00+02:30", EIGHT, id="with another offset"),
        pytest.param("date_created", "2015-07-30T16:00:00-0400", EIGHT, id="with an offset without colon"),
        pytest.param("date_created", "20150730T200000Z", EIGHT, id="basic form"),
        pytest.param("date_created", "2015-07-30 20:00:00", EIGHT, id="naive, with a space"),
        pytest.param("date_created", "2015-07-30T20:00:00", EIGHT, id="naive"),
        pytest.param("date_created", "2015-07-30", datetime(2015, 7, 30, tzinfo=UTC), id="date only"),
        pytest.param("date_created", " 2015-07-30T20:00:00Z\n", EIGHT, id="padded"),
        pytest.param(
            "date_created", "2015-07-30T20:00:00.5Z", EIGHT.replace(microsecond=500000), id="tenth of a second"
        ),
        pytest.param("date_created", "2015-07-30T20:00:00.123Z", EIGHT.replace(microsecond=123000), id="millisecond"),
        pytest.param(
            "date_created", "2015-07-30T20:00:00.123456Z", EIGHT.replace(microsecond=123456), id="microsecond"
        ),
        pytest.param("date_created", "Thu, 30 Jul 2015 20:00:00 +0000", EIGHT, id="RFC 2822"),
        pytest.param("date_created", "Thu, 30 Jul 2015 20:00:00 GMT", EIGHT, id="RFC 2822, GMT"),
        pytest.param("date_created", "Thu, 30 Jul 2015 22:00:00 +0200", EIGHT, id="RFC 2822, another offset"),
        pytest.param("date_created", "Thu, 30 Jul 2015 20:00:00 -0000", EIGHT, id="RFC 2822, zone unknown"),
        pytest.param("date_created", "2015-07-30T19:59:60Z", EIGHT, id="leap second"),
        pytest.param(
            "date_created", "2015-07-30T21:59:60.25+02:00", EIGHT.replace(microsecond=250000), id="within a leap second"
        ),
        pytest.param("date_created", "Thu, 30 Jul 2015 19:59:60 GMT", EIGHT, id="RFC 2822, leap second"),
        pytest.param("date_created", "2015-07-30T24:00:00Z", datetime(2015, 7, 31, tzinfo=UTC), id="24:00:00"),
        pytest.param("date_created", "2015-12-31T24:00Z", datetime(2016, 1, 1, tzinfo=UTC), id="24:00"),
        pytest.param("date_created", "2015-07-30 24:00:00.000", datetime(2015, 7, 31, tzinfo=UTC), id="24:00:00.000"),
        pytest.param("date_deleted", "", None, id="empty date"),
        pytest.param("date_deleted", "  ", None, id="blank date"),
    ],
)
def test_repairs(field: str, sent: object, expected: object, decode) -> None:
    fields = {**record(1), field: sent}
    recording = decode(fields)
    value = getattr(recording, field)
    assert value == expected
    assert type(value) is type(expected)
    assert recording.sid == fields["sid"]
    if isinstance(value, datetime):
        assert value.utcoffset() is not None


# Beyond repair


@pytest.mark.parametrize(
    ("field", "sent", "complaint"),
    [
        pytest.param("size", "1.5.2", "'1.5.2' where an integer should be", id="two points"),
        pytest.param("size", "1.", "'1.' where an integer should be", id="point at the end"),
        pytest.param("size", "large", "'large' where an integer should be", id="word"),
        pytest.param("size", math.nan, "nan where an integer should be", id="NaN"),
        pytest.param("size", math.inf, "inf where an integer should be", id="Infinity"),
        pytest.param("size", -math.inf, "-inf where an integer should be", id="-Infinity"),
        pytest.param("size", "9" * 5000, r"'9{79}\.\.\. where an integer should be", id="5000 digits as string"),
        pytest.param("duration", True, "a boolean where an integer should be", id="boolean for a number"),
        pytest.param("offset", {}, "an object where an integer should be", id="object for a number"),
        pytest.param("offset", [1], "an array where an integer should be", id="array for a number"),
        pytest.param("sid", False, "a boolean where a string should be", id="boolean for text"),
        pytest.param("sid", ["RT"], "an array where a string should be", id="array for text"),
        pytest.param("track_name", {}, "an object where a string should be", id="object for text"),
        pytest.param("codec", True, "a boolean where a string should be", id="boolean for an enum"),
        pytest.param("status", ["completed"], "an array where a string should be", id="array for an enum"),
        pytest.param("date_created", 1438286400, "a number where a date should be", id="number for a date"),
        pytest.param("date_created", True, "a boolean where a date should be", id="boolean for a date"),
        pytest.param("date_updated", "yesterday", "'yesterday' where an ISO 8601 date should be", id="word for a date"),
        pytest.param("date_updated", "2015-02-30T00:00:00Z", "ISO 8601 date should be", id="a day that is none"),
        pytest.param("date_updated", "2015-07-30T25:00:00Z", "ISO 8601 date should be", id="an hour that is none"),
        pytest.param("date_updated", "2015-07-30T24:00:01Z", "ISO 8601 date should be", id="after the end of the day"),
        pytest.param("date_updated", "2015-07-30T20:00:61Z", "ISO 8601 date should be", id="a second that is none"),
        pytest.param("date_updated", "9999-12-31T24:00:00Z", "ISO 8601 date should be", id="after the calendar"),
    ],
)
def test_a_field_that_cannot_be_read_is_named_and_the_records_before_are_kept(
    field: str, sent: object, complaint: str
) -> None:
    good = [record(1), record(2)]
    page = decode_recordings(body([*good, record(3, **{field: sent}), record(4)], following="Page=1"))
    assert [recording.sid for recording in page.items] == [fields["sid"] for fields in good]
    assert page.meta.next_page_url is not None
    assert isinstance(page.error, DecodeError)
    assert (page.error.index, page.error.field) == (2, field)
    with pytest.raises(DecodeError, match=rf"record 2, field '{field}': .*{complaint}"):
        raise page.error


@pytest.mark.parametrize(
    ("sent", "complaint"),
    [
        (None, "null where an object should be"),
        ([], "an array where an object should be"),
        ("RT", "a string where an object should be"),
        (1, "a number where an object should be"),
        (True, "a boolean where an object should be"),
    ],
)
def test_a_record_that_is_no_object_is_counted_and_the_records_before_are_kept(sent: object, complaint: str) -> None:
    page = decode_recordings(body([record(1), sent, record(3)]))
    assert [recording.sid for recording in page.items] == [record(1)["sid"]]
    assert page.error is not None
    assert (page.error.index, page.error.field) == (1, None)
    assert str(page.error) == f"record 1: {complaint}"


def test_the_first_record_may_be_the_one_that_cannot_be_read() -> None:
    page = decode_recordings(body([record(1, size=[]), record(2)]))
    assert page.items == []
    assert page.error is not None
    assert page.error.index == 0


ONE_RECORD = json.dumps(record(1)).encode()


@pytest.mark.parametrize(
    ("whole", "complaint"),
    [
        pytest.param(b"", "not JSON", id="empty"),
        pytest.param(b" \r\n", "not JSON", id="blank"),
        pytest.param(b"<html><title>Bad gateway</title>", "not JSON.*<html>", id="HTML"),
        pytest.param(EXAMPLE[:-5], "not JSON", id="cut off"),
        pytest.param(EXAMPLE + b"{}", "not JSON", id="something after it"),
        pytest.param(
            body([], following="Page=1").replace(b"Page=1", b"Page=\xff"),
            "next page is damaged",
            id="damaged next page",
        ),
        pytest.param(b"\xff\xfe\xfd\x1f\x8b" * 9, "not JSON", id="no text at all"),
        pytest.param(b"[" * 100_000, "not JSON", id="deep arrays, not closed"),
        pytest.param(b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "not JSON|has no 'recordings'", id="deep objects"),
        pytest.param(b"[]", "an array where an object should be", id="array"),
        pytest.param(b"null", "null where an object should be", id="null"),
        pytest.param(b'"text"', "a string where an object should be", id="string"),
        pytest.param(b"3", "a number where an object should be", id="number"),
        pytest.param(b"true", "a boolean where an object should be", id="boolean"),
        pytest.param(b"NaN", "a number where an object should be", id="NaN"),
        pytest.param(b"{}", "has no 'recordings'", id="empty object"),
        pytest.param(b'{"meta": ' + META + b"}", "has no 'recordings'", id="no list"),
        pytest.param(b'{"rooms": [], "meta": ' + META + b"}", "has no 'recordings'", id="another list"),
        pytest.param(
            b'{"recordings": {}, "meta": ' + META + b"}", "'recordings' is an object", id="object for the list"
        ),
        pytest.param(
            b'{"recordings": "", "meta": ' + META + b"}", "'recordings' is a string", id="string for the list"
        ),
        pytest.param(b'{"recordings": 0, "meta": ' + META + b"}", "'recordings' is a number", id="zero for the list"),
        pytest.param(
            b'{"recordings": false, "meta": ' + META + b"}", "'recordings' is a boolean", id="false for the list"
        ),
        pytest.param(b'{"recordings": []}', "'meta' is null.*end of the list is unknown", id="no meta"),
        pytest.param(b'{"recordings": [' + ONE_RECORD + b"]}", "'meta' is null", id="a record and no meta"),
        pytest.param(b'{"recordings": [], "meta": null}', "'meta' is null", id="null meta"),
        pytest.param(b'{"recordings": [], "meta": []}', "'meta' is an array", id="array for meta"),
        pytest.param(b'{"recordings": [], "meta": {"next_page_url": []}}', "next_page_url.*an array", id="odd meta"),
    ],
)
def test_a_body_that_is_no_page_is_refused_as_a_whole(whole: bytes, complaint: str) -> None:
    with pytest.raises(DecodeError, match=complaint) as caught:
        decode_recordings(whole)
    assert caught.value.index is None
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "whole",
    [
        pytest.param(b"\xef\xbb\xbf" + EXAMPLE, id="byte order mark"),
        pytest.param(EXAMPLE.decode().encode("utf-16"), id="UTF-16"),
        pytest.param(b"\r\n\t " + EXAMPLE + b"\r\n", id="white space around it"),
        pytest.param(EXAMPLE.replace(b'"size"', b'"bitrate": NaN, "size"'), id="NaN in an unknown field"),
        pytest.param(EXAMPLE.replace(b'"size"', b'"bitrate": -Infinity, "size"'), id="infinity in an unknown field"),
    ],
)
def test_a_body_that_only_the_lenient_decoder_reads_is_a_page(whole: bytes) -> None:
    page = decode_recordings(whole)
    assert (page.items, page.error) == ([EXAMPLE_RECORDING], None)


def test_a_number_of_too_many_digits_costs_no_more_than_its_record() -> None:
    whole = body([record(1), record(2, size=123321), record(3, bitrate=123321)]).replace(b"123321", b"9" * 5000)
    page = decode_recordings(whole)
    assert len(page.items) == 1
    assert page.error is not None
    assert (page.error.index, page.error.field) == (1, "size")
    assert [recording.sid for recording in decode_recordings(whole, 2).items] == [
        None if number == 2 else record(number)["sid"] for number in (1, 2, 3)
    ]


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        (b"A \xff name", "A \ufffd name"),
        (b"Zo\xc3", "Zo\ufffd"),
        (b"\xe6\xbc", "\ufffd"),
        ("Zoë".encode("latin-1"), "Zo\ufffd"),
    ],
)
def test_a_damaged_character_costs_no_more_than_itself(sent: bytes, shown: str) -> None:
    whole = body([record(1), record(2, track_name="here"), record(3)], following="Page=1").replace(b"here", sent)
    page = decode_recordings(whole)
    assert [recording.sid for recording in page.items] == [record(number)["sid"] for number in (1, 2, 3)]
    assert page.items[1].track_name == shown
    assert page.error is None
    assert page.meta.next_page_url is not None


@pytest.mark.parametrize("others", [[], [record(9, duration="7")]], ids=["strict", "lenient"])
def test_a_record_without_a_sid_is_one_of_the_list(others: list[object]) -> None:
    page = decode_recordings(body([record(1), record(2, sid=None), *others]))
    assert [recording.sid for recording in page.items][:2] == [record(1)["sid"], None]
    assert page.items[1].room_sid == record(2)["room_sid"]
    assert page.error is None


def test_records_that_are_skipped_need_not_be_readable() -> None:
    records = [record(1, size=[]), record(2), None, record(4), record(5, size=[])]
    for skip, bad in ((0, 0), (1, 2), (2, 2), (3, 4), (4, 4)):
        page = decode_recordings(body(records), skip)
        assert page.error is not None
        assert (page.error.index, len(page.items)) == (bad, bad)
    page = decode_recordings(body(records), 5)
    assert page.error is None
    assert [recording.sid for recording in page.items] == [None, record(2)["sid"], None, record(4)["sid"], None]


def test_a_null_list_is_an_empty_one() -> None:
    page = decode_recordings(b'{"recordings": null, "meta": {"page": 3, "next_page_url": "https://x/"}}')
    assert (page.items, page.error) == ([], None)
    assert page.meta == PageMeta(page=3, next_page_url="https://x/")


@pytest.mark.parametrize(("sent", "page_number"), [("3", 3), (3.0, 3), ("", None), (None, None)])
def test_meta_is_repaired_as_records_are(sent: object, page_number: int | None) -> None:
    page = decode_recordings(json.dumps({"recordings": [], "meta": {"page": sent}}).encode())
    assert page.meta == PageMeta(page=page_number)


# Rooms

ROOM_FIELDS = {
    "sid": f"RM{A32}",
    "unique_name": "daily",
    "status": "in-progress",
    "type": "group-small",
    "date_created": "2015-07-30T20:00:00Z",
    "end_time": None,
    "max_participants": 50,
    "record_participants_on_connect": False,
    "audio_only": True,
    "video_codecs": ["vp8", "AV1", "H264"],
    "links": {"recordings": "https://video.twilio.com/r"},
}
ROOM = Room(
    sid=f"RM{A32}",
    unique_name="daily",
    status=RoomStatus.IN_PROGRESS,
    type=RoomType.GROUP_SMALL,
    date_created=EIGHT,
    max_participants=50,
    record_participants_on_connect=False,
    audio_only=True,
    video_codecs=(Codec.VP8, Codec("AV1"), Codec.H264),
    links={"recordings": "https://video.twilio.com/r"},
)


def rooms_body(*rooms: object) -> bytes:
    return json.dumps({"rooms": rooms, "meta": {"key": "rooms"}}).encode()


@pytest.mark.parametrize("others", [[], [{"duration": "7"}]], ids=["strict", "lenient"])
def test_rooms(others: list[object]) -> None:
    page = decode_rooms(rooms_body(ROOM_FIELDS, *others))
    assert page.error is None
    assert page.items == [ROOM, *(Room(duration=7) for _ in others)]
    assert page.items[0].video_codecs is not None
    assert page.items[0].video_codecs[0] is Codec.VP8
    assert page.meta == PageMeta(key="rooms")


@pytest.mark.parametrize(("sent", "expected"), [("true", True), ("False", False), (True, True), (None, None)])
def test_booleans_are_repaired(sent: object, expected: bool | None) -> None:
    assert decode_rooms(rooms_body({"audio_only": sent})).items == [Room(audio_only=expected)]


@pytest.mark.parametrize("sent", [0, 1, "yes", "", []], ids=repr)
def test_a_field_that_is_not_a_boolean_is_named(sent: object) -> None:
    page = decode_rooms(rooms_body({}, {"large_room": sent}))
    assert page.items == [Room()]
    assert page.error is not None
    assert (page.error.index, page.error.field) == (1, "large_room")


def test_a_body_without_rooms_is_refused() -> None:
    with pytest.raises(DecodeError, match="has no 'rooms'"):
        decode_rooms(EXAMPLE)


# Participants

# The example of the published description.
PARTICIPANT_FIELDS = {
    "account_sid": f"AC{A32}",
    "room_sid": f"RM{A32}",
    "date_created": "2017-07-30T20:00:00Z",
    "date_updated": "2017-07-30T20:00:00Z",
    "start_time": "2017-07-30T20:00:00Z",
    "end_time": "2017-07-30T20:00:01Z",
    "sid": f"PA{A32}",
    "identity": "alice",
    "status": "disconnected",
    "url": f"{EXAMPLE_ROOM_URL}/Participants/PA{A32}",
    "duration": 1,
    "links": {"anonymize": f"{EXAMPLE_ROOM_URL}/Participants/PA{A32}/Anonymize"},
}
PARTICIPANT = Participant(
    account_sid=f"AC{A32}",
    room_sid=f"RM{A32}",
    date_created=datetime(2017, 7, 30, 20, tzinfo=UTC),
    date_updated=datetime(2017, 7, 30, 20, tzinfo=UTC),
    start_time=datetime(2017, 7, 30, 20, tzinfo=UTC),
    end_time=datetime(2017, 7, 30, 20, 0, 1, tzinfo=UTC),
    sid=f"PA{A32}",
    identity="alice",
    status=ParticipantStatus.DISCONNECTED,
    url=f"{EXAMPLE_ROOM_URL}/Participants/PA{A32}",
    duration=1,
    links={"anonymize": f"{EXAMPLE_ROOM_URL}/Participants/PA{A32}/Anonymize"},
)


@pytest.mark.parametrize("others", [[], [{"duration": "7"}]], ids=["strict", "lenient"])
def test_participants(others: list[object]) -> None:
    meta = {"key": "participants"}
    page = decode_participants(json.dumps({"participants": [PARTICIPANT_FIELDS, *others], "meta": meta}).encode())
    assert page.error is None
    assert page.items == [PARTICIPANT, *(Participant(duration=7) for _ in others)]
    assert page.meta == PageMeta(key="participants")


def test_a_body_without_participants_is_refused() -> None:
    with pytest.raises(DecodeError, match="has no 'participants'"):
        decode_participants(EXAMPLE)


# The account's recordings


@pytest.mark.parametrize("size", [2, "2"], ids=["strict", "lenient"])
@pytest.mark.parametrize(
    ("fields", "room_sid"),
    [
        ({"room_sid": None}, f"RM{A32}"),
        ({"room_sid": "RM1"}, "RM1"),
        ({"room_sid": ""}, ""),
        ({"room_sid": None, "grouping_sids": None}, None),
        ({"room_sid": None, "grouping_sids": {}}, None),
        ({"room_sid": None, "grouping_sids": {"room_sid": 5}}, None),
    ],
    ids=["only among the grouping SIDs", "both", "empty", "no grouping SIDs", "none of a room", "a number"],
)
def test_an_account_recording_has_the_room_sid_of_its_grouping_sids(
    size: object, fields: dict[str, object], room_sid: str | None
) -> None:
    one = {"sid": "RT1", "size": size, "grouping_sids": {"room_sid": f"RM{A32}"}, **fields}
    page = decode_account_recordings(body([one], following="PageToken=x"))
    assert [(recording.sid, recording.size, recording.room_sid) for recording in page.items] == [("RT1", 2, room_sid)]
    assert page.meta.next_page_url is not None
    assert page.error is None


def test_a_page_of_the_account_ends_before_a_record_that_cannot_be_read() -> None:
    page = decode_account_recordings(body([record(1, room_sid=None), record(2, size="large")]))
    assert [recording.sid for recording in page.items] == [record(1)["sid"]]
    assert page.error is not None
    assert (page.error.index, page.error.field) == (1, "size")


# One recording and its media


@pytest.mark.parametrize("size", [2, "2"], ids=["strict", "lenient"])
@pytest.mark.parametrize("requested", [f"RT{A32}", f"RT{'A' * 32}"], ids=["same case", "other case"])
def test_one_recording(size: object, requested: str) -> None:
    sent = json.dumps({"sid": f"RT{A32}", "size": size}).encode()
    assert decode_recording(sent, requested) == Recording(sid=f"RT{A32}", size=2)


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (b'{"sid": "RT2"}', 'the body is not the recording that was requested; it begins with b\'{"sid": "RT2"}\''),
        (b'{"sid": null}', "the body is not the recording that was requested; it begins with b'{\"sid\": null}'"),
        (b"{}", "the body is not the recording that was requested; it begins with b'{}'"),
        (b"[]", "the body is an array where an object should be; it begins with b'[]'"),
        (b'{"sid": "RT1", "size": "many"}', "field 'size': 'many' where an integer should be"),
    ],
    ids=["another recording", "SID null", "no SID", "array", "odd field"],
)
def test_a_body_that_is_not_the_recording_is_refused(sent: bytes, message: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode_recording(sent, "RT1")
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("sent", "url"),
    [
        (b'{"redirect_to": "https://x/y?z"}', "https://x/y?z"),
        (b'{"more": 1, "redirect_to": ""}', ""),
        (b"", None),
        (b"{}", None),
        (b'{"redirect_to": null}', None),
        (b'{"redirect_to": 7}', None),
        (b'["redirect_to"]', None),
        (b'{"redirect_to": "\xff"}', None),
        (b"<html>", None),
    ],
    ids=repr,
)
def test_the_location_of_media(sent: bytes, url: str | None) -> None:
    assert decode_media_location(sent) == url


# For another process


@pytest.mark.parametrize(
    ("recordings", "form"),
    [
        pytest.param([], bytes, id="none"),
        pytest.param([EXAMPLE_RECORDING, Recording()], bytes, id="usual ones"),
        pytest.param([Recording(codec=Codec("AV1"))], bytes, id="unknown enum value"),
        pytest.param([Recording(links={"a": 1.5})], list, id="a number in a map"),
        pytest.param([Recording(), Recording(grouping_sids={"a": None})], list, id="null in a map"),
        pytest.param([Recording(track_name="\ud800")], list, id="half a surrogate pair"),
    ],
)
def test_recordings_become_json_unless_that_would_change_them(recordings: list[Recording], form: type) -> None:
    serialized = serialize_recordings(recordings)
    assert type(serialized) is form
    assert deserialize_recordings(serialized) == recordings


# Models as dictionaries


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(EXAMPLE_RECORDING, id="the example"),
        pytest.param(Recording(), id="nothing"),
        pytest.param(Recording(codec=Codec("AV1"), status=RecordingStatus("")), id="unknown enum values"),
        pytest.param(Recording(date_created=EIGHT.replace(microsecond=1)), id="a microsecond"),
        pytest.param(
            Recording(date_created=datetime(987, 7, 30, 20, tzinfo=timezone(timedelta(hours=-3, minutes=-30)))),
            id="another offset",
        ),
        pytest.param(Recording(links={}, grouping_sids={"a": [1, None, {"b": 1.5}]}), id="odd maps"),
        pytest.param(ROOM, id="a room"),
        pytest.param(PARTICIPANT, id="a participant"),
        pytest.param(Room(video_codecs=()), id="a room without codecs"),
        pytest.param(PageMeta(key="recordings", page=0, next_page_url="https://x/"), id="meta"),
    ],
)
def test_a_model_comes_back_from_json(model: Recording | Room | Participant | PageMeta) -> None:
    fields = to_dict(model)
    assert set(fields) == {field.name for field in attrs.fields(type(model))}
    assert from_dict(type(model), fields) == model
    assert from_dict(type(model), json.loads(json.dumps(fields))) == model


def test_a_dictionary_holds_plain_values() -> None:
    fields = to_dict(EXAMPLE_RECORDING)
    for name in ("status", "type", "codec", "container_format", "date_created", "sid"):
        assert type(fields[name]) is str
    assert (fields["codec"], fields["status"]) == ("OPUS", "completed")
    assert fields["date_created"] == "2015-07-30T20:00:00Z"
    codecs = to_dict(ROOM)["video_codecs"]
    assert [type(codec) for codec in codecs] == [str, str, str]


def test_from_dict_names_the_field_that_it_cannot_read() -> None:
    with pytest.raises(DecodeError, match=r"^field 'size': 'many' where an integer should be$") as caught:
        from_dict(Recording, {"sid": "RT", "size": "many"})
    assert (caught.value.field, caught.value.index) == ("size", None)


def test_from_dict_passes_over_unknown_fields() -> None:
    assert from_dict(Recording, {"sid": "RT", "bitrate": 1}) == Recording(sid="RT")


# Errors


def test_an_error_in_the_form_of_the_provider() -> None:
    error_body = decode_error(
        404,
        b'{"code": 20404, "message": "The requested resource was not found", "status": 404,'
        b' "more_info": "https://www.twilio.com/docs/errors/20404"}',
    )
    assert error_body.message == "The requested resource was not found"
    assert error_body.code == 20404
    assert error_body.more_info == "https://www.twilio.com/docs/errors/20404"


def test_an_error_in_the_form_of_rfc_9457() -> None:
    error_body = decode_error(
        400,
        b'{"type": "https://www.twilio.com/docs/api/errors/20001", "title": "Invalid parameter", "status": 400,'
        b' "code": 20001, "detail": "The request is wrong",'
        b' "errors": [{"detail": "must be positive", "pointer": "#/PageSize"}, {"detail": "is too long"}]}',
    )
    assert error_body.message == "Invalid parameter: The request is wrong: must be positive: is too long"
    assert error_body.code == 20001
    assert error_body.more_info == "https://www.twilio.com/docs/api/errors/20001"


@pytest.mark.parametrize(
    ("status", "sent", "message"),
    [
        pytest.param(404, b"", "Not Found", id="empty"),
        pytest.param(404, b" \r\n\t", "Not Found", id="blank"),
        pytest.param(599, b"", "an HTTP status without a name", id="empty, status without a name"),
        pytest.param(502, b"upstream\r\n  failed", "Bad Gateway. upstream failed", id="plain text"),
        pytest.param(
            503,
            b'<!doctype html><html><head><TITLE lang="en">\n Down for\n maintenance </TITLE></head><body>x</body>',
            "Service Unavailable. Down for maintenance",
            id="HTML with title",
        ),
        pytest.param(500, b"<html><p>oops", "Internal Server Error. <html><p>oops", id="HTML without title"),
        pytest.param(500, b"[1, 2]", "Internal Server Error. [1, 2]", id="array"),
        pytest.param(500, b'"oops"', 'Internal Server Error. "oops"', id="string"),
        pytest.param(500, b"\xffoops", "Internal Server Error. \ufffdoops", id="invalid UTF-8"),
        pytest.param(403, b"{}", "Forbidden", id="empty object"),
        pytest.param(403, b'{"message": ""}', "Forbidden", id="empty message"),
        pytest.param(403, b'{"message": null, "errors": null}', "Forbidden", id="nulls"),
        pytest.param(403, b'{"message": "", "title": "No", "detail": ""}', "No", id="empty parts"),
        pytest.param(
            403,
            b'{"message": ["no"], "title": 1, "detail": {}, "errors": {"detail": "no"}}',
            "Forbidden",
            id="wrong types",
        ),
        pytest.param(
            403, b'{"title": "No", "errors": [null, 1, [], {}, {"detail": 5}, {"detail": "way"}]}', "No: way", id="odd"
        ),
        pytest.param(400, b'{"message": "a\\u001b[31mb\\u0000c\\r\\nd\\u202ee"}', "a [31mb c d e", id="control"),
        pytest.param(502, b"a\x1b[2Jb\x07c", "Bad Gateway. a [2Jb c", id="control characters in plain text"),
    ],
)
def test_the_message_of_an_error(status: int, sent: bytes, message: str) -> None:
    error_body = decode_error(status, sent)
    assert error_body.message == message
    assert (error_body.code, error_body.more_info) == (None, None)


@pytest.mark.parametrize(
    "sent",
    [
        b'{"message": "' + b"x" * 100_000 + b'"}',
        b"x" * 100_000,
        b"<title>" + b"x" * 100_000 + b"</title>",
        b'{"title": "t", "errors": [' + b",".join([b'{"detail": "wrong"}'] * 10_000) + b"]}",
    ],
    ids=["message", "plain text", "title", "errors"],
)
def test_a_very_long_message_is_cut(sent: bytes) -> None:
    message = decode_error(500, sent).message
    assert len(message) == 303
    assert message.endswith("...")


def test_a_message_and_a_link_of_300_characters_are_whole() -> None:
    link = "https://x/" + "y" * 290
    error_body = decode_error(500, json.dumps({"message": "x" * 300, "more_info": link}).encode())
    assert (error_body.message, error_body.more_info) == ("x" * 300, link)
    assert decode_error(500, json.dumps({"more_info": link + "y"}).encode()).more_info is None


@pytest.mark.parametrize("sent", [b"null", b'"20404"', b"20404.5", b"[20404]", b"{}"])
def test_a_code_that_is_no_integer_is_none(sent: bytes) -> None:
    error_body = decode_error(404, b'{"message": "gone", "code": ' + sent + b"}")
    assert (error_body.message, error_body.code) == ("gone", None)


@pytest.mark.parametrize("name", ["more_info", "type"])
@pytest.mark.parametrize("sent", ["about:blank", "", None, 5, ["https://x/"], "javascript:alert(1)"], ids=repr)
def test_what_is_not_a_link_is_left_out(name: str, sent: object) -> None:
    assert decode_error(404, json.dumps({name: sent}).encode()).more_info is None


@pytest.mark.parametrize(
    "link", ["https://example.com/\x1b[31m", "https://example.com/\r\nX", "https://" + "x" * 50_000]
)
def test_a_link_that_could_spoil_a_message_is_left_out(link: str) -> None:
    assert decode_error(400, json.dumps({"message": "no", "more_info": link}).encode()).more_info is None


def test_a_boolean_is_no_code() -> None:
    assert decode_error(400, b'{"code": true}').code is None


@pytest.mark.parametrize("data", [None, 3, [], "sid"])
def test_from_dict_takes_objects_only(data: Any) -> None:
    with pytest.raises(DecodeError, match="where an object should be"):
        from_dict(Recording, data)


@pytest.mark.parametrize(
    ("sent", "complaint"),
    [
        ("vp8", "a string where an array should be"),
        ({"a": 1}, "an object where an array should be"),
        (5, "a number where an array should be"),
        ([True], "a boolean where a string should be"),
        ([None], "null where a string should be"),
    ],
)
def test_invalid_video_codecs_are_named(sent: object, complaint: str) -> None:
    with pytest.raises(DecodeError) as caught:
        from_dict(Room, {"video_codecs": sent})
    assert (caught.value.field, caught.value.detail) == ("video_codecs", complaint)


def test_a_year_beyond_the_calendar_is_refused() -> None:
    with pytest.raises(DecodeError, match="where an ISO 8601 date should be"):
        from_dict(Recording, {"date_created": "Thu, 30 Jul 99999999999999999999 20:00:00 +0000"})


def test_an_offset_of_seconds_comes_back() -> None:
    recording = from_dict(Recording, {"date_created": "2015-07-30T20:00:00+00:00:30"})
    assert from_dict(Recording, to_dict(recording)) == recording


PAGE = json.loads(
    body([record(1), record(2, track_name='a } and a "[{'), record(3, links={})], following="PageToken=2")
)
WHOLE_BODIES = [
    pytest.param(json.dumps(PAGE).encode(), id="the list last"),
    pytest.param(json.dumps(dict(reversed(PAGE.items())), separators=(",", ":")).encode(), id="meta last, no spaces"),
    pytest.param(json.dumps(PAGE, indent=2).encode() + b"\r\n", id="pretty"),
    pytest.param(json.dumps(record(1)).encode(), id="a recording"),
    pytest.param(EXAMPLE, id="the reference's example"),
    pytest.param(b'{"redirect_to": "https://store.example/?a={}"}', id="a URL of media"),
]


@pytest.mark.parametrize("whole", WHOLE_BODIES)
def test_each_beginning_of_an_object_is_recognized_as_cut_off(whole: bytes) -> None:
    assert not is_cut_off(whole)
    length = len(whole.rstrip())
    assert [end for end in range(length) if not is_cut_off(whole[:end])] == []


@pytest.mark.parametrize(
    "other", [b"<html>{</html>", b"[1, 2", b"null", b'{"a": NaN}', b'{"a": 1} x', b'{"sid": "\xff"}', b"\x1f\x8b{"]
)
def test_what_is_no_object_or_malformed_was_not_cut_off(other: bytes) -> None:
    assert not is_cut_off(other)


# JSON lines

SURROGATE = Recording(sid="RT2", track_name="half a \ud83d pair", links={"é": "é"})


def test_json_lines_have_the_values_of_dictionaries_in_the_same_order() -> None:
    records = [EXAMPLE_RECORDING, Recording(), ROOM, PARTICIPANT, Recording(size=2**70, codec=Codec("AV1"))]
    lines = to_json_lines(iter(records)).split(b"\n")
    assert lines.pop() == b""
    assert [json.loads(line) for line in lines] == [json.loads(json.dumps(to_dict(record))) for record in records]
    assert [list(json.loads(line)) for line in lines] == [list(to_dict(record)) for record in records]


def test_json_lines_of_nothing_are_empty() -> None:
    assert to_json_lines([]) == b""


def test_half_a_surrogate_pair_is_escaped_and_changes_no_other_line() -> None:
    before, escaped, after = to_json_lines([EXAMPLE_RECORDING, SURROGATE, EXAMPLE_RECORDING]).splitlines()
    assert before == after == to_json_lines([EXAMPLE_RECORDING]).rstrip()
    assert b"\\ud83d" in escaped
    assert json.loads(escaped) == to_dict(SURROGATE)


def test_json_lines_are_utf_8_and_one_line_each() -> None:
    (line,) = to_json_lines([Recording(track_name="Zoë\n\u2028\r")]).split(b"\n")[:-1]
    assert "Zoë".encode() in line
    assert json.loads(line)["track_name"] == "Zoë\n\u2028\r"


def test_numbers_that_json_lacks_become_null() -> None:
    for text in ("", "\ud83d", "NaN"):
        line = to_json_lines([Recording(track_name=text, links={"a": float("nan"), "b": [float("-inf"), 1.5, "NaN"]})])
        assert json.loads(line)["links"] == {"a": None, "b": [None, 1.5, "NaN"]}
        assert json.loads(line)["track_name"] == text


def test_only_the_record_that_needs_repair_is_repaired(monkeypatch: pytest.MonkeyPatch) -> None:
    repaired: list[object] = []

    def counted(cls: type[Recording], fields: dict[str, object]) -> Recording:
        repaired.append(fields.get("sid"))
        return from_dict(cls, fields)

    monkeypatch.setattr(codec, "from_dict", counted)
    page = decode_recordings(body([record(number, size="7" if number == 3 else 7) for number in range(6)]))
    assert [recording.size for recording in page.items] == 6 * [7]
    # The block of metadata is one, too.
    assert [sid for sid in repaired if sid] == [f"RT{3:032x}"]
