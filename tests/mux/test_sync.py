"""When tracks in the provider's shapes are seen and heard: late container starts, lost packets, gaps."""

from __future__ import annotations

from pathlib import Path

import pytest

from roomrec_async import RecordingsClient
from roomrec_async._views.film import Size
from roomrec_async.integrations.ffmpeg import mux

from ..conftest import ROOM_SID
from .conftest import RATE, WITHIN, Room, beeps, ffmpeg, flashes, make_audio, make_video, near

SMALL = Size(320, 240)
SHARED = 155_137_307_765


def add_audio(room: Room, who: int, **made: object) -> None:
    """Add audio whose recording has the offset that the whole room shares."""
    room.add_file(who=who, make=lambda path: make_audio(path, **made), offset=SHARED)


def add_video(room: Room, who: int, **made: object) -> None:
    """Add video whose recording has the offset that the whole room shares."""
    room.add_file(who=who, make=lambda path: make_video(path, color="black", **made), offset=SHARED, type="video")


def drop_packets(path: Path, dropped: str) -> None:
    """Remove packets from a file, as losses do: their times stay those of the others."""
    lossy = path.with_name(f"{path.name}-lossy")
    ffmpeg("-i", path, "-c", "copy", "-copyts", "-bsf", f"noise=drop='{dropped}'", "-f", "matroska", lossy)
    lossy.replace(path)


@pytest.mark.parametrize("ending", ["mkv", "mp4"])
@pytest.mark.parametrize(
    ("first", "second"),
    [((1.564, 1.584), (6.0, 6.1)), ((0, 0.4), (2.02, 0.3)), ((7_201, 7_201.5), (7_203, 7_203))],
)
async def test_tracks_begin_where_their_containers_do(
    room: Room,
    client: RecordingsClient,
    tmp_path: Path,
    ending: str,
    first: tuple[float, float],
    second: tuple[float, float],
) -> None:
    add_audio(room, 1, seconds=9, beep=5, start=first[0])
    add_video(room, 1, seconds=9, flash=5, start=first[1])
    add_audio(room, 2, seconds=5, beep=1, start=second[0])
    add_video(room, 2, seconds=5, flash=1, start=second[1])
    film = (await mux(client, ROOM_SID, tmp_path / f"film.{ending}", size=SMALL)).path
    begin = min(*first, *second)
    assert sorted(beeps(film)) == near(*sorted((first[0] + 5 - begin, second[0] + 1 - begin)))
    assert sorted(flashes(film)) == near(*sorted((first[1] + 5 - begin, second[1] + 1 - begin)))


async def test_offsets_that_differ_are_added_to_the_starts_of_the_files(
    room: Room, client: RecordingsClient, tmp_path: Path
) -> None:
    room.add_file(who=1, make=lambda path: make_audio(path, seconds=4, beep=1, start=0.5), offset=SHARED)
    room.add_file(who=2, make=lambda path: make_audio(path, seconds=4, beep=1, start=1.25), offset=SHARED + 2_000)
    film = (await mux(client, ROOM_SID, tmp_path / "film.mkv")).path
    assert beeps(film) == near(1, 3.75)


