"""Status callbacks: requests that the service sends to your program. Checks their signatures and reads them.

A room's status callback URL receives all events of the room, each as one of these classes:

- :class:`RecordingEvent`: ``recording-started``, ``recording-completed``, ``recording-failed``
- :class:`RoomEvent`: ``room-created``, ``room-ended``
- :class:`ParticipantEvent`: ``participant-connected``, ``participant-disconnected``
- :class:`TrackEvent`: ``track-added``, ``track-removed``, ``track-enabled``, ``track-disabled``
- :class:`OtherEvent`: events that the service adds later

Anybody can send requests to that URL: :func:`receive` checks the signature first. To copy a whole room, wait for
``room-ended``.

**Replays.** A signature does not expire: whoever has seen a request can send it again, and it is still valid. The
service, too, may deliver an event twice. Remember the ``key`` of each event for as long as it matters and ignore
repetitions, or make your handler idempotent, as a download is. ``timestamp`` says how old an event is.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, TypeAlias
from urllib.parse import parse_qsl, urlsplit

import attrs

from ._dates import parse_date
from ._text import safe_repr
from ._validate import refusal
from .errors import DecodeError, InvalidArgumentError, SignatureError
from .models import Codec, ContainerFormat, MediaType, OpenEnum, Recording, RecordingStatus, RoomStatus, RoomType

_SIGNATURE_HEADER: Final = "x-twilio-signature"
# Bytes; real callbacks have a few kilobytes. The bound keeps anybody from making us hash or parse more.
_MAX_BODY_SIZE: Final = 2**20
# Fields of a form; the same bound for parsing.
_MAX_FORM_FIELDS: Final = 1000
_STANDARD_PORTS: Final = {"https": 443, "http": 80}
_FORM: Final = "application/x-www-form-urlencoded"
_JSON: Final = "application/json"
# More of them than 64 bits can hold make no integer. A fraction is cut off, as in the API's lists.
_INTEGER: Final = re.compile(r"(-?[0-9]{1,19})(\.[0-9]*)?")


class RecordingEventType(OpenEnum):
    """Type of a recording's event: ``StatusCallbackEvent``."""

    STARTED = "recording-started"
    COMPLETED = "recording-completed"
    FAILED = "recording-failed"


class RoomEventType(OpenEnum):
    """Type of a room's event: ``StatusCallbackEvent``."""

    CREATED = "room-created"
    ENDED = "room-ended"


class ParticipantEventType(OpenEnum):
    """Type of a participant's event: ``StatusCallbackEvent``."""

    CONNECTED = "participant-connected"
    DISCONNECTED = "participant-disconnected"


class TrackEventType(OpenEnum):
    """Type of a track's event: ``StatusCallbackEvent``."""

    ADDED = "track-added"
    REMOVED = "track-removed"
    ENABLED = "track-enabled"
    DISABLED = "track-disabled"


_STATUSES: Final = {
    RecordingEventType.STARTED: RecordingStatus.PROCESSING,
    RecordingEventType.COMPLETED: RecordingStatus.COMPLETED,
    RecordingEventType.FAILED: RecordingStatus.FAILED,
}


@attrs.frozen(kw_only=True)
class _EventOfRoom:
    """What every event has. A field is None where the service sent nothing.

    Attributes:
        timestamp: time of the event; aware.
        sequence_number: number that the service gave the event. Not an order: events overtake each other.
        room_status: status of the room at that time.
        raw: everything that was sent, by the API's names; a GET request has the parameters of your own URL, too.
    """

    timestamp: datetime | None = None
    sequence_number: int | None = None
    account_sid: str | None = None
    room_sid: str | None = None
    room_name: str | None = None
    room_type: RoomType | None = None
    room_status: RoomStatus | None = None
    raw: Mapping[str, str] = attrs.field(factory=dict, repr=False, hash=False)

    def _key(self, sid: str | None, event: str, *, happens_once: bool) -> tuple[str | None, ...]:
        """Return the key of an event of what the SID names."""
        if happens_once:
            return sid, event
        return sid, event, self.raw.get("Timestamp"), self.raw.get("SequenceNumber")


