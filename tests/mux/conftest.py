"""Rooms whose recordings are real Matroska files, made by ffmpeg: tones with a beep, colors with a flash."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import attrs
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from roomrec_async import Credentials, RecordingsClient

from ..cli.conftest import without_progress
from ..conftest import ACCOUNT_SID, AUTH_TOKEN, ROOM_SID, body, record

RATE = 48_000
FRAMES = 30
BLIP = 0.2
"""Length of a beep and of a flash, in seconds."""
WITHIN = 0.05
"""Maximum difference between the expected time of a beep or flash and its time in the film, in seconds."""


def ffmpeg(*arguments: object) -> bytes:
    """Run ffmpeg and return its standard output."""
    if shutil.which("ffmpeg") is None:
        pytest.fail("these tests need ffmpeg: apt-get install ffmpeg")
    command = ["ffmpeg", "-nostdin", "-y", "-v", "error", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True).stdout


VP8 = ("-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "400k")


def make_video(
    path: Path,
    *,
    seconds: float,
    color: str,
    flash: float | None = None,
    size: str = "320x240",
    gap: tuple[float, float] | None = None,
    start: float = 0,
) -> None:
    """Write a video of one color that flashes white for a moment. In a gap there are no frames."""
    source = f"color=c={color}:s={size}:r=25:d={seconds}"
    if flash is not None:
        source += f",drawbox=t=fill:c=white:enable='between(t,{flash},{flash + BLIP})'"
    if gap is not None:
        source += f",select='not(between(t,{gap[0]},{gap[1]}))'"
    timing = ("-fps_mode", "vfr", "-output_ts_offset", start)
    ffmpeg("-f", "lavfi", "-i", source, *VP8, *timing, "-f", "matroska", path)


def make_audio(
    path: Path, *, seconds: float, beep: float, gap: tuple[float, float] | None = None, start: float = 0
) -> None:
    """Write silence with a short tone. A gap has no packets at all, not even silent ones, as when muted."""
    source = f"sine=f=1000:r={RATE}:d={seconds},volume=0:enable='not(between(t,{beep},{beep + BLIP}))'"
    if gap is not None:
        source += f",aselect='not(between(t,{gap[0]},{gap[1]}))'"
    ffmpeg("-f", "lavfi", "-i", source, "-c:a", "libopus", "-output_ts_offset", start, "-f", "matroska", path)


def make_undecodable(path: Path, *, seconds: float) -> None:
    """Write a video in a valid container, whose frames are not of the codec that it states."""
    source = f"testsrc=s=160x120:r=5:d={seconds}"
    codec = ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8")
    ffmpeg("-f", "lavfi", "-i", source, *codec, "-f", "matroska", path)
    path.write_bytes(path.read_bytes().replace(b"V_VP9", b"V_VP8"))


@attrs.define
class Room:
    """A room of the API, and the store that holds its files.

    Attributes:
        directory: directory of the files.
        records: its recordings, as the API lists them.
        fetched: SIDs of the media that were downloaded.
    """

    directory: Path
    records: list[dict[str, object]] = attrs.field(factory=list)
    fetched: list[str] = attrs.field(factory=list)

    def add_video(self, offset: int, seconds: float, *, who: int, color: str, **made: object) -> str:
        """Add a participant's video; the offset is in milliseconds, as in the API."""
        sid = self._add(offset, seconds, who, type="video", container_format="mkv", codec="VP8")
        make_video(self.file(sid), seconds=seconds, color=color, **made)
        return self._set_size(sid)

    def add_audio(self, offset: int, seconds: float, *, who: int, beep: float, **made: object) -> str:
        """Add a participant's audio."""
        sid = self._add(offset, seconds, who)
        make_audio(self.file(sid), seconds=seconds, beep=beep, **made)
        return self._set_size(sid)

    def add(self, offset: int | None, **fields: object) -> None:
        """Add a recording without a file."""
        self.records.append(record(len(self.records) + 1, offset=offset, **fields))

    def add_file(self, *, who: int, make: Callable[[Path], object], offset: int | None = 0, **fields: object) -> str:
        """Add a recording whose file is written by a function; all of them share an offset by default."""
        kind = {"container_format": "mkv", "codec": "VP8"} if fields.get("type") == "video" else {}
        participant = {"room_sid": ROOM_SID, "participant_sid": f"PA{who:032x}"}
        self.add(offset, grouping_sids=participant, **{**kind, **fields})
        sid = str(self.records[-1]["sid"])
        make(self.file(sid))
        return self._set_size(sid)

    def add_missing(self, **fields: object) -> str:
        """Add a recording that has no file, and return its SID."""
        self.add(0, **{"grouping_sids": {"room_sid": ROOM_SID, "participant_sid": f"PA{7:032x}"}, **fields})
        return str(self.records[-1]["sid"])

    def file(self, sid: str) -> Path:
        """Return the file of a recording."""
        return self.directory / sid

    def _add(self, offset: int, seconds: float, who: int, **fields: object) -> str:
        participant = {"room_sid": ROOM_SID, "participant_sid": f"PA{who:032x}"}
        hostile = "'; rm -rf / #\n-y [v]"
        self.add(offset, duration=round(seconds), grouping_sids=participant, track_name=hostile, **fields)
        return str(self.records[-1]["sid"])

    def _set_size(self, sid: str) -> str:
        self.records[-1]["size"] = self.file(sid).stat().st_size
        return sid

    async def listed(self, request: web.Request) -> web.Response:
        """Answer ``GET /v1/Rooms/{RoomSid}/Recordings``."""
        status = request.query.get("Status")
        listed = [
            each for each in self.records if (each["status"] == status if status else each["status"] != "deleted")
        ]
        return web.Response(body=body(listed), content_type="application/json")

    async def stored(self, request: web.Request) -> web.FileResponse:
        """Answer as the store does."""
        self.fetched.append(request.match_info["sid"])
        if not self.file(request.match_info["sid"]).exists():
            raise web.HTTPNotFound
        return web.FileResponse(self.file(request.match_info["sid"]))


