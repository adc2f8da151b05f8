"""Matroska, written and read."""

import pytest

from roomrec_async.simulator.matroska import (
    CLUSTER_OVERHEAD,
    Frame,
    Track,
    cluster,
    header,
    read_clips,
    simple_block,
    void_head,
)


def test_a_cluster_has_the_overhead_that_layouts_count_on():
    assert len(cluster(2**32 - 1, b"blocks")) == CLUSTER_OVERHEAD + 6


@pytest.mark.parametrize("size", [2, 3, 9, 127, 128, 129, 136, 2**14, 2**20])
def test_what_is_written_can_be_read_past_a_void_of_any_size(size):
    head = void_head(size)
    blocks = simple_block(Frame(b"one", is_key=True), 0) + simple_block(Frame(b"two", is_key=False), 50)
    rest = head + bytes(size - len(head)) + cluster(4_000, blocks)
    start = header(Track("V_VP8", width=640, height=360), uid=bytes(16), duration=4_100, size=0)
    whole = header(Track("V_VP8", width=640, height=360), uid=bytes(16), duration=4_100, size=len(start + rest)) + rest
    (clip,) = read_clips(whole)
    assert (clip.track.codec_id, clip.track.width, clip.track.height) == ("V_VP8", 640, 360)
    assert [(frame.data, frame.is_key) for frame in clip.frames] == [(b"one", True), (b"two", False)]
