"""Bytes to models and back. The only module that knows how models are decoded.

A strict decoder reads a page straight into the models. Where it refuses a body, a lenient one (cattrs) goes over the
records one by one: it repairs what can be repaired and names what cannot.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Generic, TypeAlias, TypeVar, cast, get_origin

import attrs
import msgspec

from roomrec_async._text import safe_repr
from roomrec_async.errors import DecodeError
from roomrec_async.models import Codec, Model, OpenEnum, PageMeta, Recording, Room

if TYPE_CHECKING:
    import cattrs

_Attrs = TypeVar("_Attrs", Recording, Room, PageMeta)

RawBody: TypeAlias = bytes | bytearray
"""The body of a response: a buffer that grew while it was read, or any bytes."""

_MESSAGE_AT_MOST = 300
_BEGINNING = 200
_READ_OF_AN_ERROR = 4096
# An HTML page's title, or an object store's message.
_TITLE = re.compile(r"<(?:title|Message)\b[^>]*>(.*?)</(?:title|Message)", re.IGNORECASE | re.DOTALL)


class ErrorBody(msgspec.Struct, frozen=True):
    """What the body of an error says: the provider's own form, or RFC 9457's."""

    message: str
    code: int | None = None
    more_info: str | None = None


class DecodedPage(msgspec.Struct, Generic[Model]):
    """One page of a list.

    Attributes:
        items: the records, up to the first that could not be decoded.
        meta: the ``meta`` block.
        error: None, or why the records after :attr:`items` are missing.
    """

    items: list[Model]
    meta: PageMeta
    error: DecodeError | None = None


class _RecordingsBody(msgspec.Struct):
    recordings: list[Recording]
    meta: PageMeta


class _RoomsBody(msgspec.Struct):
    rooms: list[Room]
    meta: PageMeta


class _MediaBody(msgspec.Struct):
    redirect_to: str


_strict_recording: Final = msgspec.json.Decoder(Recording)
_strict_media: Final = msgspec.json.Decoder(_MediaBody)
_strict_recordings: Final = msgspec.json.Decoder(_RecordingsBody)
_strict_rooms: Final = msgspec.json.Decoder(_RoomsBody)
_strict_packed: Final = msgspec.json.Decoder(list[Recording])
_STRICT_REFUSALS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError)


def decode_recordings(body: RawBody) -> DecodedPage[Recording]:
    """A page of ``GET /v1/Rooms/{RoomSid}/Recordings``.

    Raises:
        DecodeError: the body as a whole is not such a page. A record that cannot be decoded is the ``error`` of the
            page instead, with the records before it.
    """
    try:
        page = _strict_recordings.decode(body)
    except _STRICT_REFUSALS:
        return _decode_leniently(body, "recordings", Recording)
    return DecodedPage(page.recordings, page.meta)


def decode_account_recordings(body: RawBody) -> DecodedPage[Recording]:
    """A page of ``GET /v1/Recordings``; otherwise as :func:`decode_recordings`.

    Its records may lack ``room_sid``, and have it among their ``grouping_sids``: it is put where the others have it.
    """
    page = decode_recordings(body)
    return DecodedPage([_with_room_sid(recording) for recording in page.items], page.meta, page.error)


def decode_recording(body: RawBody, sid: str) -> Recording:
    """One recording: ``GET /v1/Rooms/{RoomSid}/Recordings/{Sid}``.

    Raises:
        DecodeError: the body is not a recording, or not this one.
    """
    try:
        recording = _strict_recording.decode(body)
    except _STRICT_REFUSALS:
        recording = from_dict(Recording, decode_raw(body))
    if recording.sid is None or recording.sid.lower() != sid.lower():
        raise DecodeError(f"the body is not the recording that was asked for; it begins {_beginning(body)}")
    return recording


def decode_media_location(body: RawBody) -> str | None:
    """Where ``Media`` says that the media are, if its body says it: ``{"redirect_to": URL}``."""
    try:
        return _strict_media.decode(body).redirect_to
    except _STRICT_REFUSALS:
        return None


def decode_rooms(body: RawBody) -> DecodedPage[Room]:
    """A page of ``GET /v1/Rooms``; otherwise as :func:`decode_recordings`."""
    try:
        page = _strict_rooms.decode(body)
    except _STRICT_REFUSALS:
        return _decode_leniently(body, "rooms", Room)
    return DecodedPage(page.rooms, page.meta)


def decode_raw(body: RawBody) -> dict[str, object]:
    """The body of a response as JSON objects, whatever fields they have.

    Raises:
        DecodeError: the body is not a JSON object.
    """
    try:
        # The standard library's parser, because it is the most tolerant one: byte order marks, NaN, huge numbers.
        raw = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"the body is not JSON ({error}); it begins {_beginning(body)}") from None
    if not isinstance(raw, dict):
        raise DecodeError(f"the body is {_json_type(raw)} where an object should be; it begins {_beginning(body)}")
    return raw


def pack(recordings: list[Recording]) -> bytes | list[Recording]:
    """For another process, in a form that :func:`unpack` reads in half the time that pickle takes.

    What would not come back from JSON as it is stays as it is: odd values in the untyped maps, half a surrogate pair.
    """
    maps = (each for recording in recordings for each in (recording.links, recording.grouping_sids) if each)
    if not all(type(value) is str for each in maps for value in each.values()):
        return recordings
    try:
        return msgspec.json.encode(recordings)
    except UnicodeEncodeError:
        return recordings


def unpack(packed: bytes | list[Recording]) -> list[Recording]:
    """What :func:`pack` was given."""
    return _strict_packed.decode(packed) if isinstance(packed, bytes) else packed


def decode_error(status: int, body: RawBody) -> ErrorBody:
    """What an error says, from a body in either JSON form, an HTML page, plain text, or nothing at all."""
    try:
        fields = decode_raw(body)
    except DecodeError:
        return ErrorBody(_one_line(f"{_status_phrase(status)}. {_page_title(body)}"))
    code = fields.get("code")
    return ErrorBody(
        message=_one_line(_error_message(fields) or _status_phrase(status)),
        code=code if isinstance(code, int) and not isinstance(code, bool) else None,
        # RFC 9457 calls it "type", and says "about:blank" for none.
        more_info=_link(fields.get("more_info")) or _link(fields.get("type")),
    )


def to_dict(model: Recording | Room | PageMeta) -> dict[str, object]:
    """A model as JSON-ready values: dates in ISO 8601 with their offset, enums as strings, every field present.

    ``from_dict(type(model), to_dict(model)) == model``.
    """
    return cast("dict[str, object]", _converter().unstructure(model))


def from_dict(cls: type[_Attrs], data: Mapping[str, object]) -> _Attrs:
    """A model from JSON values, with the repairs of the lenient decoder; unknown fields are passed over.

    Raises:
        DecodeError: a field cannot be read; the error names it.
    """
    if not isinstance(data, Mapping):
        raise DecodeError(f"{_json_type(data)} where an object should be")
    try:
        return _converter().structure(data, cls)
    except ExceptionGroup as errors:
        # cattrs gives one error for each field, with the field's name in a note.
        error = errors.exceptions[0]
        raise DecodeError(str(_innermost(error)), field=_field_of(error)) from None


def _decode_leniently(body: RawBody, key: str, cls: type[Model]) -> DecodedPage[Model]:
    raw = decode_raw(body)
    if key not in raw:
        raise DecodeError(f"the body has no {key!r}; it begins {_beginning(body)}")
    records = [] if raw[key] is None else raw[key]
    if not isinstance(records, list):
        raise DecodeError(f"{key!r} is {_json_type(records)} where a list should be")
    meta = _lenient_meta(raw.get("meta"))
    items: list[Model] = []
    for index, record in enumerate(records):
        try:
            items.append(from_dict(cls, record))
        except DecodeError as error:
            error.index = index
            return DecodedPage(items, meta, error)
    return DecodedPage(items, meta)


def _lenient_meta(meta: object) -> PageMeta:
    # Without its meta block, nobody can tell whether a page is the last one.
    if not isinstance(meta, dict):
        raise DecodeError(f"'meta' is {_json_type(meta)} where an object should be: the end of the list is unknown")
    return from_dict(PageMeta, meta)


def _error_message(fields: Mapping[str, object]) -> str:
    details = fields.get("errors")
    listed = details if isinstance(details, list) else []
    parts = [fields.get("message"), fields.get("title"), fields.get("detail")]
    parts += [entry.get("detail") for entry in listed if isinstance(entry, dict)]
    return ": ".join(part for part in parts if isinstance(part, str) and part)


def _link(value: object) -> str | None:
    if not isinstance(value, str) or not value.startswith(("https://", "http://")):
        return None
    return value if value.isprintable() and len(value) <= _MESSAGE_AT_MOST else None


def _with_room_sid(recording: Recording) -> Recording:
    room_sid = (recording.grouping_sids or {}).get("room_sid")
    if recording.room_sid is not None or not isinstance(room_sid, str):
        return recording
    return attrs.evolve(recording, room_sid=room_sid)


def _beginning(body: RawBody) -> str:
    return safe_repr(bytes(body[:_BEGINNING]))


def _page_title(body: RawBody) -> str:
    text = body[:_READ_OF_AN_ERROR].decode(errors="replace")
    title = _TITLE.search(text)
    return title.group(1) if title else text


def _status_phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "an HTTP status without a name"


def _one_line(text: str) -> str:
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split()).rstrip(". ")
    return line if len(line) <= _MESSAGE_AT_MOST else f"{line[:_MESSAGE_AT_MOST]}..."


def _repaired_text(value: object, _: type) -> str:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise ValueError(f"{_json_type(value)} where a string should be")
    return value


def _repaired_enum(value: object, enum: type[OpenEnum]) -> OpenEnum:
    return enum(_repaired_text(value, str))


def _repaired_integer(value: object, _: type) -> int | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(f"{_json_type(value)} where an integer should be")
    if isinstance(value, str) and not value.strip():
        return None
    try:
        return int(value) if isinstance(value, (int, str)) else _integral(value)
    except ValueError:
        raise ValueError(f"{safe_repr(value)} where an integer should be") from None


def _repaired_boolean(value: object, _: type) -> bool:
    if isinstance(value, str) and value.casefold() in ("true", "false"):
        return value.casefold() == "true"
    if not isinstance(value, bool):
        raise ValueError(f"{_json_type(value)} where true or false should be")
    return value


def _repaired_datetime(value: object, _: type) -> datetime | None:
    if not isinstance(value, str):
        raise ValueError(f"{_json_type(value)} where a date should be")
    if not value.strip():
        return None
    parsed = _parsed_date(value.strip())
    # The reference gives its dates in GMT: one without an offset means that.
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _parsed_date(value: str) -> datetime:
    # First as the strict decoder does it, so that a date means the same beside a record that needs repair.
    for parse in (_strict_date, datetime.fromisoformat, parsedate_to_datetime):
        try:
            return parse(value)
        except (ValueError, OverflowError, msgspec.MsgspecError):
            continue
    raise ValueError(f"{safe_repr(value)} where an ISO 8601 date should be")


def _strict_date(value: str) -> datetime:
    return msgspec.convert(value, datetime)


def _repaired_map(value: object, _: type) -> Mapping[str, object] | None:
    # The maps are untyped in the reference: an odd value there must not cost a record. `page.raw` has it.
    return value if isinstance(value, dict) else None


def _integral(value: float) -> int:
    if not value.is_integer():
        raise ValueError
    return int(value)


def _iso8601(value: datetime) -> str:
    text = value.isoformat()
    return f"{text.removesuffix('+00:00')}Z" if text.endswith("+00:00") else text


def _plain_text(value: OpenEnum) -> str:
    return str(value.value)


def _json_type(value: object) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def _repaired_codecs(value: object, _: type) -> tuple[Codec, ...]:
    if not isinstance(value, list):
        raise ValueError(f"{_json_type(value)} where an array should be")
    return tuple(Codec(_repaired_text(codec, str)) for codec in value)


def _is_map(hint: object) -> bool:
    return get_origin(hint) == Mapping


def _is_codecs(hint: object) -> bool:
    return get_origin(hint) is tuple


def _innermost(error: Exception) -> Exception:
    return _innermost(error.exceptions[0]) if isinstance(error, ExceptionGroup) else error


def _field_of(error: Exception) -> str | None:
    names = [note.name for note in getattr(error, "__notes__", ()) if hasattr(note, "name")]
    return names[0] if names else None


@cache
def _converter() -> cattrs.Converter:
    import cattrs  # noqa: PLC0415  it takes a tenth of the time of importing this library, and few need it

    converter = cattrs.Converter()
    converter.register_structure_hook(str, _repaired_text)
    converter.register_structure_hook(int, _repaired_integer)
    converter.register_structure_hook(bool, _repaired_boolean)
    converter.register_structure_hook(datetime, _repaired_datetime)
    converter.register_structure_hook(OpenEnum, _repaired_enum)
    converter.register_structure_hook_func(_is_map, _repaired_map)
    converter.register_structure_hook_func(_is_codecs, _repaired_codecs)
    converter.register_unstructure_hook(datetime, _iso8601)
    converter.register_unstructure_hook(OpenEnum, _plain_text)
    return converter
