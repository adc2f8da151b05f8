"""Room SIDs from arguments, files and standard input."""

from __future__ import annotations

import io
from contextlib import aclosing
from pathlib import Path

import attrs
import pytest

from roomrec_async import InvalidArgumentError
from roomrec_async.cli.support import input as input_module
from roomrec_async.cli.support.input import RoomSources

A, B, C, D = (f"RM{number:032x}" for number in range(4))


class Refusals(list[str]):
    def __call__(self, position: str, reason: str) -> None:
        self.append(f"{position}: {reason}")


async def read(sources: RoomSources) -> tuple[list[str], list[str]]:
    """Return the SIDs, and the lines that were refused."""
    refusals = Refusals()
    async with aclosing(sources.sids(refusals)) as sids:
        return [sid async for sid in sids], refusals


async def test_arguments_come_before_files_each_in_their_order(tmp_path: Path) -> None:
    first, second = tmp_path / "first.txt", tmp_path / "second.txt"
    first.write_text(f"{C}\n", "utf-8")
    second.write_text(f"{D}\n{A}\n", "utf-8")
    assert await read(RoomSources([B, A], [str(first), str(second)])) == ([B, A, C, D, A], [])


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
    async with aclosing(RoomSources(["-"], []).sids(Refusals())) as sids:
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
    async with RoomSources([], [str(file)]).open(refusals) as sids:
        assert len(refusals) == 1
        assert [sid async for sid in sids] == [A, B, C]
    assert len(refusals) == 2
    (tmp_path / "empty.txt").touch()
    async with RoomSources([], [str(tmp_path / "empty.txt")]).open(refusals) as sids:
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
