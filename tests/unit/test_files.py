"""Atomic writes, and parts of files: resumed, locked, renamed when complete."""

from __future__ import annotations

import errno
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from roomrec_async import InvalidArgumentError, MediaError, _files
from roomrec_async._files import (
    Checkpoint,
    PartFile,
    add_path_to_disk_full_errors,
    atomic_write,
    file_path,
    file_size,
    make_directory,
    open_and_lock,
    remove_locked,
    replace_file,
    sync_directory,
)

ETAG = '"one"'


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_what_was_just_written_is_read(tmp_path: Path) -> None:
    part = PartFile(tmp_path / "name")
    part.restart(ETAG)
    part.write([b"a" * 5000])
    part.save_checkpoint("digest")
    assert sum(map(len, part.read(5000))) == part.size == 5000
    part.write([b"b" * 100_000, b"c" * 100])
    part.save_checkpoint("digest")
    assert sum(map(len, part.read(105_000))) == 105_000
    assert part.size == 105_100
    part.close()


def test_a_part_is_resumed_and_renamed_when_it_is_finished(tmp_path: Path) -> None:
    path = tmp_path / "new" / "odd [name]*.mka"
    part = PartFile(path)
    part.restart(ETAG)
    part.write([b"abc", b"def"])
    part.save_checkpoint("digest of 6")
    part.write([b"dropped"])
    part.close()
    assert names(path.parent) == [f"{path.name}.part", f"{path.name}.part.jsonl"]
    part = PartFile(path)
    assert (part.size, part.version, part.checkpoint) == (13, ETAG, Checkpoint(ETAG, 6, "digest of 6"))
    part.resume(6)
    part.write([b"ghi"])
    part.finish()
    part.close()
    assert names(path.parent) == [path.name]
    assert path.read_bytes() == b"abcdefghi"
    assert file_size(path) == 9


def test_restart_drops_the_bytes_and_their_checkpoints(tmp_path: Path) -> None:
    path = tmp_path / "name"
    part = PartFile(path)
    part.restart(ETAG)
    part.write([b"of old"])
    part.save_checkpoint("digest")
    part.restart(None)
    assert (part.size, part.version) == (0, None)
    part.write([b"new"])
    part.save_checkpoint("digest")
    part.close()
    part = PartFile(path)
    assert (part.size, part.version, part.checkpoint) == (3, None, None)
    part.close()


def test_a_checkpoint_is_of_no_more_bytes_than_there_are(tmp_path: Path) -> None:
    path = tmp_path / "name"
    part = PartFile(path)
    part.restart(ETAG)
    for size in (10, 20, 30):
        part.write([b"x" * 10])
        part.save_checkpoint(f"digest of {size}")
    part.close()
    # A power loss cut both files off.
    os.truncate(tmp_path / "name.part", 25)
    with (tmp_path / "name.part.jsonl").open("ab") as file:
        file.write(b"[" * 100_000 + b'\n{"version": "')
    part = PartFile(path)
    assert part.checkpoint == Checkpoint(ETAG, 20, "digest of 20")
    part.close()


@pytest.mark.parametrize("etag", [ETAG, None])
def test_close_deletes_an_empty_part(tmp_path: Path, etag: str | None) -> None:
    part = PartFile(tmp_path / "name")
    part.restart(etag)
    part.close()
    part.close()
    assert names(tmp_path) == []


