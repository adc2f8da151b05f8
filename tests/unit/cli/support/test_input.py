"""Room SIDs from arguments, files and standard input."""

from __future__ import annotations

import io
from contextlib import aclosing
from pathlib import Path

import attrs
import pytest

from roomrec_async import InvalidArgumentError
from roomrec_async._validate import check_room_sid
from roomrec_async.cli.support import input as input_module
from roomrec_async.cli.support.input import RoomSources

A, B, C, D, E = (f"RM{number:032x}" for number in range(10, 15))


class Refusals(list[str]):
    def __call__(self, position: str, reason: str) -> None:
        self.append(f"{position}: {reason}")


async def find_room(room: str) -> str:
    """Return the SID of a room; one is named."""
    return E if room == "daily standup, #4" else check_room_sid(room)


async def read(sources: RoomSources) -> tuple[list[str], list[str]]:
    """Return the SIDs, and the lines that were refused."""
    refusals = Refusals()
    async with aclosing(sources.sids(find_room, refusals, unexpected)) as sids:
        return [sid async for sid in sids], refusals


def unexpected(count: int) -> None:
    raise AssertionError(f"{count} rooms more than once")


async def test_arguments_come_before_files_each_in_their_order(tmp_path: Path) -> None:
    first, second = tmp_path / "first.txt", tmp_path / "second.txt"
    first.write_text(f"{C}\n", "utf-8")
    second.write_text(f"{D}\n{E}\n", "utf-8")
    assert await read(RoomSources([B, A], [str(first), str(second)])) == ([B, A, C, D, E], [])


async def test_blank_lines_and_comments_are_skipped(tmp_path: Path) -> None:
    file = tmp_path / "rooms.txt"
    file.write_text(f"\ufeff# {A}\r\n\r\n  {B}  # the second\r\n{C}#{D}\n   \n{D}", "utf-8", newline="")
    assert await read(RoomSources([], [str(file)])) == ([B, C, D], [])


async def test_malformed_lines_are_refused_with_their_position_and_the_others_read(tmp_path: Path) -> None:
    file = tmp_path / "rooms.txt"
    file.write_bytes(f"nonsense\n{A}\n\n{B[:-1]}\n".encode() + b"\xff\xfe\n" + f"{C}\n".encode())
    sids, refusals = await read(RoomSources([], [str(file)]))
    assert sids == [A, C]
    assert [line.partition(": ")[0] for line in refusals] == [f"{file}:{number}" for number in (1, 4, 5)]
    assert refusals[0] == f"{file}:1: a room SID must be 'RM' and 32 hexadecimal digits, not 'nonsense'"


async def test_a_hyphen_is_standard_input_among_rooms_and_files(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = [io.StringIO(f"{A}\nnonsense\n"), io.StringIO(f"{D}\n")]
    monkeypatch.setattr(input_module, "open_stdin", lambda: inputs.pop(0))
    sids, refusals = await read(RoomSources([B, "-", C], ["-"]))
    assert sids == [B, A, C, D]
    assert [line.partition(": ")[0] for line in refusals] == ["standard input:2"]


async def test_a_line_is_read_only_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.StringIO(f"{A}\n{B}\n{C}\n")
    monkeypatch.setattr(input_module, "open_stdin", lambda: file)
    async with aclosing(RoomSources(["-"], []).sids(find_room, Refusals(), unexpected)) as sids:
        assert await anext(sids) == A
        assert file.tell() == len(A) + 1
        assert await anext(sids) == B
        assert file.tell() == 2 * (len(A) + 1)


async def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="missing"):
        await read(RoomSources([], [str(tmp_path / "missing.txt")]))


async def test_the_first_line_is_read_when_the_sources_are_opened(tmp_path: Path) -> None:
    file = tmp_path / "rooms.txt"
    file.write_text(f"nonsense\n{A}\n{B}\nmore\n{C}\n", "utf-8")
    refusals = Refusals()
    async with RoomSources([], [str(file)]).open(find_room, refusals, unexpected) as sids:
        assert len(refusals) == 1
        assert [sid async for sid in sids] == [A, B, C]
    assert len(refusals) == 2
    (tmp_path / "empty.txt").touch()
    async with RoomSources([], [str(tmp_path / "empty.txt")]).open(find_room, refusals, unexpected) as sids:
        assert [sid async for sid in sids] == []


@pytest.mark.parametrize("given", ["", "\n  \n"])
@pytest.mark.parametrize("sources", [RoomSources(["-"], []), RoomSources([], ["-"])])
async def test_nothing_on_standard_input_is_a_mistake(
    sources: RoomSources, given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(input_module, "open_stdin", lambda: io.StringIO(given))
    with pytest.raises(InvalidArgumentError, match=r"nothing on standard input.*--allow-empty"):
        await read(sources)
    assert await read(attrs.evolve(sources, allow_empty=True)) == ([], [])


@pytest.mark.parametrize("given", ["# nothing\n", "nonsense\n"])
async def test_a_comment_on_standard_input_is_something(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_module, "open_stdin", lambda: io.StringIO(given))
    sids, _ = await read(RoomSources(["-"], []))
    assert sids == []


async def test_a_room_is_given_once_and_the_others_are_counted(tmp_path: Path) -> None:
    file = tmp_path / "rooms.txt"
    file.write_text(f"{B}\n{A.lower().replace('rm', 'RM')}\n{A[:2] + A[2:].upper()}\ndaily standup, #4\n{E}\n", "utf-8")
    repeated: list[int] = []
    sources = RoomSources([B, A], [str(file)])
    async with aclosing(sources.sids(find_room, Refusals(), repeated.append)) as sids:
        assert [sid async for sid in sids] == [B, A, E]
    assert repeated == [3]


async def test_arguments_are_looked_up_before_anything_is_read(tmp_path: Path) -> None:
    sources = RoomSources([A, "unknown"], [str(tmp_path / "missing.txt")])
    with pytest.raises(InvalidArgumentError, match="unknown"):
        async with sources.open(find_room, Refusals(), unexpected):
            pass


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("line", [A, '"daily standup, #4"'])
async def test_files_in_the_encodings_that_shells_write(encoding: str, line: str, tmp_path: Path) -> None:
    file = tmp_path / "rooms.txt"
    file.write_bytes(f"{line}\r\n{B}\r\n".encode(encoding))
    assert await read(RoomSources([], [str(file)])) == ([A if line == A else E, B], [])


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"PAR1\x15\x04", "is a Parquet file"), (b"PK\x03\x04", "is a spreadsheet"), (b"\x1f\x8b\x08", "is compressed")],
)
async def test_files_of_other_kinds_are_refused_whole(content: bytes, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "rooms"
    file.write_bytes(content)
    with pytest.raises(InvalidArgumentError, match=reason):
        await read(RoomSources([], [str(file)]))
