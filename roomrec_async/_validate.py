"""Checks of arguments: their bounds, and the messages for values outside them.

Each check returns the value, so that it can be used in an expression.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Final, TypeGuard, TypeVar

from ._text import safe_repr
from .errors import InvalidArgumentError

_Text = TypeVar("_Text", bound=str)
_Function = TypeVar("_Function")
_Instance = TypeVar("_Instance")

# The API's integers have 64 bits.
INT64_MAX: Final = 2**63 - 1

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

# Requests per second: more than any quota.
MAX_RATE: Final = 1_000_000

# The patterns of the published description, which accepts hexadecimal digits in either case.
ROOM_SID: Final = re.compile(r"RM[0-9a-fA-F]{32}")
RECORDING_SID: Final = re.compile(r"RT[0-9a-fA-F]{32}")
ACCOUNT_SID: Final = re.compile(r"AC[0-9a-fA-F]{32}")
API_KEY_SID: Final = re.compile(r"SK[0-9a-fA-F]{32}")
ANY_SID: Final = re.compile(r"[a-zA-Z]{2}[0-9a-fA-F]{32}")


def check_integer(
    name: str,
    value: object,
    *,
    minimum: int,
    maximum: int = INT64_MAX,
    even: bool = False,
    alternative: str | None = None,
) -> int:
    """Return an integer within bounds.

    Args:
        name: the name of the argument, for the message.
        value: the argument; a bool is not an integer here.
        minimum: the smallest value allowed.
        maximum: the largest value allowed, by default that of a 64-bit integer.
        even: True to refuse odd numbers.
        alternative: other values that the caller accepts, for the message, such as "or None".

    Raises:
        InvalidArgumentError: the value is not an integer, out of bounds, or odd where it must be even.
    """
    step = 2 if even else 1
    if isinstance(value, int) and not isinstance(value, bool) and minimum <= value <= maximum and not value % step:
        return value

    expected = f"an even number from {minimum}" if even else f"an integer from {minimum}"
    # Nobody exceeds 64 bits by mistake: naming that maximum would only lengthen the message.
    if maximum != INT64_MAX:
        expected += f" to {maximum}"
    if alternative is not None:
        expected += f", {alternative}"
    raise InvalidArgumentError(f"{refusal(name, expected, value)}{_number_hint(value, int)}")


def check_seconds(name: str, value: object, *, minimum: float = 0, positive: bool = False) -> float:
    """Return a finite number of seconds from the minimum; with ``positive``, 0 is refused too.

    Raises:
        InvalidArgumentError: the value is not a number, not finite, or too small.
    """
    # The comparisons also refuse infinity, NaN, and integers that no float can hold.
    if not is_number(value) or not minimum <= value <= sys.float_info.max or (positive and value == 0):
        expected = "a positive number of seconds" if positive else f"a number of seconds from {minimum:g}"
        raise InvalidArgumentError(f"{refusal(name, expected, value)}{_number_hint(value, float)}")
    return value


def check_rate(name: str, value: object, *, maximum: int) -> float:
    """Return a positive number of requests per second.

    Raises:
        InvalidArgumentError: the value is not a number, not positive, or above the maximum.
    """
    if not is_number(value) or not 0 < value <= maximum:
        expected = f"positive and at most {maximum:,}, or None"
        raise InvalidArgumentError(f"{refusal(name, expected, value)}{_number_hint(value, float)}")
    return value


def _number_hint(value: object, kind: type[int | float]) -> str:
    """Return how a number is made of another value, after a colon; empty where that is not clear."""
    if isinstance(value, timedelta):
        return ": give its .total_seconds()"
    if isinstance(value, (str, bytes)):
        try:
            kind(value)
        except ValueError:
            return ""
        return f": a text, such as an environment variable, becomes a number with {kind.__name__}(...)"
    return ""


def check_choice(name: str, value: _Text, choices: Collection[str]) -> _Text:
    """Return a string that is one of the choices.

    Raises:
        InvalidArgumentError: it is not one of them.
    """
    if not isinstance(value, str) or value not in choices:
        listed = [repr(choice) for choice in choices]
        expected = f"{', '.join(listed[:-1])} or {listed[-1]}"
        raise InvalidArgumentError(refusal(name, expected, value))
    return value


def check_match(name: str, value: object, pattern: re.Pattern[str], expected: str) -> str:
    """Return a string that the pattern matches from its first to its last character.

    Args:
        name: the name of the argument, for the message.
        value: the argument.
        pattern: the pattern.
        expected: the pattern in words, for the message.

    Raises:
        InvalidArgumentError: it is not a string, or does not match.
    """
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise InvalidArgumentError(refusal(name, expected, value))
    return value


def check_room_sid(value: object) -> str:
    """Return the SID of a room.

    Raises:
        InvalidArgumentError: it is not ``RM`` and 32 hexadecimal digits.
    """
    return check_match("room_sid", value, ROOM_SID, "'RM' and 32 hexadecimal digits")


def check_recording_sid(value: object) -> str:
    """Return the SID of a recording.

    Raises:
        InvalidArgumentError: it is not ``RT`` and 32 hexadecimal digits.
    """
    return check_match("a recording's sid", value, RECORDING_SID, "'RT' and 32 hexadecimal digits")


def check_account_sid(value: object) -> str:
    """Return the SID of an account.

    Raises:
        InvalidArgumentError: it is not ``AC`` and 32 hexadecimal digits.
    """
    return check_match("account_sid", value, ACCOUNT_SID, "'AC' and 32 hexadecimal digits")


def canonical_sid(sid: str) -> str:
    """Return a SID in the service's own spelling: the prefix in upper case, the digits in lower case.

    The service ignores the case of a SID, so that two spellings are one SID.
    """
    return sid[:2].upper() + sid[2:].lower()


def check_aware(name: str, value: object) -> datetime:
    """Return a datetime that has a time zone.

    Raises:
        InvalidArgumentError: it is not a datetime, or naive.
    """
    if not isinstance(value, datetime):
        raise InvalidArgumentError(f"{refusal(name, 'a datetime', value)}{_date_hint(value)}")
    try:
        offset = value.utcoffset()
    except Exception:  # noqa: BLE001  pandas.NaT is a datetime, and time zones are anybody's code
        raise InvalidArgumentError(refusal(name, "a datetime with a time zone", value)) from None
    if offset is None:
        raise InvalidArgumentError(
            f"{name} must have a time zone: {value!r} is naive. For UTC, use .replace(tzinfo=datetime.UTC)"
        )
    return value


def _date_hint(value: object) -> str:
    """Return how a datetime is made of another value, after a colon; empty where that is not clear."""
    if isinstance(value, str):
        return ": parse it, with its zone, as datetime.fromisoformat('2026-01-31T12:00:00+00:00') does"
    if isinstance(value, date):
        return ": say at which time of that day, and where: datetime.combine(value, time.min, tzinfo=UTC)"
    if isinstance(value, timedelta):
        return ": subtract it from now, as datetime.now(UTC) - value"
    if is_number(value):
        return ": datetime.fromtimestamp(value, UTC) makes one of seconds since 1970"
    return ""


def check_bool(name: str, value: object) -> bool:
    """Return True or False. Other values are refused: the text "false" would be true.

    Raises:
        InvalidArgumentError: it is something else.
    """
    if not isinstance(value, bool):
        raise InvalidArgumentError(refusal(name, "True or False", value))
    return value


def check_callable(name: str, value: _Function) -> _Function:
    """Return a function, or None.

    Raises:
        InvalidArgumentError: it is something else.
    """
    if value is not None and not callable(value):
        raise InvalidArgumentError(refusal(name, "a function, or None", value))
    return value


def check_instance(name: str, value: _Instance | None, kind: type[_Instance], example: str) -> _Instance | None:
    """Return a value that is of one class, or None.

    Args:
        name: the name of the argument, for the message.
        value: the argument.
        kind: the class.
        example: how one is made.

    Raises:
        InvalidArgumentError: it is something else.
    """
    if value is not None and not isinstance(value, kind):
        article = "an" if kind.__name__[0] in "AEIOU" else "a"
        raise InvalidArgumentError(f"{refusal(name, f'{article} {kind.__name__}', value)}: for instance {example}")
    return value


def check_bytes(name: str, value: object) -> bytes:
    """Return bytes.

    Raises:
        InvalidArgumentError: it is something else.
    """
    if not isinstance(value, bytes):
        hint = ": encode the text, as text.encode() does" if isinstance(value, str) else ""
        raise InvalidArgumentError(f"{refusal(name, 'bytes', value)}{hint}")
    return value


def check_text(name: str, value: object) -> str:
    """Return a text.

    Raises:
        InvalidArgumentError: it is something else.
    """
    if not isinstance(value, str):
        raise InvalidArgumentError(refusal(name, "a text", value))
    return value


def check_text_map(name: str, value: object) -> Mapping[str, str]:
    """Return a mapping of texts to texts, such as headers.

    Raises:
        InvalidArgumentError: it is something else.
    """
    if not isinstance(value, Mapping) or not all(isinstance(text, str) for pair in value.items() for text in pair):
        raise InvalidArgumentError(refusal(name, "a mapping of texts to texts", value))
    return value


def has_methods(value: object, names: Iterable[str]) -> bool:
    """Return True for an object with these methods; a class has none to call yet."""
    return not isinstance(value, type) and all(callable(getattr(value, name, None)) for name in names)


def is_before(one: datetime, other: datetime) -> bool:
    """Return True if an aware datetime is the earlier instant of two.

    ``<`` compares the clocks on the wall if both are of one zone, and those go back in autumn. Converting to UTC fails
    at the ends of the calendar.
    """
    return one - _EPOCH < other - _EPOCH


def is_number(value: object) -> TypeGuard[int | float]:
    """Return True for an int or a float; a bool is not a number here."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def refusal(name: str, expected: str, value: object) -> str:
    """Return the message for an argument that is refused."""
    return f"{name} must be {expected}, not {safe_repr(value)}"