@attrs.frozen(kw_only=True)
class RoomEvent(_EventOfRoom):
    """A room was created, or has ended.

    Attributes:
        status_callback_event: type of the event.
        room_duration: duration of a room that has ended, in seconds.
    """

    status_callback_event: RoomEventType
    room_duration: int | None = None

    @property
    def key(self) -> tuple[str | None, ...]:
        """Key of the event: the same for each delivery of one event, and for no other event."""
        event = self.status_callback_event
        return self._key(self.room_sid, event, happens_once=event.is_known)


@attrs.frozen(kw_only=True)
class ParticipantEvent(_EventOfRoom):
    """A participant came or went.

    Attributes:
        status_callback_event: type of the event.
        participant_identity: name that the application gave the participant. Untrusted text.
        participant_status: ``connected`` or ``disconnected``.
        participant_duration: seconds for which a participant who went was connected.
    """

    status_callback_event: ParticipantEventType
    participant_sid: str | None = None
    participant_identity: str | None = None
    participant_status: str | None = None
    participant_duration: int | None = None

    @property
    def key(self) -> tuple[str | None, ...]:
        """Key of the event: the same for each delivery of one event, and for no other event."""
        event = self.status_callback_event
        return self._key(self.participant_sid, event, happens_once=event.is_known)


@attrs.frozen(kw_only=True)
class TrackEvent(_EventOfRoom):
    """A participant added, removed, enabled or disabled a track.

    Attributes:
        status_callback_event: type of the event.
        participant_identity: name that the application gave the participant. Untrusted text.
        track_sid: SID of the track; :attr:`roomrec_async.Recording.source_sid` of its recording.
        track_kind: media type of the track.
    """

    status_callback_event: TrackEventType
    participant_sid: str | None = None
    participant_identity: str | None = None
    track_sid: str | None = None
    track_kind: MediaType | None = None

    @property
    def key(self) -> tuple[str | None, ...]:
        """Key of the event: the same for each delivery of one event, and for no other event."""
        # A track can be disabled and enabled many times.
        return self._key(self.track_sid, self.status_callback_event, happens_once=False)


@attrs.frozen(kw_only=True)
class OtherEvent(_EventOfRoom):
    """An event that this version of the library does not know. Its fields are in ``raw``.

    Attributes:
        status_callback_event: type of the event, as the service sent it.
    """

    status_callback_event: str

    @property
    def key(self) -> tuple[str | None, ...]:
        """Key of the event: the same for each delivery of one event, and for no other event."""
        return self._key(self.room_sid, self.status_callback_event, happens_once=False)


@attrs.frozen(kw_only=True)
class RecordingEvent(_EventOfRoom):
    """A recording has started, is complete, or has failed. Not every event has every field.

    Attributes:
        status_callback_event: type of the event.
        offset_from_twilio_video_epoch: ``offset`` of the recording in milliseconds.
        track_name: name that the participant's program gave the track. Untrusted text, as is ``participant_identity``.
        duration: duration of a completed recording in seconds.
        size: size of a completed recording in bytes.
        failed_operation: operation that failed, of a failed recording.
    """

    status_callback_event: RecordingEventType
    recording_sid: str | None = None
    participant_sid: str | None = None
    participant_identity: str | None = None
    source_sid: str | None = None
    recording_uri: str | None = None
    media_uri: str | None = None
    media_external_location: str | None = None
    container: ContainerFormat | None = None
    codec: Codec | None = None
    track_name: str | None = None
    type: MediaType | None = None
    offset_from_twilio_video_epoch: int | None = None
    duration: int | None = None
    size: int | None = None
    failed_operation: str | None = None

    @property
    def key(self) -> tuple[str | None, ...]:
        """Key of the event: the same for each delivery of one event, and for no other event."""
        event = self.status_callback_event
        return self._key(self.recording_sid, event, happens_once=event.is_known)

    def recording(self) -> Recording:
        """Return the recording with the fields that the event has; enough for ``client.download``."""
        return Recording(
            sid=self.recording_sid,
            account_sid=self.account_sid,
            room_sid=self.room_sid,
            source_sid=self.source_sid,
            status=_STATUSES.get(self.status_callback_event),
            type=self.type,
            codec=self.codec,
            container_format=self.container,
            track_name=self.track_name,
            size=self.size,
            duration=self.duration,
            offset=self.offset_from_twilio_video_epoch,
            media_external_location=self.media_external_location,
            grouping_sids={"room_sid": self.room_sid, "participant_sid": self.participant_sid},
        )