class TestWhatIsNoFile:
    """Only files are replaced, and only files of one name are written to."""

    @pytest.fixture
    def other(self, tmp_path: Path) -> Path:
        (tmp_path / "other").write_bytes(b"of somebody else")
        return tmp_path / "other"

    @pytest.mark.parametrize("kind", ["pipe", "socket", "device", "directory", "link to a directory", "descriptor"])
    def test_it_is_not_replaced(self, tmp_path: Path, kind: str) -> None:
        path = tmp_path / "name"
        with ExitStack() as stack:
            make_special(path, kind, stack)
            before = path.lstat()
            with pytest.raises(InvalidArgumentError, match=f"{path} is no regular file"):
                PartFile(path)
            assert path.lstat().st_ino == before.st_ino
        assert not (tmp_path / "name.part").exists()

    @pytest.mark.parametrize("kind", ["pipe", "socket", "device", "directory", "link to a directory"])
    def test_it_has_no_size(self, tmp_path: Path, kind: str) -> None:
        with ExitStack() as stack:
            make_special(tmp_path / "name", kind, stack)
            assert file_size(tmp_path / "name") is None

    @pytest.mark.parametrize("kind", ["pipe", "socket", "device", "link to a directory"])
    def test_it_is_no_part(self, tmp_path: Path, kind: str) -> None:
        with ExitStack() as stack:
            make_special(tmp_path / "name.part", kind, stack)
            with pytest.raises(InvalidArgumentError, match=r"name\.part is a link or no file: remove it"):
                PartFile(tmp_path / "name")

    @pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
    def test_a_part_that_is_a_link_is_not_written_to(
        self, tmp_path: Path, other: Path, link: Callable[[Path, Path], None]
    ) -> None:
        link(tmp_path / "name.part", other)
        with pytest.raises(InvalidArgumentError, match=r"name\.part is a link or no file"):
            PartFile(tmp_path / "name")
        assert other.read_bytes() == b"of somebody else"

    @pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
    def test_checkpoints_that_are_a_link_are_neither_read_nor_written_to(
        self, tmp_path: Path, other: Path, link: Callable[[Path, Path], None]
    ) -> None:
        other.write_text('{"version": "x", "size": 0, "sha256": "y"}\n')
        link(tmp_path / "name.part.jsonl", other)
        part = PartFile(tmp_path / "name")
        assert part.checkpoint is None
        part.restart(ETAG)
        part.write([b"abc"])
        part.save_checkpoint("digest")
        part.close()
        assert other.read_text() == '{"version": "x", "size": 0, "sha256": "y"}\n'


def make_special(path: Path, kind: str, stack: ExitStack) -> None:
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        server = stack.enter_context(socket.socket(socket.AF_UNIX))
        server.bind(str(path))
    elif kind == "device":
        path.symlink_to("/dev/null")
    elif kind == "directory":
        path.mkdir()
    elif kind == "descriptor":
        file = stack.enter_context((path.parent / "output").open("w"))
        path.symlink_to(f"/proc/self/fd/{file.fileno()}")
    else:
        (path.parent / "elsewhere").mkdir()
        path.symlink_to(path.parent / "elsewhere")


def test_new_directories_survive_a_power_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(_files, "sync_directory", synced.append)
    make_directory(tmp_path / "a" / "b" / "c")
    assert sorted(synced) == [tmp_path, tmp_path / "a", tmp_path / "a" / "b"]
    synced.clear()
    make_directory(tmp_path / "a" / "b")
    assert synced == []


def test_a_directory_that_may_not_be_read_is_not_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_files, "_warned", set())
    monkeypatch.setattr(os, "open", failing(errno.EACCES))
    sync_directory(tmp_path)
    assert "cannot sync directories" in caplog.text


def test_discard_deletes_the_part_and_not_the_complete_file(tmp_path: Path) -> None:
    (tmp_path / "name").write_bytes(b"of old")
    part = PartFile(tmp_path / "name")
    part.restart(ETAG)
    part.write([b"new"])
    part.discard()
    part.close()
    assert names(tmp_path) == ["name"]
    assert (tmp_path / "name").read_bytes() == b"of old"


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
    assert (part.size, part.checkpoint) == (100_000, Checkpoint(ETAG, 100_000, "digest"))
    part.close()


