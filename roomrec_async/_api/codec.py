"""Response bodies to models, and models to plain values. The only module that knows how they are decoded.

There are two tiers. A strict decoder (msgspec) reads a page straight into the models. Where it refuses a body, the
records are read one by one, and those that it refuses by a lenient decoder (cattrs): it repairs what can be repaired,
and names what cannot.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import cache, partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar, cast, get_origin

import attrs
import msgspec

from roomrec_async._dates import format_iso8601, parse_date
from roomrec_async._text import safe_repr
from roomrec_async._validate import refusal
from roomrec_async.errors import BoundsExceededError, DecodeError, InvalidArgumentError
from roomrec_async.models import Codec, Model, OpenEnum, PageMeta, Participant, Recording, Room

if TYPE_CHECKING:
    import cattrs

_Attrs = TypeVar("_Attrs", Recording, Room, Participant, PageMeta)

_RECORDS: Final = (Recording, Room, Participant)
_MODELS: Final = (*_RECORDS, PageMeta)
_RECORDS_EXPECTED: Final = "an iterable of recordings, rooms or participants"
# Records of a page that needs repair: a few times the largest page.
_MAX_REPAIRED_RECORDS: Final = 4_000
# Characters of an error's message; also the longest link that is shown.
_MAX_MESSAGE_LENGTH: Final = 300
# Bytes of a body that an error quotes. safe_repr() cuts them further.
_MAX_EXCERPT_SIZE: Final = 200
# Bytes of an error's body that are searched for a title, which comes near the start.
_MAX_ERROR_TEXT_SIZE: Final = 4096
# The title of an HTML page, or the message of an object store's XML. Compiled when it is needed first.
_TITLE: Final = r"(?is)<(?:title|Message)\b[^>]*>(.*?)</(?:title|Message)"
# The fraction of a number, at its end.
_FRACTION: Final = re.compile(r"(?<=[0-9])\.[0-9]+\s*$")

_JSON_TYPE_NAMES: Final[Mapping[type, str]] = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "a boolean",
    type(None): "null",
}


class ErrorBody(msgspec.Struct, frozen=True):
    """Contents of an error's body, in the provider's own form or in that of RFC 9457.

    Attributes:
        message: the message, on one line; the HTTP status in words where the body has none.
        code: the provider's error code, or None.
        more_info: a link to a page about the error, or None.
    """

    message: str
    code: int | None = None
    more_info: str | None = None


class DecodedPage(msgspec.Struct, Generic[Model]):
    """One page of a list.

    Attributes:
        items: the records, up to the first that could not be decoded.
        meta: the ``meta`` block.
        error: the error of the first record that could not be decoded, or None.
    """

    items: list[Model]
    meta: PageMeta
    error: DecodeError | None = None


class _RecordingsBody(msgspec.Struct, rename={"items": "recordings"}):
    items: list[Recording]
    meta: PageMeta


class _RoomsBody(msgspec.Struct, rename={"items": "rooms"}):
    items: list[Room]
    meta: PageMeta


class _ParticipantsBody(msgspec.Struct, rename={"items": "participants"}):
    items: list[Participant]
    meta: PageMeta


class _PageBody(Protocol[Model]):
    items: list[Model]
    meta: PageMeta


class _MediaBody(msgspec.Struct):
    redirect_to: str


# Decoders of what programs mostly read. For the rest, msgspec.json.decode() takes hardly longer, and nothing at import.
_strict_recording: Final = msgspec.json.Decoder(Recording)
_strict_recordings: Final = msgspec.json.Decoder(_RecordingsBody)
_json_encoder: Final = msgspec.json.Encoder()
# Everything that a strict decoder raises for one body or another.
_STRICT_ERRORS: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError)


class PageDecoder(msgspec.Struct, Generic[Model], frozen=True):
    """Decodes the pages of a list.

    Attributes:
        key: the name of the list in the body.
        model: the class of its records.
        read: decodes a body strictly.
        complete: returns a record with what the service left out of it; None where it leaves nothing out.
    """

    key: str
    model: type[Model]
    read: Callable[[bytes], _PageBody[Model]]
    complete: Callable[[Model], Model] | None = None

    def __call__(self, body: bytes, skip: int = 0) -> DecodedPage[Model]:
        """Decode a page, leniently where it has to be.

        Args:
            body: the body of the response.
            skip: number of records at the start that the caller will not use: those that cannot be decoded become
                empty ones there, and are no errors.

        Raises:
            DecodeError: the body as a whole is not such a page. For a single record that cannot be decoded nothing is
                raised: the page has the records before it, and an ``error``.
        """
        page = self.strictly(body)
        if page is not None:
            return page
        page = decode_leniently(body, self.key, self.model, skip)
        if self.complete is not None:
            page.items = [self.complete(item) for item in page.items]
        return page

    def strictly(self, body: bytes) -> DecodedPage[Model] | None:
        """Decode a page in which all is as it should be; return None for any other."""
        try:
            page = self.read(body)
        except _STRICT_ERRORS:
            return None
        if self.complete is not None:
            page.items = [self.complete(item) for item in page.items]
        return DecodedPage(page.items, page.meta)


def decode_recording(body: bytes, sid: str) -> Recording:
    """Decode one recording: ``GET /v1/Rooms/{RoomSid}/Recordings/{Sid}``.

    Raises:
        DecodeError: the body is not a recording, or not the one with this SID.
    """
    try:
        recording = _strict_recording.decode(body)
    except _STRICT_ERRORS:
        recording = from_dict(Recording, decode_raw(body))

    # A cache or a gateway may answer with the body of another request.
    if recording.sid is None or recording.sid.lower() != sid.lower():
        raise DecodeError(f"the body is not the recording that was requested; it begins with {excerpt(body)}")
    return recording


def decode_room(body: bytes, sid: str) -> Room:
    """Decode one room: ``GET /v1/Rooms/{Sid}``.

    Raises:
        DecodeError: the body is not a room, or not the one with this SID.
    """
    try:
        room = msgspec.json.decode(body, type=Room)
    except _STRICT_ERRORS:
        room = from_dict(Room, decode_raw(body))

    # As for a recording.
    if room.sid is None or room.sid.lower() != sid.lower():
        raise DecodeError(f"the body is not the room that was requested; it begins with {excerpt(body)}")
    return room


def decode_media_location(body: bytes) -> str | None:
    """Return the URL in the body of ``Media``, which is ``{"redirect_to": URL}``, or None for any other body."""
    try:
        return msgspec.json.decode(body, type=_MediaBody).redirect_to
    except _STRICT_ERRORS:
        return None


def decode_raw(body: bytes) -> dict[str, object]:
    """Parse a body as a JSON object with any fields.

    Raises:
        DecodeError: the body is not a JSON object.
    """
    try:
        raw = parse_json(body)
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"the body is not JSON ({error}); it begins with {excerpt(body)}") from None
    if not isinstance(raw, dict):
        message = f"the body is {json_type_name(raw)} where an object should be; it begins with {excerpt(body)}"
        raise DecodeError(message)
    return raw


def is_cut_off(body: bytes) -> bool:
    """Return True for a body that is empty, or the beginning of a JSON object: its framing need not show that.

    What does not begin as an object, such as a gateway's page, was not cut off: it is something else.
    """
    # The usual page, without parsing it twice: its last object or its list ends where the page does, and the list that
    # a page is about was closed.
    if body.endswith((b"}}", b"]}")) and closes_lists(body):
        return False

    beginning = body.lstrip()
    if not beginning.startswith(b"{"):
        return not beginning
    try:
        msgspec.json.decode(body, type=msgspec.Raw)
    except msgspec.DecodeError as error:
        # msgspec has no class of its own for it.
        return "truncated" in str(error)
    return False


def closes_lists(body: bytes) -> bool:
    """Return True if a body has as many closing brackets as opening ones: most pages have one of each."""
    # These searches look at 32 bytes at a time and count() at one: in a large page, a quarter of the time of decoding.
    opening = body.find(b"[")
    closing = body.find(b"]")
    if opening == body.rfind(b"[") and closing == body.rfind(b"]"):
        return (opening < 0) == (closing < 0)
    return body.count(b"[") == body.count(b"]")


def parse_json(body: bytes) -> object:
    """Parse JSON. A damaged character becomes U+FFFD: it must not cost more than itself.

    Raises:
        ValueError: it is not JSON.
        RecursionError: it is nested too deeply.
    """
    # The standard library's parser, because it is the most tolerant one: byte order marks, NaN, huge numbers.
    try:
        return json.loads(body, parse_int=parse_integer)
    except UnicodeDecodeError:
        return json.loads(body.decode(json.detect_encoding(body), "replace"), parse_int=parse_integer)


def parse_integer(digits: str) -> int | str:
    """Return an integer, or its digits if Python refuses to read so many: they must not cost more than their record."""
    try:
        return int(digits)
    except ValueError:
        return digits


def serialize_recordings(recordings: list[Recording]) -> bytes | list[Recording]:
    """Return recordings as JSON, for another process, which reads it in half the time that pickle takes.

    Recordings that JSON would change are returned as they are: those with other values than strings in the untyped
    maps, or with half a surrogate pair in a text.
    """
    maps = (mapping for recording in recordings for mapping in (recording.links, recording.grouping_sids) if mapping)
    if not all(type(value) is str for mapping in maps for value in mapping.values()):
        return recordings
    try:
        return msgspec.json.encode(recordings)
    except UnicodeEncodeError:
        return recordings


def deserialize_recordings(serialized: bytes | list[Recording]) -> list[Recording]:
    """Return the recordings that :func:`serialize_recordings` was given."""
    if isinstance(serialized, bytes):
        return msgspec.json.decode(serialized, type=list[Recording])
    return serialized


def decode_error(status: int, body: bytes) -> ErrorBody:
    """Decode the body of an error: either JSON form, an HTML page, plain text, or nothing at all."""
    try:
        fields = decode_raw(body)
    except DecodeError:
        # A gateway or an object store answered, not the API: without the status, its text may mean little.
        return ErrorBody(one_line(f"{status_phrase(status)}. {error_text(body)}"))

    code = fields.get("code")
    if not isinstance(code, int) or isinstance(code, bool):
        code = None
    return ErrorBody(
        message=one_line(error_message(fields) or status_phrase(status)),
        code=code,
        # RFC 9457 calls it "type", and says "about:blank" for none.
        more_info=usable_link(fields.get("more_info")) or usable_link(fields.get("type")),
    )


def to_dict(model: Recording | Room | Participant | PageMeta) -> dict[str, object]:
    """Return a model as JSON-ready values: dates in ISO 8601 with their offset, enums as strings, every field present.

    ``from_dict(type(model), to_dict(model)) == model``.

    Raises:
        InvalidArgumentError: it is not a model, but a list of them, for instance.
    """
    if not isinstance(model, _MODELS):
        hint = ": one at a time, in a loop" if isinstance(model, (Iterable, AsyncIterable)) else ""
        raise InvalidArgumentError(f"{refusal('model', 'a Recording, Room, Participant or PageMeta', model)}{hint}")
    return cast("dict[str, object]", lenient_converter().unstructure(model))


def to_json_lines(records: Iterable[Recording | Room | Participant]) -> bytes:
    """Return records as JSON lines: each on a line of its own, with the values of :func:`to_dict`, in UTF-8.

    It takes a twentieth of the time of ``json.dumps(to_dict(record))``. Numbers in the untyped maps that JSON does not
    have, such as NaN, become null.

    Args:
        records: recordings, rooms or participants, such as a page's ``items``.

    Raises:
        InvalidArgumentError: they are one record, or something else.

    Example:
        >>> async for page in client.recordings("RM...").pages():
        ...     file.write(to_json_lines(page.items))
    """
    if not isinstance(records, Iterable) or isinstance(records, AsyncIterable):
        hint = ""
        if isinstance(records, _RECORDS):
            hint = ": put one record into a list"
        elif isinstance(records, AsyncIterable):
            hint = ": await the list first"
        raise InvalidArgumentError(f"{refusal('records', _RECORDS_EXPECTED, records)}{hint}")
    values = list(records)
    # By their classes, of which there are few: to check each record would take longer.
    for kind in {type(value) for value in values}:
        if not issubclass(kind, _RECORDS):
            raise InvalidArgumentError(
                f"records must be {_RECORDS_EXPECTED}, and one of them is of type {kind.__name__}"
            )
    return encode_lines(values)


def encode_lines(values: Sequence[Recording | Room | Participant | Mapping[str, object]]) -> bytes:
    """Return records, or dictionaries with values of records, as JSON lines in UTF-8.

    Half a surrogate pair, which UTF-8 cannot encode, is escaped, with all that is not ASCII in its line.
    """
    try:
        return _json_encoder.encode_lines(values)
    except UnicodeEncodeError:
        return b"".join(encode_line(value) for value in values)


def encode_line(value: Recording | Room | Participant | Mapping[str, object]) -> bytes:
    """Return one record or dictionary as a line, as :func:`encode_lines` does."""
    try:
        return _json_encoder.encode(value) + b"\n"
    except UnicodeEncodeError:
        return encode_ascii(msgspec.to_builtins(value)).encode() + b"\n"


def encode_ascii(value: object) -> str:
    """Return a JSON value as JSON in ASCII. Numbers that JSON does not have, such as NaN, become null."""
    try:
        encoded = _json_encoder.encode(value)
    except UnicodeEncodeError:
        return dump_ascii(value)
    return encoded.decode() if encoded.isascii() else dump_ascii(value)


def dump_ascii(value: object) -> str:
    """Return any JSON value as JSON in ASCII, half a surrogate pair included, as :func:`encode_ascii` does."""
    # json.dumps() writes them as names, which json.loads() can replace.
    text = json.dumps(value, separators=(",", ":"))
    if "NaN" not in text and "Infinity" not in text:
        return text
    return json.dumps(json.loads(text, parse_constant=lambda _: None), separators=(",", ":"))


def from_dict(cls: type[_Attrs], data: Mapping[str, object]) -> _Attrs:
    """Return a model made of JSON values, with the repairs of the lenient decoder. Unknown fields are ignored.

    Raises:
        DecodeError: a field cannot be read; the error names it.
        InvalidArgumentError: the class is not a model's, or the data are a model already.
    """
    if not isinstance(cls, type) or not issubclass(cls, _MODELS):
        hint = ": the class comes first, then the values" if isinstance(cls, Mapping) else ""
        raise InvalidArgumentError(f"{refusal('cls', 'the class of a model, such as Recording', cls)}{hint}")
    if isinstance(data, _MODELS):
        raise InvalidArgumentError(f"data must be a mapping of JSON values, not a {type(data).__name__}: it is a model")
    if not isinstance(data, Mapping):
        raise DecodeError(f"{json_type_name(data)} where an object should be")
    try:
        return lenient_converter().structure(data, cls)
    except ExceptionGroup as errors:
        # cattrs raises one error for each field, with the field's name in a note.
        error = errors.exceptions[0]
        raise DecodeError(str(innermost_error(error)), field=field_name(error)) from None


def decode_leniently(body: bytes, key: str, cls: type[Model], skip: int) -> DecodedPage[Model]:
    """Decode a page record by record, up to the first one from ``skip`` on that cannot be repaired.

    Raises:
        DecodeError: the body as a whole is not a page with a list of this name.
        BoundsExceededError: it has several times the records of the largest page.
    """
    raw = decode_raw(body)
    if key not in raw:
        raise DecodeError(f"the body has no {key!r}; it begins with {excerpt(body)}")
    records = raw[key]
    if records is None:
        records = []
    if not isinstance(records, list):
        raise DecodeError(f"{key!r} is {json_type_name(records)} where a list should be")
    # One by one they take twenty times as long as by the strict decoder: more would block the event loop for seconds.
    if len(records) > _MAX_REPAIRED_RECORDS:
        raise BoundsExceededError(f"{key!r} has {len(records):,} records, and some that need repair")
    meta = decode_meta(raw.get("meta"))

    items: list[Model] = []
    for index, record in enumerate(records):
        try:
            items.append(read_record(cls, record))
        except DecodeError as error:
            if index >= skip:
                error.index = index
                return DecodedPage(items, meta, error)
            # Nobody will see it, but the records after it keep their indices.
            items.append(cls())
    return DecodedPage(items, meta)


def read_record(cls: type[Model], record: Mapping[str, object]) -> Model:
    """Return a record of a page that was parsed; only if it needs repair, it takes the time of one.

    Raises:
        DecodeError: a field cannot be read; the error names it.
    """
    try:
        return msgspec.convert(record, cls)
    except _STRICT_ERRORS:
        return from_dict(cls, record)


def decode_meta(meta: object) -> PageMeta:
    """Return the ``meta`` block of a page, repaired.

    Raises:
        DecodeError: there is none, or one of its fields cannot be read.
    """
    # Without its meta block, nobody can tell whether a page is the last one.
    if not isinstance(meta, dict):
        raise DecodeError(f"'meta' is {json_type_name(meta)} where an object should be: the end of the list is unknown")
    page_meta = from_dict(PageMeta, meta)
    # With a damaged token, the service would answer with an error, or with another page.
    if "\N{REPLACEMENT CHARACTER}" in (page_meta.next_page_url or ""):
        raise DecodeError("the URL of the next page is damaged", field="next_page_url")
    return page_meta


def with_room_sid(recording: Recording) -> Recording:
    """Return a recording with the room SID of its ``grouping_sids``, if it has none of its own."""
    room_sid = (recording.grouping_sids or {}).get("room_sid")
    if recording.room_sid is not None or not isinstance(room_sid, str):
        return recording
    return attrs.evolve(recording, room_sid=room_sid)


decode_recordings: Final = PageDecoder("recordings", Recording, _strict_recordings.decode)
"""Decodes a page of ``GET /v1/Rooms/{RoomSid}/Recordings``."""

decode_account_recordings: Final = PageDecoder("recordings", Recording, _strict_recordings.decode, with_room_sid)
"""Decodes a page of ``GET /v1/Recordings``, whose records may have ``room_sid`` among their ``grouping_sids`` only."""

decode_rooms: Final = PageDecoder("rooms", Room, partial(msgspec.json.decode, type=_RoomsBody))
"""Decodes a page of ``GET /v1/Rooms``."""

decode_participants: Final = PageDecoder(
    "participants", Participant, partial(msgspec.json.decode, type=_ParticipantsBody)
)
"""Decodes a page of ``GET /v1/Rooms/{RoomSid}/Participants``."""


# Errors


def error_message(fields: Mapping[str, object]) -> str:
    """Return the texts of an error in JSON, joined; an empty string if it has none."""
    parts = [fields.get("message"), fields.get("title"), fields.get("detail")]
    errors = fields.get("errors")
    if isinstance(errors, list):
        parts += [entry.get("detail") for entry in errors if isinstance(entry, dict)]
    return ": ".join(part for part in parts if isinstance(part, str) and part)


def error_text(body: bytes) -> str:
    """Return the title of an error that is not JSON, or else the beginning of its text."""
    text = body[:_MAX_ERROR_TEXT_SIZE].decode(errors="replace")
    title = re.search(_TITLE, text)
    if title is None:
        return text
    return title.group(1)


def status_phrase(status: int) -> str:
    """Return an HTTP status in words."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "an HTTP status without a name"


