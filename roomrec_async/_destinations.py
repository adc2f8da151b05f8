"""What a user names as a destination: a local path, or the URL of an object store. Text with a scheme is no path."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, unquote_to_bytes, urlsplit
from urllib.request import url2pathname

from ._validate import refusal
from .errors import InvalidArgumentError

if TYPE_CHECKING:
    from .protocols import Destination

# Schemes that obstore knows as those of object stores. Not "memory": such a store is gone with the process.
_STORE_SCHEMES: Final = ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "adl", "https")
# A scheme has two characters or more: "C:" is a drive of Windows.
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(/{0,2})")


def resolve_destination(destination: str | os.PathLike[str] | Destination) -> str | os.PathLike[str] | Destination:
    """Return the path, or the store that a URL such as ``s3://bucket/prefix`` names; a store is returned as it is.

    A path stays as it is given: a slash at its end says that it is a directory. A ``file://`` URL becomes a path. The
    credentials of a store come from the environment.

    Raises:
        InvalidArgumentError: it has a scheme that cannot be used, or is neither a path nor a store.
        ConfigurationError: the store cannot be used, or needs an extra that is not installed.
    """
    if not isinstance(destination, (str, os.PathLike)):
        return _check_store(destination)
    if not os.fspath(destination):
        raise InvalidArgumentError("destination is empty: a variable that holds it is; '.' is the current directory")
    scheme = url_scheme("destination", destination)
    if scheme is None:
        return destination

    url = os.fspath(destination).strip()
    if scheme == "file":
        return file_url_path("destination", url)
    if scheme not in _STORE_SCHEMES:
        raise InvalidArgumentError(
            f"destination cannot be {scheme}://: give a directory, or an object store as s3://, gs:// or az://"
        )
    # Not imported with the package: it needs an extra.
    from .integrations.stores import ObjectStore  # noqa: PLC0415

    return ObjectStore.from_url(url)


def _check_store(destination: Destination) -> Destination:
    """Return an object that stores media.

    Raises:
        InvalidArgumentError: it does not have the methods of a :class:`~roomrec_async.Destination`.
    """
    if isinstance(destination, type) or not all(hasattr(destination, name) for name in ("location", "size", "write")):
        expected = "a path, the URL of a store, or a Destination"
        raise InvalidArgumentError(refusal("destination", expected, destination))
    return destination


def local_path(name: str, path: str | os.PathLike[str]) -> Path:
    """Return the path of something that can only be local.

    Args:
        name: the name of the argument, for the message.
        path: a path, or a ``file://`` URL.

    Raises:
        InvalidArgumentError: it is another URL.
    """
    scheme = url_scheme(name, path)
    if scheme is None:
        return Path(path)
    if scheme == "file":
        return Path(file_url_path(name, os.fspath(path).strip()))
    raise InvalidArgumentError(
        f"{name} must be a local path, which {scheme}:// is not: write to one, and copy it to {scheme}:// afterwards"
    )


def url_scheme(name: str, destination: str | os.PathLike[str]) -> str | None:
    """Return the scheme of a URL in lower case, or None for a path.

    Args:
        name: the name of the argument, for the message.
        destination: the URL or path.

    Raises:
        InvalidArgumentError: it looks like a URL that has lost a slash, as in a :class:`Path` that was made of one.
    """
    match = _SCHEME.match(os.fspath(destination).strip())
    if match is None:
        return None
    scheme, slashes = match[1].lower(), match[2]
    if slashes == "//":
        return scheme
    # "rooms:2026" is a name as any other.
    if not slashes and scheme not in (*_STORE_SCHEMES, "file"):
        return None

    hint = f"write {scheme}:// for a URL"
    if not isinstance(destination, str):
        hint = f"give the URL {scheme}:// as text, since a Path drops a slash"
    raise InvalidArgumentError(f"{name} starts with {match[0]}: {hint}; a local path of this name must be absolute")


def file_url_path(name: str, url: str) -> str:
    """Return the path of a ``file://`` URL, with the slash at its end if it has one.

    Raises:
        InvalidArgumentError: the URL names a host, or has more than a path.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = SplitResult("", "", "", "", "")
    # Names of files are bytes, and need not be UTF-8.
    path = url2pathname(parts.path) if os.name == "nt" else os.fsdecode(unquote_to_bytes(parts.path))
    is_local = parts.netloc.lower() in ("", "localhost")
    if not is_local or not path or "\0" in path or parts.query or parts.fragment:
        # The URL is not quoted: it may contain a password.
        raise InvalidArgumentError(
            f"{name} must be file:/// and an absolute path, without a host, with ? as %3F and # as %23"
        )
    return path
