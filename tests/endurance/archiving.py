"""Archive and delete under faults, kills and changing objects: nothing is deleted without a copy of its last bytes.

``python -m tests.endurance.archiving [MINUTES] [SEED]`` runs rounds into a directory and into an S3 server in turn.

In a round, processes that archive with ``delete=True`` are killed at random instants, or run to their end. Meanwhile
connections break, media change, and the service gives wrong answers. Between two runs, records change, vanish and move,
copies and parts are damaged, and so are rows of the ledger; but never what was deleted at the source. At the end, every
deleted recording is compared with its copy, and the manifest with both. A round is repeated by its seed, up to the
instants at which the operating system runs the processes.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Protocol, TypeAlias

import attrs

from ..integration.conftest import S3Server
from ..integration.conftest import serving as serving_s3
from .archive_source import ACCOUNT_SID, MATROSKA, OTHER_ACCOUNT_SID, Item, Source, new_media, serving

ROOMS = [f"RM{number:032x}" for number in range(6)]
# Archived before, and never named by a source that deletes.
OTHER_ROOMS = ROOMS[4:]
RECORDINGS = 20
RUNS = 10
KILLED = 0.7


class Store(Protocol):
    """Where copies are: a directory, or a bucket."""

    location: str

    def read(self, name: str) -> bytes | None: ...

    def write(self, name: str, content: bytes | None) -> None: ...

    def manifest(self) -> bytes: ...

    def parts(self) -> list[Path]: ...


@attrs.frozen
class Directory:
    path: Path

    @property
    def location(self) -> str:
        return str(self.path)

    def read(self, name: str) -> bytes | None:
        path = self.path / name
        return path.read_bytes() if path.exists() else None

    def write(self, name: str, content: bytes | None) -> None:
        if content is None:
            (self.path / name).unlink()
        else:
            (self.path / name).write_bytes(content)

    def manifest(self) -> bytes:
        path = self.path / "manifest.jsonl"
        return b"".join(part.read_bytes() for part in (sorted(path.glob("part-*")) if path.is_dir() else [path]))

    def parts(self) -> list[Path]:
        # Those of downloads; a part of the manifest has another name.
        return sorted(path for path in self.path.rglob("RT*.part*"))


@attrs.frozen
class Bucket:
    server: S3Server
    name: str

    @property
    def location(self) -> str:
        return f"s3://{self.name}/rooms"

    def read(self, name: str) -> bytes | None:
        try:
            return self.server.content(self.name, f"rooms/{name}")
        except urllib.error.HTTPError:
            return None

    def write(self, name: str, content: bytes | None) -> None:
        method = "DELETE" if content is None else "PUT"
        url = f"{self.server.endpoint}/{self.name}/rooms/{name}"
        signed = {"Authorization": "AWS4-HMAC-SHA256 Credential=testing/20260101/us-east-1/s3/aws4_request"}
        with urllib.request.urlopen(urllib.request.Request(url, content, signed, method=method), timeout=10):
            pass

    def manifest(self) -> bytes:
        found = [key for key in self.server.objects(self.name) if key.startswith("rooms/manifest.jsonl")]
        return b"".join(self.server.content(self.name, key) for key in sorted(found))

    def parts(self) -> list[Path]:
        return []


def flip_bit(rng: random.Random, content: bytes) -> bytes:
    """Return bytes of which one bit, behind those that every recording has, is another one."""
    changed = bytearray(content)
    if len(changed) > len(MATROSKA):
        changed[rng.randrange(len(MATROSKA), len(changed))] ^= 1
    return bytes(changed)


Damage: TypeAlias = Callable[[random.Random, bytes], bytes | None]
# Those that leave a part as long as it was, and beginning as a recording: only its digest tells.
PART_DAMAGES: list[Damage] = [
    flip_bit,
    lambda rng, content: content[:4] + bytes(max(0, len(content) - 4)),
    lambda rng, content: new_media(rng, len(content)),
]
DAMAGES: list[Damage] = [
    *PART_DAMAGES,
    lambda rng, content: None,
    lambda rng, content: b"",
    lambda rng, content: bytes(len(content)),
    lambda rng, content: content[: rng.randrange(len(content) + 1)],
    lambda rng, content: content + b"more",
]


class Archives:
    """A process that forks an archive on command, so that each kill does not cost a start of Python."""

    def __init__(self, url: str, endpoint: str | None) -> None:
        environ = {
            **os.environ,
            "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
            "TWILIO_AUTH_TOKEN": "token",
            "ROOMREC_BASE_URL": url,
        }
        if endpoint is not None:
            environ |= {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_REGION": "us-east-1"}
            environ |= {"AWS_ENDPOINT_URL": endpoint, "AWS_ALLOW_HTTP": "true"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", _ARCHIVES], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ
        )

    async def run(self, arguments: dict[str, object], instant: Awaitable[None] | None = None) -> int:
        """Run an archive, killed at an instant, unless it ends before; return the status of its process."""
        assert self.process.stdin
        self.process.stdin.write(f"{json.dumps(arguments)}\n")
        self.process.stdin.flush()
        child = int(await asyncio.to_thread(self._read_line))
        ended = asyncio.create_task(asyncio.to_thread(self._read_line))
        if instant is not None:
            waiting = asyncio.ensure_future(instant)
            await asyncio.wait([ended, waiting], return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            # It may end at this very moment.
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        return int(await asyncio.wait_for(ended, 60))

    def _read_line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


_ARCHIVES = """
import asyncio, json, os, sys
from roomrec_async import RateLimiter, RecordingsClient, RetryPolicy, RoomRecError, Timeout
from roomrec_async._archive import ledger, manifest
from roomrec_async._media import download
from roomrec_async.integrations import stores

