"""The interfaces: what the package offers of each fits it, and a program's own needs no base class."""

from __future__ import annotations

import inspect

import pytest

from roomrec_async import RateLimiter, protocols
from roomrec_async.integrations.decryption import PrivateKey
from roomrec_async.integrations.redis import RedisRateLimiter
from roomrec_async.integrations.stores import ObjectStore


def members(cls: type) -> dict[str, object]:
    return {name: member for name, member in vars(cls).items() if not name.startswith("_")}


@pytest.mark.parametrize(
    ("protocol", "implementation"),
    [
        (protocols.Limiter, RateLimiter),
        (protocols.Limiter, RedisRateLimiter),
        (protocols.Destination, ObjectStore),
        (protocols.Decryption, PrivateKey),
    ],
)
def test_what_the_package_offers_has_every_member_with_the_same_parameters(
    protocol: type, implementation: type
) -> None:
    for name, member in members(protocol).items():
        offered = vars(implementation)[name]
        assert type(offered) is type(member)
        if inspect.isfunction(member):
            expected = list(inspect.signature(member).parameters)
            assert list(inspect.signature(offered).parameters) == expected


def test_every_interface_is_named() -> None:
    defined = {name for name, value in vars(protocols).items() if getattr(value, "_is_protocol", False)}
    assert defined - {"Protocol"} == set(protocols.__all__)
