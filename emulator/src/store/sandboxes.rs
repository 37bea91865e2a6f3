//! The pool of sandboxes: created in advance, claimed by one task each, never reused.

use sqlx::sqlite::SqliteRow;
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

/// The columns of [`Columns`].
macro_rules! columns {
    () => {
        "sandbox_id, subnet_id, address, mac_address, task_arn, created_at"
    };
}

impl FromRow<'_, SqliteRow> for Row {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        let Columns { sandbox_id, subnet_id, address, mac_address, task_arn, created_at } =
            Columns::from_row(row)?;
        Ok(Self {
            sandbox_id,
            subnet_id,
            address,
            mac_address,
            state: task_arn.map_or(State::Idle, State::Claimed),
            created_at: Timestamp(created_at),
        })
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

/// Assigns the oldest idle sandbox of the subnet to the task; `None` if none is idle.
pub async fn claim(
    connection: &mut SqliteConnection,
    subnet_id: &str,
    task_arn: &str,
) -> Result<Option<Row>, Error> {
    sqlx::query_as::<_, Row>(concat!(
        "UPDATE sandboxes SET state = 'claimed', task_arn = ?2 WHERE sandbox_id = (
             SELECT sandbox_id FROM sandboxes WHERE subnet_id = ?1 AND state = 'idle' ORDER BY created_at LIMIT 1)
         RETURNING ",
        columns!(),
    ))
    .bind(subnet_id)
    .bind(task_arn)
    .fetch_optional(connection)
    .await
    .map_err(Error::attempting("claim a sandbox"))
}

/// Adds a sandbox to which the runtime has just given its address: a row that has the same one is of a sandbox that is
/// gone. It is deleted and returned.
pub async fn replace(connection: &mut SqliteConnection, row: &Row) -> Result<Option<Row>, Error> {
    let gone = sqlx::query_as::<_, Row>(concat!(
        "DELETE FROM sandboxes WHERE subnet_id = ? AND address = ?
         RETURNING ",
        columns!(),
    ))
    .bind(&row.subnet_id)
    .bind(&row.address)
    .fetch_optional(&mut *connection)
    .await
    .map_err(Error::attempting("vacate an address"))?;
    insert(connection, row).await?;
    Ok(gone)
}

/// Takes an idle sandbox out of the pool, so that it can be removed; `None` if it is not there, or a task has claimed it.
pub async fn withdraw(connection: &mut SqliteConnection, sandbox_id: &str) -> Result<Option<Row>, Error> {
    sqlx::query_as::<_, Row>(concat!(
        "DELETE FROM sandboxes WHERE sandbox_id = ? AND state = 'idle'
         RETURNING ",
        columns!(),
    ))
    .bind(sandbox_id)
    .fetch_optional(connection)
    .await
    .map_err(Error::attempting("withdraw a sandbox"))
}

pub async fn get(executor: impl SqliteExecutor<'_>, sandbox_id: &str) -> Result<Option<Row>, Error> {
    sqlx::query_as::<_, Row>(concat!(
        "SELECT ",
        columns!(),
        " FROM sandboxes
         WHERE sandbox_id = ?"
    ))
    .bind(sandbox_id)
    .fetch_optional(executor)
    .await
    .map_err(Error::attempting("read a sandbox"))
}

/// The sandboxes that no task has claimed, the oldest of each subnet first.
pub async fn idle(executor: impl SqliteExecutor<'_>) -> Result<Vec<Row>, Error> {
    sqlx::query_as::<_, Row>(concat!(
        "SELECT ",
        columns!(),
        " FROM sandboxes
         WHERE state = 'idle' ORDER BY subnet_id, created_at"
    ))
    .fetch_all(executor)
    .await
    .map_err(Error::attempting("list the idle sandboxes"))
}

/// Every sandbox, the oldest first.
pub async fn load_all(executor: impl SqliteExecutor<'_>) -> Result<Vec<Row>, Error> {
    sqlx::query_as::<_, Row>(concat!(
        "SELECT ",
        columns!(),
        " FROM sandboxes
         ORDER BY created_at, sandbox_id"
    ))
    .fetch_all(executor)
    .await
    .map_err(Error::attempting("load the sandboxes"))
}

/// Forgets the sandbox, in any state, and returns what was known of it.
pub async fn delete(connection: &mut SqliteConnection, sandbox_id: &str) -> Result<Option<Row>, Error> {
    sqlx::query_as::<_, Row>(concat!(
        "DELETE FROM sandboxes WHERE sandbox_id = ?
         RETURNING ",
        columns!(),
    ))
    .bind(sandbox_id)
    .fetch_optional(connection)
    .await
    .map_err(Error::attempting("delete a sandbox"))
}
