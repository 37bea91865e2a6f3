-- What the engine keeps. A row holds the columns that a query needs, and the whole thing as JSON in `body`.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE clusters (
    arn     TEXT PRIMARY KEY,
    account TEXT NOT NULL,
    region  TEXT NOT NULL,
    name    TEXT NOT NULL,
    status  TEXT NOT NULL,
    body    TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX clusters_by_name ON clusters (account, region, name);

-- The last revision that a family gave out. It outlives the revisions: a number is never given twice.
CREATE TABLE families (
    account       TEXT    NOT NULL,
    region        TEXT    NOT NULL,
    family        TEXT    NOT NULL,
    last_revision INTEGER NOT NULL,
    PRIMARY KEY (account, region, family)
) STRICT, WITHOUT ROWID;

CREATE TABLE task_definitions (
    arn      TEXT    PRIMARY KEY,
    account  TEXT    NOT NULL,
    region   TEXT    NOT NULL,
    family   TEXT    NOT NULL,
    revision INTEGER NOT NULL,
    status   TEXT    NOT NULL,
    body     TEXT    NOT NULL
) STRICT;
CREATE UNIQUE INDEX task_definitions_by_revision ON task_definitions (account, region, family, revision);

CREATE TABLE tasks (
    arn         TEXT    PRIMARY KEY,
    cluster_arn TEXT    NOT NULL,
    last_status TEXT    NOT NULL,
    stopped_at  INTEGER,
    body        TEXT    NOT NULL
) STRICT;
CREATE INDEX tasks_stopped ON tasks (stopped_at) WHERE stopped_at IS NOT NULL;

CREATE TABLE client_tokens (
    scope      TEXT    NOT NULL,
    token      TEXT    NOT NULL,
    digest     TEXT    NOT NULL,
    task_arns  TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (scope, token)
) STRICT, WITHOUT ROWID;
CREATE INDEX client_tokens_by_age ON client_tokens (created_at);

CREATE TABLE sandboxes (
    sandbox_id  TEXT    PRIMARY KEY,
    subnet_id   TEXT    NOT NULL,
    address     TEXT    NOT NULL,
    mac_address TEXT    NOT NULL,
    state       TEXT    NOT NULL CHECK (state IN ('idle', 'claimed')),
    task_arn    TEXT    CHECK ((state = 'claimed') = (task_arn IS NOT NULL)),
    created_at  INTEGER NOT NULL,
    UNIQUE (subnet_id, address)
) STRICT, WITHOUT ROWID;
CREATE INDEX sandboxes_idle ON sandboxes (subnet_id, created_at) WHERE state = 'idle';