@pytest.fixture
def room(tmp_path: Path) -> Room:
    directory = tmp_path / "at the store"
    directory.mkdir()
    return Room(directory)


@pytest.fixture
async def base_url(room: Room) -> AsyncIterator[str]:
    """Where the API is."""
    service, store = web.Application(), web.Application()
    store.router.add_get("/{sid}", room.stored)
    async with TestServer(store) as media:

        async def located(request: web.Request) -> web.Response:
            if not room.file(request.match_info["sid"]).exists():
                return web.json_response({"code": 20404, "message": "not found", "status": 404}, status=404)
            return web.json_response({"redirect_to": str(media.make_url(f"/{request.match_info['sid']}"))}, status=302)

        service.router.add_get("/v1/Rooms/{room}/Recordings", room.listed)
        service.router.add_get("/v1/Rooms/{room}/Recordings/{sid}/Media", located)
        async with TestServer(service) as server:
            yield str(server.make_url("")).rstrip("/")


@pytest.fixture
async def client(base_url: str) -> AsyncIterator[RecordingsClient]:
    async with RecordingsClient(Credentials(ACCOUNT_SID, AUTH_TOKEN), base_url=base_url) as client:
        yield client


async def roomrec(base_url: str, *arguments: object) -> tuple[int, str, str]:
    """Run the command, and return its exit code and what it wrote to standard output and standard error.

    The lines about its start, its progress and its end are left out.
    """
    process = await start_roomrec(base_url, *arguments)
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), without_progress(err.decode())


async def start_roomrec(base_url: str, *arguments: object) -> asyncio.subprocess.Process:
    """Start the command."""
    service = {"ROOMREC_BASE_URL": base_url, "TWILIO_ACCOUNT_SID": ACCOUNT_SID, "TWILIO_AUTH_TOKEN": AUTH_TOKEN}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "roomrec_async.cli", *map(str, arguments)),
        env={**os.environ, **service},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def seconds_of(path: Path) -> float:
    """Return the duration of a film."""
    asked = ["-show_entries", "format=duration", "-of", "csv=p=0"]
    return float(subprocess.run(["ffprobe", "-v", "error", *asked, path], check=True, capture_output=True).stdout)


def beeps(path: Path) -> list[float]:
    """Return when tones start, in seconds."""
    sound = memoryview(ffmpeg("-i", path, "-map", "0:a", "-ac", "1", "-ar", RATE, "-f", "s16le", "-")).cast("h")
    window = RATE // 200
    loud = [max(map(abs, sound[at : at + window])) > 1_000 for at in range(0, len(sound), window)]
    return _starts(loud, 200)


