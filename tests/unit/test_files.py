"""Atomic writes, and parts of files: resumed, locked, renamed when complete."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from roomrec_async import MediaError
from roomrec_async._files import (
    PartFile,
    add_path_to_disk_full_errors,
    atomic_write,
    file_path,
    file_sha256,
    file_size,
    replace_file,
)

ETAG = '"one"'


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_part_is_resumed_and_renamed_when_it_is_finished(tmp_path: Path) -> None:
    path = tmp_path / "new" / "odd [name]*.mka"
    part = PartFile(path)
    part.restart(ETAG)
    part.write([b"abc", b"def"])
    part.close()
    assert names(path.parent) == [f"{path.name}.part", f"{path.name}.part.etag"]
    part = PartFile(path)
    assert (part.size, part.etag, b"".join(part.read())) == (6, ETAG, b"abcdef")
    part.write([b"ghi"])
    part.finish()
    part.close()
    assert names(path.parent) == [path.name]
    assert path.read_bytes() == b"abcdefghi"
    assert file_size(path) == 9
    assert file_sha256(path) == "19cc02f26df43cc571bc9ed7b0c4d29224a3ec229529221725ef76d021c8326f"


def test_restart_drops_the_bytes_and_their_etag(tmp_path: Path) -> None:
    path = tmp_path / "name"
    part = PartFile(path)
    part.restart(ETAG)
    part.write([b"of old"])
    part.restart(None)
    assert (part.size, part.etag) == (0, None)
    part.write([b"new"])
    part.close()
    part = PartFile(path)
    assert (part.size, part.etag, part.resumable_size) == (3, None, 0)
    part.close()


@pytest.mark.parametrize("etag", [ETAG, None])
def test_close_deletes_an_empty_part(tmp_path: Path, etag: str | None) -> None:
    part = PartFile(tmp_path / "name")
    part.restart(etag)
    part.close()
    part.close()
    assert names(tmp_path) == []


def test_discard_deletes_the_part_and_not_the_complete_file(tmp_path: Path) -> None:
    (tmp_path / "name").write_bytes(b"of old")
    part = PartFile(tmp_path / "name")
    part.restart(ETAG)
    part.write([b"new"])
    part.discard()
    part.close()
    assert names(tmp_path) == ["name"]
    assert (tmp_path / "name").read_bytes() == b"of old"


def test_an_unreadable_etag_is_none(tmp_path: Path) -> None:
    (tmp_path / "name.part").write_bytes(b"abc")
    (tmp_path / "name.part.etag").write_bytes(b"\xff\xfe")
    part = PartFile(tmp_path / "name")
    assert (part.size, part.etag) == (3, None)
    part.close()


def test_a_part_is_locked(tmp_path: Path) -> None:
    part = PartFile(tmp_path / "name")
    with pytest.raises(MediaError, match="name is already being downloaded"):
        PartFile(tmp_path / "name")
    part.close()
    PartFile(tmp_path / "name").close()


def test_a_process_that_dies_releases_the_lock_and_leaves_its_part(tmp_path: Path) -> None:
    path = tmp_path / "name"
    holder = subprocess.Popen([sys.executable, "-c", _HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(MediaError):
        PartFile(path)
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    part = PartFile(path)
    assert (part.size, part.etag, part.resumable_size) == (100_000, ETAG, 100_000)
    part.close()


_HOLD = """
import sys, time
from pathlib import Path
from roomrec_async._files import PartFile
part = PartFile(Path(sys.argv[1]))
part.restart('"one"')
part.write([b"x" * 100_000])
print("held", flush=True)
time.sleep(60)
"""


def test_a_part_opened_while_another_is_renamed_is_a_new_one(tmp_path: Path) -> None:
    first = PartFile(tmp_path / "name")
    first.restart(ETAG)
    first.write([b"whole"])
    first.finish()
    second = PartFile(tmp_path / "name")
    second.write([b"other"])
    second.close()
    first.close()
    assert (tmp_path / "name").read_bytes() == b"whole"


class TestAtomicWrite:
    def test_the_file_appears_when_the_block_ends(self, tmp_path: Path) -> None:
        with atomic_write(tmp_path / "name") as file:
            file.write(b"new")
            assert not (tmp_path / "name").exists()
        assert (tmp_path / "name").read_bytes() == b"new"
        assert names(tmp_path) == ["name"]

    @pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
    def test_an_error_leaves_the_file_that_was_there(self, tmp_path: Path, error: type[BaseException]) -> None:
        (tmp_path / "name").write_bytes(b"of old")
        with pytest.raises(error), atomic_write(tmp_path / "name") as file:
            file.write(b"new")
            raise error
        assert (tmp_path / "name").read_bytes() == b"of old"
        assert names(tmp_path) == ["name"]


def test_replace_file_renames(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"new")
    (tmp_path / "name").write_bytes(b"of old")
    replace_file(tmp_path / "source", tmp_path / "name")
    assert names(tmp_path) == ["name"]
    assert (tmp_path / "name").read_bytes() == b"new"


def test_replace_file_removes_the_source_if_it_cannot_rename_it(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"new")
    (tmp_path / "name").mkdir()
    with pytest.raises(IsADirectoryError):
        replace_file(tmp_path / "source", tmp_path / "name")
    assert names(tmp_path) == ["name"]


class TestDiskFullErrors:
    @pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
    def test_get_the_path(self, number: int) -> None:
        with pytest.raises(OSError, match="/x/name") as caught, add_path_to_disk_full_errors(Path("/x/name")):
            raise OSError(number, "full")
        assert caught.value.filename == "/x/name"

    def test_keep_the_path_that_they_have(self) -> None:
        with pytest.raises(OSError, match="other"), add_path_to_disk_full_errors(Path("/x/name")):
            raise OSError(errno.ENOSPC, "full", "other")

    def test_are_not_other_errors(self) -> None:
        with pytest.raises(OSError, match="broken") as caught, add_path_to_disk_full_errors(Path("/x/name")):
            raise OSError(errno.EIO, "broken")
        assert caught.value.filename is None


def test_a_destination_is_a_directory_or_a_file(tmp_path: Path) -> None:
    assert file_path(tmp_path, "x.mka") == tmp_path / "x.mka"
    assert file_path(f"{tmp_path}/new/", "x.mka") == tmp_path / "new" / "x.mka"
    assert file_path(tmp_path / "new", "x.mka") == tmp_path / "new"
    assert file_path(os.fspath(tmp_path / "a.mka"), "x.mka") == tmp_path / "a.mka"
    assert file_size(tmp_path / "missing") is None
