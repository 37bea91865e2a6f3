-- Bodies carry the version of their shape, so that a release reads the bodies of the releases before it.
-- Those written before this migration are version 1.
ALTER TABLE clusters         ADD COLUMN body_version INTEGER NOT NULL DEFAULT 1;
ALTER TABLE task_definitions ADD COLUMN body_version INTEGER NOT NULL DEFAULT 1;
ALTER TABLE tasks            ADD COLUMN body_version INTEGER NOT NULL DEFAULT 1;
ALTER TABLE usage            ADD COLUMN body_version INTEGER NOT NULL DEFAULT 1;
ALTER TABLE log_cursors      ADD COLUMN body_version INTEGER NOT NULL DEFAULT 1;

-- Which revision a task runs: one that live tasks run is not deleted before they have ended.
ALTER TABLE tasks ADD COLUMN task_definition_arn TEXT NOT NULL DEFAULT '';
UPDATE tasks SET task_definition_arn = coalesce(body ->> '$.task_definition_arn', '') WHERE json_valid(body);
CREATE INDEX tasks_live_by_cluster    ON tasks (cluster_arn)         WHERE last_status <> 'STOPPED';
CREATE INDEX tasks_live_by_definition ON tasks (task_definition_arn) WHERE last_status <> 'STOPPED';

-- A revision whose deletion waits for its tasks goes with the last of them, in the transaction that stops it.
CREATE TRIGGER task_definitions_deleted_with_their_last_task
AFTER UPDATE OF last_status ON tasks WHEN NEW.last_status = 'STOPPED'
BEGIN
    DELETE FROM task_definitions
    WHERE arn = NEW.task_definition_arn AND status = 'DELETE_IN_PROGRESS'
      AND NOT EXISTS (
          SELECT 1 FROM tasks WHERE task_definition_arn = NEW.task_definition_arn AND last_status <> 'STOPPED');
END;

-- What RunTask returned for the token: it is returned again after the tasks are forgotten. NULL in older rows.
ALTER TABLE client_tokens ADD COLUMN body         TEXT;
ALTER TABLE client_tokens ADD COLUMN body_version INTEGER NOT NULL DEFAULT 1;
