"""Callbacks: only those that the service has signed are read, as judged by the official validator."""

from __future__ import annotations

import hashlib
import json
import random
import string
from datetime import UTC, datetime
from urllib.parse import urlencode

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import MultiDict
from twilio.request_validator import RequestValidator

from roomrec_async import (
    Codec,
    ContainerFormat,
    DecodeError,
    InvalidArgumentError,
    MediaType,
    RecordingStatus,
    RoomStatus,
    SignatureError,
)
from roomrec_async.webhooks import (
    OtherEvent,
    ParticipantEvent,
    ParticipantEventType,
    RecordingEvent,
    RecordingEventType,
    RoomEvent,
    RoomEventType,
    TrackEvent,
    TrackEventType,
    parse,
    receive,
    validate,
)

TOKEN = "canary-auth-token"
URL = "https://app.example/recordings?tenant=7"
OFFICIAL = RequestValidator(TOKEN)
FORM = "application/x-www-form-urlencoded"
COMPLETED = {
    "AccountSid": "AC" + "1" * 32,
    "RoomSid": "RM" + "2" * 32,
    "RoomName": "daily & weekly",
    "RoomType": "group",
    "RecordingSid": "RT" + "3" * 32,
    "ParticipantSid": "PA" + "4" * 32,
    "ParticipantIdentity": "Zoë + 😀",
    "SourceSid": "MT" + "5" * 32,
    "RecordingUri": "/v1/Recordings/RT",
    "MediaUri": "/v1/Recordings/RT/Media",
    "Container": "mka",
    "Codec": "opus",
    "TrackName": "microphone",
    "Type": "audio",
    "OffsetFromTwilioVideoEpoch": "1234",
    "Timestamp": "2026-03-01T09:30:00.123Z",
    "StatusCallbackEvent": "recording-completed",
    "Duration": "60",
    "Size": "240000",
    "SequenceNumber": "3",
    "NewInTheFuture": "yes",
}


def signed(
    url: str = URL, fields: dict[str, str] | None = None, token: str = TOKEN
) -> tuple[str, bytes, dict[str, str]]:
    fields = COMPLETED if fields is None else fields
    signature = RequestValidator(token).compute_signature(url, fields)
    return url, urlencode(fields).encode(), {"X-Twilio-Signature": signature, "Content-Type": FORM}


def signed_json(fields: object, url: str = URL) -> tuple[str, bytes, dict[str, str]]:
    body = json.dumps(fields).encode()
    url += f"{'&' if '?' in url else '?'}bodySHA256={hashlib.sha256(body).hexdigest()}"
    headers = {
        "x-twilio-signature": OFFICIAL.compute_signature(url, {}),
        "content-type": "application/json; charset=utf-8",
    }
    return url, body, headers


def test_a_completed_recording() -> None:
    event = receive(*signed(), TOKEN)
    assert isinstance(event, RecordingEvent)
    assert event.status_callback_event is RecordingEventType.COMPLETED
    assert event.timestamp == datetime(2026, 3, 1, 9, 30, 0, 123000, tzinfo=UTC)
    assert (event.duration, event.size, event.offset_from_twilio_video_epoch, event.sequence_number) == (
        60,
        240000,
        1234,
        3,
    )
    assert (event.participant_identity, event.room_name) == ("Zoë + 😀", "daily & weekly")
    assert (event.type, event.codec, event.container) == (MediaType.AUDIO, Codec.OPUS, ContainerFormat.MKA)
    assert event.key == ("RT" + "3" * 32, "recording-completed")
    assert event.raw == COMPLETED
    assert event.failed_operation is None
    recording = event.recording()
    assert (recording.sid, recording.room_sid, recording.status) == (
        event.recording_sid, event.room_sid, RecordingStatus.COMPLETED,
    )  # fmt: skip
    assert (recording.size, recording.participant_sid) == (240000, "PA" + "4" * 32)


def test_other_events_and_unknown_values() -> None:
    started = parse(b"StatusCallbackEvent=recording-started&Codec=AV2&Type=&Size=")
    assert isinstance(started, RecordingEvent)
    assert started.recording().status is RecordingStatus.PROCESSING
    assert (started.codec, started.type, started.size) == ("AV2", None, None)
    failed = parse(b"StatusCallbackEvent=recording-failed&FailedOperation=upload")
    assert isinstance(failed, RecordingEvent)
    assert (failed.recording().status, failed.failed_operation) == (RecordingStatus.FAILED, "upload")
    enchanted = parse(b"StatusCallbackEvent=recording-enchanted")
    assert isinstance(enchanted, RecordingEvent)
    assert enchanted.recording().status is None
    assert not enchanted.status_callback_event.is_known