def usable_link(value: object) -> str | None:
    """Return a link if it can be shown in a message, else None."""
    if not isinstance(value, str) or not value.startswith(("https://", "http://")):
        return None
    if not value.isprintable() or len(value) > _MAX_MESSAGE_LENGTH:
        return None
    return value


def one_line(text: str) -> str:
    """Return text as one line of printable characters, cut to 300 of them."""
    # Characters that cannot be printed separate words, like the white space that line breaks are.
    printable = "".join(char if char.isprintable() else " " for char in text)
    line = " ".join(printable.split()).rstrip(". ")
    if len(line) <= _MAX_MESSAGE_LENGTH:
        return line
    return f"{line[:_MAX_MESSAGE_LENGTH]}..."


def excerpt(body: bytes) -> str:
    """Return the beginning of a body, to be quoted in an error."""
    return safe_repr(bytes(body[:_MAX_EXCERPT_SIZE]))


def json_type_name(value: object) -> str:
    """Return the JSON type of a value, with its article."""
    return _JSON_TYPE_NAMES.get(type(value), "a number")


# The lenient decoder: hooks of cattrs, each of which returns a repaired value or raises ValueError


def repair_text(value: object, _: type) -> str:
    """Return a string. Numbers become strings."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise ValueError(f"{json_type_name(value)} where a string should be")
    return value


def repair_enum(value: object, enum: type[OpenEnum]) -> OpenEnum:
    """Return a member of an enum; open enums have one for every string."""
    return enum(repair_text(value, str))


def repair_integer(value: object, _: type) -> int | None:
    """Return an integer. Strings of digits become integers, fractions are cut off, and blank strings become None."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(f"{json_type_name(value)} where an integer should be")
    if isinstance(value, str) and not value.strip():
        return None

    number = _FRACTION.sub("", value) if isinstance(value, str) else value
    # int() refuses infinity, NaN, and what else is no number.
    with suppress(ValueError, OverflowError):
        return int(number)
    raise ValueError(f"{safe_repr(value)} where an integer should be")


