"""The class of all commands: options in groups, and errors that name them as they are typed."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Final

import click
from click.core import ParameterSource

from roomrec_async.errors import ConfigurationError, InvalidArgumentError

# Arguments of the library whose options have other names.
_OPTIONS: Final = {
    "--url": "--redis",
    "--unique-name": "--name",
    "--date-created-after": "--after",
    "--date-created-before": "--before",
}

# An argument of the library: at the start of a message, or with its value, as in "for per='participant'".
_ARGUMENT: Final = re.compile(
    r"^(?P<name>[a-z_]+)(?=:| must | is for | http)|\b(?P<date>date_created_(?:after|before))\b"
    r"|\b(?P<other>[a-z_]+)='(?P<value>\w+)'"
)

# Numbers in words: click has "'x' is not a valid integer range" and "-1 is not in the range x>=0".
_NUMBER: Final = (
    (re.compile(r"is not a valid integer(?: range)?"), "is not a whole number"),
    (re.compile(r"is not a valid float(?: range)?"), "is not a number"),
    (re.compile(r"(\S+) is not in the range x>=(\S+?)\.?$"), r"it must be \2 or more, not \1"),
    (re.compile(r"(\S+) is not in the range (\S+)<=x<=(\S+?)\.?$"), r"it must be from \2 to \3, not \1"),
)

# Names that other programs have for our options.
_SYNONYMS: Final = {
    "--since": "--after",
    "--start": "--after",
    "--max-age": "--after",
    "--until": "--before",
    "--end": "--before",
    "--min-age": "--before",
    "--out": "--output",
    "--dest": "--output",
    "--directory": "--output",
    "--file": "--from-file",
    "--input": "--from-file",
    "--concurrency": "--max-concurrency",
    "--jobs": "--max-concurrency",
    "--workers": "--max-concurrency",
    "--transfers": "--at-once",
    "--count": "--limit",
    "--max-items": "--limit",
    "--confirm": "--yes",
    "--force": "--yes",
    "--key": "--private-key",
    "--url": "--base-url",
    "--endpoint": "--base-url",
    "--endpoint-url": "--base-url",
    "--debug": "--verbose",
    "--silent": "--quiet",
    "--names": "--identities",
}
# Ratio of what two names have in common, from which one is taken for a misspelling of the other.
_MISSPELLED: Final = 0.8

# Headings of the help after "Options", and the options below them.
_HEADINGS: Final = {
    "Output": (
        *("--output", "--json", "--table", "--sids", "--columns", "--wide", "--sort", "--format", "--print"),
        *("--allow-partial", "--failed-rooms", "--progress", "--write-rooms"),
    ),
    "Connection": (
        *("--base-url", "--redis", "--reads-per-second", "--max-concurrency", "--timeout", "--at-once", "--page-size"),
    ),
    "Messages": ("--verbose", "--quiet", "--log-level", "--log-format", "--log-file", "--help"),
}


class RoomrecCommand(click.Command):
    """A command of ``roomrec``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments; errors say which command's help to read."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            raise click.UsageError(
                f"No such option '{error.option_name}'{suggest(error.option_name, ctx)}", ctx
            ) from None
        except click.UsageError as error:
            error.ctx = error.ctx or ctx
            if type(error) is click.BadParameter:
                raise click.BadParameter(
                    reword_numbers(error.message), error.ctx, error.param, error.param_hint
                ) from None
            raise

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options in groups: what the command works on, what it writes, and how it connects."""
        groups: dict[str, list[tuple[str, str]]] = {"Options": [], **{heading: [] for heading in _HEADINGS}}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                groups[heading_of(parameter)].append(record)
        for heading, records in groups.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)

    def invoke(self, ctx: click.Context) -> object:
        """Run the command. Where the library refuses an argument, the message names the option that set it."""
        try:
            return super().invoke(ctx)
        except (InvalidArgumentError, ConfigurationError) as error:
            error.args = (name_options(str(error), ctx), *error.args[1:])
            raise


def heading_of(parameter: click.Parameter) -> str:
    """Return the heading of the help that an option stands below."""
    for heading, names in _HEADINGS.items():
        if set(names) & set(parameter.opts):
            return heading
    return "Options"


def suggest(name: str, context: click.Context) -> str:
    """Return the end of a message about an option that does not exist: the one that was meant, if that is clear."""
    if name in option_names(context.find_root().command):
        return f": it goes before the command, as in 'roomrec {name} ... {context.info_name}'"
    known = option_names(context.command)
    synonym = _SYNONYMS.get(name)
    meant = [synonym] if synonym in known else get_close_matches(name, known, 1, _MISSPELLED)
    return f". Did you mean '{meant[0]}'?" if meant else ""


def option_names(command: click.Command) -> list[str]:
    """Return the names of a command's options."""
    options = (parameter for parameter in command.params if isinstance(parameter, click.Option))
    return [name for option in options for name in (*option.opts, *option.secondary_opts)]


def reword_numbers(message: str) -> str:
    """Return a message of click about a number in plain words."""
    for pattern, words in _NUMBER:
        message = pattern.sub(words, message)
    return message


def name_options(message: str, context: click.Context) -> str:
    """Return a message of the library with options, or the variables that set them, in place of its arguments."""

    def replace(match: re.Match[str]) -> str:
        name = option_name(match["name"] or match["date"] or match["other"], context)
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
