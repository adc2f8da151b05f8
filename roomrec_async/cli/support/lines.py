"""Lines that name rooms: plain text, JSON lines, and CSV with or without a header."""

from __future__ import annotations

import csv
import json
import re
from typing import Final

import attrs

from roomrec_async._text import safe_repr
from roomrec_async._validate import ROOM_SID
from roomrec_async.errors import InvalidArgumentError

_DELIMITERS: Final = (",", ";", "\t")

# Titles of columns that name rooms, and keys of JSON objects, by preference: the "sid" of a recording is no room's.
_TITLES: Final = ("roomsid", "room", "sid", "uniquename", "roomname", "name")
# A single word in the first line may also be the name of a room: these are not.
_SINGLE_TITLES: Final = ("roomsid", "sid", "uniquename")

# A quoted name may contain anything; a comment may follow.
_QUOTED: Final = re.compile(r'"((?:[^"]|"")+)"(?:\s*#.*)?')

# Lines that a quoted field may go over.
_MAX_FIELD_LINES: Final = 100


@attrs.define
class LineParser:
    """Finds the room in each line of a file, whose first line may be the header of a CSV file.

    Attributes:
        delimiter: between the fields of a CSV file with a header; None for any other file.
        column: index of the field with the room.
        is_first: True until a line was read that is neither blank nor a comment.
        unfinished: lines of a CSV record whose last field goes on in the next line.
    """

    delimiter: str | None = None
    column: int = 0
    is_first: bool = True
    unfinished: list[str] = attrs.field(factory=list)

    def parse(self, line: str) -> str | None:
        """Return the room that a line names, by SID or by name; None for a line that names none.

        Raises:
            InvalidArgumentError: the line should name a room, and does not.
        """
        text = line.strip()
        if not self.unfinished and (not text or text.startswith("#")):
            return None
        if self.is_first:
            self.is_first = False
            if self._read_header(text):
                return None
        if self.delimiter is not None:
            return self._parse_record(line, self.delimiter)
        if text.startswith("{"):
            return room_of_json(text)
        return room_of_text(text)

    def _read_header(self, text: str) -> bool:
        """Return True if a line is the header of a CSV file."""
        for delimiter in _DELIMITERS:
            titles = [normalize_title(cell) for cell in split_record(text, delimiter)]
            accepted = _TITLES if len(titles) > 1 else _SINGLE_TITLES
            for title in accepted:
                if title in titles:
                    self.delimiter = delimiter
                    self.column = titles.index(title)
                    return True
        return False

    def _parse_record(self, line: str, delimiter: str) -> str | None:
        self.unfinished.append(line)
        record = "".join(self.unfinished)
        # Quotes within a field are doubled, so that a whole record has an even number of them.
        if record.count('"') % 2 and len(self.unfinished) < _MAX_FIELD_LINES:
            return None
        self.unfinished.clear()
        cells = split_record(record.strip("\r\n"), delimiter)
        if self.column >= len(cells) or not cells[self.column].strip():
            raise InvalidArgumentError(f"column {self.column + 1} has no room")
        return cells[self.column].strip()


def normalize_title(title: str) -> str:
    """Return the title of a column in the form of those that are known: ``Room SID`` is ``roomsid``."""
    return "".join(char for char in title.lower() if char.isalnum())


def split_record(text: str, delimiter: str) -> list[str]:
    """Return the fields of one record of a CSV file.

    Raises:
        InvalidArgumentError: it is malformed.
    """
    try:
        return next(csv.reader([text], delimiter=delimiter, skipinitialspace=True), [])
    except csv.Error as error:
        raise InvalidArgumentError(f"not a line of CSV: {error}") from None


def room_of_text(text: str) -> str:
    """Return the room that a line of text names: a SID may stand among other fields, a name is all of the line."""
    for part in (text, text.partition("#")[0]):
        for delimiter in _DELIMITERS:
            for cell in split_record(part, delimiter):
                if ROOM_SID.fullmatch(cell.strip()):
                    return cell.strip()
    quoted = _QUOTED.fullmatch(text)
    if quoted is not None:
        return quoted[1].replace('""', '"')
    return text.partition(" #")[0].strip()


def room_of_json(text: str) -> str:
    """Return the room that a JSON object is, or belongs to.

    Raises:
        InvalidArgumentError: the text is not a JSON object, or there is no room in it.
    """
    try:
        record = json.loads(text)
    except ValueError:
        raise InvalidArgumentError(f"not a JSON object: {safe_repr(text)}") from None
    for value in (record.get("room_sid"), grouping_sid(record), record.get("sid"), record.get("unique_name")):
        if isinstance(value, str) and value:
            return value
    raise InvalidArgumentError('the JSON object has neither "room_sid" nor "sid"')


def grouping_sid(record: dict[str, object]) -> object:
    """Return the room of a recording of the whole account, whose ``room_sid`` may be null."""
    sids = record.get("grouping_sids")
    if not isinstance(sids, dict):
        return None
    return sids.get("room_sid")