_HOLD = """
import sys, time
from pathlib import Path
from typing import Any
from roomrec_async._files import PartFile
part = PartFile(Path(sys.argv[1]))
part.restart('"one"')
part.write([b"x" * 100_000])
part.save_checkpoint("digest")
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

    def test_writers_of_one_file_do_not_mix(self, tmp_path: Path) -> None:
        path = tmp_path / "name"
        with ExitStack() as first, ExitStack() as second:
            files = [first.enter_context(atomic_write(path)), second.enter_context(atomic_write(path))]
            for _ in range(1000):
                for number, file in enumerate(files):
                    file.write(f"{number}".encode() * 100)
            second.close()
            assert path.read_bytes() == b"1" * 100_000
            first.close()
        assert path.read_bytes() == b"0" * 100_000
        assert names(tmp_path) == ["name"]

    def test_one_writer_that_fails_does_not_disturb_the_other(self, tmp_path: Path) -> None:
        path = tmp_path / "name"
        with atomic_write(path) as file:
            file.write(b"whole")
            with pytest.raises(ValueError, match="x"), atomic_write(path) as other:
                other.write(b"other")
                raise ValueError("x")
        assert path.read_bytes() == b"whole"
        assert names(tmp_path) == ["name"]

    def test_processes_at_once_leave_the_file_of_one(self, tmp_path: Path) -> None:
        processes = [subprocess.Popen([sys.executable, "-c", WRITER, tmp_path / "name", each]) for each in "abc"]
        assert [process.wait(20) for process in processes] == [0, 0, 0]
        content = (tmp_path / "name").read_bytes()
        assert content in [each * 300_000 for each in (b"a", b"b", b"c")]
        assert names(tmp_path) == ["name"]

    def test_links_are_not_followed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        other = tmp_path / "other"
        other.write_bytes(b"of somebody else")
        # What was the name of the temporary file.
        (tmp_path / "name.part").symlink_to(other)
        (tmp_path / "name").symlink_to(other)
        with atomic_write(tmp_path / "name") as file:
            file.write(b"new")
        assert ((tmp_path / "name").read_bytes(), (tmp_path / "name").is_symlink()) == (b"new", False)
        assert other.read_bytes() == b"of somebody else"
        assert (tmp_path / "name.part").is_symlink()

        # Even if somebody had guessed the name.
        monkeypatch.setattr(os, "urandom", bytes)
        (tmp_path / f".name.{16 * '0'}.part").symlink_to(other)
        with pytest.raises(FileExistsError), atomic_write(tmp_path / "name") as file:
            file.write(b"newer")
        assert other.read_bytes() == b"of somebody else"
        assert (tmp_path / "name").read_bytes() == b"new"

    @pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
    def test_the_permissions_are_those_of_any_new_file(self, tmp_path: Path, umask: int, mode: int) -> None:
        previous = os.umask(umask)
        try:
            with atomic_write(tmp_path / "name"):
                (temporary,) = tmp_path.iterdir()
                assert stat.S_IMODE(temporary.stat().st_mode) == mode
        finally:
            os.umask(previous)
        assert stat.S_IMODE((tmp_path / "name").stat().st_mode) == mode

    @pytest.mark.parametrize("name", ["x" * 255, "\N{GRINNING FACE}" * 63])
    def test_names_may_be_as_long_as_the_file_system_allows(self, tmp_path: Path, name: str) -> None:
        with atomic_write(tmp_path / name) as file:
            file.write(b"new")
        assert names(tmp_path) == [name]

    def test_devices_and_pipes_are_not_replaced(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "null").symlink_to("/dev/null")
        # As /dev/stdout, also where standard output is a regular file.
        (tmp_path / "file").touch()
        with (tmp_path / "file").open() as file:
            (tmp_path / "stdout").symlink_to(f"/proc/self/fd/{file.fileno()}")
            before = names(tmp_path)
            for path in (tmp_path / "pipe", tmp_path / "null", tmp_path / "stdout", Path("/dev/null")):
                with pytest.raises(InvalidArgumentError, match=f"{path} is no regular file"), atomic_write(path):
                    pass
        assert names(tmp_path) == before
        assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)

    def test_an_error_names_the_file(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError) as caught, atomic_write(tmp_path / "missing" / "name"):
            pass
        assert caught.value.filename == str(tmp_path / "missing" / "name")


WRITER = """
import sys
from pathlib import Path
from typing import Any
from roomrec_async._files import atomic_write
for _ in range(30):
    with atomic_write(Path(sys.argv[1])) as file:
        for _ in range(300):
            file.write(sys.argv[2].encode() * 1000)
