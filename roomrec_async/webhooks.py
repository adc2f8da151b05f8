"""Recording callbacks: requests that the service sends to you, checked and read.

The service posts ``recording-started``, ``recording-completed`` and ``recording-failed`` to the room's status callback
URL. Anybody can post there: :func:`receive` first checks the signature.

**Replays.** A signature holds no time: whoever has seen a request can send it again, with everything right about it.
Remember the :attr:`~RecordingEvent.key` of events for as long as it matters and pass over those that come again (the
service, too, may send one twice), or let what you do with an event be something that may be done twice, such as a
download. ``timestamp`` tells how old an event is.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qs, parse_qsl, urlsplit

import attrs

from ._text import safe_repr
from .errors import DecodeError, InvalidArgumentError, SignatureError
from .models import Codec, ContainerFormat, MediaType, OpenEnum, Recording, RecordingStatus, RoomType

_SIGNATURE: Final = "x-twilio-signature"
_LARGEST_BODY: Final = 2**20
_PORTS: Final = {"https": 443, "http": 80}


class RecordingEventType(OpenEnum):
    """``StatusCallbackEvent`` of a recording."""

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
    """One recording callback. A field is None where the service sent nothing, as it does with the ones of other events.

    Attributes:
        status_callback_event: what has happened.
        timestamp: when; aware.
        sequence_number: the service's number of the event. It is no order: events overtake each other.
        offset_from_twilio_video_epoch: milliseconds; the recording's ``offset``.
        track_name: what the participant's program named the track. Untrusted text, as is ``participant_identity``.
        duration: seconds; of a completed recording.
        size: bytes; of a completed recording.
        failed_operation: what has failed; of a failed recording.
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
        """What is the same for two deliveries of one event, and for nothing else."""
        return self.recording_sid, self.status_callback_event

    def recording(self) -> Recording:
        """The recording as far as the event tells of it; enough for :meth:`RecordingsClient.download`."""
        return Recording(
            sid=self.recording_sid,
            account_sid=self.account_sid,
            room_sid=self.room_sid,
            source_sid=self.source_sid,
            status=_STATUSES.get(self.status_callback_event) if self.status_callback_event else None,
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
    """A callback, if it comes from the service: :func:`validate` and :func:`parse`.

    Args:
        url: the URL that the service was given, with its query. Behind a proxy that is not the one that your program
            sees.
        body: the body as it came.
        headers: the request's headers.
        auth_token: the account's auth token, which is the key of the signature even where API keys are used for
            requests; or several of them, while one is being replaced.

    Raises:
        SignatureError: the request does not come from the service, or not in this form. Answer 403.
        DecodeError: it does, and a field cannot be read.
        InvalidArgumentError: there is no auth token.
    """
    validate(url, body, headers, auth_token)
    return parse(body)


def validate(url: str, body: bytes, headers: Mapping[str, str], auth_token: str | Sequence[str]) -> None:
    """Check the signature of a callback, in constant time. The arguments are those of :func:`receive`.

    ``X-Twilio-Signature`` is the base64 of an HMAC-SHA1, with the auth token as its key, of the URL and the sorted
    names and values of a form. A JSON body is covered by its SHA-256 in the query parameter ``bodySHA256``. The service
    signs URLs with and without the standard port: both are tried.

    Raises:
        SignatureError: the signature is missing or wrong, or does not cover the body.
        InvalidArgumentError: there is no auth token.
    """
    tokens = [auth_token] if isinstance(auth_token, str) else list(auth_token)
    if not tokens or not all(tokens):
        raise InvalidArgumentError("auth_token must be the account's auth token, not empty")
    if len(body) > _LARGEST_BODY:
        raise SignatureError(f"the body has more than {_LARGEST_BODY:,} bytes: no callback has")
    lowered = {name.lower(): value for name, value in headers.items()}
    signature = lowered.get(_SIGNATURE)
    if signature is None:
        raise SignatureError("there is no X-Twilio-Signature: the request does not come from the service")
    signed = _signed(url, body, lowered.get("content-type", ""))
    # All of them are compared, whichever is right.
    matches = [
        hmac.compare_digest(_signature(token, form + signed), signature.strip().encode("utf-8", "replace"))
        for token in tokens
        for form in _forms(url)
    ]
    if not any(matches):
        raise SignatureError("the signature is wrong: check the URL and the auth token; else it was not the service")


def parse(body: bytes) -> RecordingEvent:
    """A callback's fields, from a form or a JSON object. Who has sent it is not looked at: see :func:`receive`.

    Raises:
        DecodeError: it is neither, or a field cannot be read; the error names it.
    """
    raw = _fields(body)
    values = {name: _READERS.get(name, _text)(name, raw[key]) for name, key in _KEYS.items() if raw.get(key)}
    return RecordingEvent(raw=raw, **values)  # type: ignore[arg-type]  # each reader gives the type of its field


def _signed(url: str, body: bytes, content_type: str) -> str:
    """What is signed after the URL."""
    if content_type.partition(";")[0].strip().lower() != "application/json":
        return "".join(name + value for name, value in sorted(set(_form(body))))
    digest = parse_qs(urlsplit(url).query).get("bodySHA256", [""])[0]
    if not hmac.compare_digest(hashlib.sha256(body).hexdigest(), digest.lower().encode("ascii", "replace").decode()):
        raise SignatureError("the body is not the one that bodySHA256 in the URL stands for")
    return ""


def _signature(token: str, text: str) -> bytes:
    return b64encode(hmac.digest(token.encode(), text.encode("utf-8", "surrogatepass"), "sha1"))


def _forms(url: str) -> Iterator[str]:
    """The URL as it may have been signed: as it is, without its port, and with the standard one."""
    scheme, separator, rest = url.partition("://")
    authority = rest[: min((rest + "/").find("/"), (rest + "?").find("?"), (rest + "#").find("#"))]
    user, at, host = authority.rpartition("@")
    name, colon, port = host.rpartition(":")
    has_port = bool(colon) and not host.endswith("]")
    after = rest[len(authority) :]
    standard = _PORTS.get(scheme.lower(), 443)
    yield url
    yield f"{scheme}{separator}{user}{at}{name if has_port else host}{after}"
    yield url if has_port and port else f"{scheme}{separator}{user}{at}{name if has_port else host}:{standard}{after}"


def _form(body: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=1000)
    except ValueError:
        raise SignatureError("the body is no form in UTF-8, as the service sends them") from None


def _fields(body: bytes) -> dict[str, str]:
    if body.lstrip().startswith(b"{"):
        try:
            values = json.loads(body)
        except (ValueError, RecursionError):
            raise DecodeError(f"the body is neither a form nor JSON; it begins {safe_repr(body)}") from None
        return {str(name): value if isinstance(value, str) else json.dumps(value) for name, value in values.items()}
    try:
        return dict(_form(body))
    except SignatureError:
        raise DecodeError(f"the body is neither a form nor JSON; it begins {safe_repr(body)}") from None


def _text(_: str, value: str) -> str:
    return value


def _integer(name: str, value: str) -> int:
    if not (value.isascii() and value.isdecimal() and len(value) <= len(str(2**63))):
        raise DecodeError(f"{safe_repr(value)} where an integer should be", field=name)
    return int(value)


def _instant(name: str, value: str) -> datetime:
    try:
        instant = datetime.fromisoformat(value)
    except ValueError:
        raise DecodeError(f"{safe_repr(value)} where an ISO 8601 date should be", field=name) from None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def _keys(names: Iterable[str]) -> dict[str, str]:
    """The API's names: ``room_sid`` is ``RoomSid``."""
    return {name: "".join(part.capitalize() for part in name.split("_")) for name in names}


_KEYS: Final = _keys(field.name for field in attrs.fields(RecordingEvent) if field.name != "raw")
_READERS: Final = {
    "status_callback_event": lambda _, value: RecordingEventType(value),
    "timestamp": _instant,
    "sequence_number": _integer,
    "room_type": lambda _, value: RoomType(value),
    "container": lambda _, value: ContainerFormat(value),
    "codec": lambda _, value: Codec(value),
    "type": lambda _, value: MediaType(value),
    "offset_from_twilio_video_epoch": _integer,
    "duration": _integer,
    "size": _integer,
}