# The media are small.
download._CHECKPOINT_DISTANCE = 10_000
# So are the parts of the manifest.
ledger.TRACKING = ledger.TRACKING.replace("1000", "4")
ledger.PART_SIZE = manifest.PART_SIZE = 4

async def archive(outcome, rooms, destination, **options):
    retry = RetryPolicy(max_attempts=2, base_delay=0.001, budget=10_000)
    limiter = RateLimiter(None, None, None)
    timeout = Timeout(total=5, read=1)
    async with RecordingsClient.from_env(limiter=limiter, retry=retry, timeout=timeout) as client:
        try:
            report = await client.archive(rooms, destination, manifest=["jsonl"], **options)
        except RoomRecError as error:
            told = {"error": f"{type(error).__name__}: {error}"}
        else:
            told = {"deleted": report.deleted, "failures": dict(report.failures)}
    with open(outcome, "w") as file:
        json.dump(told, file)

for line in sys.stdin:
    child = os.fork()
    if not child:
        try:
            asyncio.run(archive(**json.loads(line)))
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""


@attrs.define
class Round:
    """One archive, from its beginning to its end.

    Attributes:
        rng: decides what happens between runs, and when they are killed.
        store: where the copies are.
        folder: where the ledger is, and what runs have said.
        endpoint: the S3 server, if they are in a bucket.
        source: the service.
        began_in: the room that each recording was in at the beginning.
        damaged_columns: columns of the ledger that are damaged: the name, the SID, what it was, and what it is.
        problems: what must not happen, and did.
        events: how often things happened.
    """

    seed: int
    store: Store
    folder: Path
    endpoint: str | None = None
    rng: random.Random = attrs.field(init=False)
    source: Source = attrs.field(init=False)
    began_in: dict[str, str] = attrs.field(init=False)
    damaged_columns: list[tuple[str, str, object, object]] = attrs.field(factory=list)
    problems: list[str] = attrs.field(factory=list)
    events: Counter[str] = attrs.field(factory=Counter)

    def __attrs_post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.source = Source(self.seed, {}, self.check_deletion)
        for number in range(RECORDINGS):
            size = self.rng.choice([4, 300, 30_000, 200_000, 200_000, 200_000])
            item = Item(
                f"RT{number:032x}",
                self.rng.choice(ROOMS),
                new_media(self.rng, size),
                self.rng.choice([size] * 8 + [None, size + 1]),
                self.rng.choice(["strong", "strong", "strong", "weak", "date", "none"]),
                self.rng.choice([ACCOUNT_SID] * 9 + [OTHER_ACCOUNT_SID]),
            )
            self.source.items[item.sid] = item
        self.began_in = {item.sid: item.room_sid for item in self.source.items.values()}

    @property
    def ledger(self) -> Path:
        return self.folder / "ledger.sqlite3"

    async def check_deletion(self, item: Item) -> None:
        """Note a deletion that must not be."""
        reasons = {
            "of a room that no source named": item.room_sid in OTHER_ROOMS,
            "of another account": item.account_sid != ACCOUNT_SID,
            "whose size was not announced": item.size is None,
            "whose media are in the account's own bucket": item.external,
            "without a copy": await asyncio.to_thread(self._lacks_copy, item),
        }
        self.problems += [f"{item.sid} was deleted, {reason}" for reason, applies in reasons.items() if applies]
        self.events["deleted"] += 1

    def _lacks_copy(self, item: Item) -> bool:
        return item.media not in [self.store.read(f"{room_sid}/{item.sid}.mka") for room_sid in ROOMS]

    async def run(self) -> None:
        async with serving(self.source):
            archives = Archives(self.source.url, self.endpoint)
            try:
                await self.archive(archives, ROOMS, delete=False)
                self.disturb()
                for _ in range(RUNS):
                    await self.archive(archives, delete=self.rng.random() < 0.8)
                    self.disturb()
                self.source.is_faulty = False
                # What an earlier run recorded last is not repeated for ever.
                for _ in range(2):
                    await self.archive(archives, delete=True)
            finally:
                archives.close()
        self.check()

    async def archive(self, archives: Archives, rooms: list[str] | None = None, *, delete: bool) -> None:
        """Run an archive of rooms, by default of some of those that may be deleted."""
        if rooms is None:
            named = ROOMS[: -len(OTHER_ROOMS)]
            rooms = self.rng.sample(named, self.rng.randrange(1, len(named) + 1)) if self.source.is_faulty else named
        outcome = self.folder / "outcome.json"
        outcome.unlink(missing_ok=True)
        arguments: dict[str, object] = {
            "outcome": str(outcome),
            "rooms": rooms,
            "destination": self.store.location,
            "ledger": str(self.ledger),
            "delete": delete,
            "downloads": self.rng.choice([1, 4]),
            # At the end, nothing waits.
            "retry_failed": not self.source.is_faulty or self.rng.random() < 0.5,
        }
        is_killed = self.source.is_faulty and self.rng.random() < KILLED
        status = await archives.run(arguments, self.instant() if is_killed else None)
        await self.source.settle()
        if status == signal.SIGKILL and is_killed:
            self.events["killed"] += 1
        elif status:
            self.problems.append(f"an archive ended with status {status}")
        else:
            self.note_outcome(json.loads(outcome.read_text()))

    async def instant(self) -> None:
        """Wait for the instant of a kill: counted in requests, since a fast machine is soon at its end."""
        requests, pause = self.rng.choice([0, 1, 2, 3, 5, 8, 13, 21, 34]), self.rng.uniform(0, 0.02)
        await self.source.reach(self.source.requests + requests)
        await asyncio.sleep(pause)

    def note_outcome(self, told: dict[str, object]) -> None:
        self.events["ended"] += 1
        if "error" not in told:
            return
        # A damaged row ends the run, until somebody restores it.
        if "is damaged" not in str(told["error"]):
            self.problems.append(f"an archive ended with {told['error']}")
        self.events["damage found"] += 1
        self.restore_rows()

    def disturb(self) -> None:
        """Change something that may change between two runs."""
        self.restore_rows()
        actions = [self.damage_copy, self.damage_row, self.change_media] + 2 * [self.damage_parts, self.change_record]
        for action in self.rng.choices(actions, k=self.rng.randrange(5)):
            action()

    def archived(self) -> set[str]:
        """SIDs of what the ledger says is in the archive."""
        if not self.ledger.exists():
            return set()
        with closing(sqlite3.connect(self.ledger)) as connection:
            tables = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'recordings'").fetchall()
            query = "SELECT sid FROM recordings WHERE state IN ('archived', 'deleted')"
            return {sid for (sid,) in connection.execute(query)} if tables else set()

    def harmless(self) -> list[Item]:
        """Recordings that are still at the source, in rooms that may be named: their copies may be lost."""
        return [
            item for item in self.source.items.values() if item.is_there and self.began_in[item.sid] not in OTHER_ROOMS
        ]

    def damage_copy(self) -> None:
        copied = self.archived()
        found = [item for item in self.harmless() if item.sid in copied]
        if not found:
            return
        item = self.rng.choice(found)
        for room_sid in ROOMS:
            name = f"{room_sid}/{item.sid}.mka"
            content = self.store.read(name)
            if content is not None:
                self.store.write(name, self.rng.choice(DAMAGES)(self.rng, content))
                self.events["copies damaged"] += 1

    def damage_parts(self) -> None:
        """Damage what killed archives have left of downloads, and now and then what they recorded of it."""
        for part in self.store.parts():
            if self.rng.random() < (0.7 if part.suffix == ".part" else 0.1):
                content = self.rng.choice([*DAMAGES, *PART_DAMAGES, *PART_DAMAGES])(self.rng, part.read_bytes())
                part.unlink() if content is None else part.write_bytes(content)
                self.events["parts damaged"] += 1

    def change_media(self) -> None:
        """Change media that no archive has, among them those of which it has a part."""
        copied = self.archived()
        parts = {part.name.partition(".")[0] for part in self.store.parts()}
        for item in self.harmless():
            if item.sid not in copied and self.rng.random() < (0.7 if item.sid in parts else 0.1):
                self.source.change(item, self.rng)
                self.events["media changed"] += 1

    def damage_row(self) -> None:
        """Overwrite a column of a row, whose copy and recording are still there."""
        sids = self.archived() & {item.sid for item in self.harmless()}
        if not sids:
            return
        column, value = self.rng.choice(
            [
                ("sha256", "0" * 64),
                ("sha256", None),
                ("bytes", 1),
                ("state", "found"),
                ("recording", "{"),
                ("room_sid", OTHER_ROOMS[0]),
                ("size", 5),
            ]
        )
        self.overwrite(column, value, "sid = ?", self.rng.choice(sorted(sids)))
        if self.rng.random() < 0.5:
            # A room that no source names, in rows that say that they are of one that is named.
            self.overwrite("room_sid", ROOMS[0], "room_sid = ? AND state = 'archived'", OTHER_ROOMS[0])

    def overwrite(self, column: str, value: object, condition: str, argument: str) -> None:
        """Overwrite a column, and keep what it was if an archive cannot put it right by copying again."""
        with closing(sqlite3.connect(self.ledger)) as connection, connection:
            rows = connection.execute(f"SELECT sid, {column} FROM recordings WHERE {condition}", (argument,)).fetchall()
            for sid, was in rows:
                connection.execute(f"UPDATE recordings SET {column} = ? WHERE sid = ?", (value, sid))
                if column in ("recording", "room_sid", "size"):
                    self.damaged_columns.append((column, sid, was, value))
        self.events["rows damaged"] += len(rows)

    def restore_rows(self) -> None:
        """Restore the columns that were damaged, as from a backup, unless the archive has put them right."""
        with closing(sqlite3.connect(self.ledger)) as connection, connection:
            # Those damaged last first: a column may have been overwritten twice.
            for column, sid, was, value in reversed(self.damaged_columns):
                connection.execute(
                    f"UPDATE recordings SET {column} = ? WHERE sid = ? AND {column} = ?", (was, sid, value)
                )
        self.damaged_columns = []

    def change_record(self) -> None:
        """Change what the service says of a recording, or where it is."""
        items = self.harmless()
        if not items:
            return
        item = self.rng.choice(items)
        what = self.rng.choice(["size", "size", "external", "gone", "moved", "moved"])
        if what == "size":
            item.size = self.rng.choice([len(item.media), len(item.media), None, 7])
        elif what == "external":
            item.external = not item.external
        elif what == "moved":
            item.room_sid = self.rng.choice(ROOMS)
        else:
            item.gone = True
        self.events[what] += 1

    def check(self) -> None:
        """Compare every deleted recording with its copy, and the manifest with both."""
        lines = self.store.manifest().splitlines()
        rows = {row["sid"]: row for row in map(json.loads, lines)}
        self.expect(len(rows) == len(lines), "the manifest has a recording twice")
        for item in self.source.items.values():
            row = rows.get(item.sid, {})
            state = row.get("state")
            copy = None
            if state in ("archived", "deleted"):
                # The room's folder, and the name in it.
                copy = self.store.read("/".join(row["location"].split("/")[-2:]))
                self.expect(copy is not None, f"the manifest has a copy of {item.sid}, and there is none")
            if copy is not None and (state == "deleted" or may_be_deleted(row)):
                digest = hashlib.sha256(copy).hexdigest()
                self.expect(digest == row["sha256"], f"the copy of {item.sid} is not that of the manifest")
            if item.deleted is not None:
                self.expect(state == "deleted", f"{item.sid} is deleted, and the manifest says {state}")
                self.expect(copy == item.deleted, f"{item.sid} is deleted, and its copy has other bytes")
            elif state == "deleted":
                self.expect(item.gone, f"the manifest says that {item.sid} is deleted, and it is not")

    def expect(self, is_true: bool, problem: str) -> None:
        if not is_true:
            self.problems.append(problem)


