"""``roomrec simulate``: the simulator as a server, by itself or around a command."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Final

import click

from roomrec_async.cli.support.errors import Ended
from roomrec_async.cli.support.input import recordings_option, seed_option
from roomrec_async.cli.support.tables import counted
from roomrec_async.simulator import Simulator

from .demo import spread

_ROOMS_TOLD: Final = 3
# The exit codes of shells: found but not executable, not found, and, plus its number, ended by a signal.
_NOT_EXECUTABLE, _NOT_FOUND, _BY_SIGNAL = 126, 127, 128
# The signals of Ctrl-C and Ctrl-\, which a terminal sends to all processes in its foreground.
_KEYS: Final = (signal.SIGINT, signal.SIGQUIT)

_EXAMPLES: Final = """\b
Examples:
  roomrec simulate --port 8080
  roomrec simulate --media-size 500000 --write-rooms rooms.txt -- roomrec download --from-file rooms.txt -o media/
  roomrec simulate --rooms 500 --write-rooms rooms.txt -- roomrec list --from-file rooms.txt
"""


@click.command(
    epilog=_EXAMPLES,
    short_help="Run a simulated service to try programs with.",
    context_settings={"allow_interspersed_args": False},
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, metavar="N", help="By default a free one.")
@click.option("--rooms", type=int, default=20, show_default=True, metavar="N", help="Rooms of the account.")
@recordings_option
@click.option(
    "--latency",
    type=click.FloatRange(0),
    default=0,
    show_default=True,
    metavar="MS",
    help="How long an answer takes on average, in milliseconds.",
)
@seed_option
@click.option(
    "--concurrency",
    type=click.IntRange(1),
    metavar="N",
    help="Requests in flight before more are refused. By default 100.",
)
@click.option(
    "--media-size",
    type=click.IntRange(0),
    metavar="BYTES",
    help="The size of all media. By default what tracks of their length have, up to gigabytes.",
)
@click.option("--unlimited", is_flag=True, help="No quotas: as many requests a second as this machine can take.")
@click.option(
    "--write-rooms",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    metavar="FILE",
    help="Write the SIDs of the rooms to a file, one a line, before anything else.",
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
    command: tuple[str, ...],
) -> int:
    """Run a simulated service, with an account of made-up rooms, until Ctrl-C.

    It prints the environment variables that lead this library, and 'roomrec list', to it. Its credentials are made
    from the seed and open nothing else.

    With a COMMAND, that is run with these variables set, and the service ends with it. The exit code is the command's.
    """
    simulator = Simulator(rooms, (0, recordings), seed, port=port, latency=spread(latency), media_size=media_size)
    if unlimited:
        simulator.reads_per_second = simulator.writes_per_second = simulator.concurrency_limit = None
    if concurrency:
        simulator.concurrency_limit = concurrency
    if write_rooms:
        with write_rooms.open("w", encoding="ascii") as file:
            file.writelines(f"{room_sid}\n" for room_sid in simulator.room_sids)
    return asyncio.run(_serve(simulator, command))


async def _serve(simulator: Simulator, command: tuple[str, ...]) -> int:
    async with simulator:
        if command:
            return await _run(command, {**os.environ, **_variables(simulator)})
        _tell(simulator)
        await asyncio.Event().wait()
    return 0


def _variables(simulator: Simulator) -> dict[str, str]:
    """What leads a program to the simulator. Empty is the same as unset: a key would be preferred to the token."""
    return {
        "TWILIO_ACCOUNT_SID": simulator.credentials.account_sid,
        "TWILIO_AUTH_TOKEN": simulator.credentials.password,
        "TWILIO_API_KEY": "",
        "TWILIO_API_SECRET": "",
        "ROOMREC_BASE_URL": simulator.base_url,
    }


def _tell(simulator: Simulator) -> None:
    """What another terminal needs, in the form that its shell reads."""
    rooms = simulator.room_sids
    click.echo("".join(f"export {name}={value}\n" for name, value in _variables(simulator).items()), nl=False)
    click.echo(f"# {counted(len(rooms), 'room')}" + (", the first of them:" if rooms else ""))
    for room_sid in islice(rooms, _ROOMS_TOLD):
        click.echo(f"#   roomrec list {room_sid}")
    click.echo("Paste these lines into another terminal. Ctrl-C ends the service.", err=True)


async def _run(command: tuple[str, ...], environment: Mapping[str, str]) -> int:
    """Run a command to its end. The result is the exit code that a shell would give it."""
    try:
        process = await asyncio.create_subprocess_exec(*command, env=environment)
    except FileNotFoundError:
        raise Ended(f"{command[0]}: not found", _NOT_FOUND) from None
    except PermissionError:
        raise Ended(f"{command[0]}: not executable", _NOT_EXECUTABLE) from None
    with _signals_forwarded(process):
        code = await process.wait()
    return code if code >= 0 else _BY_SIGNAL - code


@contextmanager
def _signals_forwarded(process: asyncio.subprocess.Process) -> Iterator[None]:
    """Leave it to the command what a signal means."""
    if sys.platform == "win32":  # Its consoles tell all processes.
        yield
        return

    def forward(number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            if number not in _KEYS or not _in_foreground():
                process.send_signal(number)

    loop = asyncio.get_running_loop()
    for number in (*_KEYS, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, forward, number)
    try:
        yield
    finally:
        for number in (*_KEYS, signal.SIGTERM, signal.SIGHUP):
            loop.remove_signal_handler(number)


def _in_foreground() -> bool:
    """Whether the keys of a terminal reach this process, and with it the command."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    finally:
        os.close(terminal)
