BEGIN TRANSACTION;
CREATE TABLE about (version INTEGER NOT NULL, destination TEXT NOT NULL);
INSERT INTO "about" VALUES(2,'.');
CREATE TABLE listed_rooms (room_sid TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE owners (kind TEXT PRIMARY KEY, name TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO "owners" VALUES('account','AC11111111111111111111111111111111');
CREATE TABLE queue (position INTEGER PRIMARY KEY, number INTEGER NOT NULL UNIQUE);
INSERT INTO "queue" VALUES(1,1);
INSERT INTO "queue" VALUES(2,2);
INSERT INTO "queue" VALUES(3,3);
INSERT INTO "queue" VALUES(4,4);
INSERT INTO "queue" VALUES(5,5);
INSERT INTO "queue" VALUES(6,6);
CREATE TABLE recordings (
    number INTEGER PRIMARY KEY,
    sid TEXT NOT NULL UNIQUE,
    recording TEXT NOT NULL,
    state TEXT NOT NULL,
    location TEXT,
    bytes INTEGER,
    sha256 TEXT,
    etag TEXT,
    archived_at TEXT,
    deleted_at TEXT,
    error TEXT,
    unproven TEXT,
    room_sid TEXT,
    created REAL,
    size INTEGER
);
INSERT INTO "recordings" VALUES(1,'RT00000000000000000000000000000000','{"sid":"RT00000000000000000000000000000000","url":null,"size":100,"type":null,"codec":null,"links":null,"offset":null,"status":null,"duration":null,"room_sid":"RM00000000000000000000000000000000","source_sid":null,"track_name":null,"account_sid":null,"date_created":"2026-03-01T09:00:00Z","date_deleted":null,"date_updated":null,"grouping_sids":null,"encryption_key":null,"container_format":null,"media_external_location":null}','archived','archive/RM00000000000000000000000000000000/RT00000000000000000000000000000000.mka',100,'abababababababababababababababababababababababababababababababab','"etag"','2026-11-26T02:20:51.349768+00:00',NULL,NULL,NULL,'RM00000000000000000000000000000000',1772355600.0,100);
INSERT INTO "recordings" VALUES(2,'RT00000000000000000000000000000001','{"sid":"RT00000000000000000000000000000001","url":null,"size":101,"type":null,"codec":null,"links":null,"offset":null,"status":null,"duration":null,"room_sid":"RM00000000000000000000000000000001","source_sid":null,"track_name":null,"account_sid":null,"date_created":"2026-03-01T09:01:00Z","date_deleted":null,"date_updated":null,"grouping_sids":null,"encryption_key":null,"container_format":null,"media_external_location":null}','deleted','archive/RM00000000000000000000000000000001/RT00000000000000000000000000000001.mka',101,'abababababababababababababababababababababababababababababababab','"etag"','2026-11-26T02:20:51.351026+00:00','2026-11-26T02:20:51.386953+00:00',NULL,NULL,'RM00000000000000000000000000000001',1772355660.0,101);
INSERT INTO "recordings" VALUES(3,'RT00000000000000000000000000000002','{"sid":"RT00000000000000000000000000000002","url":null,"size":102,"type":null,"codec":null,"links":null,"offset":null,"status":null,"duration":null,"room_sid":"RM00000000000000000000000000000000","source_sid":null,"track_name":null,"account_sid":null,"date_created":"2026-03-01T09:02:00Z","date_deleted":null,"date_updated":null,"grouping_sids":null,"encryption_key":null,"container_format":null,"media_external_location":null}','archived','archive/RM00000000000000000000000000000000/RT00000000000000000000000000000002.mka',102,'abababababababababababababababababababababababababababababababab','"etag"','2026-11-26T02:20:51.374866+00:00',NULL,'refused',NULL,'RM00000000000000000000000000000000',1772355720.0,102);
INSERT INTO "recordings" VALUES(4,'RT00000000000000000000000000000003','{"sid":"RT00000000000000000000000000000003","url":null,"size":103,"type":null,"codec":null,"links":null,"offset":null,"status":null,"duration":null,"room_sid":"RM00000000000000000000000000000001","source_sid":null,"track_name":null,"account_sid":null,"date_created":"2026-03-01T09:03:00Z","date_deleted":null,"date_updated":null,"grouping_sids":null,"encryption_key":null,"container_format":null,"media_external_location":null}','failed',NULL,NULL,NULL,NULL,NULL,NULL,'no key',NULL,'RM00000000000000000000000000000001',1772355780.0,103);
INSERT INTO "recordings" VALUES(5,'RT00000000000000000000000000000004','{"sid":"RT00000000000000000000000000000004","url":null,"size":104,"type":null,"codec":null,"links":null,"offset":null,"status":null,"duration":null,"room_sid":"RM00000000000000000000000000000000","source_sid":null,"track_name":null,"account_sid":null,"date_created":"2026-03-01T09:04:00Z","date_deleted":null,"date_updated":null,"grouping_sids":null,"encryption_key":null,"container_format":null,"media_external_location":null}','found',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'RM00000000000000000000000000000000',1772355840.0,104);
INSERT INTO "recordings" VALUES(6,'RT00000000000000000000000000000005','{"sid":"RT00000000000000000000000000000005","url":null,"size":1,"type":null,"codec":null,"links":null,"offset":null,"status":null,"duration":null,"room_sid":"RM00000000000000000000000000000001","source_sid":null,"track_name":null,"account_sid":null,"date_created":null,"date_deleted":null,"date_updated":null,"grouping_sids":null,"encryption_key":null,"container_format":null,"media_external_location":"https://bucket.example/x"}','external',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'RM00000000000000000000000000000001',NULL,1);
CREATE INDEX recordings_by_state ON recordings (state, number);
CREATE INDEX recordings_by_room ON recordings (room_sid, number);
CREATE INDEX recordings_by_date ON recordings (created);
COMMIT;