def loudest(path: Path, first: float, last: float) -> int:
    """Return the loudest sample between two times, of at most 32767."""
    arguments = ("-ss", first, "-t", last - first, "-i", path, "-map", "0:a", "-ac", "1", "-f", "s16le", "-")
    return max(map(abs, memoryview(ffmpeg(*arguments)).cast("h")))


def flashes(path: Path) -> list[float]:
    """Return when the whole picture turns white, in seconds."""
    pictures = ffmpeg("-i", path, "-map", "0:v", "-vf", "scale=16:16", "-pix_fmt", "gray", "-f", "rawvideo", "-")
    white = [max(pictures[at : at + 256]) > 200 for at in range(0, len(pictures), 256)]
    return _starts(white, FRAMES)


def colors(path: Path, at: float, *points: tuple[int, int]) -> list[str]:
    """Return the colors of points of the picture at a time in seconds."""
    width = int(
        subprocess.run(
            ["ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", "stream=width", "-of", "csv=p=0", path],
            check=True,
            capture_output=True,
        ).stdout
    )
    arguments = ("-ss", at, "-i", path, "-frames:v", 1, "-pix_fmt", "rgb24", "-f", "rawvideo", "-")
    picture = ffmpeg(*arguments)
    return [_color(picture[3 * (y * width + x) :][:3]) for x, y in points]


def _color(rgb: Sequence[int]) -> str:
    known = {"black": (0, 0, 0), "red": (255, 0, 0), "green": (0, 128, 0), "blue": (0, 0, 255), "white": (255,) * 3}
    known |= {"yellow": (255, 255, 0), "magenta": (255, 0, 255), "cyan": (0, 255, 255)}
    return min(known, key=lambda name: sum((a - b) ** 2 for a, b in zip(known[name], rgb, strict=True)))


def _starts(on: Sequence[bool], per_second: int) -> list[float]:
    return [at / per_second for at in range(len(on)) if on[at] and (at == 0 or not on[at - 1])]


def near(*times: float) -> object:
    """Return a value equal to times that differ from these by the tolerance at most."""
    return pytest.approx(list(times), abs=WITHIN)


# Bits of a picture's number that it shows as columns, dark or bright, the lowest at the left.
_BITS = 10
SOURCE_FRAMES = 25


def make_numbered(
    path: Path, *sizes: tuple[str, float], start: float = 0, gap: tuple[float, float] | None = None
) -> None:
    """Write a video whose pictures show their own numbers, 25 a second; the size changes in mid-stream.

    Args:
        path: the file.
        sizes: sizes of the picture, each with the second at which it ends.
        start: the container's start time.
        gap: seconds without frames.
    """
    parts: list[Path] = []
    begin = 0.0
    for index, (size, end) in enumerate(sizes):
        number = f"floor((T+{begin})*{SOURCE_FRAMES}+0.5)"
        bit = f"mod(floor({number}/pow(2\\,floor(X*{_BITS}/W)))\\,2)"
        source = f"color=s={size}:r={SOURCE_FRAMES}:d={end - begin},format=gray,geq=lum='30+195*{bit}',format=yuv420p"
        parts.append(path.with_name(f"{path.name}-{index}"))
        codec = ("-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "2M")
        ffmpeg("-f", "lavfi", "-i", source, *codec, "-f", "matroska", parts[-1])
        begin = end
    names = path.with_name(f"{path.name}.txt")
    names.write_text("".join(f"file '{part.name}'\n" for part in parts))
    # Copied frames cannot be selected, but dropped; those after the gap need a frame to start from.
    drop = () if gap is None else ("-bsf:v", f"noise=drop='between(pts*tb,{gap[0]},{gap[1]})'")
    ffmpeg("-f", "concat", "-i", names, "-c", "copy", *drop, "-output_ts_offset", start, "-f", "matroska", path)
    for each in (*parts, names):
        each.unlink()


def numbers(path: Path, crop: str) -> list[int]:
    """Return the number that a part of the picture shows, in every frame of a film; 0 if it is black."""
    filters = f"crop={crop},scale={_BITS}:1:flags=area"
    pictures = ffmpeg("-i", path, "-map", "0:v", "-vf", filters, "-pix_fmt", "gray", "-f", "rawvideo", "-")
    rows = [pictures[at : at + _BITS] for at in range(0, len(pictures), _BITS)]
    return [sum((level > 110) << bit for bit, level in enumerate(row)) for row in rows]
