"""The division of an export into shards."""

from __future__ import annotations

import pytest

from roomrec_async import InvalidArgumentError
from roomrec_async._export.shard import Shard, key_hash


@pytest.mark.parametrize("count", [1, 2, 7, 40])
def test_each_key_is_that_of_one_shard(count: int) -> None:
    shards = [Shard(index, count) for index in range(1, count + 1)]
    owners = [[shard.index for shard in shards if shard.owns(f"RM{key:032x}")] for key in range(1000)]
    assert all(len(owner) == 1 for owner in owners)
    assert len({owner[0] for owner in owners}) == count


def test_the_hash_is_the_same_on_every_machine() -> None:
    # The first 8 bytes of BLAKE2b, by `b2sum -l 64`, without the last bit.
    assert key_hash("") == 0xE4A6A0577479B2B4 >> 1


@pytest.mark.parametrize(
    ("given", "shard"),
    [
        (None, Shard(1, 1)),
        ("3/40", Shard(3, 40)),
        ((3, 40), Shard(3, 40)),
        ("1/1", Shard()),
        ("0/40", Shard(40, 40)),
        ((0, 3), Shard(3, 3)),
    ],
)
def test_what_stands_for_a_shard(given: str | tuple[int, int] | None, shard: Shard) -> None:
    assert Shard.parse(given) == shard


@pytest.mark.parametrize(
    "given", ["0/0", "41/40", "3", "3/0", "a/b", "-1/3", "3/40/2", "", (False, 3), (1,), 3, "1/10001"]
)
def test_what_is_no_shard(given: object) -> None:
    with pytest.raises(InvalidArgumentError, match="shard"):
        Shard.parse(given)  # type: ignore[arg-type]
