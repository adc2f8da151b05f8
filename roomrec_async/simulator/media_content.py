"""The bytes of media, plain and encrypted: computed from the seed, so that a gigabyte of them takes no memory."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator
from functools import cache
from hashlib import blake2b, shake_128
from importlib.resources import files
from itertools import chain
from typing import TYPE_CHECKING, Final, cast

import attrs

from .recorded_track import Layout, RecordedTrack

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

PIECE_SIZE: Final = 2**18
"""Maximum number of bytes that are computed at once."""

# Bytes after which padding repeats itself. A prime: bytes at a wrong offset are never right by chance.
_TILE_SIZE: Final = 65_521
# A truncated file has the first five of these eights of the bytes that its header announces.
_TRUNCATED_FROM: Final = (8, 5)
# Bytes of an AES block.
_BLOCK_SIZE: Final = 16


class EncryptionMissingError(Exception):
    """Encrypted media were requested, and the package that encrypts them is not installed."""


@attrs.frozen
class MediaContent:
    """The media of one recording: a Matroska file that is padded to its size.

    Args:
        secret: the secret of the account.
        sid: the SID of the recording.
        version: another version has other bytes.
        size: number of bytes.
        track: what was recorded.
        is_truncated: True if the file ends early, as if the recorder had died.
    """

    secret: bytes
    sid: str
    version: int
    size: int
    track: RecordedTrack
    is_truncated: bool = False

    @property
    def etag(self) -> str:
        """Entity tag, in its quotes."""
        return f'"{self.derive("etag", 16).hex()}"'

    def pieces(self, start: int, stop: int) -> Iterator[bytes]:
        """Yield the bytes from ``start`` to before ``stop``."""
        padding = self._make_padding()
        for offset, content, end in self._layout().parts(start):
            if offset >= stop:
                return
            piece = content[max(0, start - offset) : max(0, stop - offset)]
            if piece:
                yield piece
            yield from padding(max(start, offset + len(content)), min(stop, end))

    def _layout(self) -> Layout:
        size = self.size
        if self.is_truncated:
            size = size * _TRUNCATED_FROM[0] // _TRUNCATED_FROM[1]
        return Layout.of(self.track, self.derive("uid", 16), size)

    def _make_padding(self) -> Callable[[int, int], Iterator[bytes]]:
        """Return a function that yields the bytes from one offset to another where the file means nothing."""
        tile = shake_128(self.derive("content", 32)).digest(_TILE_SIZE)
        # Enough tiles in a row that a piece can be cut out at every offset within the first one.
        tiles = tile * (PIECE_SIZE // _TILE_SIZE + 2)

        def padding(start: int, stop: int) -> Iterator[bytes]:
            for offset in range(start, stop, PIECE_SIZE):
                offset_in_tile = offset % _TILE_SIZE
                yield tiles[offset_in_tile : offset_in_tile + min(PIECE_SIZE, stop - offset)]

        return padding

    def derive(self, purpose: str, size: int) -> bytes:
        """Return ``size`` secret bytes that differ by purpose, recording and version."""
        message = f"{purpose} {self.sid} {self.version}"
        return blake2b(message.encode(), key=self.secret, digest_size=size).digest()


@attrs.frozen
class EncryptedMediaContent:
    """The same media as they are stored for an account that encrypts: AES-256 in CBC mode, the key wrapped with RSA.

    Args:
        plain: the media to encrypt.

    Attributes:
        headers: headers with the wrapped key, the initialization vector and the size of the plain media.

    Raises:
        EncryptionMissingError: the ``crypto`` extra is not installed.
    """

    plain: MediaContent
    headers: dict[str, str] = attrs.field(init=False)

    @headers.default
    def _make_headers(self) -> dict[str, str]:
        return {
            "x-amz-meta-x-amz-key": b64encode(_wrap(self._key)).decode(),
            "x-amz-meta-x-amz-iv": b64encode(self._iv).decode(),
            "x-amz-meta-x-amz-unencrypted-content-length": str(self.plain.size),
        }

    @property
    def etag(self) -> str:
        """Entity tag, in its quotes."""
        return self.plain.etag

    @property
    def size(self) -> int:
        """Number of bytes with the padding, which is at least one."""
        return (self.plain.size // _BLOCK_SIZE + 1) * _BLOCK_SIZE

    def pieces(self, start: int, stop: int) -> Iterator[bytes]:
        """Yield the bytes from ``start`` to before ``stop``.

        In CBC mode each block depends on the one before it, so all bytes before ``start`` are computed, too.
        """
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes  # noqa: PLC0415  an extra

        encryptor = Cipher(algorithms.AES256(self._key), modes.CBC(self._iv)).encryptor()
        # PKCS #7: each byte of the padding is its length.
        padding_size = _BLOCK_SIZE - self.plain.size % _BLOCK_SIZE
        padding = bytes([padding_size]) * padding_size

        offset = 0
        for piece in chain(self.plain.pieces(0, self.plain.size), [padding]):
            encrypted = encryptor.update(piece)
            wanted = encrypted[max(0, start - offset) : max(0, stop - offset)]
            if wanted:
                yield wanted
            offset += len(encrypted)

    @property
    def _key(self) -> bytes:
        return self.plain.derive("key", 32)

    @property
    def _iv(self) -> bytes:
        return self.plain.derive("iv", _BLOCK_SIZE)


def private_key_pem() -> bytes:
    """Return the private key, in PEM, that decrypts the media of all simulated accounts."""
    return (files(__package__) / "examples" / "private_key.pem").read_bytes()


def _wrap(key: bytes) -> bytes:
    try:
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15  # noqa: PLC0415  an extra
    except ModuleNotFoundError:
        raise EncryptionMissingError from None
    return _public_key().encrypt(key, PKCS1v15())


@cache
def _public_key() -> RSAPublicKey:
    # Cached because loading a private key checks it, which takes longer than a hundred encryptions.
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415  an extra

    private_key = cast("RSAPrivateKey", load_pem_private_key(private_key_pem(), None))
    return private_key.public_key()
