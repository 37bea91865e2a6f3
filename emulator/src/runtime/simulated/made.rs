//! The record of created containers. It outlives them, so that a test can compare the engine's state with it.

/// A container that was created; it may have been removed since.
#[derive(Clone, Debug)]
pub struct Made {
    pub container_id: String,
    pub task_id: String,
    pub name: String,
    /// How often it was started; it wrote its lines each time.
    pub starts: u32,
    /// The lines of one start.
    pub lines: u64,
    /// Of its last exit; `None` while it runs.
    pub exit_code: Option<i64>,
}

/// Every container that was created, in order, if that is recorded.
#[derive(Debug, Default)]
pub(super) struct Record(Option<Vec<Made>>);

impl Record {
    /// Starts a new record.
    pub(super) fn begin(&mut self) {
        self.0 = Some(Vec::new());
    }

    pub(super) fn list(&self) -> Vec<Made> {
        self.0.clone().unwrap_or_default()
    }

    pub(super) fn add(&mut self, made: Made) {
        self.0.iter_mut().for_each(|record| record.push(made.clone()));
    }

    pub(super) fn change(&mut self, container_id: &str, change: impl FnOnce(&mut Made)) {
        let mut record = self.0.iter_mut().flatten();
        if let Some(made) = record.rfind(|made| made.container_id == container_id) {
            change(made);
        }
    }
}
