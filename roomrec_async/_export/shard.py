"""The division of an export: which shard does what."""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Final, Self

import attrs

from roomrec_async._validate import check_integer, refusal
from roomrec_async.errors import InvalidArgumentError

MAX_SHARDS: Final = 10_000
"""Largest number of shards of an export."""

_SHARD: Final = re.compile(r"([0-9]{1,6})/([0-9]{1,6})")
# Bits of a hash: SQLite's integers have 64, with a sign.
_HASH_SHIFT: Final = 1


@attrs.frozen
class Shard:
    """One of the equal parts of an export.

    Args:
        index: which one, from 1.
        count: how many there are.

    Raises:
        InvalidArgumentError: there is no such shard.
    """

    index: int = 1
    count: int = 1

    def __attrs_post_init__(self) -> None:
        check_integer("the number of shards", self.count, minimum=1, maximum=MAX_SHARDS)
        check_integer("shard", self.index, minimum=1, maximum=self.count)

    @classmethod
    def parse(cls, shard: str | tuple[int, int] | None) -> Self:
        """Return the shard that an argument stands for: ``"3/40"``, ``(3, 40)``, or None for all in one.

        Shards are counted from 1 or from 0, as the indexes of a Kubernetes Job are: 0/40 is 40/40.

        Raises:
            InvalidArgumentError: it is none of these.
        """
        if shard is None:
            return cls()
        if isinstance(shard, str) and (match := _SHARD.fullmatch(shard)):
            return cls.counted(int(match[1]), int(match[2]))
        if isinstance(shard, tuple) and len(shard) == len(("index", "count")):
            return cls.counted(*shard)
        raise InvalidArgumentError(refusal("shard", "a part such as '3/40', the third of 40", shard))

    @classmethod
    def counted(cls, index: int, count: int) -> Self:
        """Return a shard by its index, of which the last one may be 0."""
        return cls(count if index == 0 and not isinstance(index, bool) else index, count)

    def owns(self, key: str) -> bool:
        """Return True if what has this key is this shard's."""
        return key_hash(key) % self.count == self.index - 1

    def name(self) -> str:
        """Return the shard as part of a name."""
        return f"shard-{self.index:05d}"


def key_hash(key: str) -> int:
    """Return the hash of a key: the same on every machine, a positive integer of 63 bits."""
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "big") >> _HASH_SHIFT
