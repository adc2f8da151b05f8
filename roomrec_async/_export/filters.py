"""The filters of an export of rooms, which all of its shards and attempts have in common."""

from __future__ import annotations

from typing import Final, Unpack

from roomrec_async._api.params import RoomFilters, recordings_parameters
from roomrec_async.config import Timeout

# It changes how recordings are asked for, and not which.
_PAGE_SIZE: Final = "PageSize"


def describe_filters(
    *,
    limit: int | None = None,
    timeout: Timeout | float | None = None,  # noqa: ARG001  no filter, but an option of the same call
    **filters: Unpack[RoomFilters],
) -> dict[str, str]:
    """Return what decides which recordings of a room are written, by the names of the API's query parameters.

    Raises:
        InvalidArgumentError: a filter is out of its bounds.
    """
    described = {name: str(value) for name, value in recordings_parameters(**filters).items() if name != _PAGE_SIZE}
    if limit is not None:
        described["Limit"] = str(limit)
    return described