def test_a_real_completed_recording() -> None:
    """Fields as they were seen in a real callback: no Type, microseconds, and lower-case codec."""
    event = receive(
        *signed(
            fields={
                "StatusCallbackEvent": "recording-completed",
                "Codec": "vp8",
                "Container": "mkv",
                "Timestamp": "2026-03-01T09:30:00.123456Z",
                "OffsetFromTwilioVideoEpoch": "155137307765",
                "RoomStatus": "in-progress",
            }
        ),
        TOKEN,
    )
    assert isinstance(event, RecordingEvent)
    assert (event.codec, event.container, event.type) == (Codec.VP8, ContainerFormat.MKV, None)
    assert event.timestamp == datetime(2026, 3, 1, 9, 30, 0, 123456, tzinfo=UTC)
    assert event.offset_from_twilio_video_epoch == 155_137_307_765
    assert event.room_status is RoomStatus.IN_PROGRESS


ROOM_FIELDS = {
    "AccountSid": "AC" + "1" * 32,
    "RoomSid": "RM" + "2" * 32,
    "RoomStatus": "in-progress",
    "Timestamp": "2026-03-01T09:30:00.5Z",
    "SequenceNumber": "0",
}


class TestOtherEventsOfARoom:
    """The room's status callback URL receives all of its events, not only those of recordings."""

    def test_a_room_that_has_ended(self) -> None:
        fields = ROOM_FIELDS | {"StatusCallbackEvent": "room-ended", "RoomStatus": "completed", "RoomDuration": "61"}
        event = receive(*signed(fields=fields), TOKEN)
        assert isinstance(event, RoomEvent)
        assert event.status_callback_event is RoomEventType.ENDED
        assert (event.room_duration, event.room_status, event.sequence_number) == (61, RoomStatus.COMPLETED, 0)
        assert event.key == ("RM" + "2" * 32, "room-ended")

    def test_a_participant_who_went(self) -> None:
        fields = ROOM_FIELDS | {
            "StatusCallbackEvent": "participant-disconnected",
            "ParticipantSid": "PA" + "4" * 32,
            "ParticipantIdentity": "Zoë",
            "ParticipantStatus": "disconnected",
            "ParticipantDuration": "60",
        }
        event = receive(*signed(fields=fields), TOKEN)
        assert isinstance(event, ParticipantEvent)
        assert event.status_callback_event is ParticipantEventType.DISCONNECTED
        assert (event.participant_identity, event.participant_status) == ("Zoë", "disconnected")
        assert event.participant_duration == 60
        assert event.key == ("PA" + "4" * 32, "participant-disconnected")

    def test_a_track_that_is_muted_twice(self) -> None:
        fields = ROOM_FIELDS | {
            "StatusCallbackEvent": "track-disabled",
            "ParticipantSid": "PA" + "4" * 32,
            "TrackSid": "MT" + "5" * 32,
            "TrackKind": "audio",
        }
        event = receive(*signed(fields=fields), TOKEN)
        assert isinstance(event, TrackEvent)
        assert event.status_callback_event is TrackEventType.DISABLED
        assert (event.track_sid, event.track_kind) == ("MT" + "5" * 32, MediaType.AUDIO)

        again = fields | {"Timestamp": "2026-03-01T09:31:00Z", "SequenceNumber": "7"}
        assert parse(urlencode(fields).encode()).key == event.key
        assert parse(urlencode(again).encode()).key != event.key

    def test_an_event_that_is_not_known_yet(self) -> None:
        event = receive(*signed(fields=ROOM_FIELDS | {"StatusCallbackEvent": "caption-added", "Words": "hi"}), TOKEN)
        assert isinstance(event, OtherEvent)
        assert (event.status_callback_event, event.raw["Words"], event.room_sid) == (
            "caption-added",
            "hi",
            "RM" + "2" * 32,
        )
        for name in ("room-painted", "participant-waved", "track-tuned"):
            event = parse(urlencode(ROOM_FIELDS | {"StatusCallbackEvent": name}).encode())
            assert event.status_callback_event == name
            # It may happen many times: the key tells the occasions apart.
            assert event.key[-2:] == ("2026-03-01T09:30:00.5Z", "0")

    @pytest.mark.parametrize("name", ["ROOM-ENDED", "Room-Ended"])
    def test_the_case_of_an_event_makes_no_difference(self, name: str) -> None:
        assert parse(f"StatusCallbackEvent={name}".encode()).status_callback_event == RoomEventType.ENDED


