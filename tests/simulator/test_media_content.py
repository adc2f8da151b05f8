"""The bytes of media, plain and encrypted, as the store serves them."""

import sys
import tracemalloc
from base64 import b64decode
from itertools import pairwise

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from yarl import URL

from .raw_http import EBML, SIZE, fetch, media_of, session_of, signed_url, stored_records, unlimited

# Plain media


@pytest.mark.parametrize("size", [0, 1, 3, 4, 5, 37, 38, 39, 65_559, 262_182])
async def test_media_have_the_size_that_was_asked_for(anonymous, size):
    async with unlimited(2, 8, seed=1, media_size=size) as sim, session_of(sim) as http:
        record = stored_records(sim)[0]
        assert record["size"] == size
        response, body = await fetch(anonymous, await signed_url(http, record["url"]))
        assert (response.status, len(body)) == (200, size)
        assert body[:4] == EBML[:size]
        assert body == media_of(sim, record["sid"])


async def test_media_follow_from_the_seed(sim):
    async with unlimited(14, (10, 30), seed=3, media_size=(1_000, 200_000)) as again:
        for record in stored_records(sim)[:3]:
            assert media_of(again, record["sid"]) == media_of(sim, record["sid"])
            assert again.store.base_url != sim.store.base_url


# Encrypted media


def decrypted(sim, headers, body) -> bytes:
    """Return media, decrypted as the provider's documentation describes it."""
    private = load_pem_private_key(sim.private_key_pem, None)
    key = private.decrypt(b64decode(headers["x-amz-meta-x-amz-key"]), PKCS1v15())
    iv = b64decode(headers["x-amz-meta-x-amz-iv"])
    assert (len(key), len(iv)) == (32, 16)
    decryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor()
    unpadder = PKCS7(128).unpadder()
    return unpadder.update(decryptor.update(body) + decryptor.finalize()) + unpadder.finalize()


@pytest.fixture(params=[SIZE, 299_999, 16, 15, 1, 0])
async def encrypting(request):
    async with unlimited(40, 3, seed=3, media_size=request.param) as simulator:
        yield simulator


