"""How much one answer, and one list, may bring."""

from __future__ import annotations

import attrs

from .errors import ConfigurationError, shown


def _count_from_one(_: object, attribute: attrs.Attribute[int], value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigurationError(f"{attribute.name} must be an integer from 1, not {shown(value)}")


@attrs.frozen(kw_only=True)
class Bounds:
    """How much a client takes, whatever the other side sends. How deep JSON may be nested is bounded by its parser.

    Args:
        response_bytes: of one response of the API, decompressed; a page of 1,000 recordings has about one million.
            Media are not responses of the API: they are never held in memory.
        pages: of one list.

    Raises:
        ConfigurationError: a bound is not positive.
    """

    response_bytes: int = attrs.field(default=64 * 2**20, validator=_count_from_one)
    pages: int = attrs.field(default=1_000_000, validator=_count_from_one)
