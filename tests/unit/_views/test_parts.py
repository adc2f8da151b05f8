"""Parts of a film that belong to one participant each, and the names of their files."""

from __future__ import annotations

from pathlib import Path

import pytest

from roomrec_async import MediaType, Recording
from roomrec_async._views.film import Film, Source
from roomrec_async._views.parts import participant_stem, split

AUDIO, VIDEO = MediaType.AUDIO, MediaType.VIDEO
ADA, BOB, EVE = (f"PA{number:032x}" for number in (1, 2, 3))


def source(number: int, kind: MediaType, start: int, length: int, participant_sid: str | None) -> Source:
    grouping = {} if participant_sid is None else {"participant_sid": participant_sid}
    recording = Recording(sid=f"RT{number:032x}", type=kind, grouping_sids=grouping)
    return Source(recording=recording, path=Path(f"/media/{number}"), start=start, length=length)


def test_each_part_has_the_times_and_the_length_of_the_whole() -> None:
    room = [
        source(1, AUDIO, 500, 4_000, ADA),
        source(2, VIDEO, 900, 9_000, BOB),
        source(3, AUDIO, 2_000, 1_000, None),
        source(4, AUDIO, 2_000, 1_000, None),
        source(5, AUDIO, 6_000, 1_000, ADA),
    ]
    parts = split(Film.from_sources(room), [BOB, EVE], {})
    found = {part.stem: [(track.source.path.name, track.start) for track in part.film.tracks] for part in parts}
    assert found == {
        ADA: [("1", 0), ("5", 5_500)],
        BOB: [("2", 400)],
        EVE: [],
        f"RT{3:032x}": [("3", 1_500)],
        f"RT{4:032x}": [("4", 1_500)],
    }
    assert {part.film.length for part in parts} == {9_400}
    assert [part.participant_sid for part in parts] == [ADA, BOB, EVE, None, None]


def test_a_participant_has_the_same_number_in_every_part() -> None:
    film = Film.from_sources([source(1, AUDIO, 0, 1_000, BOB), source(2, AUDIO, 500, 1_000, ADA)])
    assert [part.film.number(ADA) for part in split(film, (), {})] == [2, 2]


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("", ADA),
        ("Ada", f"Ada-{ADA}"),
        ("../../etc/passwd", f"etc_passwd-{ADA}"),
        ("-rf ~/*", f"rf-{ADA}"),
        ("...", ADA),
        ("a\x00b\nc", f"a_b_c-{ADA}"),
        ("Zoe\u0308", f"Zoë-{ADA}"),
        ("\ud800", ADA),
        ("x" * 100, f"{'x' * 40}-{ADA}"),
    ],
)
def test_names_of_people_become_safe_names_of_files(name: str, stem: str) -> None:
    assert participant_stem(ADA, name) == stem


def test_sids_that_differ_in_case_or_are_none_have_files_of_their_own() -> None:
    odd = [ADA, ADA.upper().replace("PA", "Pa"), f"PA{10:032X}", f"PA{10:032x}", "../x", "../X", "x/y", ""]
    stems = [participant_stem(sid, "") for sid in odd]
    assert len({stem.casefold() for stem in stems}) == len(odd)
    assert all(stem.replace("-", "").isalnum() for stem in stems)
