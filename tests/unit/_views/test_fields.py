"""Numbers of recordings: those in the documented range are used, others count as missing."""

from __future__ import annotations

import pytest

from roomrec_async._views.fields import valid_duration, valid_offset, valid_size
from roomrec_async.models import Recording


@pytest.mark.parametrize(
    ("size", "expected"),
    [(None, None), (0, 0), (-1, None), (9_223_372_036_854_775_807, 9_223_372_036_854_775_807), (2**63, None)],
)
def test_size_is_an_unsigned_63_bit_integer(size: int | None, expected: int | None) -> None:
    assert valid_size(Recording(size=size)) == expected


@pytest.mark.parametrize(
    ("duration", "expected"), [(None, None), (0, 0), (-1, None), (2_147_483_647, 2_147_483_647), (2**31, None)]
)
def test_duration_is_an_unsigned_31_bit_integer(duration: int | None, expected: int | None) -> None:
    assert valid_duration(Recording(duration=duration)) == expected


@pytest.mark.parametrize(
    ("offset", "expected"),
    [
        (None, None),
        (-1, -1),
        (-9_223_372_036_854_775_808, -9_223_372_036_854_775_808),
        (-(2**63) - 1, None),
        (9_223_372_036_854_775_807, 9_223_372_036_854_775_807),
        (2**63, None),
    ],
)
def test_offset_is_a_signed_64_bit_integer(offset: int | None, expected: int | None) -> None:
    assert valid_offset(Recording(offset=offset)) == expected