async def test_encrypted_media_can_be_decrypted(encrypting, anonymous):
    sim = encrypting
    async with session_of(sim) as http:
        for record in stored_records(sim, encrypted=True)[:3]:
            signed = await signed_url(http, record["url"])
            response, body = await fetch(anonymous, signed)
            assert response.headers["Content-Type"] == "application/octet-stream"
            assert int(response.headers["x-amz-meta-x-amz-unencrypted-content-length"]) == record["size"]
            assert len(body) == (record["size"] // 16 + 1) * 16
            plain = decrypted(sim, response.headers, body)
            assert plain == media_of(sim, record["sid"])
            assert len(plain) == record["size"]
            again, same = await fetch(anonymous, signed)
            assert same == body
            for name in ("x-amz-meta-x-amz-key", "x-amz-meta-x-amz-iv", "ETag"):
                assert again.headers[name] == response.headers[name]


async def test_parts_of_encrypted_media_are_parts_of_the_whole(anonymous):
    async with unlimited(40, 3, seed=3, media_size=SIZE) as sim, session_of(sim) as http:
        record = stored_records(sim, encrypted=True)[0]
        signed = await signed_url(http, record["url"])
        response, content = await fetch(anonymous, signed)
        size = len(content)
        for start, stop in pairwise([0, 1, 15, 16, 100, 2**18, 2**18 + 38, SIZE - 1, size - 16, size - 1, size]):
            part, body = await fetch(anonymous, signed, Range=f"bytes={start}-{stop - 1}")
            assert (part.status, body) == (206, content[start:stop])
            assert part.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{size}"
            assert part.headers["x-amz-meta-x-amz-key"] == response.headers["x-amz-meta-x-amz-key"]
        async with anonymous.head(URL(signed, encoded=True)) as head:
            assert int(head.headers["Content-Length"]) == size
            assert head.headers["x-amz-meta-x-amz-iv"] == response.headers["x-amz-meta-x-amz-iv"]
        past_the_end, _ = await fetch(anonymous, signed, Range=f"bytes={size}-")
        assert (past_the_end.status, past_the_end.headers["Content-Range"]) == (416, f"bytes */{size}")


async def test_encrypted_media_that_are_replaced_have_another_key(anonymous):
    async with unlimited(40, 3, seed=3, media_size=1_000) as sim, session_of(sim) as http:
        record = stored_records(sim, encrypted=True)[0]
        signed = await signed_url(http, record["url"])
        first, before = await fetch(anonymous, signed)
        sim.store.replace(record["sid"])
        second, after = await fetch(anonymous, signed)
        assert before != after
        assert decrypted(sim, first.headers, before) != decrypted(sim, second.headers, after)
        assert decrypted(sim, second.headers, after) == media_of(sim, record["sid"])
        for name in ("ETag", "x-amz-meta-x-amz-key", "x-amz-meta-x-amz-iv"):
            assert first.headers[name] != second.headers[name]


async def test_without_the_extra_only_encrypted_media_are_missing(anonymous, monkeypatch):
    for name in list(sys.modules):
        if name.partition(".")[0] == "cryptography":
            monkeypatch.setitem(sys.modules, name, None)
    async with unlimited(40, 3, seed=3, media_size=1_000) as sim, session_of(sim) as http:
        plain = await signed_url(http, stored_records(sim)[0]["url"])
        encrypted = await signed_url(http, stored_records(sim, encrypted=True)[0]["url"])
        assert (await fetch(anonymous, plain))[0].status == 200
        response, body = await fetch(anonymous, encrypted)
        assert response.status == 501
        assert b"roomrec-async[crypto]" in body


# Large media


async def streamed(anonymous, signed, *, expected, **headers) -> int:
    """Return the number of bytes received; compare all of them with the expected ones, and keep none."""
    count, rest, pieces = 0, b"", iter(expected)
    async with anonymous.get(URL(signed, encoded=True), headers=headers) as response:
        assert response.status in {200, 206}
        async for received in response.content.iter_chunked(2**18):
            while len(rest) < len(received):
                rest += next(pieces)
            assert rest.startswith(received)
            rest = rest[len(received) :]
            count += len(received)
        assert count == int(response.headers["Content-Length"])
    assert rest + b"".join(pieces) == b""
    return count


@pytest.mark.parametrize(("encrypted", "size"), [(False, 300_000_000), (True, 60_000_000)])
async def test_large_media_take_no_memory(anonymous, encrypted, size):
    async with unlimited(40, 3, seed=3, media_size=size) as sim, session_of(sim) as http:
        record = stored_records(sim, encrypted=encrypted)[0]
        signed = await signed_url(http, record["url"])
        count = 0
        tracemalloc.start()
        try:
            async with anonymous.get(URL(signed, encoded=True)) as response:
                async for received in response.content.iter_any():
                    count += len(received)
            assert count == int(response.headers["Content-Length"])
            assert count == (size // 16 + 1) * 16 if encrypted else size
            assert tracemalloc.get_traced_memory()[1] < 16_000_000
        finally:
            tracemalloc.stop()


async def test_large_media_have_ranges_and_heads_as_small_ones(anonymous):
    async with unlimited(2, 8, seed=1, media_size=40_000_000) as sim, session_of(sim) as http:
        record = stored_records(sim)[0]
        signed = await signed_url(http, record["url"])
        assert await streamed(anonymous, signed, expected=sim.media(record["sid"])) == 40_000_000
        content = sim.store.content(*sim.account.find_recording(record["sid"]))
        late = content.pieces(12_345_678, content.size)
        assert await streamed(anonymous, signed, expected=late, Range="bytes=12345678-") == 40_000_000 - 12_345_678
        response, body = await fetch(anonymous, signed, Range="bytes=39999990-")
        assert (response.status, len(body)) == (206, 10)
        async with anonymous.head(URL(signed, encoded=True)) as head:
            assert (head.status, head.headers["Content-Length"]) == (200, "40000000")
