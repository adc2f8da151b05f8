"""Parts of files: resumed, locked, put into their place in one step."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from roomrec_async import MediaError
from roomrec_async._files import PartFile, file_digest, file_path, file_size, whole_file

ETAG = '"one"'


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_it_is_gone_on_with_and_takes_its_place(tmp_path: Path) -> None:
    path = tmp_path / "new" / "odd [name]*.mka"
    part = PartFile(path)
    part.begin(ETAG)
    part.write([b"abc", b"def"])
    part.close()
    assert names(path.parent) == [f"{path.name}.part", f"{path.name}.part.etag"]
    part = PartFile(path)
    assert (part.size, part.version, b"".join(part.read())) == (6, ETAG, b"abcdef")
    part.write([b"ghi"])
    part.finish()
    part.close()
    assert names(path.parent) == [path.name]
    assert path.read_bytes() == b"abcdefghi"
    assert file_size(path) == 9
    assert file_digest(path) == "19cc02f26df43cc571bc9ed7b0c4d29224a3ec229529221725ef76d021c8326f"


def test_to_begin_anew_forgets_the_bytes_and_what_they_were_of(tmp_path: Path) -> None:
    path = tmp_path / "name"
    part = PartFile(path)
    part.begin(ETAG)
    part.write([b"of old"])
    part.begin(None)
    assert (part.size, part.version) == (0, None)
    part.write([b"new"])
    part.close()
    part = PartFile(path)
    assert (part.size, part.version) == (3, None)
    part.close()


@pytest.mark.parametrize("version", [ETAG, None])
def test_without_a_byte_nothing_is_left(tmp_path: Path, version: str | None) -> None:
    part = PartFile(tmp_path / "name")
    part.begin(version)
    part.close()
    part.close()
    assert names(tmp_path) == []


def test_to_discard_it_leaves_the_file_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "name").write_bytes(b"of old")
    part = PartFile(tmp_path / "name")
    part.begin(ETAG)
    part.write([b"new"])
    part.discard()
    part.close()
    assert names(tmp_path) == ["name"]


def test_a_label_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    (tmp_path / "name.part").write_bytes(b"abc")
    (tmp_path / "name.part.etag").write_bytes(b"\xff\xfe")
    part = PartFile(tmp_path / "name")
    assert (part.size, part.version) == (3, None)
    part.close()


def test_only_one_at_a_time(tmp_path: Path) -> None:
    part = PartFile(tmp_path / "name")
    with pytest.raises(MediaError, match="name is being downloaded already"):
        PartFile(tmp_path / "name")
    part.close()
    PartFile(tmp_path / "name").close()


def test_a_process_that_dies_unlocks_it_and_leaves_what_it_had(tmp_path: Path) -> None:
    path = tmp_path / "name"
    holder = subprocess.Popen([sys.executable, "-c", _HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(MediaError):
        PartFile(path)
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    part = PartFile(path)
    assert (part.size, part.version) == (100_000, ETAG)
    part.close()


_HOLD = """
import sys, time
from pathlib import Path
from roomrec_async._files import PartFile
part = PartFile(Path(sys.argv[1]))
part.begin('"one"')
part.write([b"x" * 100_000])
print("held", flush=True)
time.sleep(60)
"""


def test_whoever_comes_while_it_is_put_into_its_place_gets_a_part_of_its_own(tmp_path: Path) -> None:
    first = PartFile(tmp_path / "name")
    first.begin(ETAG)
    first.write([b"whole"])
    first.finish()
    second = PartFile(tmp_path / "name")
    second.write([b"other"])
    second.close()
    first.close()
    assert (tmp_path / "name").read_bytes() == b"whole"


class TestWholeFile:
    def test_it_is_there_when_the_block_ends(self, tmp_path: Path) -> None:
        with whole_file(tmp_path / "name") as file:
            file.write(b"new")
            assert not (tmp_path / "name").exists()
        assert (tmp_path / "name").read_bytes() == b"new"
        assert names(tmp_path) == ["name"]

    @pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
    def test_it_is_not_when_it_does_not(self, tmp_path: Path, error: type[BaseException]) -> None:
        (tmp_path / "name").write_bytes(b"of old")
        with pytest.raises(error), whole_file(tmp_path / "name") as file:
            file.write(b"new")
            raise error
        assert (tmp_path / "name").read_bytes() == b"of old"
        assert names(tmp_path) == ["name"]


def test_what_a_destination_means(tmp_path: Path) -> None:
    assert file_path(tmp_path, "x.mka") == tmp_path / "x.mka"
    assert file_path(f"{tmp_path}/new/", "x.mka") == tmp_path / "new" / "x.mka"
    assert file_path(tmp_path / "new", "x.mka") == tmp_path / "new"
    assert file_path(os.fspath(tmp_path / "a.mka"), "x.mka") == tmp_path / "a.mka"
    assert file_size(tmp_path / "missing") is None
