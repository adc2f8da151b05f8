"""Fuzz the codec with mutated bodies: it must raise nothing but documented errors.

``python -m tests.endurance.fuzz [COUNT] [SEED]``
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

from roomrec_async import DecodeError
from roomrec_async._api.codec import (
    decode_account_recordings,
    decode_error,
    decode_media_location,
    decode_recording,
    decode_recordings,
    decode_rooms,
)
from roomrec_async.simulator import Account
from roomrec_async.webhooks import parse

ACCOUNT = Account(seed=5, rooms=4, recordings_per_room=(2, 4))
SID = "RT" + "0" * 32
# Values that a decoder may stumble over; some are not JSON.
ODD_VALUES = [
    b"null", b"true", b"-1", b"1e999", b"NaN", b"-Infinity", b'""', b'"\\ud800"', b"[]", b"{}", b"9" * 400, b"0.5",
    b'"2026-02-30T25:61:61Z"', b'"0000-00-00"', b'"' + b"x" * 5000 + b'"', b"[" * 2000, b"\xff\xfe", b"\xef\xbb\xbf",
    b'{"a":' * 500, b"\x00", b'"\\u0000"', b"2" * 20, b'"5"', b"[[]]", b'{"":{}}',
]  # fmt: skip
# Mutations of a body: mostly one, so that the body stays almost valid.
MUTATIONS = (1, 1, 1, 2, 4, 16)
DECODERS: list[Callable[[bytes], object]] = [
    decode_recordings,
    decode_account_recordings,
    decode_rooms,
    lambda body: decode_recording(body, SID),
    lambda body: decode_error(400, body),
    decode_media_location,
    parse,
]


def valid_bodies() -> list[bytes]:
    """Return valid bodies of each kind."""
    meta = {"key": "recordings", "page": 0, "page_size": 50, "url": "https://x/?a", "next_page_url": None}
    bodies = [b'{"redirect_to":"https://x/?y"}', b'{"code":20404,"message":"no","more_info":"https://x","status":404}']
    for index in range(ACCOUNT.room_count):
        room = ACCOUNT.room(index)
        records = [json.loads(each) for each in room.recordings_json(range(min(3, room.total_count)), "https://x")]
        bodies.append(json.dumps({"meta": meta, "recordings": records}).encode())
        bodies.append(json.dumps({"meta": {**meta, "key": "rooms"}, "rooms": [room.to_dict("https://x")]}).encode())
        bodies += [json.dumps(record).encode() for record in records[:1]]
    return bodies


def mutate(body: bytes, rng: random.Random) -> bytes:
    """Return a body with some bytes or values changed."""
    changed = bytearray(body)
    for _ in range(rng.choice(MUTATIONS)):
        offset = rng.randrange(len(changed) + 1)
        match rng.randrange(6):
            case 0 if offset < len(changed):
                changed[offset] ^= 1 << rng.randrange(8)
            case 1:
                del changed[offset : offset + rng.choice((1, 2, 8, 200))]
            case 2:
                changed[offset:offset] = bytes(rng.randrange(256) for _ in range(rng.choice((1, 3))))
            case 3:
                start = changed.find(b":", offset) + 1
                end = changed.find(b",", start)
                if 0 < start < end:
                    changed[start:end] = rng.choice(ODD_VALUES)
            case 4:
                changed[offset:offset] = changed[offset : offset + rng.choice((1, 20, 300))]
            case _:
                changed[offset:offset] = rng.choice(ODD_VALUES)
    return bytes(changed)


def run(count: int, seed: int) -> Counter[str]:
    """Decode ``count`` mutated bodies, and count the outcomes; raise anything but a documented error."""
    rng = random.Random(seed)
    bodies = valid_bodies()
    outcomes = Counter[str]()
    for number in range(count):
        body = mutate(bodies[number % len(bodies)], rng)
        decode = DECODERS[rng.randrange(len(DECODERS))]
        try:
            decode(body)
        except DecodeError as error:
            assert str(error)
            outcomes["refused"] += 1
        except Exception:
            sys.stderr.write(f"seed {seed}, number {number}: {body!r}\n")
            raise
        else:
            outcomes["decoded"] += 1
    return outcomes


def main(count: int = 1_000_000, seed: int = 1) -> None:
    """Fuzz in one process for each CPU, and print the outcomes."""
    begin = time.perf_counter()
    workers = os.cpu_count() or 1
    with ProcessPoolExecutor(workers) as pool:
        parts = pool.map(run, [count // workers] * workers, range(seed, seed + workers))
        outcomes = sum(parts, Counter[str]())
    summary = ", ".join(f"{number:,} {outcome}" for outcome, number in outcomes.items())
    print(f"{outcomes.total():,} mutated bodies in {time.perf_counter() - begin:.0f} s: {summary}, nothing else")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
