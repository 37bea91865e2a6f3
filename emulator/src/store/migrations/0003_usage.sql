-- What tasks that the API has forgotten are billed for. A task's row moves here in the transaction that deletes it from `tasks`.
CREATE TABLE usage (
    task_arn   TEXT    PRIMARY KEY,
    stopped_at INTEGER NOT NULL,
    body       TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
