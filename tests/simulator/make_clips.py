"""Make the clips of the simulated participants: ``python -m tests.simulator.make_clips`` (needs ffmpeg with libvpx).

Each clip lasts four seconds and loops without a seam. It shows a face that sways, and opens its mouth while a tone of
its own beeps. Its four streams are what recordings consist of: VP8 in two sizes, H.264, and Opus.
"""

from __future__ import annotations

import array
import math
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

TARGET = Path(__file__).parents[2] / "roomrec_async" / "simulator" / "clips"

SECONDS = 4
FRAME_RATE = 20
SAMPLE_RATE = 48_000
BEEP_SECONDS = 0.4
# Pictures are drawn at twice their size: scaled down, they have smooth edges.
WIDTH, HEIGHT = 1280, 720


class Rgb(NamedTuple):
    """A color."""

    red: int
    green: int
    blue: int


class Look(NamedTuple):
    """What tells a participant from others: the color of the wall, of the face and of the clothes, tone and rhythm."""

    wall: Rgb
    face: Rgb
    clothes: Rgb
    hertz: float
    beeps: tuple[float, ...]


# Tones of a pentatonic scale, so that those of several participants sound well together.
LOOKS = (
    Look(Rgb(38, 70, 83), Rgb(244, 200, 160), Rgb(231, 111, 81), 523.25, (0.2, 2.2)),
    Look(Rgb(88, 60, 110), Rgb(150, 100, 70), Rgb(244, 180, 60), 659.26, (0.8, 2.8)),
    Look(Rgb(30, 110, 90), Rgb(255, 214, 186), Rgb(60, 60, 90), 783.99, (1.5, 3.5)),
    Look(Rgb(150, 70, 60), Rgb(110, 70, 50), Rgb(90, 190, 180), 880.0, (1.1, 3.1)),
    Look(Rgb(50, 80, 140), Rgb(230, 180, 140), Rgb(240, 240, 230), 587.33, (0.5, 2.5)),
)


class Ellipse(NamedTuple):
    """An ellipse of one color."""

    color: Rgb
    x: float
    y: float
    width: float
    height: float

    def span(self, row: int) -> tuple[int, int]:
        """Return the columns that it covers in a row, as start and stop."""
        distance = (row - self.y) / self.height
        if abs(distance) >= 1:
            return 0, 0
        half = self.width * math.sqrt(1 - distance * distance)
        return max(0, round(self.x - half)), min(WIDTH, round(self.x + half))


def ellipses(look: Look, seconds: float) -> list[Ellipse]:
    """Return what a picture shows, back to front."""
    phase = 2 * math.pi * seconds / SECONDS
    x = WIDTH / 2 + 48 * math.sin(phase)
    y = HEIGHT * 0.4 + 8 * math.cos(2 * phase)
    dark = Rgb(35, 30, 40)
    is_speaking = any(beep <= seconds < beep + BEEP_SECONDS for beep in look.beeps)
    is_blinking = 1.9 <= seconds < 2.04
    shapes = [
        Ellipse(look.clothes, WIDTH / 2, HEIGHT * 1.08, 330, 280),
        Ellipse(look.face, x, y, 150, 190),
    ]
    shapes += [Ellipse(dark, x + side * 58, y - 40, 18, 4 if is_blinking else 20) for side in (-1, 1)]
    shapes.append(Ellipse(dark, x, y + 85, 48, 34 if is_speaking else 5))
    return shapes


def picture(look: Look, seconds: float) -> bytes:
    """Return a picture as RGB."""
    shapes = ellipses(look, seconds)
    rows = []
    for number in range(HEIGHT):
        row = bytearray(bytes(look.wall) * WIDTH)
        for shape in shapes:
            start, stop = shape.span(number)
            row[3 * start : 3 * stop] = bytes(shape.color) * (stop - start)
        rows.append(bytes(row))
    return b"".join(rows)


def pictures(look: Look) -> Iterator[bytes]:
    """Yield the pictures of a clip."""
    for number in range(SECONDS * FRAME_RATE):
        yield picture(look, number / FRAME_RATE)


def samples(look: Look) -> bytes:
    """Return the sound of a clip as 16-bit samples: beeps that fade in and out."""
    sound = array.array("h", bytes(2 * SECONDS * SAMPLE_RATE))
    count = round(BEEP_SECONDS * SAMPLE_RATE)
    for beep in look.beeps:
        first = round(beep * SAMPLE_RATE)
        for number in range(count):
            envelope = math.sin(math.pi * number / count) ** 0.5
            sound[first + number] = round(9_000 * envelope * math.sin(math.tau * look.hertz * number / SAMPLE_RATE))
    if sys.byteorder == "big":
        sound.byteswap()
    return sound.tobytes()


# The sizes of VP8 are those between which a call changes. The files have to stay small.
FILTERS = (
    "[0:v]format=yuv420p,split=3[a][b][c];"
    "[a]scale=640:360[large];[b]scale=320:180[small];[c]scale=320:180[h264]"
)  # fmt: skip
ENCODERS = """
    -map [large] -c:v:0 libvpx -qmin:v:0 42 -crf:v:0 42
    -map [small] -c:v:1 libvpx -qmin:v:1 44 -crf:v:1 44
    -b:v 1M -qmax 63 -deadline best -auto-alt-ref 0 -g 999
    -map [h264] -c:v:2 libx264 -crf:v:2 33 -profile:v:2 main -bf:v:2 0 -preset:v:2 veryslow -pix_fmt yuv420p
    -map 1:a -c:a libopus -b:a 12k -application voip -frame_duration 20
"""


def make_clip(look: Look, target: Path) -> None:
    """Encode a clip: the first frame of each stream is a key frame, and a packet of Opus lasts 20 ms, as in a call."""
    with tempfile.NamedTemporaryFile(suffix=".pcm") as pcm:
        pcm.write(samples(look))
        pcm.flush()
        inputs = f"-f rawvideo -pix_fmt rgb24 -s {WIDTH}x{HEIGHT} -r {FRAME_RATE} -i pipe:0"
        inputs += f" -f s16le -ar {SAMPLE_RATE} -ac 1 -i {pcm.name}"
        output = "-fflags +bitexact -flags +bitexact -f matroska"
        command = ["ffmpeg", "-v", "error", "-y", *inputs.split(), "-filter_complex", FILTERS, *ENCODERS.split()]
        process = subprocess.Popen([*command, *output.split(), target], stdin=subprocess.PIPE)
        assert process.stdin
        with process.stdin as stdin:
            for frame in pictures(look):
                stdin.write(frame)
        if process.wait():
            raise SystemExit(f"ffmpeg failed with exit code {process.returncode}")


def main() -> None:
    """Make all clips."""
    for number, look in enumerate(LOOKS):
        make_clip(look, TARGET / f"{number}.mkv")


if __name__ == "__main__":
    main()
