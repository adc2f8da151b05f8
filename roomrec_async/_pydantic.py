"""The models as pydantic sees them: as fields of its models, as bodies of requests, and as responses of FastAPI.

Imported only when pydantic asks for it, so that nobody else needs pydantic.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import datetime
from enum import Enum
from functools import reduce
from typing import Annotated, TypeVar, get_args, get_origin, get_type_hints

from pydantic import AwareDatetime, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema


def model_schema(cls: type, _source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
    """Return the schema of a model: an object with its fields, any of which may be missing where it is read."""
    hints = get_type_hints(cls, include_extras=True)
    types = {field.name: handler.generate_schema(_pydantic_type(hints[field.name])) for field in fields(cls)}
    return _object_schema(cls, types, lambda values: cls(**values), f"{cls.__module__}.{cls.__qualname__}")


def page_schema(cls: type, source: object, handler: GetCoreSchemaHandler, meta: type, default: object) -> CoreSchema:
    """Return the schema of a page: its records, its metadata, and its resume token. It is only ever a response.

    Args:
        cls: the class of pages.
        source: the annotation, such as ``Page[Recording]``.
        handler: makes the schemas of other types.
        meta: the class of a page's metadata.
        default: the type of the records of a ``Page`` that does not say so.
    """
    item = _parameter(source, default)
    types = {
        "items": core_schema.list_schema(handler.generate_schema(item)),
        "meta": handler.generate_schema(meta),
        "resume_token": core_schema.str_schema(),
    }

    def refuse(_: object) -> object:
        raise ValueError("a Page is only a response, and cannot be read")

    name = f"{cls.__module__}.{cls.__qualname__}[{getattr(item, '__name__', 'Record')}]"
    return _object_schema(cls, types, refuse, name)


def list_schema(cls: type, source: object, handler: GetCoreSchemaHandler, default: object) -> CoreSchema:
    """Return the schema of a class of lists; the arguments are those of :func:`page_schema`."""
    items = core_schema.list_schema(handler.generate_schema(_parameter(source, default)))
    return core_schema.no_info_after_validator_function(cls, items)


def object_json_schema(cls: type, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
    """Return the JSON schema of a model or a page, with the name and the summary of its class.

    Everything is there where it is written, though it may be null.
    """
    json_schema = handler(schema)
    described = handler.resolve_ref_schema(json_schema)
    described["title"] = cls.__name__
    described["description"] = (cls.__doc__ or "").partition("\n")[0]
    if handler.mode == "serialization":
        described["required"] = list(described["properties"])
    return json_schema


def enum_schema(cls: type[Enum]) -> CoreSchema:
    """Return the schema of an open enum: any string."""
    to_str = core_schema.plain_serializer_function_ser_schema(
        lambda member: member.value, return_schema=core_schema.str_schema(), when_used="json"
    )
    return core_schema.no_info_after_validator_function(cls, core_schema.str_schema(), serialization=to_str)


def enum_json_schema(cls: type[Enum]) -> JsonSchemaValue:
    """Return the JSON schema of an open enum: the values that are known, or any other string."""
    known = {"type": "string", "enum": [member.value for member in cls]}
    return {"title": cls.__name__, "anyOf": [known, {"type": "string"}]}


def _object_schema(
    cls: type, types: Mapping[str, CoreSchema], make: Callable[[dict[str, object]], object], name: str
) -> CoreSchema:
    """Return the schema of a class that is written as an object.

    Args:
        cls: the class.
        types: the schemas of its attributes, by their names.
        make: makes an instance of the attributes that were read.
        name: the name of the schema, from which that in a JSON schema is made.
    """
    attributes = core_schema.typed_dict_schema(
        {name: core_schema.typed_dict_field(schema, required=False) for name, schema in types.items()}
    )

    def read(value: object, handler: core_schema.ValidatorFunctionWrapHandler) -> object:
        return value if isinstance(value, cls) else make(handler(value))

    def write(value: object, handler: core_schema.SerializerFunctionWrapHandler) -> object:
        return handler({name: getattr(value, name) for name in types})

    return core_schema.no_info_wrap_validator_function(
        read,
        attributes,
        ref=f"{name}:{id(cls)}",
        serialization=core_schema.wrap_serializer_function_ser_schema(write, schema=attributes),
    )


def _parameter(source: object, default: object) -> object:
    """Return the parameter of a generic class in an annotation, or the default where there is none."""
    parameter = next(iter(get_args(source)), default)
    return default if isinstance(parameter, TypeVar) else parameter


def _pydantic_type(hint: object) -> object:
    """Return the type of a field in pydantic's terms: a date that msgspec wants with a zone has one there, too."""
    if get_origin(hint) is Annotated:
        return AwareDatetime if get_args(hint)[0] is datetime else get_args(hint)[0]
    if type(None) in get_args(hint):
        return reduce(operator.or_, map(_pydantic_type, get_args(hint)))
    return hint
