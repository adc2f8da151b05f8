"""What the simulated participants look and sound like: four seconds of each, which loop without a seam.

The clips are made by ``tests/simulator/make_clips.py``. Each one is a Matroska file with four tracks: VP8 in two sizes,
H.264, and Opus. PCMU is computed.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Final

import attrs

from .matroska import Clip, Frame, Track, read_clips

CLIP_DURATION: Final = 4_000
"""Milliseconds that a clip lasts."""
LOOK_COUNT: Final = 5
"""Number of looks: each has a color, a face, a tone and a rhythm of its own."""

# Milliseconds from frame to frame.
_VIDEO_INTERVAL: Final = 50
_AUDIO_INTERVAL: Final = 20
# In the order of the tracks of a clip.
_LARGE_VP8, _SMALL_VP8, _H264, _OPUS = range(4)

# Silence is encoded in packets of up to so many bytes. With discontinuous transmission (DTX), one of them is sent
# every 400 ms, instead of every 20 ms.
_MAX_SILENT_PACKET: Final = 9
_DTX_INTERVAL: Final = 400

# Samples per second, and per packet of 20 ms.
_PCMU_RATE: Final = 8_000
_PCMU_PACKET: Final = _PCMU_RATE * _AUDIO_INTERVAL // 1_000
_BEEP_SECONDS: Final = 0.4
_BEEP_AMPLITUDE: Final = 9_000
# Of each look: the frequency of its tone, and the seconds at which it beeps. As in the clips.
_TONES: Final = (
    (523.25, (0.2, 2.2)),
    (659.26, (0.8, 2.8)),
    (783.99, (1.5, 3.5)),
    (880.0, (1.1, 3.1)),
    (587.33, (0.5, 2.5)),
)
# WAVEFORMATEX: format 7 (mu-law), 1 channel, samples and bytes per second, bytes and bits per sample, no more fields.
_PCMU_PRIVATE: Final = struct.pack("<HHIIHHH", 7, 1, _PCMU_RATE, _PCMU_RATE, 1, 8, 0)
# OpusHead: version 1, 1 channel, nothing to skip (a call has no beginning), input at 48 kHz, no gain, mapping 0.
_OPUS_PRIVATE: Final = b"OpusHead" + struct.pack("<BBHIhB", 1, 1, 0, 48_000, 0, 0)
# Nanoseconds: RFC 7845 wants a decoder to run for 80 ms before its output is used.
_OPUS_SEEK_PRE_ROLL: Final = 80_000_000


@attrs.frozen(eq=False)
class Loop:
    """Frames that are repeated every :data:`CLIP_DURATION`, of which the first one is a key frame.

    Attributes:
        track: the track.
        frames: frames with the milliseconds from the start of the loop, in this order.
    """

    track: Track
    frames: tuple[tuple[int, Frame], ...]


@cache
def video_loop(look: int, codec: str, *, is_small: bool = False) -> Loop:
    """Return the picture of a look as ``VP8`` or ``H264``; VP8 is 640 by 360 pixels, or if small 320 by 180."""
    number = _H264
    if codec == "VP8":
        number = _SMALL_VP8 if is_small else _LARGE_VP8
    clip = _read(look)[number]
    return Loop(clip.track, _at_intervals(clip.frames, _VIDEO_INTERVAL))


@cache
def audio_loop(look: int, codec: str, *, has_dtx: bool = False) -> Loop:
    """Return the sound of a look as ``OPUS`` or ``PCMU``; Opus can have discontinuous transmission (DTX)."""
    if codec == "PCMU":
        track = Track("A_MS/ACM", _PCMU_PRIVATE, sampling_frequency=_PCMU_RATE, bit_depth=8)
        return Loop(track, _at_intervals(_pcmu_frames(look), _AUDIO_INTERVAL))

    track = Track("A_OPUS", _OPUS_PRIVATE, sampling_frequency=48_000, seek_pre_roll=_OPUS_SEEK_PRE_ROLL)
    frames = _at_intervals(_read(look)[_OPUS].frames, _AUDIO_INTERVAL)
    if has_dtx:
        frames = tuple(
            (time, frame) for time, frame in frames if len(frame.data) > _MAX_SILENT_PACKET or time % _DTX_INTERVAL == 0
        )
    return Loop(track, frames)


@cache
def _read(look: int) -> list[Clip]:
    return read_clips((files(__package__) / "clips" / f"{look}.mkv").read_bytes())


def _at_intervals(frames: Sequence[Frame], interval: int) -> tuple[tuple[int, Frame], ...]:
    # The encoder of Opus appends a packet, which would be the first one of the next loop.
    return tuple(zip(range(0, CLIP_DURATION, interval), frames, strict=False))


def _pcmu_frames(look: int) -> list[Frame]:
    """Return the sound of a look as packets of samples in mu-law."""
    hertz, beeps = _TONES[look]
    sound = bytearray(b"\xff" * (_PCMU_RATE * CLIP_DURATION // 1_000))
    for beep in beeps:
        first = round(beep * _PCMU_RATE)
        for number in range(round(_BEEP_SECONDS * _PCMU_RATE)):
            envelope = math.sin(math.pi * number / (_BEEP_SECONDS * _PCMU_RATE)) ** 0.5
            sample = _BEEP_AMPLITUDE * envelope * math.sin(math.tau * hertz * number / _PCMU_RATE)
            sound[first + number] = _mu_law(round(sample))
    starts = range(0, len(sound), _PCMU_PACKET)
    return [Frame(bytes(sound[start : start + _PCMU_PACKET]), is_key=True) for start in starts]


def _mu_law(sample: int) -> int:
    """Return a 16-bit sample in mu-law, as ITU-T G.711 describes it: a sign, an exponent of 3 bits, 4 bits."""
    magnitude = min(abs(sample), 32_635) + 132
    exponent = magnitude.bit_length() - 8
    mantissa = magnitude >> exponent + 3 & 15
    sign = 0x80 if sample < 0 else 0
    return ~(sign | exponent << 4 | mantissa) & 0xFF