"""


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


class TestNetworkFileSystems:
    """Some cannot lock files, and some cannot sync directories. What is then not promised is logged once."""

    @pytest.fixture(autouse=True)
    def forget(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_files, "_warned", set())

    @pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS])
    def test_a_file_without_a_lock_is_written(
        self, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr("fcntl.flock", failing(number))
        for name in ("one", "two"):
            part = PartFile(tmp_path / name)
            part.write([b"abc"])
            part.finish()
            part.close()
        assert names(tmp_path) == ["one", "two"]
        [message] = caplog.messages
        assert message == f"the file system of {tmp_path} has no locks: two downloads at once may mix their bytes"

    @pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
    def test_a_directory_that_is_not_synced_has_the_file(
        self, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(os, "fsync", failing(number))
        for _ in range(2):
            sync_directory(tmp_path)
        [message] = caplog.messages
        assert message.startswith(f"the file system of {tmp_path} cannot sync directories")

    def test_other_errors_are_raised(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("fcntl.flock", failing(errno.EIO))
        with pytest.raises(OSError, match="failed"):
            PartFile(tmp_path / "name")
        monkeypatch.setattr(os, "fsync", failing(errno.EIO))
        with pytest.raises(OSError, match="failed"):
            sync_directory(tmp_path)


def failing(number: int) -> Callable[..., None]:
    """A system call that fails with this error."""

    def call(*_: object) -> None:
        raise OSError(number, "failed")

    return call


class TestWithoutLocks:
    """As on Windows, where there is no fcntl, and a file that is open is neither renamed nor deleted."""

    @pytest.fixture(autouse=True)
    def _windows(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse_if_open(*paths: Any) -> None:
            descriptors = list(Path("/proc/self/fd").iterdir())
            opened = {each.readlink() for each in descriptors if each.is_symlink()}
            for path in paths:
                if Path(path).absolute() in opened:
                    raise PermissionError(errno.EACCES, "open in this process", str(path))

        def refusing(function: Callable[..., Any]) -> Callable[..., Any]:
            def call(*paths: Any, **options: Any) -> Any:
                refuse_if_open(*paths)
                return function(*paths, **options)

            return call

        monkeypatch.setattr(_files, "_HAS_LOCKS", False)
        monkeypatch.setattr(_files, "_DIRECTORIES_ONLY", None)
        for name in ("replace", "unlink"):
            monkeypatch.setattr(os, name, refusing(getattr(os, name)))

    def test_a_part_is_finished(self, tmp_path: Path) -> None:
        part = PartFile(tmp_path / "a.mka")
        part.write([b"abc"])
        part.finish()
        assert (tmp_path / "a.mka").read_bytes() == b"abc"
        assert [path.name for path in tmp_path.iterdir()] == ["a.mka"]

    @pytest.mark.parametrize("content", [[], [b"abc"]])
    def test_a_part_is_discarded_or_closed(self, tmp_path: Path, content: list[bytes]) -> None:
        for end in (PartFile.discard, PartFile.close):
            part = PartFile(tmp_path / "a.mka")
            part.write(content)
            end(part)
            part.close()
            kept = end is PartFile.close and bool(content)
            assert [path.name for path in tmp_path.iterdir()] == ["a.mka.part"] * kept

    def test_a_lock_file_is_removed(self, tmp_path: Path) -> None:
        file = open_and_lock(tmp_path / "lock", tmp_path / "film")
        remove_locked(file, tmp_path / "lock")
        assert file.closed
        assert not list(tmp_path.iterdir())

    def test_a_file_is_replaced_at_once(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_text("old")
        with atomic_write(tmp_path / "a.txt") as file:
            file.write(b"new")
        assert (tmp_path / "a.txt").read_text() == "new"