def repair_boolean(value: object, _: type) -> bool:
    """Return a boolean. The strings "true" and "false", in any case, become booleans."""
    if isinstance(value, str) and value.casefold() in ("true", "false"):
        return value.casefold() == "true"
    if not isinstance(value, bool):
        raise ValueError(f"{json_type_name(value)} where true or false should be")
    return value


def repair_datetime(value: object, _: type) -> datetime | None:
    """Return an aware datetime. Other forms of dates are read too, and blank strings become None."""
    if not isinstance(value, str):
        raise ValueError(f"{json_type_name(value)} where a date should be")
    if not value.strip():
        return None

    return parse_date(value.strip())


def repair_map(value: object, _: type) -> Mapping[str, object] | None:
    """Return a map, or None for anything else."""
    # The maps are untyped in the reference: an odd value there must not cost a record. `page.raw` has it.
    if isinstance(value, dict):
        return value
    return None


def repair_codecs(value: object, _: type) -> tuple[Codec, ...]:
    """Return a tuple of codecs."""
    if not isinstance(value, list):
        raise ValueError(f"{json_type_name(value)} where an array should be")
    return tuple(Codec(repair_text(codec, str)) for codec in value)


def enum_value(member: OpenEnum) -> str:
    """Return the value of an enum's member as a plain string."""
    return str(member.value)


