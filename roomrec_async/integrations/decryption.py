"""Encrypted recordings, decrypted with the account's private key while they arrive.

It needs the extra ``crypto``: ``pip install 'roomrec-async[crypto]'``.
"""

from __future__ import annotations

import binascii
import os
from base64 import b64decode
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NoReturn, Self

from roomrec_async.errors import ConfigurationError, DecryptionError

try:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    from cryptography.hazmat.primitives.padding import PKCS7
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
except ModuleNotFoundError as error:
    raise ConfigurationError("decryption needs cryptography: pip install 'roomrec-async[crypto]'") from error

_KEY: Final = "x-amz-meta-x-amz-key"
_IV: Final = "x-amz-meta-x-amz-iv"
_LENGTH: Final = "x-amz-meta-x-amz-unencrypted-content-length"

_BLOCK: Final = 16
_AES_KEY: Final = 32
# Every recording is a Matroska file, and begins so.
_EBML: Final = b"\x1a\x45\xdf\xa3"


class PrivateKey:
    """The RSA private key of the pair whose public key the account encrypts recordings with.

    It is what :meth:`roomrec_async.RecordingsClient.download` takes as ``decryption``. The service encrypts each
    recording with AES-256 in CBC mode, and that key with RSA (PKCS#1 v1.5).

    Example:
        >>> key = PrivateKey.from_file("private_key.pem")
        >>> await client.download(recording, "media/", decryption=key)
    """

    def __init__(self, key: RSAPrivateKey) -> None:
        if not isinstance(key, RSAPrivateKey):
            raise ConfigurationError(f"an RSA private key is needed, not {type(key).__name__}")
        self._key = key

    @classmethod
    def from_pem(cls, pem: bytes | str, password: bytes | str | None = None) -> Self:
        """The key in a text that begins with ``-----BEGIN PRIVATE KEY-----`` or alike.

        Raises:
            ConfigurationError: it is no RSA private key, or the password is missing or wrong.
        """
        try:
            key = load_pem_private_key(_bytes(pem), None if password is None else _bytes(password))
        except (ValueError, UnsupportedAlgorithm):
            # Their messages are not repeated: they may quote what they could not read.
            problem = None
        except TypeError:
            problem = "give the password of the private key" if password is None else "the private key has no password"
        else:
            return cls(key)  # type: ignore[arg-type]  # the constructor looks at what it is
        raise ConfigurationError(problem or "this is no private key in PEM format, or the password is wrong")

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], password: bytes | str | None = None) -> Self:
        """The key in a PEM file.

        Raises:
            ConfigurationError: the file holds no RSA private key, or the password is missing or wrong.
            OSError: the file cannot be read.
        """
        try:
            return cls.from_pem(Path(path).read_bytes(), password)
        except ConfigurationError as error:
            raise ConfigurationError(f"{os.fspath(path)}: {error}") from None

    def decryptor(self, headers: Mapping[str, str]) -> AesDecryptor:
        """What decrypts the media that came with these response headers.

        Raises:
            DecryptionError: the headers do not say how, or the key is not the one.
        """
        lowered = {name.lower(): value for name, value in headers.items()}
        length = lowered.get(_LENGTH, "")
        if not (length.isascii() and length.isdecimal()):
            raise DecryptionError(f"the object store's header {_LENGTH} is missing, or no number")
        return AesDecryptor(self._unwrapped(_decoded(lowered, _KEY)), _decoded(lowered, _IV), int(length))

    def _unwrapped(self, wrapped: bytes) -> bytes:
        try:
            key = self._key.decrypt(wrapped, PKCS1v15())
        except ValueError:
            key = b""
        # OpenSSL answers a wrong key with random bytes of a random length, lest anybody learns from its errors.
        if len(key) != _AES_KEY:
            raise _wrong_key()
        return key

    def __repr__(self) -> str:
        return f"<PrivateKey of {self._key.key_size} bits>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key is not pickled: load it where it is needed")


class AesDecryptor:
    """Decrypts one recording's media: AES-256, CBC, PKCS#7."""

    def __init__(self, key: bytes, iv: bytes, size: int) -> None:
        if len(iv) != _BLOCK:
            raise DecryptionError(f"the object store's header {_IV} has {len(iv)} bytes, not {_BLOCK}")
        self._decryptor = Cipher(algorithms.AES256(key), modes.CBC(iv)).decryptor()
        self._unpadder = PKCS7(_BLOCK * 8).unpadder()
        self._size = size
        self._given = 0

    @property
    def size(self) -> int:
        """How many bytes the decrypted media have, as the store says."""
        return self._size

    def update(self, chunk: bytes) -> bytes:
        """The next decrypted bytes; may be none.

        Raises:
            DecryptionError: the key is wrong, or the media are damaged.
        """
        return self._checked(self._unpadder.update(self._decryptor.update(chunk)))

    def finalize(self) -> bytes:
        """The last decrypted bytes.

        Raises:
            DecryptionError: the media are damaged or incomplete.
        """
        try:
            last = self._unpadder.update(self._decryptor.finalize()) + self._unpadder.finalize()
        except ValueError:
            raise DecryptionError("the encrypted media are damaged or incomplete") from None
        last = self._checked(last)
        if self._given != self._size:
            raise DecryptionError(f"the encrypted media hold {self._given} bytes, and {self._size} were announced")
        return last

    def _checked(self, plain: bytes) -> bytes:
        # The first block comes whole, or not at all.
        if self._given == 0 and not plain.startswith(_EBML[: self._size]) and plain:
            raise _wrong_key()
        self._given += len(plain)
        if self._given > self._size:
            raise DecryptionError(f"the encrypted media hold more than the {self._size} bytes that were announced")
        return plain


def _wrong_key() -> DecryptionError:
    return DecryptionError("the private key is not the one for these media, or their encryption is damaged")


def _decoded(headers: Mapping[str, str], name: str) -> bytes:
    try:
        return b64decode(headers[name], validate=True)
    except KeyError:
        raise DecryptionError(f"the object store's header {name} is missing") from None
    except (binascii.Error, ValueError):
        raise DecryptionError(f"the object store's header {name} is not in base64") from None


def _bytes(text: bytes | str) -> bytes:
    return text.encode() if isinstance(text, str) else text
