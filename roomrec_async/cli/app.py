"""The ``roomrec`` command line: its commands, and the exit codes of errors and signals."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import Final

import click

from roomrec_async._text import safe_text
from roomrec_async._version import __version__
from roomrec_async.errors import RoomRecError

from .support.command import option_names
from .support.errors import CommandExit, ExitCode, exit_code_for, exit_code_for_os_error, format_error, format_os_error
from .support.log import add_log_options, current_log, open_log
from .support.options import check_on_cluster, dask_option, proxy_option, slots_option, worker_credentials_option
from .support.signals import TerminatedError, raise_on_signals

# The backspace keeps click from wrapping the lines of this paragraph; so do those of the commands' examples.
_EPILOG: Final = """\b
Exit codes:
  0    success
  1    a room, a recording or a request failed, or the disk is full
  2    a mistake in the command line, the input or the configuration
  3    the credentials were refused
  130  interrupted by Ctrl-C
  143  ended by SIGTERM; 129 by SIGHUP
"""


class LazyCommand(click.Command):
    """A command that is imported when it runs: all of them together take longer to import than aiohttp.

    Args:
        name: its name, and that of its module.
        function: the name of the command in its module.
        short_help: its line in the list of commands.
    """

    def __init__(self, name: str, function: str, short_help: str) -> None:
        super().__init__(name, short_help=short_help)
        self._module = f"{__package__}.commands.{name}"
        self._function = function

    def load(self) -> click.Command:
        """Return the command itself."""
        command: click.Command = getattr(import_module(self._module), self._function)
        return command


class RoomrecGroup(click.Group):
    """The group of all commands. It turns their errors into messages and exit codes."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the options before the command; the message about one of the command itself says where it belongs."""
        given = tuple(args)
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            # Without a command, "list" stands for all of them.
            _, command, _ = self.resolve_command(ctx, [name for name in given if name in self.commands] or ["list"])
            option = error.option_name
            if command is None or option not in option_names(command):
                raise
            place = f"it goes after the command, as in 'roomrec {command.name} {option} ...'"
            raise click.UsageError(f"No such option '{option}': {place}", ctx) from None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the arguments name, and the arguments that are left for it."""
        name, command, remaining = super().resolve_command(ctx, args)
        if isinstance(command, LazyCommand):
            command = add_log_options(command.load())
        return name, command, remaining

    def invoke(self, ctx: click.Context) -> object:
        """Run the command that was asked for."""
        try:
            with raise_on_signals():
                return super().invoke(ctx)
        except TerminatedError as error:
            raise CommandExit(str(error), error.exit_code) from None
        except KeyboardInterrupt:
            # Before click sees it, which would print an empty line.
            raise CommandExit("interrupted", ExitCode.INTERRUPTED) from None
        except BrokenPipeError:
            # The reader, such as head, has seen enough: that is no error.
            discard_output()
            return ExitCode.SUCCESS
        except RoomRecError as error:
            raise CommandExit(format_error(error), exit_code_for(error)) from None
        except OSError as error:
            raise CommandExit(format_os_error(error), exit_code_for_os_error(error)) from None


@click.group(cls=RoomrecGroup, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="roomrec")
@dask_option
@slots_option
@worker_credentials_option
@proxy_option
@click.pass_context
def roomrec(
    ctx: click.Context, dask: str | None, slots: int | None, proxy: str | None, *, worker_credentials: bool
) -> None:
    """List, download, archive and delete recordings of video rooms (Twilio Video REST API).

    'roomrec demo' is a demonstration that needs no account. 'roomrec simulate' runs a simulated service to try
    programs with.
    """
    check_on_cluster(ctx.invoked_subcommand, dask, slots, proxy, worker_credentials=worker_credentials)


for _command in (
    LazyCommand("archive", "archive", "Copy recordings, verify the copies, and delete the originals."),
    LazyCommand("completion", "completion", "Print the script that completes commands in a shell."),
    LazyCommand("delete", "delete", "Delete the recordings of rooms, for good."),
    LazyCommand("demo", "demo", "Show what this does, on a simulated account."),
    LazyCommand("download", "download", "Download the media of rooms."),
    LazyCommand("export", "export", "Write records as Parquet or JSON lines, night after night."),
    LazyCommand("list", "list_recordings", "List the recordings of rooms."),
    LazyCommand("mux", "mux", "Combine a room's recordings into one video file."),
    LazyCommand("report", "report", "Sum up what was recorded: by day, type, status and room."),
    LazyCommand("rooms", "list_rooms", "List the rooms of the account."),
    LazyCommand("simulate", "simulate", "Run a simulated service to try programs with."),
    LazyCommand("timeline", "timeline", "Draw the recordings of a room on a time axis."),
):
    roomrec.add_command(_command)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code. Expected errors are printed to stderr, in one line.

    Args:
        arguments: what follows the program's name; by default that of the process.
    """
    open_missing_streams()
    with open_log():
        return run_command(arguments)


def run_command(arguments: Sequence[str] | None) -> int:
    """Run the command that the arguments name, print its error if it ends with one, and return the exit code."""
    try:
        # Not standalone: click would print its errors in several lines, and exit.
        return int(roomrec.main(arguments, prog_name="roomrec", standalone_mode=False) or ExitCode.SUCCESS)
    except click.exceptions.NoArgsIsHelpError as error:
        # Its text is the help.
        error.show()
        return error.exit_code
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "roomrec"
        message = error.format_message().rstrip(".")
        return print_error(f"{message} (see '{command} --help')", error.exit_code)
    except click.ClickException as error:
        return print_error(error.format_message(), error.exit_code)
    except click.Abort:
        # Ctrl-C before a command runs, while its options are parsed.
        return print_error("interrupted", ExitCode.INTERRUPTED)


def open_missing_streams() -> None:
    """Replace streams that the shell closed, with ``>&-`` or ``2>&-``, by the null device: printing expects them."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            # Open until the process ends, which is no leak.
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8", closefd=False))


def discard_output() -> None:
    """Connect standard output to the null device, so that flushing it at the end cannot fail once more."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_error(message: str, exit_code: int) -> int:
    """Print an error as one line on stderr, and return the exit code."""
    line = safe_text(" ".join(message.split()))
    current_log().write(f"roomrec: {line}", logging.ERROR)
    return exit_code