Event: TypeAlias = RecordingEvent | RoomEvent | ParticipantEvent | TrackEvent | OtherEvent
"""An event of a room; ``match`` or ``isinstance`` tells them apart."""


def receive(url: str, body: bytes, headers: Mapping[str, str], auth_token: str | Sequence[str]) -> Event:
    """Return the event of a callback after checking its signature: :func:`validate`, then :func:`parse`.

    Args:
        url: URL that the service was given, with the query of the request. Behind a proxy, your program may see
            another one. If the room's ``StatusCallbackMethod`` is GET, the event is in that query.
        body: body of the request, unchanged; empty if the method is GET.
        headers: headers of the request.
        auth_token: auth token of the account, which is the key of the signature even where requests use an API key;
            or several tokens, while one is being replaced.

    Raises:
        SignatureError: the request was not signed by the service, or was altered. Answer 403.
        DecodeError: the signature is right, but the request is no event, or a field cannot be read.
        InvalidArgumentError: there is no auth token, or an argument is of another kind.
    """
    validate(url, body, headers, auth_token)
    return parse(body, url)


def validate(url: str, body: bytes, headers: Mapping[str, str], auth_token: str | Sequence[str]) -> None:
    """Check the signature of a callback, in constant time. The arguments are those of :func:`receive`.

    ``X-Twilio-Signature`` is the base64 of an HMAC-SHA1 of the URL and, of a form, its sorted names and values. The
    key is the auth token. A JSON body is covered by its SHA-256 in the query parameter ``bodySHA256``. The service
    signs URLs with or without the standard port: both are accepted.

    Raises:
        SignatureError: the signature is missing or wrong, or does not cover the body; or the URL is malformed.
        InvalidArgumentError: there is no auth token, or an argument is of another kind.
    """
    _check_kinds(url, body, headers)
    tokens = _check_tokens(auth_token)
    if len(body) > _MAX_BODY_SIZE:
        raise SignatureError(f"the body has more than {_MAX_BODY_SIZE:,} bytes, which no callback has")
    lowercase_headers = {name.lower(): value for name, value in headers.items()}
    _check_url(url)
    signature = lowercase_headers.get(_SIGNATURE_HEADER)
    if signature is None:
        raise SignatureError("there is no X-Twilio-Signature header: the request was not sent by the service")

    received = signature.strip().encode("utf-8", "replace")
    signed_text = _signed_text(url, body, lowercase_headers.get("content-type", ""))
    # A list, not a generator: all of them are compared, so that the time does not show which one matched.
    matches = [
        hmac.compare_digest(_compute_signature(token, url_variant + signed_text), received)
        for token in tokens
        for url_variant in _url_variants(url)
    ]
    if not any(matches):
        raise SignatureError(
            "the signature is wrong: check the URL and the auth token; if they are right, the service did not send this"
        )


def parse(body: bytes, url: str = "") -> Event:
    """Return the event of a callback, whoever sent it: see :func:`receive`.

    Args:
        body: a form or a JSON object; empty if the event is in the query.
        url: URL of the request; its query is read only where there is no body.

    Raises:
        DecodeError: the request is no event, or a field cannot be read; the error names it.
    """
    raw = _parse_body(body) if body else dict(_parse_query(url))
    name = raw.get("StatusCallbackEvent")
    if not name:
        message = "the request is no event of a room: it has no StatusCallbackEvent"
        raise DecodeError(message, field="status_callback_event")

    event_class, event_type = _EVENT_CLASSES.get(name.partition("-")[0].casefold(), (OtherEvent, str))
    values = {
        field: _READERS.get(field, _read_text)(field, raw[api_name])
        for field, api_name in _API_NAMES[event_class].items()
        if raw.get(api_name)  # an empty value is the same as none
    }
    # Each reader returns the type of its field.
    return event_class(status_callback_event=event_type(name), raw=raw, **values)  # type: ignore[arg-type]


