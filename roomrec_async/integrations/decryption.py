"""Decryption of encrypted recordings, with the account's private key, as they arrive.

Needs the extra ``crypto``: ``pip install 'roomrec-async[crypto]'``.
"""

from __future__ import annotations

import binascii
import os
from base64 import b64decode
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NoReturn, Self

from roomrec_async._media.download import MATROSKA_MAGIC
from roomrec_async._media.locate import IV_HEADER, KEY_HEADER
from roomrec_async.errors import ConfigurationError, DecryptionError

try:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    from cryptography.hazmat.primitives.padding import PKCS7
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
except ModuleNotFoundError as _error:
    raise ConfigurationError("decryption needs cryptography: pip install 'roomrec-async[crypto]'") from _error

# Another header of the object store: the size once decrypted.
_SIZE_HEADER: Final = "x-amz-meta-x-amz-unencrypted-content-length"

# Bytes.
_BLOCK_SIZE: Final = 16
_AES_KEY_SIZE: Final = 32


class PrivateKey:
    """RSA private key for the public key that the account's recordings are encrypted with.

    Pass it to :meth:`roomrec_async.RecordingsClient.download` as ``decryption``. The service encrypts each recording
    with AES-256 in CBC mode, and the AES key with RSA (PKCS#1 v1.5).

    Example:
        >>> key = PrivateKey.from_file("private_key.pem")
        >>> await client.download(recording, "media/", decryption=key)
    """

    def __init__(self, key: RSAPrivateKey) -> None:
        if not isinstance(key, RSAPrivateKey):
            raise ConfigurationError(f"the private key must be an RSA key, not {type(key).__name__}")
        self._key = key

    @classmethod
    def from_pem(cls, pem: bytes | str, password: bytes | str | None = None) -> Self:
        """Return the key in PEM format, which begins with ``-----BEGIN PRIVATE KEY-----`` or a similar line.

        Raises:
            ConfigurationError: it is not an RSA private key, or the password is missing or wrong.
        """
        password_bytes = None if password is None else _to_bytes(password)
        try:
            key = load_pem_private_key(_to_bytes(pem), password_bytes)
        except (ValueError, UnsupportedAlgorithm):
            # Their messages are not repeated: they may quote the key.
            message = "this is not a private key in PEM format, or the password is wrong"
        except TypeError:
            # Either the key is encrypted and the password is missing, or the other way around.
            message = "the private key has no password"
            if password is None:
                message = "the private key is encrypted: give its password"
        else:
            return cls(key)  # type: ignore[arg-type]  # the constructor checks its type

        # Not raised above, where the error that may quote the key would be its context.
        raise ConfigurationError(message)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], password: bytes | str | None = None) -> Self:
        """Return the key in a PEM file.

        Raises:
            ConfigurationError: the file does not contain an RSA private key, or the password is missing or wrong.
            OSError: the file cannot be read.
        """
        try:
            return cls.from_pem(Path(path).read_bytes(), password)
        except ConfigurationError as error:
            raise ConfigurationError(f"{os.fspath(path)}: {error}") from None

    def decryptor(self, headers: Mapping[str, str]) -> AesDecryptor:
        """Return the decryptor for the media that came with these response headers.

        Raises:
            DecryptionError: a header is missing or malformed, or this is not the right key.
        """
        headers = {name.lower(): value for name, value in headers.items()}
        size = headers.get(_SIZE_HEADER, "")
        if not (size.isascii() and size.isdecimal()):
            raise DecryptionError(f"the object store's header {_SIZE_HEADER} is missing or not a number")

        aes_key = self._unwrap_key(_decode_header(headers, KEY_HEADER))
        return AesDecryptor(aes_key, _decode_header(headers, IV_HEADER), int(size))

    def _unwrap_key(self, wrapped_key: bytes) -> bytes:
        """Decrypt a recording's AES key."""
        try:
            key = self._key.decrypt(wrapped_key, PKCS1v15())
        except ValueError:
            key = b""
        # With the wrong private key, OpenSSL returns random bytes of a random length instead of an error that could
        # help an attacker (Bleichenbacher's).
        if len(key) != _AES_KEY_SIZE:
            raise _wrong_key()
        return key

    def __repr__(self) -> str:
        return f"<PrivateKey of {self._key.key_size} bits>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key cannot be pickled: load it where it is needed")


class AesDecryptor:
    """Decrypts one recording's media: AES-256 in CBC mode, with PKCS#7 padding."""

    def __init__(self, key: bytes, iv: bytes, size: int) -> None:
        if len(iv) != _BLOCK_SIZE:
            raise DecryptionError(f"the object store's header {IV_HEADER} has {len(iv)} bytes, not {_BLOCK_SIZE}")
        self._decryptor = Cipher(algorithms.AES256(key), modes.CBC(iv)).decryptor()
        self._unpadder = PKCS7(_BLOCK_SIZE * 8).unpadder()
        # Bytes of the decrypted media: as announced, and so far.
        self._size = size
        self._decrypted = 0

    @property
    def size(self) -> int:
        """Number of bytes of the decrypted media, as the store announced it."""
        return self._size

    def update(self, chunk: bytes) -> bytes:
        """Return the next decrypted bytes; there may be none.

        Raises:
            DecryptionError: the key is wrong, or the media are damaged.
        """
        return self._check_plaintext(self._unpadder.update(self._decryptor.update(chunk)))

    def finalize(self) -> bytes:
        """Return the last decrypted bytes.

        Raises:
            DecryptionError: the media are damaged or incomplete.
        """
        try:
            last = self._unpadder.update(self._decryptor.finalize()) + self._unpadder.finalize()
        except ValueError:
            raise DecryptionError("the encrypted media are damaged or incomplete") from None
        last = self._check_plaintext(last)
        if self._decrypted != self._size:
            raise DecryptionError(
                f"the encrypted media contain {self._decrypted} bytes, and {self._size} were announced"
            )
        return last

    def _check_plaintext(self, plaintext: bytes) -> bytes:
        """Return decrypted bytes if they start like a recording and are not more than announced."""
        # Blocks are decrypted as a whole, so that the first bytes contain the whole magic number, or all of the media.
        if self._decrypted == 0 and plaintext and not plaintext.startswith(MATROSKA_MAGIC[: self._size]):
            raise _wrong_key()
        self._decrypted += len(plaintext)
        if self._decrypted > self._size:
            raise DecryptionError(f"the encrypted media contain more than the {self._size} bytes that were announced")
        return plaintext


def _wrong_key() -> DecryptionError:
    return DecryptionError("the private key does not match these media, or they are damaged")


def _decode_header(headers: Mapping[str, str], name: str) -> bytes:
    try:
        return b64decode(headers[name], validate=True)
    except KeyError:
        raise DecryptionError(f"the object store's header {name} is missing") from None
    except (binascii.Error, ValueError):
        raise DecryptionError(f"the object store's header {name} is not valid base64") from None


def _to_bytes(text: bytes | str) -> bytes:
    return text.encode() if isinstance(text, str) else text
