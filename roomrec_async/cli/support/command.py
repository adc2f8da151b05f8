"""The class of all commands: its errors name options as they are typed."""

from __future__ import annotations

import re
from typing import Final

import click
from click.core import ParameterSource

from roomrec_async.errors import ConfigurationError, InvalidArgumentError

# Arguments of the library whose options have other names.
_OPTIONS: Final = {"--url": "--redis"}

# An argument of the library: at the start of a message, or with its value, as in "for per='participant'".
_ARGUMENT: Final = re.compile(r"^(?P<name>[a-z_]+)(?=:| must | is for )|\b(?P<other>[a-z_]+)='(?P<value>\w+)'")


class RoomrecCommand(click.Command):
    """A command of ``roomrec``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments; errors say which command's help to read."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx
            raise

    def invoke(self, ctx: click.Context) -> object:
        """Run the command. Where the library refuses an argument, the message names the option that set it."""
        try:
            return super().invoke(ctx)
        except (InvalidArgumentError, ConfigurationError) as error:
            error.args = (name_options(str(error), ctx), *error.args[1:])
            raise


def name_options(message: str, context: click.Context) -> str:
    """Return a message of the library with options, or the variables that set them, in place of its arguments."""

    def replace(match: re.Match[str]) -> str:
        name = option_name(match["name"] or match["other"], context)
        if name is None:
            return match[0]
        return name if match["value"] is None else f"{name} {match['value']}"

    return _ARGUMENT.sub(replace, message)


def option_name(argument: str, context: click.Context) -> str | None:
    """Return the option for an argument of the library, or the variable that set it; None if there is no option."""
    spelled = "--" + argument.replace("_", "-")
    spelled = _OPTIONS.get(spelled, spelled)
    for parameter in context.command.params:
        if isinstance(parameter, click.Option) and spelled in parameter.opts:
            source = context.get_parameter_source(parameter.name or "")
            return f"${parameter.envvar}" if source is ParameterSource.ENVIRONMENT else spelled
    return None
