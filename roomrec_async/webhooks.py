"""Recording callbacks: requests that the service sends to your program. Checks their signatures and reads them.

The service posts ``recording-started``, ``recording-completed`` and ``recording-failed`` to the room's status callback
URL. Anybody can post there: :func:`receive` checks the signature first.

**Replays.** A signature does not expire: whoever has seen a request can send it again, and it is still valid. The
service, too, may deliver an event twice. Remember the :attr:`~RecordingEvent.key` of each event for as long as it
matters and ignore repetitions, or make your handler idempotent, as a download is. ``timestamp`` says how old an event
is.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qs, parse_qsl, urlsplit

import attrs

from ._text import safe_repr
from .errors import DecodeError, InvalidArgumentError, SignatureError
from .models import Codec, ContainerFormat, MediaType, OpenEnum, Recording, RecordingStatus, RoomType

_SIGNATURE_HEADER: Final = "x-twilio-signature"
# Bytes; real callbacks have a few kilobytes. The bound keeps anybody from making us hash or parse more.
_MAX_BODY_SIZE: Final = 2**20
# Fields of a form; the same bound for parsing.
_MAX_FORM_FIELDS: Final = 1000
_STANDARD_PORTS: Final = {"https": 443, "http": 80}


class RecordingEventType(OpenEnum):
    """Type of a recording's event: ``StatusCallbackEvent``."""

    STARTED = "recording-started"
    COMPLETED = "recording-completed"
    FAILED = "recording-failed"


_STATUSES: Final = {
    RecordingEventType.STARTED: RecordingStatus.PROCESSING,
    RecordingEventType.COMPLETED: RecordingStatus.COMPLETED,
    RecordingEventType.FAILED: RecordingStatus.FAILED,
}


@attrs.frozen(kw_only=True)
class RecordingEvent:
    """One recording callback. A field is None where the service sent nothing; not every event has every field.

    Attributes:
        status_callback_event: type of the event.
        timestamp: time of the event; aware.
        sequence_number: number that the service gave the event. Not an order: events overtake each other.
        offset_from_twilio_video_epoch: ``offset`` of the recording in milliseconds.
        track_name: name that the participant's program gave the track. Untrusted text, as is ``participant_identity``.
        duration: duration of a completed recording in seconds.
        size: size of a completed recording in bytes.
        failed_operation: operation that failed, of a failed recording.
        raw: everything that was sent, by the API's names.
    """

    status_callback_event: RecordingEventType | None = None
    timestamp: datetime | None = None
    sequence_number: int | None = None
    account_sid: str | None = None
    room_sid: str | None = None
    room_name: str | None = None
    room_type: RoomType | None = None
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
    raw: Mapping[str, str] = attrs.field(factory=dict, repr=False, hash=False)

    @property
    def key(self) -> tuple[str | None, str | None]:
        """Key of the event: the same for each delivery of one event, and for no other event."""
        return self.recording_sid, self.status_callback_event

    def recording(self) -> Recording:
        """Return the recording with the fields that the event has; enough for :meth:`RecordingsClient.download`."""
        status = None
        if self.status_callback_event:
            status = _STATUSES.get(self.status_callback_event)
        return Recording(
            sid=self.recording_sid,
            account_sid=self.account_sid,
            room_sid=self.room_sid,
            source_sid=self.source_sid,
            status=status,
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


def receive(url: str, body: bytes, headers: Mapping[str, str], auth_token: str | Sequence[str]) -> RecordingEvent:
    """Return the event of a callback after checking its signature: :func:`validate`, then :func:`parse`.

    Args:
        url: URL that the service was given, with its query. Behind a proxy, your program may see another one.
        body: body of the request, unchanged.
        headers: headers of the request.
        auth_token: auth token of the account, which is the key of the signature even where requests use an API key;
            or several tokens, while one is being replaced.

    Raises:
        SignatureError: the request was not signed by the service, or was altered. Answer 403.
        DecodeError: the signature is right, but a field cannot be read.
        InvalidArgumentError: there is no auth token.
    """
    validate(url, body, headers, auth_token)
    return parse(body)


def validate(url: str, body: bytes, headers: Mapping[str, str], auth_token: str | Sequence[str]) -> None:
    """Check the signature of a callback, in constant time. The arguments are those of :func:`receive`.

    ``X-Twilio-Signature`` is the base64 of an HMAC-SHA1 of the URL and, of a form, its sorted names and values. The
    key is the auth token. A JSON body is covered by its SHA-256 in the query parameter ``bodySHA256``. The service
    signs URLs with or without the standard port: both are accepted.

    Raises:
        SignatureError: the signature is missing or wrong, or does not cover the body.
        InvalidArgumentError: there is no auth token.
    """
    tokens = [auth_token] if isinstance(auth_token, str) else list(auth_token)
    if not tokens or not all(tokens):
        raise InvalidArgumentError("auth_token must be the account's auth token, not empty")
    if len(body) > _MAX_BODY_SIZE:
        raise SignatureError(f"the body has more than {_MAX_BODY_SIZE:,} bytes, which no callback has")
    lowercase_headers = {name.lower(): value for name, value in headers.items()}
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


def parse(body: bytes) -> RecordingEvent:
    """Return the event in the body of a callback, a form or a JSON object, whoever sent it: see :func:`receive`.

    Raises:
        DecodeError: the body is neither, or a field cannot be read; the error names it.
    """
    raw = _parse_body(body)
    values = {
        field: _READERS.get(field, _read_text)(field, raw[name])
        for field, name in _API_NAMES.items()
        if raw.get(name)  # an empty value is the same as none
    }
    return RecordingEvent(raw=raw, **values)  # type: ignore[arg-type]  # each reader returns the type of its field


def _signed_text(url: str, body: bytes, content_type: str) -> str:
    """Return the text that is signed after the URL: the fields of a form, or nothing for a JSON body.

    Raises:
        SignatureError: the body is not a form, or the URL does not hold the SHA-256 of the JSON body.
    """
    if content_type.partition(";")[0].strip().lower() != "application/json":
        return "".join(name + value for name, value in sorted(set(_parse_form(body))))

    claimed = parse_qs(urlsplit(url).query).get("bodySHA256", [""])[0]
    # compare_digest() refuses strings with other characters than ASCII.
    claimed = claimed.lower().encode("ascii", "replace").decode()
    if not hmac.compare_digest(hashlib.sha256(body).hexdigest(), claimed):
        raise SignatureError("the body does not match bodySHA256 in the URL")
    return ""


def _compute_signature(token: str, text: str) -> bytes:
    """Return the signature of a text, in base64."""
    return b64encode(hmac.digest(token.encode(), text.encode("utf-8", "surrogatepass"), "sha1"))


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
    """Return the fields of a form or a JSON object. Other JSON values than strings stay in JSON.

    Raises:
        DecodeError: the body is neither.
    """
    try:
        if not body.lstrip().startswith(b"{"):
            return dict(_parse_form(body))
        values = json.loads(body)
    except (SignatureError, ValueError, RecursionError):
        raise DecodeError(f"the body is neither a form nor JSON; it begins with {safe_repr(body)}") from None
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items()}


