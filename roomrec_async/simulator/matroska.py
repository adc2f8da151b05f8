"""Matroska files of one track: just enough to write recordings, and to read the clips that they are made of. Pure.

Elements are called what the specifications call them: RFC 9559 for Matroska, RFC 8794 for EBML, on which it is based.
An element is its ID, the size of its data, and the data; the data of a master element are further elements.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import Final

import attrs


class ElementId(IntEnum):
    """IDs of the elements that are used, by their names in the specifications."""

    EBML = 0x1A45DFA3
    EBMLVersion = 0x4286
    EBMLReadVersion = 0x42F7
    EBMLMaxIDLength = 0x42F2
    EBMLMaxSizeLength = 0x42F3
    DocType = 0x4282
    DocTypeVersion = 0x4287
    DocTypeReadVersion = 0x4285
    Void = 0xEC
    Segment = 0x18538067
    Info = 0x1549A966
    SegmentUUID = 0x73A4
    TimestampScale = 0x2AD7B1
    Duration = 0x4489
    MuxingApp = 0x4D80
    WritingApp = 0x5741
    Tracks = 0x1654AE6B
    TrackEntry = 0xAE
    TrackNumber = 0xD7
    TrackUID = 0x73C5
    TrackType = 0x83
    FlagLacing = 0x9C
    Language = 0x22B59C
    CodecID = 0x86
    CodecPrivate = 0x63A2
    SeekPreRoll = 0x56BB
    Video = 0xE0
    PixelWidth = 0xB0
    PixelHeight = 0xBA
    Audio = 0xE1
    SamplingFrequency = 0xB5
    Channels = 0x9F
    BitDepth = 0x6264
    Cluster = 0x1F43B675
    Timestamp = 0xE7
    SimpleBlock = 0xA3
    BlockGroup = 0xA0
    Block = 0xA1


MIN_VOID_SIZE: Final = 2
"""Bytes of the smallest Void element."""
CLUSTER_OVERHEAD: Final = 18
"""Bytes of a Cluster besides its blocks."""

_NANOSECONDS_PER_MILLISECOND: Final = 1_000_000
_TRACK_TYPE_VIDEO: Final = 1
_TRACK_TYPE_AUDIO: Final = 2
# The first bit of a SimpleBlock's flags, and of every size that is written in eight bytes.
_KEYFRAME: Final = 0x80
_LONG_SIZE: Final = 1 << 56
# The track number 1 as a variable-size integer; files have one track.
_TRACK_NUMBER: Final = b"\x81"
_TIMESTAMP_AND_FLAGS: Final = struct.Struct(">hB")


@attrs.frozen
class Track:
    """What a TrackEntry says about a track.

    Attributes:
        codec_id: the CodecID, such as ``V_VP8``.
        codec_private: the CodecPrivate; empty if the codec needs none.
        width: pixels of a row, for video.
        height: number of rows, for video.
        sampling_frequency: samples per second, for audio.
        bit_depth: bits of a sample, for audio that is stored sample by sample.
        seek_pre_roll: nanoseconds to decode before a position that a player seeks to.
    """

    codec_id: str
    codec_private: bytes = b""
    width: int = 0
    height: int = 0
    sampling_frequency: int = 0
    bit_depth: int = 0
    seek_pre_roll: int = 0


@attrs.frozen
class Frame:
    """A frame of a track, or a packet of its codec.

    Attributes:
        data: the data.
        is_key: True if it can be decoded without the ones before it.
    """

    data: bytes
    is_key: bool


# Writing


def element(element_id: ElementId, data: bytes) -> bytes:
    """Return an element with these data."""
    return _id_bytes(element_id) + _size_bytes(len(data)) + data


def header(track: Track, *, uid: bytes, duration: int, size: int) -> bytes:
    """Return a file up to the first Cluster: the EBML header, and the Segment with its Info and Tracks.

    Args:
        track: the track.
        uid: 16 bytes for the SegmentUUID, which differ between files.
        duration: milliseconds from 0 to the end of the last frame.
        size: number of bytes of the whole file.
    """
    info = _info(uid, duration)
    tracks = element(ElementId.Tracks, _track_entry(track, uid))
    ebml = _ebml_header()
    before_data = ebml + _id_bytes(ElementId.Segment)
    # Eight bytes whatever the value, so that the size of the header does not depend on it.
    segment_size = max(0, size - len(before_data) - 8)
    return before_data + _long_size_bytes(segment_size) + info + tracks


def simple_block(frame: Frame, timestamp: int) -> bytes:
    """Return a frame as a SimpleBlock, at so many milliseconds after the Timestamp of its Cluster."""
    flags = _KEYFRAME if frame.is_key else 0
    return element(ElementId.SimpleBlock, _TRACK_NUMBER + _TIMESTAMP_AND_FLAGS.pack(timestamp, flags) + frame.data)


def cluster(timestamp: int, blocks: bytes) -> bytes:
    """Return a Cluster.

    Args:
        timestamp: milliseconds, below 2**32.
        blocks: its SimpleBlocks.
    """
    # Four and eight bytes whatever the values, so that the size depends on nothing but the blocks.
    data = _id_bytes(ElementId.Timestamp) + _size_bytes(4) + timestamp.to_bytes(4, "big") + blocks
    return _id_bytes(ElementId.Cluster) + _long_size_bytes(len(data)) + data


def void_head(size: int) -> bytes:
    """Return the beginning of a Void element of ``size`` bytes in all: what follows, up to this size, means nothing."""
    short = _id_bytes(ElementId.Void) + _size_bytes(max(0, size - MIN_VOID_SIZE))
    # A size that is written in one byte leaves no other choice; all others are written in eight.
    if len(short) == MIN_VOID_SIZE:
        return short
    return _id_bytes(ElementId.Void) + _long_size_bytes(size - 9)


def _ebml_header() -> bytes:
    data = [
        _unsigned(ElementId.EBMLVersion, 1),
        _unsigned(ElementId.EBMLReadVersion, 1),
        _unsigned(ElementId.EBMLMaxIDLength, 4),
        _unsigned(ElementId.EBMLMaxSizeLength, 8),
        element(ElementId.DocType, b"matroska"),
        _unsigned(ElementId.DocTypeVersion, 4),
        _unsigned(ElementId.DocTypeReadVersion, 2),
    ]
    return element(ElementId.EBML, b"".join(data))


def _info(uid: bytes, duration: int) -> bytes:
    data = [
        element(ElementId.SegmentUUID, uid),
        _unsigned(ElementId.TimestampScale, _NANOSECONDS_PER_MILLISECOND),
        _float(ElementId.Duration, duration),
        element(ElementId.MuxingApp, b"roomrec_async.simulator"),
        element(ElementId.WritingApp, b"roomrec_async.simulator"),
    ]
    return element(ElementId.Info, b"".join(data))


def _track_entry(track: Track, uid: bytes) -> bytes:
    is_video = track.width > 0
    data = [
        _unsigned(ElementId.TrackNumber, 1),
        # Any number but 0.
        _unsigned(ElementId.TrackUID, int.from_bytes(uid[:7], "big") | 1),
        _unsigned(ElementId.TrackType, _TRACK_TYPE_VIDEO if is_video else _TRACK_TYPE_AUDIO),
        _unsigned(ElementId.FlagLacing, 0),
        element(ElementId.Language, b"und"),
        element(ElementId.CodecID, track.codec_id.encode()),
    ]
    if track.codec_private:
        data.append(element(ElementId.CodecPrivate, track.codec_private))
    if track.seek_pre_roll:
        data.append(_unsigned(ElementId.SeekPreRoll, track.seek_pre_roll))
    data.append(_video(track) if is_video else _audio(track))
    return element(ElementId.TrackEntry, b"".join(data))


def _video(track: Track) -> bytes:
    data = _unsigned(ElementId.PixelWidth, track.width) + _unsigned(ElementId.PixelHeight, track.height)
    return element(ElementId.Video, data)


def _audio(track: Track) -> bytes:
    data = _float(ElementId.SamplingFrequency, track.sampling_frequency) + _unsigned(ElementId.Channels, 1)
    if track.bit_depth:
        data += _unsigned(ElementId.BitDepth, track.bit_depth)
    return element(ElementId.Audio, data)


def _unsigned(element_id: ElementId, value: int) -> bytes:
    return element(element_id, value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big"))


def _float(element_id: ElementId, value: float) -> bytes:
    return element(element_id, struct.pack(">d", value))


def _id_bytes(element_id: ElementId) -> bytes:
    # An ID has its own length in its first bits, so it is written as it stands.
    return element_id.to_bytes((element_id.bit_length() + 7) // 8, "big")


def _size_bytes(size: int) -> bytes:
    """Return a size as the shortest variable-size integer: n bytes hold 7n bits. All ones would mean "unknown"."""
    length = 1
    while size >= (1 << 7 * length) - 1:
        length += 1
    return (1 << 7 * length | size).to_bytes(length, "big")


def _long_size_bytes(size: int) -> bytes:
    return (_LONG_SIZE | size).to_bytes(8, "big")


# Reading


@attrs.frozen
class Clip:
    """A track with its frames.

    Attributes:
        track: the track.
        frames: its frames, in the order of the file.
    """

    track: Track
    frames: Sequence[Frame]


def read_clips(data: bytes) -> list[Clip]:
    """Return the tracks of a file, in the order of their numbers, with all their frames.

    It reads what ffmpeg writes: Clusters of known size, and blocks without lacing.
    """
    segment = _child(data, ElementId.Segment)
    tracks = {}
    frames: dict[int, list[Frame]] = {}
    for entry_id, entry in _elements(_child(segment, ElementId.Tracks)):
        if entry_id == ElementId.TrackEntry:
            number = int.from_bytes(_child(entry, ElementId.TrackNumber), "big")
            tracks[number] = _read_track(entry)
            frames[number] = []
    for cluster_id, cluster_data in _elements(segment):
        if cluster_id == ElementId.Cluster:
            for number, frame in _read_frames(cluster_data):
                frames[number].append(frame)
    return [Clip(tracks[number], tuple(frames[number])) for number in sorted(tracks)]


def _read_track(entry: bytes) -> Track:
    fields = dict(_elements(entry))
    video = dict(_elements(fields.get(ElementId.Video, b"")))
    return Track(
        codec_id=fields[ElementId.CodecID].decode(),
        codec_private=fields.get(ElementId.CodecPrivate, b""),
        width=int.from_bytes(video.get(ElementId.PixelWidth, b""), "big"),
        height=int.from_bytes(video.get(ElementId.PixelHeight, b""), "big"),
    )


def _read_frames(cluster_data: bytes) -> Iterator[tuple[int, Frame]]:
    """Yield the frames of a Cluster with the numbers of their tracks, which are below 128."""
    for element_id, data in _elements(cluster_data):
        if element_id == ElementId.SimpleBlock:
            yield data[0] & 0x7F, Frame(data[4:], data[3] & _KEYFRAME != 0)
        elif element_id == ElementId.BlockGroup:
            # ffmpeg writes the last packet of Opus so; every one of these can be decoded without others.
            block = _child(data, ElementId.Block)
            yield block[0] & 0x7F, Frame(block[4:], is_key=True)


def _child(data: bytes, element_id: ElementId) -> bytes:
    return next(child for child_id, child in _elements(data) if child_id == element_id)


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the IDs and the data of the elements that these bytes consist of."""
    offset = 0
    while offset < len(data):
        element_id, offset = _read_integer(data, offset, with_length=True)
        size, offset = _read_integer(data, offset, with_length=False)
        yield element_id, data[offset : offset + size]
        offset += size


def _read_integer(data: bytes, offset: int, *, with_length: bool) -> tuple[int, int]:
    """Return a variable-size integer, and the offset after it.

    The number of leading zero bits of the first byte is the number of further bytes. An ID keeps the bits that say so.
    """
    length = 9 - data[offset].bit_length()
    value = int.from_bytes(data[offset : offset + length], "big")
    if not with_length:
        value &= (1 << 7 * length) - 1
    return value, offset + length
