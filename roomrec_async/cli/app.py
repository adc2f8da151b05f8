"""The ``roomrec`` command line: its commands, and what an error or a signal means for the exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import click

from roomrec_async._text import safe_text
from roomrec_async._version import __version__
from roomrec_async.errors import AuthenticationError, ConfigurationError, InvalidArgumentError, RoomRecError

from .commands.archive import archive
from .commands.delete import delete
from .commands.demo import demo
from .commands.download import download
from .commands.list import list_recordings
from .commands.mux import mux
from .commands.report import report
from .commands.rooms import list_rooms as rooms
from .commands.simulate import simulate
from .commands.timeline import timeline
from .support.cluster import check_command, dask_option
from .support.errors import Ended
from .support.tables import failure_told

_REFUSED, _USAGE, _AUTHENTICATION, _INTERRUPTED = 1, 2, 3, 130

_EPILOG: Final = """\b
Exit codes:
  0    all good
  1    rooms or recordings failed, or the service said no
  2    a mistake in the command line, the input or the configuration
  3    the credentials were refused
  130  Ctrl-C
"""


class _Roomrec(click.Group):
    """The group of all commands, which knows what their errors mean for the exit code."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            # Before click sees it, which would print an empty line.
            raise Ended("interrupted", _INTERRUPTED) from None
        except BrokenPipeError:
            # Whoever read the output has seen enough. What is still buffered must not fail at the end.
            with suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        except RoomRecError as error:
            raise Ended(failure_told(error), _exit_code(error)) from None
        except OSError as error:
            raise Ended(str(error), _USAGE) from None


@click.group(cls=_Roomrec, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="roomrec")
@dask_option
@click.pass_context
def roomrec(ctx: click.Context, dask: str | None) -> None:
    """Recordings of video rooms (Twilio Video REST API).

    'roomrec demo' shows what it does and needs no account. 'roomrec rooms' and 'roomrec list' list your rooms and
    their recordings; 'download', 'delete' and 'archive' do that to recordings, 'timeline' draws them, 'mux'
    puts them together, and 'report' sums them up. 'roomrec simulate' is a service to try programs with.
    """
    check_command(ctx.invoked_subcommand, dask)


for _command in (demo, rooms, list_recordings, download, delete, archive, timeline, mux, report, simulate):
    roomrec.add_command(_command)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code. Every mistake of a user is told in one line on stderr.

    Args:
        arguments: what follows the program's name; by default that of the process.
    """
    _open_what_is_closed()
    try:
        return int(roomrec.main(arguments, prog_name="roomrec", standalone_mode=False) or 0)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "roomrec"
        return _told(f"{error.format_message().rstrip('.')} (see '{command} --help')", error.exit_code)
    except click.ClickException as error:
        return _told(error.format_message(), error.exit_code)
    except click.Abort:
        return _told("interrupted", _INTERRUPTED)


def _open_what_is_closed() -> None:
    """With ``>&-`` and ``2>&-`` there is no stream, where all who print expect one."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115  for good


def _told(message: str, exit_code: int) -> int:
    click.echo(f"roomrec: {safe_text(' '.join(message.split()))}", err=True)
    return exit_code


def _exit_code(error: RoomRecError) -> int:
    if isinstance(error, AuthenticationError):
        return _AUTHENTICATION
    return _USAGE if isinstance(error, (ConfigurationError, InvalidArgumentError)) else _REFUSED
