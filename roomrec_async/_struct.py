"""attrs classes that msgspec fills directly.

msgspec asks an object of an ordinary attrs class for each of its fields once it has decoded it, which is a third of the
cost of a record; an object of its own ``Struct`` is finished then. The classes made here are both: a ``Struct`` that is
registered with attrs, so that ``attrs.fields``, ``asdict`` and ``evolve`` work with it, and cattrs. They declare
their fields as dataclasses do, for data frames, and as pydantic wants it, for FastAPI.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from functools import partial
from operator import attrgetter
from types import new_class
from typing import TYPE_CHECKING

import attr
import msgspec

__all__ = ["field", "frozen_struct"]

if TYPE_CHECKING:
    # What the classes are to callers: type checkers know attrs' decorator.
    from attrs import field
    from attrs import frozen as frozen_struct
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema
else:
    from dataclasses import field

    def frozen_struct(*, kw_only: bool) -> Callable[[type], type]:
        """Return a decorator that rebuilds a class as a frozen ``Struct``.

        The behaviour is that of ``attrs.frozen(kw_only=kw_only)``: representation, comparison, hash, and the error for
        an assignment.
        """
        return partial(to_struct, kw_only=kw_only)


def to_struct(cls: type, *, kw_only: bool) -> type:
    """Return a frozen ``Struct`` with the fields and methods of a class."""
    # pandas, polars, orjson, FastAPI and others know the standard library's dataclasses, and ask them for their fields.
    declare = dataclass(init=False, repr=False, eq=False, kw_only=kw_only, match_args=False)
    declared: type = declare(cls)
    members = {name: value for name, value in vars(declared).items() if name not in ("__dict__", "__weakref__")}
    # Said here, because dataclass(frozen=True) would compile methods, which takes longer than all the rest.
    members["__dataclass_params__"].frozen = True
    # Python 3.14 would have it in other forms.
    members["__annotations__"] = {field.name: field.type for field in fields(declared)}
    # A Struct would hash its maps, too, which have no hash.
    members["__hash__"] = hash_of(field.name for field in fields(declared) if field.hash is not False)
    members["__get_pydantic_core_schema__"] = classmethod(_pydantic_core_schema)
    members["__get_pydantic_json_schema__"] = classmethod(_pydantic_json_schema)
    struct = new_class(
        cls.__name__, (msgspec.Struct,), {"frozen": True, "kw_only": kw_only}, lambda body: body.update(members)
    )

    # For attrs.fields() and what builds upon it, and for attrs' own error where a field is assigned.
    register = attr.s(
        these={field.name: attr.ib(default=field.default, hash=field.hash) for field in fields(declared)},
        frozen=True,
        init=False,
        repr=False,
        eq=False,
        slots=False,
        match_args=False,
    )
    return register(struct)


def hash_of(names: Iterable[str]) -> Callable[[object], int]:
    """Return a method that hashes an object by the attributes of these names."""
    values = attrgetter(*names)
    return lambda self: hash(values(self))


def _pydantic_core_schema(cls: type, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
    from ._pydantic import model_schema  # noqa: PLC0415  only pydantic calls this, and needs it

    return model_schema(cls, source, handler)


def _pydantic_json_schema(cls: type, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
    from ._pydantic import object_json_schema  # noqa: PLC0415  as above

    return object_json_schema(cls, schema, handler)