def _read_text(_: str, value: str) -> str:
    """Return the text as it is."""
    return value


def _read_integer(field: str, value: str) -> int:
    """Return an integer from 0.

    Raises:
        DecodeError: it is not a number of decimal digits, or has more of them than 64 bits can hold.
    """
    if not (value.isascii() and value.isdecimal() and len(value) <= len(str(2**63))):
        raise DecodeError(f"{safe_repr(value)} where an integer should be", field=field)
    return int(value)


def _read_datetime(field: str, value: str) -> datetime:
    """Return an aware datetime; one without an offset is in UTC.

    Raises:
        DecodeError: it is not in ISO 8601.
    """
    try:
        date = datetime.fromisoformat(value)
    except ValueError:
        raise DecodeError(f"{safe_repr(value)} where an ISO 8601 date should be", field=field) from None
    if date.tzinfo is None:
        return date.replace(tzinfo=UTC)
    return date


def _api_name(field: str) -> str:
    """Return the API's name of a field: ``RoomSid`` for ``room_sid``."""
    return "".join(part.capitalize() for part in field.split("_"))


_API_NAMES: Final = {field.name: _api_name(field.name) for field in attrs.fields(RecordingEvent) if field.name != "raw"}
# Readers of the fields that are not plain text. Each takes the field's name, for its error, and the text.
_READERS: Final = {
    "status_callback_event": lambda _, value: RecordingEventType(value),
    "timestamp": _read_datetime,
    "sequence_number": _read_integer,
    "room_type": lambda _, value: RoomType(value),
    "container": lambda _, value: ContainerFormat(value),
    "codec": lambda _, value: Codec(value),
    "type": lambda _, value: MediaType(value),
    "offset_from_twilio_video_epoch": _read_integer,
    "duration": _read_integer,
    "size": _read_integer,
}