def is_map(hint: object) -> bool:
    """Return True for the type of an untyped map: ``links`` and ``grouping_sids``."""
    return get_origin(hint) == Mapping


def is_codecs(hint: object) -> bool:
    """Return True for the type of ``video_codecs``, the only tuple in the models."""
    return get_origin(hint) is tuple


def innermost_error(error: Exception) -> Exception:
    """Return the first error inside nested groups of errors."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


def field_name(error: Exception) -> str | None:
    """Return the name of the field that cattrs has noted on an error, or None."""
    for note in getattr(error, "__notes__", ()):
        name: str | None = getattr(note, "name", None)
        if name is not None:
            return name
    return None


@cache
def lenient_converter() -> cattrs.Converter:
    """Return the converter between models and JSON values; made when it is needed first."""
    import cattrs  # noqa: PLC0415  it takes a tenth of the time of importing this library, and few need it

    converter = cattrs.Converter()
    converter.register_structure_hook(str, repair_text)
    converter.register_structure_hook(int, repair_integer)
    converter.register_structure_hook(bool, repair_boolean)
    converter.register_structure_hook(datetime, repair_datetime)
    converter.register_structure_hook(OpenEnum, repair_enum)
    converter.register_structure_hook_func(is_map, repair_map)
    converter.register_structure_hook_func(is_codecs, repair_codecs)
    converter.register_unstructure_hook(datetime, format_iso8601)
    converter.register_unstructure_hook(OpenEnum, enum_value)
    return converter
