"""``roomrec simulate``: run the simulator as a server, by itself or for the time of a command."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Final

import click

from roomrec_async._files import atomic_write
from roomrec_async._format import format_count
from roomrec_async.cli.support.command import RoomrecCommand
from roomrec_async.cli.support.errors import CommandExit, ExitCode
from roomrec_async.cli.support.options import LocalPath
from roomrec_async.cli.support.signals import available_signals, run_async
from roomrec_async.cli.support.simulation import latency_option, latency_range, recordings_option, seed_option
from roomrec_async.simulator import Simulator

_MAX_ROOMS_SHOWN: Final = 3

# Exit codes as shells give them.
_NOT_EXECUTABLE: Final = 126
_NOT_FOUND: Final = 127
# Plus the number of the signal that ended the command.
_SIGNAL_BASE: Final = 128

# How shells set a variable, and begin a comment. An empty value unsets it, in cmd and PowerShell.
_SHELLS: Final = {
    "sh": ("export {name}={value}", "#"),
    "powershell": ("$env:{name} = '{value}'", "#"),
    "cmd": ('set "{name}={value}"', "rem"),
}

_PORT_ERRORS: Final = {
    errno.EADDRINUSE: "another program does: choose another port, or leave --port out for a free one",
    errno.EACCES: "this needs privileges: choose one from 1024 on, or leave --port out for a free one",
}

_EXAMPLES: Final = """\b
Examples:
  roomrec simulate --rooms 500
  roomrec simulate --media-size 500000 --rooms 3 --write-rooms rooms.txt -- \\
      roomrec download --from-file rooms.txt -o media/
  roomrec simulate --write-rooms rooms.txt -- \\
      roomrec list --from-file rooms.txt
"""


@click.command(cls=RoomrecCommand, epilog=_EXAMPLES, context_settings={"allow_interspersed_args": False})
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, metavar="N", help="Port to listen on. By default a free one."
)
@click.option("--rooms", type=int, default=20, show_default=True, metavar="N", help="Number of rooms of the account.")
@recordings_option
@latency_option(0)
@seed_option
@click.option(
    "--concurrency",
    type=click.IntRange(1),
    metavar="N",
    help="Maximum number of requests in flight; more are refused. By default 100.",
)
@click.option(
    "--media-size",
    type=click.IntRange(0),
    metavar="BYTES",
    help="Size of all media. By default what real tracks of their duration have, up to gigabytes.",
)
@click.option("--unlimited", is_flag=True, help="No quotas: as many requests per second as this machine can serve.")
@click.option(
    "--write-rooms",
    type=LocalPath(dir_okay=False),
    metavar="FILE",
    help="First write the SIDs of the rooms to a file, one per line.",
)
@click.option(
    "--shell",
    type=click.Choice(tuple(_SHELLS)),
    default="powershell" if sys.platform == "win32" else "sh",
    show_default=True,
    help="Shell to print the variables for: sh is for bash, zsh and fish, too.",
)
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND...]")
def simulate(
    port: int,
    rooms: int,
    recordings: int,
    latency: float,
    seed: int,
    concurrency: int | None,
    media_size: int | None,
    unlimited: bool,
    write_rooms: Path | None,
    shell: str,
    command: tuple[str, ...],
) -> int:
    """Run a simulated service, with an account of made-up rooms, until Ctrl-C.

    Print the environment variables that point this library, and 'roomrec list', to the service. Its credentials are
    generated from the seed and are of no use elsewhere.

    With a COMMAND, run it with these variables set, and stop the service when it ends. The exit code is that of the
    command.
    """
    simulator = Simulator(
        rooms, (0, recordings), seed, port=port, latency=latency_range(latency), media_size=media_size
    )
    # --concurrency counts even with --unlimited.
    if unlimited:
        simulator.reads_per_second = simulator.writes_per_second = simulator.concurrency_limit = None
    if concurrency:
        simulator.concurrency_limit = concurrency
    # Before the command starts: it may read them.
    if write_rooms:
        with atomic_write(write_rooms) as file:
            file.writelines(f"{room_sid}\n".encode() for room_sid in simulator.room_sids)
    return run_async(serve(simulator, command, shell))


async def serve(simulator: Simulator, command: tuple[str, ...], shell: str) -> int:
    """Run the service until the command ends or, without one, until Ctrl-C. Return the exit code."""
    async with AsyncExitStack() as stack:
        await start(simulator, stack)
        if command:
            return await run_command(command, os.environ | simulator.environment())
        print_instructions(simulator, shell)
        # Nothing sets it: Ctrl-C cancels the task.
        await asyncio.Event().wait()
    return ExitCode.SUCCESS


async def start(simulator: Simulator, stack: AsyncExitStack) -> None:
    """Start the service, until the stack is closed.

    Raises:
        CommandExit: it cannot listen on its port.
    """
    try:
        await stack.enter_async_context(simulator)
    except OSError as error:
        reason = _PORT_ERRORS.get(error.errno or 0, str(error.strerror))
        raise CommandExit(f"--port: cannot listen on it, because {reason}", ExitCode.USAGE) from None


def print_instructions(simulator: Simulator, shell: str) -> None:
    """Print the variables and some commands to try, in a form to paste into a shell."""
    assignment, comment = _SHELLS[shell]
    for name, value in simulator.environment().items():
        click.echo(assignment.format(name=name, value=value))

    rooms = simulator.room_sids
    click.echo(f"{comment} {format_count(len(rooms), 'room')}" + (", the first of them:" if rooms else ""))
    for room_sid in islice(rooms, _MAX_ROOMS_SHOWN):
        click.echo(f"{comment}   roomrec list {room_sid}")
    click.echo("Paste these lines into another terminal. Ctrl-C stops the service.", err=True)


async def run_command(command: tuple[str, ...], environment: Mapping[str, str]) -> int:
    """Run a command to its end, and return the exit code that a shell would give."""
    try:
        process = await asyncio.create_subprocess_exec(*command, env=environment)
    except FileNotFoundError:
        raise CommandExit(f"{command[0]}: not found", _NOT_FOUND) from None
    except PermissionError:
        raise CommandExit(f"{command[0]}: not executable", _NOT_EXECUTABLE) from None

    with forward_signals(process):
        code = await process.wait()
    # asyncio has the number of a signal as a negative code.
    return code if code >= 0 else _SIGNAL_BASE - code


@contextmanager
def forward_signals(process: asyncio.subprocess.Process) -> Iterator[None]:
    """Pass signals on to the command while it runs, so that it decides what they mean."""
    if not hasattr(os, "tcgetpgrp"):
        # On Windows: consoles there notify all their processes.
        yield
        return

    # Ctrl-C and Ctrl-\, which a terminal sends to all processes in its foreground.
    keys = available_signals("SIGINT", "SIGQUIT")
    signals = available_signals("SIGINT", "SIGQUIT", "SIGTERM", "SIGHUP")

    def forward(number: signal.Signals) -> None:
        # The command may have ended just now.
        with suppress(ProcessLookupError):
            # In the foreground, the terminal has already sent it the keys.
            if number not in keys or not is_in_foreground():
                process.send_signal(number)

    loop = asyncio.get_running_loop()
    for number in signals:
        loop.add_signal_handler(number, forward, number)
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


def is_in_foreground() -> bool:
    """Return True if this process, and with it the command, gets the keys of its terminal as signals."""
    if sys.platform == "win32":
        return True
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    finally:
        os.close(terminal)
