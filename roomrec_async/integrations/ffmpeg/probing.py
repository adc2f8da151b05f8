"""Measures media files with ffprobe: when they start and end, and where nothing was recorded."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final, Literal

import attrs

from roomrec_async._asyncio import run_in_thread
from roomrec_async._text import safe_text
from roomrec_async.errors import MediaError

from .processes import INPUT_OPTIONS, find_program, run_program

# A time without frames of at least so many milliseconds is a pause. Cameras send a frame in 200 ms, if only a few.
_MIN_PAUSE: Final = 500
# Milliseconds by which a file may end before the duration that it states, which is rounded, and still be whole.
_MAX_MISSING: Final = 500

_ENTRIES: Final = "packet=pts_time,duration_time,flags:stream=width,height:format=duration"
_MILLISECONDS: Final = 1_000


@attrs.frozen
class Pause:
    """A time in which a file has no frames, as while a camera is off.

    Attributes:
        start: milliseconds on the container's clock, of the end of the last frame before it.
        end: milliseconds, of the first frame after it.
    """

    start: int
    end: int


@attrs.frozen(kw_only=True)
class MediaFile:
    """A media file as measured. Times are milliseconds on the container's own clock.

    Attributes:
        start: time of the first frame: the container's ``start_time``, for media of a room counted from its start.
        end: time at which the last frame ends; equal to the start if there are no frames.
        frames: number of frames or audio packets.
        first_key: time of the first frame that can be decoded without an earlier one; None if there is none.
        pauses: times without frames, in order; each at least half a second long.
        width: pixels of the picture as the file starts; None for audio.
        height: pixels, likewise.
        truncated: True if the file ends before its own end.
    """

    start: int
    end: int
    frames: int
    first_key: int | None
    pauses: tuple[Pause, ...] = ()
    width: int | None = None
    height: int | None = None
    truncated: bool = False

    @property
    def length(self) -> int:
        """Milliseconds from the start to the end."""
        return self.end - self.start

    @property
    def has_frames(self) -> bool:
        """True if there is anything to play."""
        return self.first_key is not None


async def probe(path: str | os.PathLike[str]) -> MediaFile:
    """Measure a Matroska file, by reading all of it. Nothing but this file is opened, whatever it contains.

    Raises:
        ConfigurationError: ffprobe is not installed.
        MediaError: it is no Matroska file, or cannot be read.
    """
    program = find_program("ffprobe")
    parser = _Parser()
    arguments = (program, "-v", "error", *INPUT_OPTIONS, "-show_entries", _ENTRIES, "-of", "compact=nk=0:p=1")
    try:
        error_output = await run_program((*arguments, "-i", f"file:{os.fspath(path)}"), parser.feed)
    except MediaError as error:
        name = safe_text(os.fspath(path))
        if not await run_in_thread(lambda: os.path.getsize(path)):  # noqa: PTH202  also of a str
            raise MediaError(f"{name} is empty") from None
        raise MediaError(f"{name} cannot be read as Matroska: {safe_text(str(error))}") from None
    return parser.media_file(ended_early=b"File ended prematurely" in error_output)


async def can_decode(path: str | os.PathLike[str], stream: Literal["a", "v"]) -> bool:
    """Return True if anything of a file can be decoded; it may have frames with something else in them.

    Args:
        path: the file.
        stream: ``a`` for its audio, or ``v`` for its video.
    """
    written = bytearray()
    one_frame = ("-map", f"0:{stream}:0", f"-frames:{stream}", "1", "-f", "framecrc", "-")
    arguments = (find_program("ffmpeg"), "-nostdin", "-v", "error", *INPUT_OPTIONS, "-i", f"file:{os.fspath(path)}")
    # It fails as well if many frames cannot be decoded before the first that can.
    with suppress(MediaError):
        await run_program((*arguments, *one_frame), written.extend)
    # Beside comments, a line for each frame.
    return any(not line.startswith(b"#") for line in bytes(written).splitlines())


class _Parser:
    """Reads ffprobe's output as it comes, which has a line for each packet."""

    def __init__(self) -> None:
        self._rest = b""
        self._start: int | None = None
        self._end = 0
        self._frames = 0
        self._first_key: int | None = None
        self._pauses: list[Pause] = []
        self._stated: dict[str, str] = {}

    def feed(self, chunk: bytes) -> None:
        """Read the next bytes."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            kind, *pairs = line.decode(errors="replace").rstrip("\r").split("|")
            values = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
            if kind == "packet":
                self._add_packet(values)
            else:
                self._stated |= values

    def _add_packet(self, values: dict[str, str]) -> None:
        time = milliseconds(values.get("pts_time"))
        if time is None:
            return
        if self._start is None:
            self._start = self._end = time
        elif time - self._end >= _MIN_PAUSE:
            self._pauses.append(Pause(self._end, time))
        self._start = min(self._start, time)
        self._end = max(self._end, time + (milliseconds(values.get("duration_time")) or 0))
        self._frames += 1
        if self._first_key is None and values.get("flags", "").startswith("K"):
            self._first_key = time

    def media_file(self, *, ended_early: bool) -> MediaFile:
        """Return what was measured."""
        stated_end = milliseconds(self._stated.get("duration"))
        is_short = self._frames > 0 and stated_end is not None and stated_end - self._end > _MAX_MISSING
        return MediaFile(
            start=self._start or 0,
            end=self._end,
            frames=self._frames,
            first_key=self._first_key,
            pauses=tuple(self._pauses),
            width=pixels(self._stated.get("width")),
            height=pixels(self._stated.get("height")),
            truncated=ended_early or is_short,
        )


def milliseconds(text: str | None) -> int | None:
    """Return seconds as ffprobe writes them in milliseconds, or None for "N/A" and the like."""
    try:
        return round(float(text or "") * _MILLISECONDS)
    except (ValueError, OverflowError):
        return None


def pixels(text: str | None) -> int | None:
    """Return a side of a picture, or None if there is none."""
    return int(text) if text is not None and text.isdecimal() else None
