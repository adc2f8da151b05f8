"""Recordings that were kept, with their media: in an archive, or in a folder of downloads. They need no account."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, TypeAlias, cast

import attrs

from roomrec_async._api.codec import from_dict
from roomrec_async._asyncio import call_destination, run_in_thread
from roomrec_async._destinations import local_path, resolve_destination, url_scheme
from roomrec_async._files import atomic_write
from roomrec_async._media.locate import media_name
from roomrec_async._media.record_file import read_record
from roomrec_async._tables import recording_columns
from roomrec_async._validate import ROOM_SID, canonical_sid, check_recording_sid, check_room_sid
from roomrec_async.errors import DecodeError, InvalidArgumentError, MediaError, VerificationError
from roomrec_async.models import Recording
from roomrec_async.protocols import ReadableDestination

from .parts import PartStore, is_part, part_paths
from .reader import Row, open_rows, row_error

_MANIFESTS: Final = ("manifest.jsonl", "manifest.parquet")
_RECORD_FILE: Final = re.compile(r"RT[0-9a-fA-F]{32}\.json")
# Columns of a manifest that say more than the recording does.
_LEDGER_COLUMNS: Final = ("state", "sha256", "error")
# States of a manifest in which the media are in the archive.
_KEPT_STATES: Final = ("archived", "deleted")
_TABLE_EXTENSIONS: Final = (".jsonl", ".parquet")

Location: TypeAlias = Path | ReadableDestination
"""Directory or store that the names of media are relative to."""


@attrs.frozen
class KeptRecording:
    """A recording with what was kept of it.

    Attributes:
        recording: the recording.
        name: name of its media, relative to the location of the room.
        sha256: digest of its media in hexadecimal digits; None if none was recorded.
        problem: the reason why there are no media; None if there are.
    """

    recording: Recording
    name: str
    sha256: str | None = None
    problem: str | None = None


@attrs.frozen
class KeptRoom:
    """One room's recordings that were kept.

    Attributes:
        room_sid: SID of the room.
        location: directory or store of the media.
        recordings: the recordings, in the order of their records.
    """

    room_sid: str
    location: Location
    recordings: tuple[KeptRecording, ...]

    async def fetch(self, kept: KeptRecording, directory: Path) -> Path:
        """Return the path of a recording's media; those in a store are copied to the directory, and verified.

        Raises:
            MediaError: there are no media, or the store refused the request.
            VerificationError: the object in the store is not what was archived.
            OSError: the file cannot be written.
        """
        if kept.problem is not None:
            raise MediaError(f"there are no media of {kept.recording.sid}: {kept.problem}")
        if isinstance(self.location, Path):
            path = self.location / kept.name
            if not await run_in_thread(path.is_file):
                raise MediaError(f"there are no media of {kept.recording.sid}: no file {path}")
            return path

        path = directory / media_name(kept.recording)
        digest = await copy_object(self.location, kept.name, path)
        if kept.sha256 not in (None, digest):
            await run_in_thread(path.unlink)
            raise VerificationError(f"{self.location.location(kept.name)} is not what was archived: its digest differs")
        return path


async def open_kept(source: str | os.PathLike[str], room_sid: str | None = None) -> KeptRoom:
    """Return what was kept of a room.

    Args:
        source: an archive's manifest, or a directory: an archive, one of its rooms, or a folder of downloads with a
            record ``RT....json`` for each. An archive may be in a store, as ``s3://bucket/prefix``.
        room_sid: the room; None if the source has only one.

    Raises:
        InvalidArgumentError: the source has no records, or those of several rooms and no ``room_sid`` is given; or it
            is damaged.
        ConfigurationError: a store cannot be used, or needs an extra that is not installed.
        MediaError: the store refused the request.
        OSError: a file cannot be read.
    """
    if room_sid is not None:
        check_room_sid(room_sid)
    if url_scheme("source", source) in (None, "file"):
        path = local_path("source", source)
        return await run_in_thread(partial(open_local, path, room_sid))
    return await open_in_store(os.fspath(source), room_sid)


def open_local(path: Path, room_sid: str | None) -> KeptRoom:
    """Return what was kept of a room in a directory, or in the archive of a manifest."""
    if is_part(f"{path.parent.name}/{path.name}"):
        return from_manifest(path, path.parent.parent, room_sid)
    if is_manifest(path):
        return from_manifest(path, path.parent, room_sid)
    if not path.is_dir():
        raise InvalidArgumentError(f"there is no file or directory {path}")

    records = [read_record(Path(entry.path)) for entry in scan_records(path)]
    if records:
        return from_records(path, records, room_sid)
    # A room's folder in an archive is named after the room, and the manifest lies beside it.
    resolved = path.resolve()
    if ROOM_SID.fullmatch(resolved.name) and canonical_sid(room_sid or resolved.name) == canonical_sid(resolved.name):
        for manifest in existing_manifests(resolved.parent):
            return from_manifest(manifest, resolved.parent, resolved.name)
    for manifest in existing_manifests(path):
        return from_manifest(manifest, path, room_sid)
    raise InvalidArgumentError(
        f"{path} has no records: give an archive, its manifest, or a directory that 'roomrec download' has filled"
    )


def scan_records(directory: Path) -> list[os.DirEntry[str]]:
    """Return the records of downloads in a directory, in the order of their names."""
    with os.scandir(directory) as entries:
        return sorted((entry for entry in entries if _RECORD_FILE.fullmatch(entry.name)), key=lambda entry: entry.name)


def existing_manifests(directory: Path) -> Iterator[Path]:
    """Yield the manifests of an archive that are in a directory."""
    return (path for name in _MANIFESTS if is_manifest(path := directory / name))


def is_manifest(path: Path) -> bool:
    """Return True if a manifest may be at a path: a file, or a directory of parts."""
    return path.is_file() or bool(part_paths(path))


def from_records(directory: Path, records: Iterable[Recording], room_sid: str | None) -> KeptRoom:
    """Return what was kept of a room in a folder of downloads."""
    kept = (KeptRecording(record, media_name(record)) for record in records)
    return select_room(directory, directory, kept, room_sid)


def from_manifest(manifest: Path, location: Location, room_sid: str | None) -> KeptRoom:
    """Return what was kept of a room in an archive.

    Args:
        manifest: the archive's manifest.
        location: the archive.
        room_sid: the room; None if the archive has only one.
    """
    fields = [*(column.name for column in recording_columns()), *_LEDGER_COLUMNS]
    kept = (from_row(manifest, row, fields) for row in open_rows(manifest, fields))
    return select_room(manifest, location, kept, room_sid)


def from_row(manifest: Path, row: Row, fields: Iterable[str]) -> KeptRecording:
    """Return what was kept of the recording in a row of a manifest.

    Raises:
        InvalidArgumentError: it is not a row of a manifest.
    """
    missing = [field for field in fields if field not in row.values]
    if missing:
        raise row_error(manifest, row.position, f"it has no {' and no '.join(missing)}, so it is not of a manifest")
    try:
        recording = from_dict(Recording, row.values)
        # The name of a file is made of them.
        check_recording_sid(recording.sid or "")
        check_room_sid(recording.room_sid or "")
    except (DecodeError, InvalidArgumentError) as error:
        raise row_error(manifest, row.position, str(error)) from None

    name = f"{recording.room_sid}/{media_name(recording)}"
    sha256 = row.values["sha256"]
    problem = None
    if row.values["state"] not in _KEPT_STATES:
        problem = f"it was not archived: {row.values['error'] or row.values['state']}"
    return KeptRecording(recording, name, sha256 if isinstance(sha256, str) else None, problem)


def select_room(source: Path, location: Location, kept: Iterable[KeptRecording], room_sid: str | None) -> KeptRoom:
    """Return the recordings of the room that was named, or of the only one.

    Raises:
        InvalidArgumentError: there are none of that room, or several rooms and none was named.
    """
    selected: list[KeptRecording] = []
    wanted = None if room_sid is None else canonical_sid(room_sid)
    for each in kept:
        found = canonical_sid(each.recording.room_sid or "")
        wanted = wanted or found
        if found == wanted:
            selected.append(each)
        elif room_sid is None:
            raise InvalidArgumentError(f"{source} has several rooms, such as {wanted} and {found}: name one of them")
    if not selected:
        raise InvalidArgumentError(f"{source} has no recordings of {room_sid or 'any room'}")
    return KeptRoom(wanted or "", location, tuple(selected))


async def open_in_store(url: str, room_sid: str | None) -> KeptRoom:
    """Return what was kept of a room in an archive in a store."""
    archive, _, name = url.strip().rstrip("/").rpartition("/")
    names = [name]
    if ROOM_SID.fullmatch(name):
        names = list(_MANIFESTS)
        room_sid = room_sid or name
    elif not name.endswith(_TABLE_EXTENSIONS):
        archive = f"{archive}/{name}"
        names = list(_MANIFESTS)
    # What resolve_destination() returns for the URL of a store.
    store = cast("PartStore", resolve_destination(archive))

    for each in names:
        with TemporaryDirectory(prefix="roomrec-") as directory:
            manifest = Path(directory) / each
            if await copy_manifest(store, each, manifest):
                return await run_in_thread(partial(from_manifest, manifest, store, room_sid))
    raise InvalidArgumentError(f"there is no {' and no '.join(names)} at {store.location('')}")


async def copy_manifest(store: PartStore, name: str, path: Path) -> bool:
    """Copy a manifest of a store, in one object or in parts, to a path; return False if there is none."""
    size = await call_destination(store.size(name))
    if size:
        await copy_object(store, name, path)
        return True
    # An empty object may be what is left of one, in a store that does not let it be deleted.
    parts = [part async for part, _ in store.sizes(f"{name}/") if is_part(part)]
    for part in parts:
        await run_in_thread(partial(path.mkdir, exist_ok=True))
        await copy_object(store, part, path / part.rpartition("/")[2])
    if size is not None and not parts:
        await copy_object(store, name, path)
    return size is not None or bool(parts)


async def copy_object(store: ReadableDestination, name: str, path: Path) -> str:
    """Copy an object of a store to a file, and return its SHA-256 in hexadecimal digits."""
    digest = hashlib.sha256()
    with atomic_write(path) as file:
        async for chunk in store.read(name):
            digest.update(chunk)
            await run_in_thread(partial(file.write, chunk))
    return digest.hexdigest()
