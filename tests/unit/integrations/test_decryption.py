"""Decryption: the same bytes whatever the chunks, and a clear error for everything else."""

from __future__ import annotations

import os
import pickle
from base64 import b64encode
from collections.abc import Mapping
from itertools import pairwise

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from roomrec_async import ConfigurationError, DecryptionError
from roomrec_async.integrations.decryption import PrivateKey

RSA = rsa.generate_private_key(65537, 2048)
PEM = RSA.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
KEY = PrivateKey.from_pem(PEM)
EBML = b"\x1a\x45\xdf\xa3"
MEDIA = EBML + bytes(range(256)) * 3

NAMES = ("x-amz-meta-x-amz-key", "x-amz-meta-x-amz-iv", "x-amz-meta-x-amz-unencrypted-content-length")


def encrypted(media: bytes, size: int | None = None, key: bytes = b"k" * 32) -> tuple[dict[str, str], bytes]:
    iv = os.urandom(16)
    padder = PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES256(key), modes.CBC(iv)).encryptor()
    body = encryptor.update(padder.update(media) + padder.finalize()) + encryptor.finalize()
    wrapped = RSA.public_key().encrypt(key, PKCS1v15())
    values = (b64encode(wrapped).decode(), b64encode(iv).decode(), str(len(media) if size is None else size))
    return dict(zip(NAMES, values, strict=True)), body


def decrypted(headers: Mapping[str, str], body: bytes, cuts: list[int] | None = None, key: PrivateKey = KEY) -> bytes:
    decryptor = key.decryptor(headers)
    bounds = [0, *sorted(cut for cut in cuts or [] if cut < len(body)), len(body)]
    given = [decryptor.update(body[start:stop]) for start, stop in pairwise(bounds)]
    return b"".join(given) + decryptor.finalize()


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.lists(st.integers(0, 220), max_size=8))
def test_the_same_bytes_whatever_the_chunks(rest: bytes, cuts: list[int]) -> None:
    media = EBML + rest
    assert decrypted(*encrypted(media), cuts) == media


@pytest.mark.parametrize("size", range(50))
def test_every_size_byte_by_byte(size: int) -> None:
    media = MEDIA[:size]
    headers, body = encrypted(media)
    assert decrypted(headers, body, list(range(len(body)))) == media


def test_headers_in_any_case() -> None:
    headers, body = encrypted(MEDIA)
    assert decrypted({name.upper(): value for name, value in headers.items()}, body) == MEDIA
    assert KEY.decryptor(headers).size == len(MEDIA)


@pytest.mark.parametrize("size", [1024, 2048, 3072])
def test_a_wrong_key_raises_before_any_bytes_are_returned(size: int) -> None:
    wrong = PrivateKey(rsa.generate_private_key(65537, size))
    headers, body = encrypted(MEDIA)
    with pytest.raises(DecryptionError, match="the private key does not match"):
        wrong.decryptor(headers).update(body)


def test_a_wrong_key_that_unwraps_to_another_aes_key_raises_at_the_first_block() -> None:
    headers, _ = encrypted(MEDIA)
    _, body = encrypted(MEDIA, key=b"x" * 32)
    with pytest.raises(DecryptionError, match="the private key does not match"):
        KEY.decryptor(headers).update(body)


@pytest.mark.parametrize("left", range(0, 784, 7))
def test_media_that_were_cut_off(left: int) -> None:
    headers, body = encrypted(MEDIA)
    with pytest.raises(DecryptionError):
        decrypted(headers, body[:left])


def test_damage_at_the_end() -> None:
    headers, body = encrypted(MEDIA)
    damaged = 0
    for bit in range(128):
        altered = bytearray(body)
        altered[-17 - bit // 8] ^= 1 << bit % 8  # changes the same bits of the padding
        try:
            decrypted(headers, bytes(altered))
        except DecryptionError:
            damaged += 1
    assert damaged == 96  # the padding has 12 bytes; the other 4 are content, which CBC does not protect


@pytest.mark.parametrize("announced", [0, 1, 16, len(MEDIA) - 1, len(MEDIA) + 1, 10**12])
def test_another_length_than_announced(announced: int) -> None:
    headers, body = encrypted(MEDIA, size=announced)
    given = 0
    decryptor = KEY.decryptor(headers)
    with pytest.raises(DecryptionError):
        for byte in body:
            given += len(decryptor.update(bytes([byte])))
        decryptor.finalize()
    assert given <= announced


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [None, "", "not base64 and no number", "ÄÖÜ", "-5", "AAAA"])
def test_headers_that_are_missing_or_odd(name: str, value: str | None) -> None:
    headers, body = encrypted(MEDIA)
    headers.pop(name)
    with pytest.raises(DecryptionError) as caught:
        decrypted(headers if value is None else {**headers, name: value}, body)
    if value in (None, "ÄÖÜ"):
        assert name in str(caught.value)


class TestKeys:
    def test_pem_formats(self) -> None:
        traditional = RSA.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        locked = RSA.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"pass"))
        headers, body = encrypted(MEDIA)
        for key in (
            PrivateKey.from_pem(PEM.decode()),
            PrivateKey.from_pem(traditional),
            PrivateKey.from_pem(locked, "pass"),
            PrivateKey.from_pem(locked, b"pass"),
        ):
            assert decrypted(headers, body, key=key) == MEDIA

    @pytest.mark.parametrize("password", [None, "wrong"])
    def test_keys_that_cannot_be_loaded(self, password: str | None) -> None:
        locked = RSA.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"pass"))
        public = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        elliptic = ec.generate_private_key(ec.SECP256R1()).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
        for pem in (locked, public, elliptic, PEM[:300], b"", "ünsinn"):
            with pytest.raises(ConfigurationError) as caught:
                PrivateKey.from_pem(pem, password)
            assert PEM.decode().splitlines()[1] not in str(caught.value)

    def test_a_password_that_is_not_needed(self) -> None:
        with pytest.raises(ConfigurationError, match="has no password"):
            PrivateKey.from_pem(PEM, "pass")

    def test_a_file(self, tmp_path) -> None:
        (tmp_path / "key.pem").write_bytes(PEM)
        headers, body = encrypted(MEDIA)
        assert decrypted(headers, body, key=PrivateKey.from_file(tmp_path / "key.pem")) == MEDIA
        (tmp_path / "none.pem").write_text("nothing")
        with pytest.raises(ConfigurationError, match=r"none\.pem"):
            PrivateKey.from_file(tmp_path / "none.pem")
        with pytest.raises(FileNotFoundError):
            PrivateKey.from_file(tmp_path / "missing.pem")

    def test_a_key_is_not_shown_and_not_pickled(self) -> None:
        assert repr(KEY) == "<PrivateKey of 2048 bits>"
        with pytest.raises(TypeError):
            pickle.dumps(KEY)