def _check_kinds(url: object, body: object, headers: object) -> None:
    """Check the arguments that a web framework gives in several forms.

    Raises:
        InvalidArgumentError: one of them is of another kind.
    """
    if not isinstance(url, str):
        raise InvalidArgumentError(f"{refusal('url', 'text', url)}: for the URL of a request, str(request.url)")
    if not isinstance(body, bytes):
        expected = "the bytes of the body, unchanged, as 'await request.body()' returns them"
        # The body itself may hold names of people: its type says enough.
        raise InvalidArgumentError(f"body must be {expected}, not {type(body).__name__}")
    # Not every framework's headers are a Mapping, but all have items().
    if isinstance(headers, type) or not hasattr(headers, "items"):
        raise InvalidArgumentError(
            f"headers must be all headers of the request, as a mapping, not {type(headers).__name__}"
        )


def _check_tokens(auth_token: object) -> list[str]:
    """Return the auth tokens as a list.

    Raises:
        InvalidArgumentError: there is none, or one is empty or no text. The message does not show it.
    """
    tokens = list(auth_token) if isinstance(auth_token, Sequence) and not isinstance(auth_token, str) else [auth_token]
    texts = [token for token in tokens if isinstance(token, str) and token]
    if not texts or len(texts) < len(tokens):
        raise InvalidArgumentError("auth_token must be the account's auth token, or a list of them, and not empty")
    return texts


def _check_url(url: str) -> None:
    """Check that a URL can be parsed.

    Raises:
        SignatureError: it cannot.
    """
    try:
        _ = urlsplit(url).port
    except ValueError:
        raise SignatureError(f"the URL of the request is malformed: {safe_repr(url)}") from None


