"""The table of an export's columns is that of the files that an export writes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from roomrec_async.simulator import Simulator

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "export.md"
ARROW = {"string": pa.string(), "int64": pa.int64(), "timestamp[us, UTC]": pa.timestamp("us", "UTC")}
JSON = {"string": str, "number": int, "object": dict}


async def test_the_documented_columns_are_those_of_the_files(tmp_path: Path) -> None:
    page = PAGE.read_text("utf-8")
    documented = re.findall(r"^\| `(\w+)` \| `([^`]+)` \| `([^`]+)` \|", page, re.MULTILINE)
    async with Simulator(rooms=2, recordings_per_room=30) as simulator, simulator.client() as client:
        await client.export(simulator.room_sids, tmp_path / "parquet")
        await client.export(simulator.room_sids, tmp_path / "jsonl", format="jsonl")
    (parquet,) = (tmp_path / "parquet").glob("part-*")
    (jsonl,) = (tmp_path / "jsonl").glob("part-*")

    schema = pq.read_schema(parquet)
    assert [(name, ARROW[kind]) for name, kind, _ in documented] == [(field.name, field.type) for field in schema]
    version = schema.metadata[b"roomrec.schema_version"].decode()
    assert f"version {version} of the columns" in page

    lines = [json.loads(line) for line in jsonl.read_text("utf-8").splitlines()]
    assert len(lines) == 60
    for line in lines:
        assert list(line) == [name for name, _, _ in documented]
        for name, _, kind in documented:
            assert line[name] is None or type(line[name]) is JSON[kind], name
