"""Changes of a ledger as JSON lines, from which another ledger becomes the same. Everything here blocks.

Each line is a list of a table and one of its rows as it is now, ``["failures", {"number": 7, ...}]``; or of a table and
the key of a row that is gone, ``["failures", 7]``; or of a table and null: all of its rows before are gone. Lines may
be replayed again: the last one about a row is what remains.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from typing import Final

COMPRESSION: Final = 3
"""Level of compression of a file of lines: little CPU, and a tenth of the bytes."""

# The tables that are kept, and their keys. The sums are those of the recordings; the other tables are of one file only.
_TABLES: Final = {
    "recordings": "number",
    "failures": "number",
    "parts": "part",
    "manifest_files": "name",
    "listed_rooms": "room_sid",
}
# Rows that only ever go together, and may be millions.
_CLEARED: Final = "listed_rooms"

_CHANGES: Final = """
CREATE TEMPORARY TABLE changes (name TEXT NOT NULL, key NOT NULL, PRIMARY KEY (name, key)) WITHOUT ROWID;
CREATE TEMPORARY TABLE cleared (name TEXT PRIMARY KEY) WITHOUT ROWID;
"""
# These and the statements below are for any of the tables. The clause OR IGNORE would give way to that of the statement
# which causes the trigger to run.
_WATCH: Final = """
CREATE TEMPORARY TRIGGER <table>_added AFTER INSERT ON main.<table> BEGIN
    INSERT INTO changes VALUES ('<table>', NEW.<key>) ON CONFLICT DO NOTHING;
END;
CREATE TEMPORARY TRIGGER <table>_changed AFTER UPDATE ON main.<table> BEGIN
    INSERT INTO changes VALUES ('<table>', NEW.<key>) ON CONFLICT DO NOTHING;
END;
"""
_WATCH_DELETED: Final = """
CREATE TEMPORARY TRIGGER <table>_deleted AFTER DELETE ON main.<table> BEGIN
    INSERT INTO changes VALUES ('<table>', OLD.<key>) ON CONFLICT DO NOTHING;
END;
"""
_WATCH_CLEARED: Final = """
CREATE TEMPORARY TRIGGER <table>_cleared AFTER DELETE ON main.<table>
WHEN NOT EXISTS (SELECT 1 FROM <table>) BEGIN
    DELETE FROM changes WHERE name = '<table>';
    INSERT INTO cleared VALUES ('<table>') ON CONFLICT DO NOTHING;
END;
"""
_CHANGED: Final = """
SELECT changes.key AS changed, kept.* FROM changes LEFT JOIN <table> AS kept ON kept.<key> = changed
WHERE changes.name = '<table>' ORDER BY changed
"""
_ALL: Final = "SELECT * FROM <table>"
_INSERT: Final = "INSERT OR REPLACE INTO <table> (<columns>) VALUES (<values>)"
_DELETE: Final = "DELETE FROM <table> WHERE <key> = ?"
_CLEAR: Final = "DELETE FROM <table>"
# Not those that are part of a table.
_TRIGGERS_AND_INDEXES: Final = """
SELECT type, name, sql FROM main.sqlite_master WHERE type IN ('trigger', 'index') AND sql NOT NULL
"""
_COUNT: Final = """
INSERT INTO counts SELECT state, count(*), CAST(total(bytes) AS INTEGER) FROM recordings GROUP BY state
"""
# What SQLite raises for a row that is none of a table.
_WRONG_VALUES: Final = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError, OverflowError)


def watch_changes(connection: sqlite3.Connection) -> None:
    """Note from now on which rows change, whoever changes them: the ledger's own triggers, too."""
    script = [_CHANGES]
    for table in _TABLES:
        script.append(for_table(_WATCH, table))
        script.append(for_table(_WATCH_CLEARED if table == _CLEARED else _WATCH_DELETED, table))
    connection.executescript("".join(script))


def take_changes(connection: sqlite3.Connection) -> list[str]:
    """Return the lines of what has changed since this was called last."""
    with connection:
        lines = [format_line(name, None) for (name,) in connection.execute("SELECT name FROM cleared")]
        for table, key in _TABLES.items():
            for row in map(dict, connection.execute(for_table(_CHANGED, table))):
                changed = row.pop("changed")
                lines.append(format_line(table, changed if row[key] is None else row))
        connection.execute("DELETE FROM changes")
        connection.execute("DELETE FROM cleared")
    return lines


def all_lines(connection: sqlite3.Connection) -> Iterator[str]:
    """Yield the lines of all rows."""
    for table in _TABLES:
        for row in connection.execute(for_table(_ALL, table)):
            yield format_line(table, dict(row))


def format_line(table: str, change: object) -> str:
    """Return the line of a change."""
    return json.dumps([table, change], separators=(",", ":")) + "\n"


def for_table(statement: str, table: str) -> str:
    """Return a statement for a table."""
    return statement.replace("<table>", table).replace("<key>", _TABLES[table])


def replay(connection: sqlite3.Connection, lines: Iterable[bytes]) -> None:
    """Change the rows of a new ledger as the lines say.

    Raises:
        ValueError: a line is none of a journal.
        sqlite3.Error: a row cannot be written.
    """
    changer = _Changer(connection)
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        # The ledger's own triggers would revise parts and sums with each row. Indexes are made faster in the end.
        dropped = connection.execute(_TRIGGERS_AND_INDEXES).fetchall()
        for kind, name, _ in dropped:
            connection.execute(f"DROP {kind} {name}")
        for line in lines:
            try:
                changer.apply(*parse_line(line))
            except (*_WRONG_VALUES, TypeError) as error:
                raise ValueError(f"{line[:80]!r}: {error}") from None
        connection.execute(_COUNT)
        for _, _, statement in dropped:
            connection.execute(statement)


class _Changer:
    """Applies changes to the rows of a ledger."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._inserts = {table: insert_statement(connection, table) for table in _TABLES}

    def apply(self, table: str, change: object) -> None:
        """Write a row, or delete the one of a key, or all."""
        if isinstance(change, dict):
            self._connection.execute(self._inserts[table], change)
        elif change is None:
            self._connection.execute(for_table(_CLEAR, table))
        else:
            self._connection.execute(for_table(_DELETE, table), (change,))


def insert_statement(connection: sqlite3.Connection, table: str) -> str:
    """Return the statement that writes a row of a table, with its values by the names of the columns."""
    columns = [row["name"] for row in connection.execute(f"PRAGMA table_info({table})")]
    values = ", ".join(f":{column}" for column in columns)
    return for_table(_INSERT, table).replace("<columns>", ", ".join(columns)).replace("<values>", values)


def parse_line(line: bytes) -> tuple[str, object]:
    """Return the table of a line, and its change.

    Raises:
        ValueError: it is none of a journal.
    """
    match json.loads(line):
        case [str(table), change] if table in _TABLES:
            return table, change
    raise ValueError(f"{line[:80]!r} is no change of a ledger")
