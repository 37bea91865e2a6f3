-- CloudWatch Logs.

CREATE TABLE log_groups (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    account        TEXT    NOT NULL,
    region         TEXT    NOT NULL,
    name           TEXT    NOT NULL,
    class          TEXT    NOT NULL,
    created_at     INTEGER NOT NULL,
    retention_days INTEGER,
    kms_key_id     TEXT,
    is_protected   INTEGER NOT NULL,
    tags           TEXT    NOT NULL,
    UNIQUE (account, region, name)
) STRICT;

-- Sums and ends are kept here, so that describing a stream never reads its events.
CREATE TABLE log_streams (
    id                INTEGER PRIMARY KEY AUTOINCREMENT,
    group_id          INTEGER NOT NULL REFERENCES log_groups ON DELETE CASCADE,
    name              TEXT    NOT NULL,
    created_at        INTEGER NOT NULL,
    first_event_at    INTEGER,
    last_event_at     INTEGER,
    last_ingestion_at INTEGER,
    stored_bytes      INTEGER NOT NULL DEFAULT 0,
    -- What the next event is numbered. A number is never given twice in a stream.
    next_sequence     INTEGER NOT NULL DEFAULT 0,
    UNIQUE (group_id, name)
) STRICT;

-- Events, packed. The blocks of a stream are disjoint: each ends before the next begins, in the order of
-- (timestamp, sequence), which is the order in which the stream is read.
CREATE TABLE log_blocks (
    id              INTEGER PRIMARY KEY,
    stream_id       INTEGER NOT NULL REFERENCES log_streams ON DELETE CASCADE,
    first_timestamp INTEGER NOT NULL,
    first_sequence  INTEGER NOT NULL,
    last_timestamp  INTEGER NOT NULL,
    events          BLOB    NOT NULL
) STRICT;
CREATE UNIQUE INDEX log_blocks_in_order ON log_blocks (stream_id, first_timestamp, first_sequence);

-- How far each container's output has been followed.
CREATE TABLE log_cursors (
    container_id TEXT PRIMARY KEY,
    body         TEXT NOT NULL
) STRICT, WITHOUT ROWID;
