"""Runs the steps of a film: several at a time, none twice, each file only once it is complete."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias, TypeVar

import attrs

from roomrec_async._asyncio import map_concurrently, open_in_thread, run_in_thread
from roomrec_async._files import add_path_to_disk_full_errors, atomic_write, create_temporary, replace_file
from roomrec_async._text import safe_text
from roomrec_async._views.film import Cut, Film, Source
from roomrec_async._views.film_steps import Plan, Step, joining
from roomrec_async.errors import ConfigurationError, MediaError

from .processes import run_program
from .sources import LeftOut

_Item = TypeVar("_Item")

OnProgress: TypeAlias = Callable[[int, int], object]
"""Callback that receives the milliseconds of the film made so far, and its total milliseconds."""

_OPTIONS: Final = ("-nostdin", "-hide_banner", "-loglevel", "error", "-y")
# Commands at a time; most of them use two threads at most.
_MAX_COMMANDS: Final = 4

# Level of the mix before it is encoded, as a fraction of full scale: -1 dB. Encoders overshoot, loud noise most.
_FIRST_LIMIT: Final = 0.89
# Decibels by which the next attempt is lower than what would have been enough.
_MARGIN: Final = 0.3
_MAX_ATTEMPTS: Final = 5
_TRUE_PEAK: Final = re.compile(rb"Peak:\s+(-?\d+(?:\.\d+)?) dBFS")

# Milliseconds of media that a command could have made while it starts.
_START_UP: Final = 300
# Rough share of the work in a millisecond of media, by the kind of step.
_WEIGHTS: Final = {"video": 10, "scene": 10, "sound": 1, "mix": 1, "audio": 2, "film": 1, "wav": 1}


def script(plan: Plan, directory: Path, output: Path) -> str:
    """Return a shell script that makes a film, one step after another.

    Args:
        plan: the steps.
        directory: where they put their files.
        output: the film.
    """
    steps = [*plan.tracks, *(step for group in (*plan.scenes, *plan.mixes) for step in group)]
    audio = plan.audio_step(_FIRST_LIMIT) if plan.film.audios else None
    lines = ["set -e", shlex.join(["mkdir", "-p", str(directory)]), shlex.join(["cd", str(directory)])]
    for step in (*steps, *([audio] if audio else ())):
        lines += script_lines(step, step.name)
    join = plan.join_step(audio.name if audio else None, joining(plan.film, plan.style.names))
    lines += script_lines(join, str(output.absolute()))
    return "\n".join(lines) + "\n"


def script_lines(step: Step, output: str) -> Iterator[str]:
    """Yield the lines of a script for a step. Texts are quoted: participants typed some of them."""
    for name, text in step.files.items():
        yield f"printf %s {shlex.quote(text)} > {shlex.quote(name)}"
    yield shlex.join(["ffmpeg", *_OPTIONS, *step.arguments, f"file:{output}"])


class TrackFailedError(MediaError):
    """ffmpeg could not decode a track.

    Attributes:
        source: the track.
    """

    def __init__(self, source: Source, reason: str) -> None:
        super().__init__(f"the media of {source.recording.sid} cannot be decoded: {reason}")
        self.source = source


async def check_can_write(ffmpeg: str) -> None:
    """Check that texts can be written into pictures.

    Raises:
        ConfigurationError: this ffmpeg cannot, or there is no font.
    """
    picture = ("-f", "lavfi", "-i", "color=s=64x64:d=0.04", "-vf", "drawtext=text=a", "-f", "null", "-")
    try:
        await run_program((ffmpeg, *_OPTIONS, *picture), lambda _: None)
    except MediaError as error:
        raise ConfigurationError(
            f"ffmpeg cannot write names into pictures: {error}; it needs the filter drawtext and a font: "
            "apt-get install fonts-dejavu-core, or leave out names"
        ) from None


@attrs.define
class Progress:
    """Work done so far.

    Attributes:
        length: milliseconds of the film.
        callback: called whenever it grows, or None.
        total: amount of work.
        done: amount of work of steps that are done.
        running: amount of work done of each step that is not, by its name.
        reported: milliseconds that were reported last.
    """

    length: int
    callback: OnProgress | None
    total: int
    done: int = 0
    running: dict[str, int] = attrs.field(factory=dict)
    reported: int = 0

    def update(self, step: Step, milliseconds: int) -> None:
        """Take in how much of a step is done."""
        self.running[step.name] = min(milliseconds, step.length) * _WEIGHTS[step.kind]
        self._report()

    def finish(self, step: Step) -> None:
        """Take in that a step is done."""
        self.running.pop(step.name, None)
        self.done += work_of([step])
        self._report()

    def _report(self) -> None:
        share = (self.done + sum(self.running.values())) / max(1, self.total)
        # Never backwards, as after a step that is run again.
        self.reported = max(self.reported, min(self.length, int(share * self.length)))
        if self.callback is not None:
            self.callback(self.reported, self.length)


def work_of(steps: Iterable[Step]) -> int:
    """Return the amount of work of steps."""
    return sum((step.length + _START_UP) * _WEIGHTS[step.kind] for step in steps)


@attrs.frozen
class Target:
    """A file to make.

    Attributes:
        plan: how.
        path: the file.
    """

    plan: Plan
    path: Path

    @property
    def work(self) -> int:
        """Amount of work."""
        plan = self.plan
        steps = [*plan.tracks, *(step for group in (*plan.scenes, *plan.mixes) for step in group)]
        return work_of(steps) + plan.film.length * (_WEIGHTS["audio"] + _WEIGHTS["film"])


def write_once(path: Path, text: str) -> None:
    """Write a text, unless it is there: another command may be reading it. The name stands for the content."""
    if not path.is_file():
        with atomic_write(path) as file:
            file.write(text.encode())


async def for_each(items: Sequence[_Item], function: Callable[[_Item], Awaitable[object]]) -> None:
    """Call an async function for each item; as many run at a time as there are commands at most."""

    async def iterate() -> AsyncGenerator[_Item, None]:
        for item in items:
            yield item

    async def call(item: _Item) -> AsyncGenerator[None, None]:
        await function(item)
        yield

    limit = min(_MAX_COMMANDS, os.cpu_count() or 1)
    async with aclosing(map_concurrently(iterate(), call, lambda: limit)) as finished:
        async for _ in finished:
            pass


@attrs.frozen
class Renderer:
    """Makes films in a directory.

    Attributes:
        ffmpeg: the program.
        directory: where the files of the steps are.
        on_progress: called with the progress, or None.
    """

    ffmpeg: str
    directory: Path
    on_progress: OnProgress | None

    async def render(
        self, sources: Sequence[Source], cut: Cut, make_targets: Callable[[Film], Sequence[Target]], *, strict: bool
    ) -> tuple[Film, list[LeftOut]]:
        """Make the files of a film, without the tracks that cannot be decoded.

        Args:
            sources: its tracks.
            cut: the part of the room.
            make_targets: returns the files to make of a film.
            strict: True if no track may be missing.

        Returns:
            The film, and the tracks that are not in it.

        Raises:
            MediaError: no track can be decoded, or ffmpeg failed at anything else.
        """
        usable = list(sources)
        left_out: list[LeftOut] = []
        while True:
            # Seconds of work for a large room.
            film, targets = await run_in_thread(partial(self._plan, tuple(usable), cut, make_targets))
            progress = Progress(film.length, self.on_progress, sum(target.work for target in targets))
            try:
                # Tracks first: what cannot be decoded changes the scenes, and may change when the film begins.
                await self._run_all([step for target in targets for step in target.plan.tracks], progress)
            except TrackFailedError as error:
                usable.remove(error.source)
                left_out.append(LeftOut(error.source.recording, str(error)))
                if strict or not usable:
                    raise
                continue
            await self._finish(targets, progress)
            return film, left_out

    def _plan(
        self, sources: Sequence[Source], cut: Cut, make_targets: Callable[[Film], Sequence[Target]]
    ) -> tuple[Film, Sequence[Target]]:
        film = Film.from_sources(sources, cut)
        return film, make_targets(film)

    async def _finish(self, targets: Sequence[Target], progress: Progress) -> None:
        """Compose the scenes, mix the audio, and join them."""
        plans = [target.plan for target in targets]
        reels = [steps for plan in plans for steps in plan.scenes]
        for level in range(max(map(len, reels), default=0)):
            await self._run_all([steps[level] for steps in reels if level < len(steps)], progress)
        for level in range(max(len(plan.mixes) for plan in plans)):
            mixes = [plan.mixes[level] for plan in plans if level < len(plan.mixes)]
            await self._run_all([step for group in mixes for step in group], progress)

        async def write(target: Target) -> None:
            await self._write_target(target, progress)

        await for_each(targets, write)

    async def _write_target(self, target: Target, progress: Progress) -> None:
        """Make a file of scenes and mixes that are there."""
        output = target.path
        step = await self._last_step(target.plan, progress)
        # Beside the film: the directory of the steps may be on another disk, from where it could not be renamed.
        part = await open_in_thread(partial(create_temporary, output), Path.unlink)
        await self._write_and_rename(step, part.absolute(), output, progress)
        progress.finish(step)

    async def _last_step(self, plan: Plan, progress: Progress) -> Step:
        if plan.style.container == "wav":
            return plan.wav_step()
        audio = await self._encode_audio(plan, progress) if plan.film.audios else None
        return plan.join_step(audio, joining(plan.film, plan.style.names))

    async def _encode_audio(self, plan: Plan, progress: Progress) -> str:
        """Make the film's audio, whose decoded true peak is below full scale, and return the name of its file."""
        limit = _FIRST_LIMIT
        step = plan.audio_step(limit)
        for _ in range(_MAX_ATTEMPTS):
            await self._run(step, progress)
            peak = await self._true_peak(step.name)
            if peak <= 0:
                break
            limit *= 10 ** (-(peak + _MARGIN) / 20)
            step = plan.audio_step(limit)
        return step.name

    async def _true_peak(self, name: str) -> float:
        """Return the true peak of a file as it is decoded, in decibels of full scale."""
        filters = "ebur128=peak=true:framelog=verbose"
        arguments = ("-nostdin", "-hide_banner", "-protocol_whitelist", "file", "-i", f"file:{name}")
        output = await run_program(
            (self.ffmpeg, *arguments, "-map", "0:a", "-af", filters, "-f", "null", "-"),
            lambda _: None,
            directory=self.directory,
        )
        # Silence has a peak of -inf.
        peaks = [float(peak) for peak in _TRUE_PEAK.findall(output)]
        return max(peaks, default=0)

    async def _run_all(self, steps: Sequence[Step], progress: Progress) -> None:
        """Run steps that do not need each other. Those of the same name are one."""

        async def run(step: Step) -> None:
            await self._run(step, progress)

        await for_each(list({step.name: step for step in steps}.values()), run)

    async def _run(self, step: Step, progress: Progress) -> None:
        """Run a step, unless its file is there already.

        Raises:
            TrackFailedError: a recording cannot be decoded.
            MediaError: ffmpeg failed at anything else.
            OSError: the disk is full.
        """
        path = self.directory / step.name
        if not await run_in_thread(path.is_file):
            await self._write_and_rename(step, Path(f"{path}.part"), path, progress)
        progress.finish(step)

    async def _write_and_rename(self, step: Step, part: Path, path: Path, progress: Progress) -> None:
        try:
            await self._write(step, part, progress)
            await run_in_thread(partial(replace_file, part, path))
        finally:
            await run_in_thread(partial(part.unlink, missing_ok=True))

    async def _write(self, step: Step, part: Path, progress: Progress) -> None:
        for name, text in step.files.items():
            await run_in_thread(partial(write_once, self.directory / name, text))
        command = (self.ffmpeg, *_OPTIONS, "-progress", "pipe:1", *step.arguments, f"file:{part}")

        def on_output(chunk: bytes) -> None:
            times = re.findall(rb"out_time_us=(\d+)", chunk)
            if times:
                progress.update(step, int(times[-1]) // 1_000)

        try:
            with add_path_to_disk_full_errors(part):
                await run_program(command, on_output, directory=self.directory)
        except MediaError as error:
            if step.source is not None:
                raise TrackFailedError(step.source, safe_text(str(error))) from None
            raise MediaError(f"ffmpeg could not make the film: {safe_text(str(error))}") from None