def _signed_text(url: str, body: bytes, content_type: str) -> str:
    """Return the text that is signed after the URL: the fields of a form, or nothing for any other body.

    Raises:
        SignatureError: the body is not a form, or the URL does not hold the SHA-256 of the JSON body.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    # The first one, as the provider's own validator reads it.
    claimed = next((value for name, value in _parse_query(url) if name == "bodySHA256"), None)
    # Proxies and frameworks lose the content type. The service gives a hash of the body where it is no form.
    is_form = (media_type == _FORM and body) or (media_type != _JSON and claimed is None)
    if is_form:
        return "".join(name + value for name, value in sorted(set(_parse_form(body))))
    if claimed is None and not body:
        return ""

    # compare_digest() refuses strings with other characters than ASCII.
    claimed = (claimed or "").lower().encode("ascii", "replace").decode()
    if not hmac.compare_digest(hashlib.sha256(body).hexdigest(), claimed):
        raise SignatureError("the body does not match bodySHA256 in the URL")
    return ""


def _compute_signature(token: str, text: str) -> bytes:
    """Return the signature of a text, in base64."""
    return b64encode(hmac.digest(token.encode("utf-8", "surrogatepass"), text.encode("utf-8", "surrogatepass"), "sha1"))


def _url_variants(url: str) -> Iterator[str]:
    """Yield the URL in each form that the service may have signed: as it is, without a port, with the standard port."""
    # Split by hand: what urlsplit() puts together again may differ from what was signed.
    scheme, separator, rest = url.partition("://")
    authority = rest[: min((rest + "/").find("/"), (rest + "?").find("?"), (rest + "#").find("#"))]
    path = rest[len(authority) :]
    user, at, host = authority.rpartition("@")
    name, colon, port = host.rpartition(":")
    # The colons of an IPv6 address such as [::1] do not precede a port.
    if not colon or host.endswith("]"):
        name = host
        port = ""

    yield url
    yield f"{scheme}{separator}{user}{at}{name}{path}"
    if not port:
        yield f"{scheme}{separator}{user}{at}{name}:{_STANDARD_PORTS.get(scheme.lower(), 443)}{path}"


def _parse_query(url: str) -> list[tuple[str, str]]:
    """Return the names and values in the query of a URL; none where it has more of them than a callback has."""
    query = url.partition("#")[0].partition("?")[2]
    try:
        return parse_qsl(query, keep_blank_values=True, max_num_fields=_MAX_FORM_FIELDS)
    except ValueError:
        return []


def _parse_form(body: bytes) -> list[tuple[str, str]]:
    """Return the names and values of a form.

    Raises:
        SignatureError: the body is not a form.
    """
    try:
        return parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=_MAX_FORM_FIELDS)
    except ValueError:
        raise SignatureError("the body is not a form in UTF-8, which callbacks are") from None


def _parse_body(body: bytes) -> dict[str, str]:
    """Return the fields of a form or a JSON object. Other JSON values than strings stay in JSON; null is left out.

    Raises:
        DecodeError: the body is neither.
    """
    try:
        if not body.lstrip().startswith(b"{"):
            return dict(_parse_form(body))
        values = json.loads(body)
    except (SignatureError, ValueError, RecursionError):
        raise DecodeError(f"the body is neither a form nor JSON; it begins with {safe_repr(body)}") from None

    event = values.get("StatusCallbackEvent")
    if not isinstance(event, str | None):
        raise DecodeError(f"{safe_repr(event)} where the name of an event should be", field="status_callback_event")
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in values.items()
        if value is not None
    }


def _read_text(_: str, value: str) -> str:
    """Return the text as it is."""
    return value


def _read_integer(field: str, value: str) -> int:
    """Return an integer.

    Raises:
        DecodeError: it is not a decimal number, or has more digits than 64 bits can hold.
    """
    match = _INTEGER.fullmatch(value)
    if match is None:
        raise DecodeError(f"{safe_repr(value)} where an integer should be", field=field)
    return int(match[1])


def _read_count(field: str, value: str) -> int:
    """Return an integer from 0.

    Raises:
        DecodeError: it is not an integer, or negative.
    """
    count = _read_integer(field, value)
    if count < 0:
        raise DecodeError(f"{safe_repr(value)} where a number from 0 should be", field=field)
    return count


def _read_datetime(field: str, value: str) -> datetime:
    """Return an aware datetime; one without an offset is in UTC.

    Raises:
        DecodeError: it is not a date, or outside the calendar in UTC.
    """
    try:
        date = parse_date(value)
        # Callers compare and convert it: a date that has no equivalent in UTC would fail there.
        date.astimezone(UTC)
    except (ValueError, OverflowError):
        raise DecodeError(f"{safe_repr(value)} where an ISO 8601 date should be", field=field) from None
    return date


def _api_name(field: str) -> str:
    """Return the API's name of a field: ``RoomSid`` for ``room_sid``."""
    return "".join(part.capitalize() for part in field.split("_"))


# The API's names of the fields of each class, but for those that parse() fills in itself.
_API_NAMES: Final[Mapping[type[Event], Mapping[str, str]]] = {
    event_class: {
        field.name: _api_name(field.name)
        for field in attrs.fields(event_class)
        if field.name not in ("raw", "status_callback_event")
    }
    for event_class in (RecordingEvent, RoomEvent, ParticipantEvent, TrackEvent, OtherEvent)
}
# The first word of an event's name leads to its class.
_EVENT_CLASSES: Final[Mapping[str, tuple[type[Event], Callable[[str], str]]]] = {
    "recording": (RecordingEvent, RecordingEventType),
    "room": (RoomEvent, RoomEventType),
    "participant": (ParticipantEvent, ParticipantEventType),
    "track": (TrackEvent, TrackEventType),
}
# Readers of the fields that are not plain text. Each takes the field's name, for its error, and the text.
_READERS: Final[Mapping[str, Callable[[str, str], object]]] = {
    "timestamp": _read_datetime,
    "sequence_number": _read_integer,
    "room_type": lambda _, value: RoomType(value),
    "room_status": lambda _, value: RoomStatus(value),
    "room_duration": _read_count,
    "participant_duration": _read_count,
    "track_kind": lambda _, value: MediaType(value),
    "container": lambda _, value: ContainerFormat(value),
    "codec": lambda _, value: Codec(value),
    "type": lambda _, value: MediaType(value),
    "offset_from_twilio_video_epoch": _read_integer,
    "duration": _read_count,
    "size": _read_count,
}