class TestGet:
    """With StatusCallbackMethod=GET, the parameters are in the query, and there is no body."""

    @pytest.mark.parametrize("headers", [{}, {"Content-Type": FORM}, {"Content-Type": "application/json"}])
    def test_the_event_is_in_the_query(self, headers: dict[str, str]) -> None:
        url = f"{URL}&{urlencode(COMPLETED)}"
        signature = OFFICIAL.compute_signature(url, {})
        assert OFFICIAL.validate(url, {}, signature)
        event = receive(url, b"", {"X-Twilio-Signature": signature, **headers}, TOKEN)
        assert isinstance(event, RecordingEvent)
        assert attrs.evolve(event, raw=COMPLETED) == receive(*signed(), TOKEN)
        assert event.raw == COMPLETED | {"tenant": "7"}
        assert event.key == ("RT" + "3" * 32, "recording-completed")
        with pytest.raises(SignatureError):
            validate(url.replace("240000", "240001"), b"", {"X-Twilio-Signature": signature, **headers}, TOKEN)

    def test_the_query_of_a_post_is_not_read(self) -> None:
        url, body, headers = signed(f"{URL}&Size=1&StatusCallbackEvent=room-ended")
        event = receive(url, body, headers, TOKEN)
        assert isinstance(event, RecordingEvent)
        assert event.size == 240000

    @pytest.mark.parametrize("url", [URL, f"{URL}&StatusCallbackEvent=", "https://app.example", ""])
    def test_a_request_without_an_event_is_none(self, url: str) -> None:
        headers = {"X-Twilio-Signature": OFFICIAL.compute_signature(url, {})}
        with pytest.raises(DecodeError, match="no StatusCallbackEvent"):
            receive(url, b"", headers, TOKEN)


@pytest.mark.parametrize(
    "body", [b"", b"&&", b"RecordingSid=RT1", b'{"RecordingSid": "RT1"}', b"[]", b'{"StatusCallbackEvent": null}']
)
def test_a_body_without_an_event_is_none(body: bytes) -> None:
    with pytest.raises(DecodeError, match="no StatusCallbackEvent"):
        parse(body)


@pytest.mark.parametrize("name", [[], {}, ["room-ended"], {"name": None}, False, True, 5, 1.5])
def test_an_event_whose_name_is_no_text_is_none(name: object) -> None:
    with pytest.raises(DecodeError, match="where the name of an event should be") as caught:
        receive(*signed_json({"StatusCallbackEvent": name, "RoomSid": "RM1"}), TOKEN)
    assert caught.value.field == "status_callback_event"


def test_a_json_body() -> None:
    fields = {"StatusCallbackEvent": "recording-started", "RecordingSid": "RT1", "Size": 7, "Nested": {"a": 1}}
    event = receive(*signed_json(fields | {"Duration": None, "TrackName": None}), TOKEN)
    assert isinstance(event, RecordingEvent)
    assert (event.recording_sid, event.size, event.raw["Nested"]) == ("RT1", 7, '{"a": 1}')
    assert (event.duration, event.track_name) == (None, None)
    assert "TrackName" not in event.raw


@pytest.mark.parametrize("content_type", [None, "", "text/plain", "application/octet-stream", "application/json"])
def test_json_is_judged_as_by_the_official_validator_whatever_the_content_type(content_type: str | None) -> None:
    body = json.dumps({"StatusCallbackEvent": "room-ended", "RoomName": "Zoë"}).encode()
    right = hashlib.sha256(body).hexdigest()
    for claimed, key in ((right, TOKEN), (right[::-1], TOKEN), ("0", TOKEN), (right, "another")):
        url = f"{URL}&bodySHA256={claimed}"
        signature = RequestValidator(key).compute_signature(url, {})
        headers = {"X-Twilio-Signature": signature}
        if content_type is not None:
            headers["Content-Type"] = content_type
        try:
            event = receive(url, body, headers, TOKEN)
        except SignatureError:
            event = None
        assert (event is not None) == OFFICIAL.validate(url, body.decode(), signature)


def test_a_body_that_was_taken_away_is_missed() -> None:
    """Without its body and content type, a JSON callback must not become a GET request."""
    url, _, headers = signed_json({"StatusCallbackEvent": "room-created"}, f"{URL}&StatusCallbackEvent=room-ended")
    for content_type in (None, FORM, "application/json"):
        with pytest.raises(SignatureError, match="bodySHA256"):
            validate(
                url,
                b"",
                {"x-twilio-signature": headers["x-twilio-signature"], "Content-Type": content_type or ""},
                TOKEN,
            )


