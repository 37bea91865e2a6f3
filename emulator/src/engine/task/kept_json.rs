//! What a client reads of a task, kept with the task: clients ask for the same task again and again while they wait for it.

use std::sync::OnceLock;

use serde_json::value::RawValue;

/// JSON that follows from the rest of a task alone. A clone has none, because it is about to be changed.
#[derive(Debug, Default)]
pub struct KeptJson(OnceLock<Box<RawValue>>);

impl KeptJson {
    /// The kept text, or what `render` returns, which is kept from then on.
    ///
    /// # Errors
    /// Those of `render`.
    pub fn get_or_render<E>(
        &self,
        render: impl FnOnce() -> Result<Box<RawValue>, E>,
    ) -> Result<&RawValue, E> {
        if let Some(kept) = self.0.get() {
            return Ok(kept);
        }
        let rendered = render()?;
        Ok(self.0.get_or_init(|| rendered))
    }
}

impl Clone for KeptJson {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for KeptJson {
    /// It is no property of a task.
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
