"""attrs classes that msgspec fills directly.

msgspec asks an object of an ordinary attrs class for each of its fields once it has decoded it, which is a third of the
cost of a record; an object of its own ``Struct`` is finished then. The classes made here are both: a ``Struct`` that is
registered with attrs, so that ``attrs.fields``, ``asdict`` and ``evolve`` work with it, and cattrs. They declare
their fields as dataclasses do, for data frames, and as pydantic wants it, for FastAPI.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field, make_dataclass
from functools import partial
from types import new_class
from typing import TYPE_CHECKING

import attr
import attrs
import msgspec

__all__ = ["frozen_struct"]

if TYPE_CHECKING:
    # What the classes are to callers: type checkers know attrs' decorator.
    from attrs import frozen as frozen_struct
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema
else:

    def frozen_struct(*, kw_only: bool) -> Callable[[type], type]:
        """Return a decorator that rebuilds a class as a frozen ``Struct``.

        The behaviour is that of ``attrs.frozen(kw_only=kw_only)``: representation, comparison, hash, and the error for
        an assignment.
        """
        return partial(to_struct, kw_only=kw_only)


def to_struct(cls: type, *, kw_only: bool) -> type:
    """Return a frozen ``Struct`` with the fields and methods of a class."""
    # Before attrs takes the defaults from the class.
    members = {name: value for name, value in vars(cls).items() if name not in ("__dict__", "__weakref__")}
    fields = attrs.fields(attrs.frozen(cls, kw_only=kw_only, slots=False))
    members |= {field.name: field.default for field in fields}
    members["__get_pydantic_core_schema__"] = classmethod(_pydantic_core_schema)
    members["__get_pydantic_json_schema__"] = classmethod(_pydantic_json_schema)
    struct = new_class(
        cls.__name__, (msgspec.Struct,), {"frozen": True, "kw_only": kw_only}, lambda body: body.update(members)
    )

    # A Struct cannot hash its maps, and its error for an assignment is not attrs' own: both are from attrs.
    register = attr.s(
        these={field.name: attr.ib(default=field.default, hash=field.hash) for field in fields},
        frozen=True,
        unsafe_hash=True,
        init=False,
        repr=False,
        eq=False,
        slots=False,
        match_args=False,
    )
    _declare_dataclass(register(struct), {field.name: (field.type, field.default) for field in fields})
    return struct


def _pydantic_core_schema(cls: type, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
    from ._pydantic import model_schema  # noqa: PLC0415  only pydantic calls this, and needs it

    return model_schema(cls, source, handler)


def _pydantic_json_schema(cls: type, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
    from ._pydantic import object_json_schema  # noqa: PLC0415  as above

    return object_json_schema(cls, schema, handler)


def _declare_dataclass(struct: type, fields: Mapping[str, tuple[object, object]]) -> None:
    """Declare the fields of a class in the standard library's way, too.

    pandas, polars, orjson, FastAPI and others know dataclasses, and ask for nothing but these two attributes.
    """
    like = make_dataclass(
        struct.__name__,
        [(name, annotation, field(default=default)) for name, (annotation, default) in fields.items()],
        init=False,
        repr=False,
        eq=False,
        frozen=True,
        kw_only=True,
        match_args=False,
    )
    for name in ("__dataclass_fields__", "__dataclass_params__"):
        setattr(struct, name, getattr(like, name))
