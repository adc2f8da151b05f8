"""The media of a recording as Matroska of any size and length, laid out without being computed.

A file is a header and a row of Clusters, each of which is a clip of four seconds and a Void element. The Voids make up
the size that a file is to have. So where a byte lies, and what it is, follows from a short list of offsets.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Final, NamedTuple

import attrs

from .clips import CLIP_DURATION, Loop, audio_loop, video_loop
from .matroska import CLUSTER_OVERHEAD, MIN_VOID_SIZE, cluster, header, simple_block, void_head

# A recording with fewer clips changes in nothing.
_MIN_CLIPS_FOR_CHANGES: Final = 4


@attrs.frozen
class RecordedTrack:
    """What was recorded of a track.

    Attributes:
        codec: ``VP8``, ``H264``, ``OPUS`` or ``PCMU``.
        look: number of the participant's looks.
        start: milliseconds from the start of the room to the first frame: the start time of the container.
        duration: milliseconds from there to the end.
        changes_size: True if the picture, in VP8, is smaller in the middle third, as when bandwidth is short.
        has_gaps: True if the camera is switched off for the third quarter, or no packets are sent in silence.
    """

    codec: str
    look: int
    start: int
    duration: int
    changes_size: bool = False
    has_gaps: bool = False

    @property
    def is_video(self) -> bool:
        """True if it is a picture."""
        return self.codec in ("VP8", "H264")

    @property
    def clip_count(self) -> int:
        """Number of clips in a row, the last of which may be shorter."""
        return -(-self.duration // CLIP_DURATION)

    def recorded_clips(self) -> list[int]:
        """Return the numbers of the clips in which there is anything: not those while the camera is off."""
        count = self.clip_count
        numbers = range(count)
        if not (self.has_gaps and self.is_video and count >= _MIN_CLIPS_FOR_CHANGES):
            return list(numbers)
        return [*numbers[: count // 2], *numbers[count * 3 // 4 :]]

    def loop(self, number: int = 0) -> Loop:
        """Return the frames that a clip has, the last one until its end."""
        if not self.is_video:
            return audio_loop(self.look, self.codec, has_dtx=self.has_gaps)
        count = self.clip_count
        is_small = self.changes_size and count >= _MIN_CLIPS_FOR_CHANGES and count // 3 <= number < count * 2 // 3
        return video_loop(self.look, self.codec, is_small=is_small)

    def blocks(self, number: int) -> bytes:
        """Return the blocks of a clip, the timestamps of which count from its start."""
        return _blocks(self.loop(number), min(CLIP_DURATION, self.duration - number * CLIP_DURATION))

    def first_blocks(self, max_size: int) -> bytes:
        """Return as many blocks of the first clip as fit into so many bytes."""
        found = b""
        for time, frame in self.loop().frames:
            block = simple_block(frame, time)
            if time >= self.duration or len(found) + len(block) > max_size:
                break
            found += block
        return found

    def cluster(self, number: int, blocks: bytes) -> bytes:
        """Return the Cluster of a clip."""
        return cluster(self.start + number * CLIP_DURATION, blocks)

    def header(self, uid: bytes, size: int) -> bytes:
        """Return the file up to the first Cluster, with a SegmentUUID of 16 bytes, for a file of so many bytes."""
        return header(self.loop().track, uid=uid, duration=self.start + self.duration, size=size)


class Part(NamedTuple):
    """A part of a file: known bytes, and the content of a Void.

    Attributes:
        offset: where it lies in the file.
        content: the bytes there.
        end: the offset after the Void.
    """

    offset: int
    content: bytes
    end: int


@attrs.frozen
class Layout:
    """Where in a file what lies.

    Use :meth:`of` to make one.

    Attributes:
        track: what the file is of.
        header: the file up to the first Cluster.
        clips: the numbers of the clips in it.
        offsets: where their Clusters begin, and the size of the file.
    """

    track: RecordedTrack
    header: bytes
    clips: Sequence[int]
    offsets: Sequence[int]

    @classmethod
    def of(cls, track: RecordedTrack, uid: bytes, size: int) -> Layout:
        """Lay out a file.

        If the size is too small for all clips, the file has as many of them as fit, evenly spread from the first to the
        last one, with gaps between; if it is too small for one clip, the first frames; and if it is too small for the
        header, it is larger than it should be, to be cut off.

        Args:
            track: what to lay out.
            uid: 16 bytes that differ between files.
            size: number of bytes.
        """
        smallest = len(track.header(uid, 0)) + MIN_VOID_SIZE
        file_header = track.header(uid, max(size, smallest))
        clips, offsets = _place_clips(track, len(file_header), max(size, smallest))
        return cls(track, file_header, clips, offsets)

    def parts(self, start: int) -> Iterator[Part]:
        """Yield the parts of the file from the one on that the byte at offset ``start`` is in."""
        if start < len(self.header):
            yield Part(0, self.header, len(self.header))
        # Every part of the list begins with a Cluster.
        for index in range(max(0, bisect_right(self.offsets, start) - 1), len(self.clips)):
            yield self._part(index)
        if not self.clips:
            yield self._beginning()

    def _part(self, index: int) -> Part:
        offset, end = self.offsets[index : index + 2]
        number = self.clips[index]
        content = self.track.cluster(number, self.track.blocks(number))
        return Part(offset, content + void_head(end - offset - len(content)), end)

    def _beginning(self) -> Part:
        """Return what follows the header if there is no room for a whole clip."""
        offset, end = len(self.header), self.offsets[-1]
        blocks = self.track.first_blocks(end - offset - CLUSTER_OVERHEAD - MIN_VOID_SIZE)
        content = self.track.cluster(0, blocks) if blocks else b""
        return Part(offset, content + void_head(end - offset - len(content)), end)


# Several requests for one file often come in a row, and hours have thousands of clips.
@lru_cache(maxsize=16)
def _place_clips(track: RecordedTrack, start: int, size: int) -> tuple[Sequence[int], Sequence[int]]:
    """Return the clips that fit into a file, and where their Clusters begin; the last offset is the size.

    Args:
        track: what the clips are of.
        start: where the first one begins.
        size: the size of the file.
    """
    clips = track.recorded_clips()
    sizes = [CLUSTER_OVERHEAD + MIN_VOID_SIZE + len(track.blocks(number)) for number in clips]
    free = size - start
    if sum(sizes) > free:
        clips = _spread(clips, free // max(sizes))
        sizes = [max(sizes)] * len(clips)

    padding = free - sum(sizes)
    ends = accumulate(sizes)
    shares = (padding * count // len(clips) for count in range(1, len(clips) + 1))
    return clips, [start, *(start + end + share for end, share in zip(ends, shares, strict=True))] if clips else [size]


def _spread(items: Sequence[int], count: int) -> list[int]:
    """Return so many of these items, evenly spread from the first to the last one."""
    if count <= 1:
        return list(items[:count])
    return [items[index * (len(items) - 1) // (count - 1)] for index in range(count)]


@lru_cache(maxsize=64)
def _blocks(loop: Loop, duration: int) -> bytes:
    """Return the blocks of a loop that begin before so many milliseconds have passed."""
    return b"".join(simple_block(frame, time) for time, frame in loop.frames if time < duration)
