"""What a run reads of a ledger instead of all its recordings, so that its cost is that of what is new."""

from __future__ import annotations

from typing import Final

PART_SIZE: Final = 1_000
"""Recordings whose rows are in one part of the manifest, by their numbers. The triggers below have it, too."""

# The sums of the report, the parts of the manifest with a revision that grows whenever a row of theirs changes, what
# was written of the manifest, and what has failed how often. Triggers keep the first two right, whoever writes to the
# recordings. A ledger that has none of these gets them once; it still has the queue of its last run.
TRACKING: Final = """
BEGIN IMMEDIATE;
DROP TABLE IF EXISTS main.queue;
CREATE TABLE failures (number INTEGER PRIMARY KEY, attempts INTEGER NOT NULL, retry_at REAL);
CREATE TABLE manifest_files (name TEXT PRIMARY KEY, revision INTEGER NOT NULL, version TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE counts (state TEXT PRIMARY KEY, recordings INTEGER NOT NULL, bytes INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO counts SELECT state, count(*), CAST(total(bytes) AS INTEGER) FROM recordings GROUP BY state;
CREATE TABLE parts (part INTEGER PRIMARY KEY, revision INTEGER NOT NULL);
INSERT INTO parts SELECT DISTINCT (number - 1) / 1000, 1 FROM recordings;

CREATE TRIGGER recording_added AFTER INSERT ON recordings BEGIN
    INSERT INTO counts VALUES (NEW.state, 1, ifnull(NEW.bytes, 0)) ON CONFLICT (state) DO UPDATE SET
        recordings = recordings + 1, bytes = bytes + excluded.bytes;
    INSERT INTO parts VALUES ((NEW.number - 1) / 1000, 1) ON CONFLICT (part) DO UPDATE SET revision = revision + 1;
END;

CREATE TRIGGER recording_removed AFTER DELETE ON recordings BEGIN
    UPDATE counts SET recordings = recordings - 1, bytes = bytes - ifnull(OLD.bytes, 0) WHERE state = OLD.state;
    UPDATE parts SET revision = revision + 1 WHERE part = (OLD.number - 1) / 1000;
END;

CREATE TRIGGER recording_counted AFTER UPDATE OF state, bytes ON recordings
WHEN (OLD.state, OLD.bytes) IS NOT (NEW.state, NEW.bytes)
BEGIN
    UPDATE counts SET recordings = recordings - 1, bytes = bytes - ifnull(OLD.bytes, 0) WHERE state = OLD.state;
    INSERT INTO counts VALUES (NEW.state, 1, ifnull(NEW.bytes, 0)) ON CONFLICT (state) DO UPDATE SET
        recordings = recordings + 1, bytes = bytes + excluded.bytes;
END;

CREATE TRIGGER recording_changed AFTER UPDATE ON recordings
WHEN (OLD.recording, OLD.state, OLD.location, OLD.bytes, OLD.sha256, OLD.etag, OLD.archived_at, OLD.deleted_at,
      OLD.error, OLD.unproven)
    IS NOT (NEW.recording, NEW.state, NEW.location, NEW.bytes, NEW.sha256, NEW.etag, NEW.archived_at, NEW.deleted_at,
            NEW.error, NEW.unproven)
BEGIN
    INSERT INTO parts VALUES ((NEW.number - 1) / 1000, 1) ON CONFLICT (part) DO UPDATE SET revision = revision + 1;
END;
COMMIT;
"""

DROP_TRACKING: Final = """
DROP TABLE IF EXISTS failures;
DROP TABLE IF EXISTS manifest_files;
DROP TABLE IF EXISTS counts;
DROP TABLE IF EXISTS parts;
"""
"""Drops the tables. The triggers go with the recordings."""
