"""What is iterated with ``async for``, and answers any other use with a sentence."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Coroutine
from typing import TYPE_CHECKING, ClassVar, NoReturn, TypeVar, cast

_Item = TypeVar("_Item")


class AsyncOnly:
    """Base of what can only be iterated with ``async for``: other uses are a TypeError that says what to do instead.

    Type checkers do not see the methods: to them, such a use is an error already.
    """

    _how_to_iterate: ClassVar[str]
    _how_to_count: ClassVar[str]
    _how_to_enter: ClassVar[str]

    if not TYPE_CHECKING:
        # With __iter__ instead, isinstance() would take it for an Iterable. Python also calls this for a plain "for",
        # for list() and for "in".
        def __getitem__(self, index: object) -> NoReturn:
            raise TypeError(self._how_to_iterate)

        def __len__(self) -> NoReturn:
            raise TypeError(self._how_to_count)

        def __enter__(self) -> NoReturn:
            raise TypeError(self._how_to_enter)

        def __aenter__(self) -> NoReturn:
            raise TypeError(self._how_to_enter)

        # Python looks for both before it calls the first.
        __exit__ = __aexit__ = None


def only_async(items: AsyncGenerator[_Item, None]) -> AsyncGenerator[_Item, None]:
    """Return an async generator that answers what can be done with lists and coroutines only with a sentence."""
    return cast("AsyncGenerator[_Item, None]", _Stream(items))


class _Stream(AsyncOnly):
    """An async generator; everything that is not here is the generator's own."""

    _how_to_iterate = (
        "read this with 'async for', not with 'for' or an index; [item async for item in ...] makes a list of it"
    )
    _how_to_count = "how many there are is not known before they are fetched: count them in an 'async for' loop"
    _how_to_enter = "this is no context manager: iterate it with 'async for', or close it with contextlib.aclosing(...)"

    def __init__(self, items: AsyncGenerator[object, None]) -> None:
        self._items = items

    def __aiter__(self) -> AsyncGenerator[object, None]:  # noqa: PYI058  callers may want to close it
        # The generator itself: a loop pays nothing for this class.
        return self._items

    def __anext__(self) -> Coroutine[object, object, object]:
        return self._items.__anext__()

    def __getattr__(self, name: str) -> object:
        # A copy that is being made has no attributes yet.
        if name == "_items":
            raise AttributeError(name)
        return getattr(self._items, name)

    def __bool__(self) -> bool:
        # As for any generator: frameworks ask "if body".
        return True

    def __await__(self) -> NoReturn:
        raise TypeError("there is nothing to await here: use 'async for' without 'await'")


AsyncGenerator.register(_Stream)
