//! The pool of sandboxes: made ahead, claimed by one task each, never reused.

use sqlx::{FromRow, SqliteConnection, SqliteExecutor};

use super::Error;
use crate::clock::Timestamp;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub sandbox_id: String,
    pub subnet_id: String,
    /// Unique within the subnet.
    pub address: String,
    pub mac_address: String,
    pub state: State,
    pub created_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Waits for a task.
    Idle,
    /// Belongs to the task of this ARN until both are gone.
    Claimed(String),
}

#[derive(FromRow)]
struct Columns {
    sandbox_id: String,
    subnet_id: String,
    address: String,
    mac_address: String,
    task_arn: Option<String>,
    created_at: i64,
}

impl From<Columns> for Row {
    fn from(columns: Columns) -> Self {
        let Columns { sandbox_id, subnet_id, address, mac_address, task_arn, created_at } = columns;
        Self {
            sandbox_id,
            subnet_id,
            address,
            mac_address,
            state: task_arn.map_or(State::Idle, State::Claimed),
            created_at: Timestamp(created_at),
        }
    }
}

/// Adds a sandbox. One with the same id, or with the same address in the subnet, is an error.
pub async fn insert(connection: &mut SqliteConnection, row: &Row) -> Result<(), Error> {
    let (state, task_arn) = match &row.state {
        State::Idle => ("idle", None),
        State::Claimed(task_arn) => ("claimed", Some(task_arn)),
    };
    sqlx::query(
        "INSERT INTO sandboxes (sandbox_id, subnet_id, address, mac_address, state, task_arn, created_at)
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(&row.sandbox_id)
    .bind(&row.subnet_id)
    .bind(&row.address)
    .bind(&row.mac_address)
    .bind(state)
    .bind(task_arn)
    .bind(row.created_at.millis())
    .execute(connection)
    .await
    .map_err(Error::attempting("add a sandbox"))?;
    Ok(())
}

/// Gives the oldest idle sandbox of the subnet to the task; `None` where none is idle.
pub async fn claim(
    connection: &mut SqliteConnection,
    subnet_id: &str,
    task_arn: &str,
) -> Result<Option<Row>, Error> {
    sqlx::query_as::<_, Columns>(
        "UPDATE sandboxes SET state = 'claimed', task_arn = ?2 WHERE sandbox_id = (
             SELECT sandbox_id FROM sandboxes WHERE subnet_id = ?1 AND state = 'idle' ORDER BY created_at LIMIT 1)
         RETURNING sandbox_id, subnet_id, address, mac_address, task_arn, created_at",
    )
    .bind(subnet_id)
    .bind(task_arn)
    .fetch_optional(connection)
    .await
    .map(|columns| columns.map(Row::from))
    .map_err(Error::attempting("claim a sandbox"))
}

/// Takes an idle sandbox out of the pool, so that it can be removed; `false` where a task has claimed it meanwhile.
pub async fn withdraw(connection: &mut SqliteConnection, sandbox_id: &str) -> Result<bool, Error> {
    sqlx::query("DELETE FROM sandboxes WHERE sandbox_id = ? AND state = 'idle'")
        .bind(sandbox_id)
        .execute(connection)
        .await
        .map(|done| done.rows_affected() > 0)
        .map_err(Error::attempting("withdraw a sandbox"))
}

/// Forgets whichever sandbox had this address.
pub async fn vacate(connection: &mut SqliteConnection, subnet_id: &str, address: &str) -> Result<(), Error> {
    sqlx::query("DELETE FROM sandboxes WHERE subnet_id = ? AND address = ?")
        .bind(subnet_id)
        .bind(address)
        .execute(connection)
        .await
        .map(drop)
        .map_err(Error::attempting("vacate an address"))
}

/// Every sandbox, the oldest first.
pub async fn load_all(executor: impl SqliteExecutor<'_>) -> Result<Vec<Row>, Error> {
    sqlx::query_as::<_, Columns>(
        "SELECT sandbox_id, subnet_id, address, mac_address, task_arn, created_at FROM sandboxes
         ORDER BY created_at, sandbox_id",
    )
    .fetch_all(executor)
    .await
    .map(|rows| rows.into_iter().map(Row::from).collect())
    .map_err(Error::attempting("load the sandboxes"))
}

/// Forgets the sandbox, whatever its state. Whether there was one.
pub async fn delete(connection: &mut SqliteConnection, sandbox_id: &str) -> Result<bool, Error> {
    sqlx::query("DELETE FROM sandboxes WHERE sandbox_id = ?")
        .bind(sandbox_id)
        .execute(connection)
        .await
        .map(|done| done.rows_affected() > 0)
        .map_err(Error::attempting("delete a sandbox"))
}
