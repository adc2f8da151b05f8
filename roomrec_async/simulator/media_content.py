"""The media themselves: bytes computed from the seed, so that a gigabyte of them costs no memory; encrypted or not."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from functools import cache
from hashlib import blake2b, shake_128
from importlib.resources import files
from itertools import chain
from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

PIECE: Final = 2**18
"""How many bytes come at once."""

# Every Matroska file begins so.
_EBML: Final = b"\x1a\x45\xdf\xa3"
# A prime: what is put at a wrong place never looks right by chance.
_TILE: Final = 65_521
_BLOCK: Final = 16


class EncryptionMissingError(Exception):
    """Encrypted media were asked for, and what encrypts them is not installed."""


@attrs.frozen
class Content:
    """The media of one recording.

    Args:
        secret: the account's.
        sid: the recording's.
        version: another number, other bytes.
        size: how many bytes.
    """

    secret: bytes
    sid: str
    version: int
    size: int

    @property
    def etag(self) -> str:
        """The entity tag, in its quotes."""
        return f'"{self._derived("etag", 16).hex()}"'

    def pieces(self, start: int, stop: int) -> Iterator[bytes]:
        """The bytes from ``start`` to before ``stop``."""
        head = _EBML + self.sid.encode()
        tile = shake_128(self._derived("content", 32)).digest(_TILE)
        tiles = tile * (PIECE // _TILE + 2)
        if start < min(stop, len(head)):
            yield head[start : min(stop, len(head))]
        at = max(start, len(head))
        while at < stop:
            phase, count = (at - len(head)) % _TILE, min(PIECE, stop - at)
            yield tiles[phase : phase + count]
            at += count

    def _derived(self, purpose: str, size: int) -> bytes:
        named = f"{purpose} {self.sid} {self.version}"
        return blake2b(named.encode(), key=self.secret, digest_size=size).digest()


@attrs.frozen
class EncryptedContent:
    """The same, as it is stored for an account that encrypts: AES-256 in CBC mode, its key wrapped with RSA.

    Args:
        plain: what is encrypted.
    """

    plain: Content
    headers: dict[str, str] = attrs.field(init=False)
    _key: bytes = attrs.field(init=False, repr=False)
    _iv: bytes = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        key, iv = self.plain._derived("key", 32), self.plain._derived("iv", _BLOCK)
        headers = {
            "x-amz-meta-x-amz-key": b64encode(_wrapped(key)).decode(),
            "x-amz-meta-x-amz-iv": b64encode(iv).decode(),
            "x-amz-meta-x-amz-unencrypted-content-length": str(self.plain.size),
        }
        for name, value in (("headers", headers), ("_key", key), ("_iv", iv)):
            object.__setattr__(self, name, value)

    @property
    def etag(self) -> str:
        """The entity tag, in its quotes."""
        return self.plain.etag

    @property
    def size(self) -> int:
        """How many bytes, with the padding."""
        return (self.plain.size // _BLOCK + 1) * _BLOCK

    def pieces(self, start: int, stop: int) -> Iterator[bytes]:
        """The bytes from ``start`` to before ``stop``. The ones before are computed, too: that is how CBC is."""
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes  # noqa: PLC0415  an extra

        encryptor = Cipher(algorithms.AES256(self._key), modes.CBC(self._iv)).encryptor()
        padding = _BLOCK - self.plain.size % _BLOCK
        at = 0
        for piece in chain(self.plain.pieces(0, self.plain.size), [bytes([padding]) * padding]):
            encrypted = encryptor.update(piece)
            yield from filter(None, [encrypted[max(0, start - at) : max(0, stop - at)]])
            at += len(encrypted)


def private_key_pem() -> bytes:
    """The key that all simulated accounts encrypt with."""
    return (files(__package__) / "examples" / "private_key.pem").read_bytes()


def _wrapped(key: bytes) -> bytes:
    try:
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15  # noqa: PLC0415  an extra
    except ModuleNotFoundError:
        raise EncryptionMissingError from None
    return _public_key().encrypt(key, PKCS1v15())


@cache
def _public_key() -> RSAPublicKey:
    # Once: reading a private key checks it, which takes longer than a hundred encryptions.
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415  an extra

    private: RSAPrivateKey = load_pem_private_key(private_key_pem(), None)  # type: ignore[assignment]
    return private.public_key()