@pytest.mark.parametrize(
    ("name", "value", "field", "expected"),
    [
        ("OffsetFromTwilioVideoEpoch", "-12", "offset_from_twilio_video_epoch", -12),
        ("Duration", "12.7", "duration", 12),
        ("Timestamp", "2016-12-31T23:59:60Z", "timestamp", datetime(2017, 1, 1, tzinfo=UTC)),
        ("Timestamp", "2026-03-01T24:00:00Z", "timestamp", datetime(2026, 3, 2, tzinfo=UTC)),
        ("Timestamp", "Sun, 01 Mar 2026 09:30:00 GMT", "timestamp", datetime(2026, 3, 1, 9, 30, tzinfo=UTC)),
    ],
)
def test_unusual_values_are_read(name: str, value: str, field: str, expected: object) -> None:
    assert getattr(receive(*signed(fields={**COMPLETED, name: value}), TOKEN), field) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Size", "many"),
        ("Size", "-1"),
        ("Size", "٣"),
        ("Size", "9" * 5000),
        ("Timestamp", "yesterday"),
        ("Duration", "-1"),
        ("Duration", "-0.5e3"),
        ("Timestamp", "0001-01-01T00:00:00+14:00"),
        ("Timestamp", "9999-12-31T23:59:60Z"),
        ("Timestamp", "9999-12-31T23:59:59-12:00"),
        ("Timestamp", "2026-02-30T00:00:00Z"),
    ],
)
def test_a_field_that_cannot_be_read_is_named(name: str, value: str) -> None:
    with pytest.raises(DecodeError, match=name.lower()):
        receive(*signed(fields={**COMPLETED, name: value}), TOKEN)


class TestRefusals:
    def test_altered_requests_are_refused(self) -> None:
        url, body, headers = signed()
        other = {**headers, "X-Twilio-Signature": "AAAA" + headers["X-Twilio-Signature"][4:]}
        for request in (
            (url + "&more=1", body, headers),
            (url.replace("https", "http"), body, headers),
            (url, body + b"&More=1", headers),
            (url, body.replace(b"Size=240000", b"Size=240001"), headers),
            (url, body, other),
            (url, body, {}),
            (url, body, {"X-Twilio-Signature": ""}),
            (url, body, {"X-Twilio-Signature": "ü😀\udcff"}),
            (url, b"\xff=1", headers),
            (url, b"x" * (2**20 + 1), headers),
            (url, b"&".join(b"a=1" for _ in range(2000)), headers),
        ):
            with pytest.raises(SignatureError) as caught:
                validate(*request, TOKEN)
            assert TOKEN not in str(caught.value)
            assert headers["X-Twilio-Signature"] not in str(caught.value)

    def test_a_json_body_that_was_altered_or_is_not_covered_is_refused(self) -> None:
        url, body, headers = signed_json({"RecordingSid": "RT1"})
        with pytest.raises(SignatureError, match="bodySHA256"):
            validate(url, body + b" ", headers, TOKEN)
        bare = {**headers, "x-twilio-signature": OFFICIAL.compute_signature(URL, {})}
        with pytest.raises(SignatureError, match="bodySHA256"):
            validate(URL, body, bare, TOKEN)
        with pytest.raises(SignatureError):
            validate(url.replace("tenant=7", "tenant=8"), body, headers, TOKEN)

    def test_the_signature_of_a_json_body_does_not_cover_a_form(self) -> None:
        """A signature of a URL alone, as it comes with JSON, must not vouch for a form."""
        url, _, headers = signed_json({"RecordingSid": "RT1"})
        with pytest.raises(SignatureError):
            validate(url, b"RecordingSid=RT2", {**headers, "content-type": FORM}, TOKEN)

    @pytest.mark.parametrize(
        "url",
        [
            "https://[evil/x",
            "https://[::1/x?bodySHA256=1",
            "https://a.example:port/",
            "https://a.example:99999/",
            "//[",
            "https://\u2100.example/",
        ],
    )
    @pytest.mark.parametrize("content_type", ["application/json", FORM, ""])
    def test_a_malformed_url_is_refused(self, url: str, content_type: str) -> None:
        """Its host is what the sender wrote into the Host header."""
        headers = {"X-Twilio-Signature": OFFICIAL.compute_signature(url, {}), "Content-Type": content_type}
        with pytest.raises(SignatureError, match="malformed"):
            receive(url, b"", headers, TOKEN)

    def test_the_signature_of_another_token_is_refused(self) -> None:
        with pytest.raises(SignatureError):
            validate(*signed(token="another"), TOKEN)
        validate(*signed(token="another"), [TOKEN, "another"])
        with pytest.raises(SignatureError):
            validate(*signed(), "half a pair \ud800")
        for nothing in ("", [], ["", TOKEN]):
            with pytest.raises(InvalidArgumentError):
                validate(*signed(), nothing)


