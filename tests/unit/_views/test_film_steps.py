"""The commands that make films: bounded, and safe with whatever participants typed."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from roomrec_async import MediaType, Recording
from roomrec_async._views.film import Cut, Film, Size, Source
from roomrec_async._views.film_steps import MAX_INPUTS, Plan, Step, Style, chapters_text, joining

AUDIO, VIDEO = MediaType.AUDIO, MediaType.VIDEO
# Linux takes no longer argument.
MAX_ARGUMENT = 128 * 1_024


def source(number: int, kind: MediaType, start: int, length: int, who: int = 1, path: str = "/media/a") -> Source:
    grouping = {"participant_sid": f"PA{who:032x}"}
    recording = Recording(sid=f"RT{number:032x}", type=kind, grouping_sids=grouping, track_name="$(reboot)")
    return Source(recording=recording, path=Path(path), start=start, length=length)


def plan(sources: list[Source], **style: object) -> Plan:
    return Plan.of(Film.from_sources(sources, Cut()), Style(size=Size(), container="mkv", **style))


def steps(plan: Plan) -> list[Step]:
    grouped = [step for group in (*plan.scenes, *plan.mixes) for step in group]
    audio = [plan.audio_step(0.9)] if plan.film.audios else []
    return [*plan.tracks, *grouped, *audio, plan.join_step("audio.mkv", joining(plan.film, {}))]


def inputs(step: Step) -> list[str]:
    return [after for before, after in pairwise(step.arguments) if before == "-i"]


def test_commands_are_bounded_whatever_the_room() -> None:
    room = [source(who, AUDIO, 0, 600_000, who) for who in range(200)]
    for who in range(200):
        room += [source(1_000 + 10 * who + turn, VIDEO, 60_000 * turn + 7 * who, 50_000, who) for turn in range(8)]
    made = steps(plan(room))
    assert len(made) > 3_000
    for step in made:
        assert len(inputs(step)) <= MAX_INPUTS + 2
        assert max(map(len, step.arguments)) < MAX_ARGUMENT // 4


@pytest.mark.parametrize("heard", [True, False])
def test_commands_are_bounded_however_often_cameras_are_switched(heard: bool) -> None:
    room = [source(who, AUDIO, 0, 30_000, who) for who in range(60) if heard]
    for who in range(60):
        # On and off in every second, and no two at the same moment.
        room += [source(1_000 + 100 * who + turn, VIDEO, 1_000 * turn + 11 * who, 500, who) for turn in range(30)]
    names = {f"PA{who:032x}": f"Participant {who}" for who in range(60)}
    for step in steps(plan(room, names=names)):
        assert len(inputs(step)) <= MAX_INPUTS + 2
        assert max(map(len, step.arguments)) < MAX_ARGUMENT // 2


def test_nothing_that_a_participant_typed_is_in_a_command() -> None:
    names = {f"PA{1:032x}": "%{gmtime}:'\\\\[v];$(reboot)"}
    for step in steps(plan([source(1, VIDEO, 0, 1_000), source(2, AUDIO, 0, 1_000)], names=names)):
        assert not any("reboot" in part for part in step.arguments)
        assert not any("reboot" in name for name in step.files)


def test_files_are_never_taken_for_options_addresses_or_playlists() -> None:
    room = [source(1, AUDIO, 0, 1_000, path="-y"), source(2, VIDEO, 0, 1_000, path="http:x")]
    for step in steps(plan(room)):
        arguments = step.arguments
        for index, part in enumerate(arguments):
            if part == "-i":
                assert arguments[index + 1].startswith("file:")
                assert arguments[index - 2 : index] == ("-protocol_whitelist", "file")
        if step.source is not None:
            assert arguments[arguments.index("-i") - 3] == "matroska"


def test_a_step_has_another_name_if_anything_about_it_differs() -> None:
    def names(*room: Source, **style: object) -> list[str]:
        return [step.name for step in steps(plan(list(room), **style))]

    one, other = source(1, VIDEO, 0, 2_000), source(2, VIDEO, 500, 1_000, who=2)
    assert names(one, other) == names(one, other)
    assert not set(names(one)) & set(names(source(1, VIDEO, 0, 2_000, path="/media/b")))
    # A participant's name is part of the scenes, and not of the prepared tracks.
    named = names(one, other, names={f"PA{1:032x}": "Ada"})
    assert named[:2] == names(one, other)[:2]
    assert not set(named[2:5]) & set(names(one, other)[2:5])


@pytest.mark.parametrize(("kind", "absent"), [(AUDIO, ("scene", "video")), (VIDEO, ("sound", "mix"))])
def test_a_kind_that_is_not_there_has_no_steps(kind: MediaType, absent: tuple[str, ...]) -> None:
    made = plan([source(1, kind, 0, 1_000)])
    kinds = {step.kind for step in (*made.tracks, *(step for group in (*made.scenes, *made.mixes) for step in group))}
    assert not kinds & set(absent)


def test_chapters_begin_where_participants_join() -> None:
    room = [source(1, AUDIO, 0, 9_000, 1), source(2, AUDIO, 4_200, 9_000, 2), source(3, VIDEO, 4_900, 9_000, 3)]
    film = Film.from_sources(room)
    assert joining(film, {f"PA{2:032x}": "Ada"}) == [(0, "Participant 1"), (4_200, "Ada, Participant 3")]


def test_titles_of_chapters_cannot_add_lines() -> None:
    text = chapters_text([(0, "a=b;c#d\\\n[CHAPTER]")], 1_000)
    assert text.splitlines()[:4] == [";FFMETADATA1", "[CHAPTER]", "TIMEBASE=1/1000", "START=0"]
    assert "title=a\\=b\\;c\\#d\\\\\\\n[CHAPTER]" in text