@pytest.mark.parametrize(
    "dropped",
    [
        "eq(mod(n,50),49)",  # 20 ms in every second
        "lt(mod(n,50),20)",  # DTX: most packets of a silent second are missing
        "lt(mod(n,7),1)",
    ],
)
async def test_lost_packets_do_not_add_up(room: Room, client: RecordingsClient, tmp_path: Path, dropped: str) -> None:
    def make(path: Path) -> None:
        tone = f"sine=f=1000:r={RATE}:d=120,volume=0:enable='gt(mod(t+0.5,20),0.3)'"
        ffmpeg("-f", "lavfi", "-i", tone, "-c:a", "libopus", "-output_ts_offset", 3, "-f", "matroska", path)
        drop_packets(path, dropped.replace(",", "\\,"))

    room.add_file(who=1, make=make, offset=SHARED)
    add_video(room, 2, seconds=1, flash=0.5, start=2)
    film = (await mux(client, ROOM_SID, tmp_path / "film.mkv", size=SMALL)).path
    heard = beeps(film)
    for number in range(1, 6):
        expected = 1 + 20 * number - 0.5
        # The first packet of a tone may be one of those that were lost.
        assert any(expected - WITHIN <= each <= expected + 0.45 for each in heard), (expected, heard)
    assert not [each for each in heard if (each - 0.5) % 20 > 1 and (each - 0.5) % 20 < 20 - WITHIN]


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
async def test_other_sample_rates_are_as_much_in_time(
    room: Room, client: RecordingsClient, tmp_path: Path, rate: int
) -> None:
    def make(path: Path) -> None:
        tone = f"sine=f=1000:r={rate}:d=100,asetnsamples={rate // 50},volume=0:enable='not(between(t,90,90.3))'"
        codec = ("-c:a", "pcm_mulaw", "-ar", rate)
        ffmpeg("-f", "lavfi", "-i", tone, *codec, "-output_ts_offset", 1.564, "-f", "matroska", path)
        drop_packets(path, "eq(mod(n\\,50)\\,25)")

    room.add_file(who=1, make=make, offset=SHARED, codec="PCMU")
    film = (await mux(client, ROOM_SID, tmp_path / "film.mkv")).path
    assert beeps(film) == near(90)


async def test_missing_frames_and_a_frame_rate_that_varies_keep_their_times(
    room: Room, client: RecordingsClient, tmp_path: Path
) -> None:
    def make(path: Path) -> None:
        # From 25 frames a second to 3, with 1.5 s without any.
        kept = "not(between(t,2,3.5))*if(lt(t,4),1,not(mod(n,8)))"
        flash = "drawbox=t=fill:c=white:enable='between(t,6.4,7)'"
        source = f"color=c=black:s=320x240:r=25:d=9,{flash},select='{kept}'"
        timing = ("-fps_mode", "vfr", "-output_ts_offset", 1)
        codec = ("-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8")
        ffmpeg("-f", "lavfi", "-i", source, *codec, *timing, "-f", "matroska", path)

    room.add_file(who=1, make=make, offset=SHARED, type="video")
    add_audio(room, 1, seconds=9, beep=6.4, start=1)
    film = (await mux(client, ROOM_SID, tmp_path / "film.mkv", size=SMALL)).path
    assert flashes(film) == near(6.4)
    assert beeps(film) == near(6.4)


async def test_a_recording_without_an_offset_is_placed_by_its_date(
    room: Room, client: RecordingsClient, tmp_path: Path
) -> None:
    dates = [f"2026-03-01T10:00:{second:02}Z" for second in (0, 0, 5)]
    for number, (offset, date) in enumerate(zip((SHARED, SHARED, None), dates, strict=True)):
        room.add_file(
            who=number,
            make=lambda path, at=number: make_audio(path, seconds=3, beep=1 + at / 2),
            offset=offset,
            date_created=date,
        )
    film = await mux(client, ROOM_SID, tmp_path / "film.mkv")
    assert beeps(film.path) == near(1, 1.5, 7)
    assert [recording.sid for recording in film.about] == [room.records[2]["sid"]]


async def test_part_of_a_room_is_in_step_with_the_whole(room: Room, client: RecordingsClient, tmp_path: Path) -> None:
    add_audio(room, 1, seconds=9, beep=5, start=1.564)
    add_video(room, 1, seconds=9, flash=5, start=1.584)
    add_audio(room, 2, seconds=2, beep=1, start=20)
    film = await mux(client, ROOM_SID, tmp_path / "film.mkv", size=SMALL, start=3.25, end=8)
    assert beeps(film.path) == near(1.75)
    assert flashes(film.path) == near(1.77)
    assert (film.seconds, film.audios, film.videos) == (4.75, 1, 1)