def may_be_deleted(row: dict[str, object]) -> bool:
    """Return True if an archive would delete the recording of a row: only then does it read all of the copy."""
    return row["account_sid"] == ACCOUNT_SID and row["size"] is not None and not row["media_external_location"]


async def run_round(seed: int, s3: S3Server | None) -> Round:
    """Run a round into a directory, or into a new bucket of a server."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store: Store = Directory(folder / "archive")
        if s3 is not None:
            bucket = f"round-{seed}-{time.monotonic_ns()}"
            s3.bucket(bucket)
            store = Bucket(s3, bucket)
        running = Round(seed, store, folder, None if s3 is None else s3.endpoint)
        await running.run()
        return running


def main(minutes: float, first_seed: int | None) -> None:
    """Run rounds until the time is up or something is wrong."""
    until = time.monotonic() + minutes * 60
    events: Counter[str] = Counter()
    seed = random.SystemRandom().randrange(10**6) if first_seed is None else first_seed
    rounds = 0
    with serving_s3() as (s3, _):
        while time.monotonic() < until or not rounds:
            for server in (None, s3):
                running = asyncio.run(run_round(seed, server))
                events += running.events
                if running.problems:
                    print(*running.problems, sep="\n")
                    where = "a directory" if server is None else "S3"
                    sys.exit(f"seed {seed}, into {where}: {len(running.problems)} things that must not happen")
            seed += 1
            rounds += 1
    print(f"{rounds} rounds into a directory and as many into S3, up to seed {seed - 1}:", dict(events.most_common()))


if __name__ == "__main__":
    arguments = sys.argv[1:]
    main(float(arguments[0]) if arguments else 10.0, int(arguments[1]) if len(arguments) > 1 else None)