@pytest.mark.parametrize(
    "url", ["https://a.example/x", "http://a.example/x?y=1", "https://a.example", "https://[::1]/x"]
)
def test_a_url_matches_with_and_without_the_standard_port(url: str) -> None:
    scheme, rest = url.split("://")
    authority = rest.split("/")[0]
    port = 443 if scheme == "https" else 80
    with_port = f"{scheme}://{authority}:{port}{rest[len(authority) :]}"
    for signed_url in (url, with_port):
        for seen in (url, with_port):
            _, body, headers = signed(signed_url)
            validate(seen, body, headers, TOKEN)
    _, body, headers = signed(url)
    with pytest.raises(SignatureError):
        validate(url.replace("a.example", "b.example").replace("[::1]", "[::2]"), body, headers, TOKEN)


def test_a_field_that_is_there_twice_is_signed_once() -> None:
    fields = MultiDict([*COMPLETED.items(), ("Extra", "b"), ("Extra", "a"), ("Extra", "b")])
    signature = OFFICIAL.compute_signature(URL, fields)
    headers = {"X-Twilio-Signature": signature, "Content-Type": FORM}
    validate(URL, urlencode(list(fields.items())).encode(), headers, TOKEN)


def test_it_agrees_with_the_official_validator() -> None:
    chance = random.Random(3)
    judged = {True: 0, False: 0}
    for _ in range(4000):
        url, fields = random_url(chance), random_fields(chance)
        signature = OFFICIAL.compute_signature(altered_port(chance, url), fields)
        if chance.random() < 0.4:
            url, fields, signature = tampered(chance, url, fields, signature)
        official = OFFICIAL.validate(url, fields, signature)
        headers = {"X-Twilio-Signature": signature, "Content-Type": FORM}
        try:
            validate(url, urlencode(fields).encode(), headers, TOKEN)
        except SignatureError:
            ours = False
        else:
            ours = True
        assert ours == official, (url, fields, signature)
        judged[ours] += 1
    assert min(judged.values()) > 1000


def random_url(chance: random.Random) -> str:
    port = chance.choice(["", "", ":443", ":80", ":8443"])
    path = "/".join("".join(chance.choices(string.ascii_letters + "%~-.", k=chance.randint(0, 6))) for _ in range(3))
    query = chance.choice(["", "?a=1", "?a=1&b=%C3%A9", "?bodyless=1"])
    return f"{chance.choice(['https', 'http'])}://app{chance.randint(0, 9)}.example{port}/{path}{query}"


def random_fields(chance: random.Random) -> dict[str, str]:
    alphabet = string.printable + "äé漢😀&=+%"
    return {
        "".join(chance.choices(string.ascii_letters, k=chance.randint(1, 5))): "".join(
            chance.choices(alphabet, k=chance.randint(0, 12))
        )
        for _ in range(chance.randint(0, 8))
    }


def altered_port(chance: random.Random, url: str) -> str:
    if chance.random() < 0.5:
        return url
    scheme, _, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    host = authority.partition(":")[0]
    return f"{scheme}://{host}{':443' if scheme == 'https' else ':80'}{slash}{path}"


def tampered(
    chance: random.Random, url: str, fields: dict[str, str], signature: str
) -> tuple[str, dict[str, str], str]:
    match chance.randint(0, 4):
        case 0:
            return url + "x", fields, signature
        case 1:
            return url, {**fields, "Added": "1"}, signature
        case 2:
            return url, fields, signature[:-2] + "x="
        case 3:
            return url, {name: value + "x" for name, value in fields.items()}, signature
        case _:
            return url, fields, signature[:10]


@settings(max_examples=500, deadline=None)
@given(st.text(), st.binary(), st.dictionaries(st.text(), st.text()), st.booleans())
def test_anything_gives_only_documented_errors(url: str, body: bytes, headers: dict[str, str], is_json: bool) -> None:
    headers |= {"X-Twilio-Signature": "x", "Content-Type": "application/json" if is_json else FORM}
    with pytest.raises(SignatureError):
        validate(url, body, headers, TOKEN)
    try:
        event = parse(body or b"StatusCallbackEvent=x", url)
    except DecodeError as error:
        assert str(error)
    else:
        assert event.status_callback_event
