"""SIDs that are computed from numbers and lead back to them, so that no table of SIDs is kept."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import overload

_64_BITS = 2**64 - 1
_32_BITS = 2**32 - 1
# An odd number near 2**64 divided by the golden ratio: multiples of it are spread evenly (Fibonacci hashing).
_SPREAD_64 = 0x9E3779B97F4A7C15

_FOUR_WORDS = struct.Struct(">4Q")
_SID_DIGITS = re.compile(r"[0-9a-fA-F]{32}")


def join_number(room_index: int, index: int) -> int:
    """Return the number, within the account, of the recording or track with this index in its room."""
    return room_index << 32 | index


def split_number(number: int) -> tuple[int, int]:
    """Return what :func:`join_number` was given: the index of the room, and the index in the room."""
    return number >> 32, number & _32_BITS


def lower_digits(sid: str) -> str:
    """Return a SID with its digits in lower case, as the service writes it; it reads both cases."""
    return sid[:2] + sid[2:].lower()


class SidFamily:
    """The SIDs of one kind, such as ``RT``: each stands for a number below 2**64.

    The first 16 digits of a SID are taken from a keyed hash of the number, the last 16 are the number itself, masked.
    So a SID looks random, leads back to its number, and one that was not made with the same key is recognized.

    Args:
        prefix: the two letters.
        key: at most 64 bytes; another key gives other SIDs.
    """

    def __init__(self, prefix: str, key: bytes) -> None:
        self.prefix = prefix
        self._hash = blake2b(prefix.encode(), key=key, digest_size=_FOUR_WORDS.size)

    def hash_words(self, number: int) -> tuple[int, int, int, int]:
        """Return the hash of a number as four 64-bit integers.

        The first one is part of the number's SID; the others are free for drawing the properties of a record.
        """
        keyed_hash = self._hash.copy()
        keyed_hash.update(number.to_bytes(8, "big"))
        return _FOUR_WORDS.unpack(keyed_hash.digest())

    def sid(self, number: int) -> str:
        """Return the SID of a number."""
        return self.sid_from(number, self.hash_words(number)[0])

    def sid_from(self, number: int, first_word: int) -> str:
        """Return the SID of a number, given the first of its :meth:`hash_words`."""
        return f"{self.prefix}{first_word:016x}{number ^ _mask(first_word):016x}"

    def number(self, sid: str) -> int | None:
        """Return the number of a SID, or None if the SID is malformed or not of this family.

        The digits may be in either case.
        """
        if not sid.startswith(self.prefix) or not _SID_DIGITS.fullmatch(sid, len(self.prefix)):
            return None
        # Undo the mask, then check that the number has this hash: only the owner of the key can make a SID that does.
        first_word = int(sid[-32:-16], 16)
        number = int(sid[-16:], 16) ^ _mask(first_word)
        return number if self.hash_words(number)[0] == first_word else None


class LazyRoomSids(Sequence[str]):
    """The SIDs of an account's rooms, each computed on access: a million of them take no memory."""

    def __init__(self, family: SidFamily, numbers: range) -> None:
        self._family = family
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> LazyRoomSids: ...
    def __getitem__(self, index: int | slice) -> str | LazyRoomSids:
        if isinstance(index, slice):
            return LazyRoomSids(self._family, self._numbers[index])
        return self._family.sid(self._numbers[index])

    def __iter__(self) -> Iterator[str]:
        return map(self._family.sid, self._numbers)

    def __contains__(self, sid: object) -> bool:
        return isinstance(sid, str) and self._family.number(sid) in self._numbers

    def index(self, sid: object, start: int = 0, stop: int | None = None) -> int:
        """Return the index of a SID, computed without a search.

        Raises:
            ValueError: the SID is not in the sequence, or not between ``start`` and ``stop``.
        """
        number = self._family.number(sid) if isinstance(sid, str) else None
        if number is None or number not in self._numbers[start:stop]:
            raise ValueError(f"{sid!r} is not in the sequence")
        return self._numbers.index(number)

    def __repr__(self) -> str:
        return f"<{len(self)} room SIDs>"


def _mask(first_word: int) -> int:
    # The middle bits of the product, which depend on most bits of the word.
    return (first_word * _SPREAD_64 >> 32) & _64_BITS
