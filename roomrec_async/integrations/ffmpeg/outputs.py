"""The files that are made of a room: one film, or a file for each participant."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, TypeAlias, get_args

import attrs

from roomrec_async._destinations import local_path
from roomrec_async._files import check_replaceable
from roomrec_async._text import safe_repr, safe_text
from roomrec_async._validate import check_choice
from roomrec_async._views.film import Container, Film, Format
from roomrec_async._views.film_steps import Plan, Style
from roomrec_async._views.parts import Part, split
from roomrec_async.errors import ConfigurationError, InvalidArgumentError

from .rendering import Target

Per: TypeAlias = Literal["room", "participant"]

_CONTAINERS: Final[tuple[Container, ...]] = get_args(Container)
_FORMATS: Final[tuple[Format, ...]] = get_args(Format)
_DEFAULT_FORMAT: Final[Format] = "mp4"


@attrs.frozen(kw_only=True)
class ParticipantFile:
    """A file of one participant. It begins and ends with the room.

    Attributes:
        path: the file.
        participant_sid: SID of the participant; None for a file of one track whose participant is not known.
        name: name of the participant, if it was given.
        videos: number of video tracks in it.
        audios: number of audio tracks in it; a WAV file without any is silent.
    """

    path: Path
    participant_sid: str | None
    name: str | None
    videos: int
    audios: int


@attrs.frozen
class Output:
    """Where to write, and what.

    Attributes:
        path: the film's file, or the directory of the participants' files.
        format: format of each file.
        per: ``room`` for one film, or ``participant``.
    """

    path: Path
    format: Format
    per: Per

    @property
    def anchor(self) -> Path:
        """Path by which a second run of the same is recognized, and beside which the work is done."""
        return self.path if self.per == "room" else self.path / f"participants.{self.format}"

    def make_directory(self) -> None:
        """Create the directory of the participants' files, if it is missing."""
        if self.per == "participant":
            self.path.mkdir(exist_ok=True)

    def targets(self, film: Film, style: Style, participants: Iterable[str]) -> list[Target]:
        """Return what to make.

        Args:
            film: all tracks of the room that can be used.
            style: appearance.
            participants: SIDs of all participants of the room.

        Raises:
            InvalidArgumentError: something that is no file is in the place of one.
        """
        if self.per == "room":
            return [Target(Plan.of(film, style), self.path)]
        parts = self._parts(film, participants, style.names)
        targets = [Target(Plan.of(part.film, style), self._path(part)) for part in parts]
        for target in targets:
            check_replaceable(target.path)
        return targets

    def files(self, film: Film, participants: Iterable[str], names: Mapping[str, str]) -> tuple[ParticipantFile, ...]:
        """Return the files that were made of a film, one for each participant; nothing for a film of the room."""
        if self.per == "room":
            return ()
        return tuple(
            ParticipantFile(
                path=self._path(part),
                participant_sid=part.participant_sid,
                name=names.get(part.participant_sid or ""),
                videos=len(part.film.videos),
                audios=len(part.film.audios),
            )
            for part in self._parts(film, participants, names)
        )

    def _path(self, part: Part) -> Path:
        return self.path / f"{part.stem}.{self.format}"

    def _parts(self, film: Film, participants: Iterable[str], names: Mapping[str, str]) -> Sequence[Part]:
        if self.format != "wav":
            # There is nothing to be seen or heard of the others.
            return split(film, (), names)
        audible = attrs.evolve(film, tracks=tuple(film.audios))
        return split(audible, participants, names)


def check_output(output: str | os.PathLike[str], per: Per, file_format: Format | None) -> Output:
    """Return where to write a film, in the format that its extension stands for, or the files of participants.

    Args:
        output: the film's file, or the directory of the files.
        per: ``room`` or ``participant``.
        file_format: format of the files of participants; None for the default, and for a film.

    Raises:
        InvalidArgumentError: the extension or a setting is another one, the directory does not exist, or there is no
            regular file, or no directory.
        ConfigurationError: a format is given for a film.
    """
    path = local_path("output", output)
    if check_choice("per", per, get_args(Per)) == "participant":
        return check_directory(path, file_format)
    if file_format is not None:
        raise ConfigurationError("format is for per='participant': the extension of a film's file says its format")
    for container in _CONTAINERS:
        if path.suffix.lower() == f".{container}":
            check_parent(path)
            check_replaceable(path)
            return Output(path, container, "room")
    raise InvalidArgumentError(f"a film's file must end in .mkv or .mp4, not {safe_repr(path.name)}")


def check_replaces_no_media(targets: Iterable[Path], media: Iterable[Path]) -> None:
    """Check that no file to be made would replace a recording's media, which may be all that was kept of it.

    Raises:
        InvalidArgumentError: one of them would.
    """
    kept = {identity for path in media for identity in (file_identity(path.lstat), file_identity(path.stat))}
    for target in targets:
        # A link of this name is replaced, and not what it leads to.
        identity = file_identity(target.lstat)
        if identity is not None and identity in kept:
            raise InvalidArgumentError(
                f"{safe_text(str(target))} has the media of a recording of this room, which would be replaced: name "
                "another place"
            )


def file_identity(status_of: Callable[[], os.stat_result]) -> tuple[int, int] | None:
    """Return what two paths of the same file have in common, or None if there is no file."""
    try:
        status = status_of()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def check_directory(path: Path, file_format: Format | None) -> Output:
    """Return the output for a directory, which may be missing, but not its parent.

    Raises:
        InvalidArgumentError: there is something else, or the format is not known.
    """
    checked = check_choice("format", file_format or _DEFAULT_FORMAT, _FORMATS)
    if path.exists() and not path.is_dir():
        raise InvalidArgumentError(f"{safe_text(str(path))} is a file: give a directory for the files of participants")
    check_parent(path)
    return Output(path, checked, "participant")


def check_parent(path: Path) -> None:
    """Raise InvalidArgumentError if the directory that a path is in is missing."""
    if not path.parent.is_dir():
        raise InvalidArgumentError(
            f"there is no directory {safe_text(str(path.parent))} for {safe_text(path.name)}: create it first"
        )
