"""One room that a command is about: a room of the account, or what was kept of one without it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import attrs
import click
from click.core import ParameterSource

from roomrec_async._destinations import url_scheme
from roomrec_async._text import safe_repr
from roomrec_async._validate import ROOM_SID

from .input import STDIN
from .options import parse_room, parse_room_sid

_Command = TypeVar("_Command", bound=Callable[..., object])


@attrs.frozen
class RoomSource:
    """The room that a command is given.

    Attributes:
        kept: path or URL of what was kept; None for a room of the account.
        room: the room: of the account by its SID or its unique name, of what was kept by its SID, or None for the
            only one of it.
    """

    kept: str | None
    room: str | None

    @classmethod
    def parse(cls, source: str, room: str | None) -> RoomSource:
        """Return what the arguments of a command name.

        Raises:
            BadParameter: ROOM is neither a room SID nor, for a room of the account, a unique name.
            UsageError: both arguments are rooms.
        """
        if room is not None:
            parse_room_sid(room)
        if not ROOM_SID.fullmatch(source) and is_kept(source):
            return cls(source, room)
        # Most who see this have mistyped a SID or a path.
        if source == STDIN or "/" in source or os.sep in source:
            parse_room_sid(source)
        parse_room(source)
        if room is not None:
            raise click.UsageError(f"give one room, not also {safe_repr(room)}")
        return cls(None, source)

    @staticmethod
    def refuse_options(*names: str) -> None:
        """Refuse options that need an account.

        Raises:
            UsageError: one of them is given.
        """
        context = click.get_current_context()
        for parameter in context.command.params:
            given = context.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
            if given and set(names) & set(parameter.opts):
                raise click.UsageError(f"{parameter.opts[0]} is for a room of the account, not for what was kept")


def is_kept(source: str) -> bool:
    """Return True if a text names what was kept of rooms, rather than a room of the account."""
    if url_scheme("SOURCE", source) is not None:
        return True
    return bool(source) and Path(source).exists()


def room_source_arguments(command: _Command) -> _Command:
    """Add the arguments ``ROOM`` or ``SOURCE [ROOM]``, which :meth:`RoomSource.parse` reads."""
    room = click.argument("room", required=False, metavar="[ROOM]")
    source = click.argument("source", metavar="ROOM|SOURCE")
    return source(room(command))
