//! The names of Neargate's objects on the engine, and the labels by which they are recognized.
//!
//! Labels decide, names are for users (`docker ps`): an object without the instance's label is never touched.

use std::collections::HashMap;
use std::path::PathBuf;

/// The instance that it belongs to: the id of the data directory. On all objects.
pub(crate) const INSTANCE: &str = "neargate.instance";
/// The path of that data directory, so that `neargate clean` can find out whether its process still runs. On all objects.
pub(crate) const DATA_DIR: &str = "neargate.data-dir";
/// The host name of the machine with that directory: on an engine that several machines share, the same path can be on
/// another machine. On all objects.
pub(crate) const HOST: &str = "neargate.host";
/// The task's id. On containers and volumes.
pub(crate) const TASK: &str = "neargate.task";
/// The container's name in the task definition.
pub(crate) const CONTAINER: &str = "neargate.container";
/// The sandbox's id. On the sandbox and on the containers that joined it.
pub(crate) const SANDBOX: &str = "neargate.sandbox";
/// The protocol of the sandbox's program: `program::line::PROTOCOL` of the release that created it. On the sandbox.
pub(crate) const PROTOCOL: &str = "neargate.protocol";
/// The purpose of a helper; see `limits::helper`. On helpers.
pub(crate) const HELPER: &str = "neargate.helper";
/// The id of the VPC. On networks.
pub(crate) const VPC: &str = "neargate.vpc";

/// Whether a label's value is an id of Neargate: 32 hexadecimal digits. Any user of the engine can forge labels, and ids
/// become names and paths.
pub(crate) fn is_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// One instance of Neargate on the engine.
#[derive(Clone, Debug)]
pub(crate) struct Instance {
    pub(crate) id: String,
    pub(crate) data_dir: PathBuf,
    /// The name of the machine that `data_dir` is on.
    pub(crate) host: String,
}

impl Instance {
    /// An instance with its data directory on this machine.
    pub(crate) fn here(id: String, data_dir: PathBuf) -> Self {
        // Fails only for the empty path.
        let data_dir = std::path::absolute(&data_dir).unwrap_or(data_dir);
        Self { id, data_dir, host: this_host() }
    }

    /// The labels of an object of this instance, with `more` about it.
    pub(crate) fn labels(&self, more: &[(&str, &str)]) -> HashMap<String, String> {
        let mut labels = HashMap::from([
            (INSTANCE.to_owned(), self.id.clone()),
            (DATA_DIR.to_owned(), self.data_dir.display().to_string()),
            (HOST.to_owned(), self.host.clone()),
        ]);
        labels.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        labels
    }

    /// The engine's filter for objects of this instance that have all of `labels` too.
    pub(crate) fn filters(&self, labels: &[(&str, &str)]) -> HashMap<String, Vec<String>> {
        let mut all = vec![format!("{INSTANCE}={}", self.id)];
        all.extend(labels.iter().map(|(key, value)| format!("{key}={value}")));
        HashMap::from([("label".to_owned(), all)])
    }

    /// Whether an object with these labels belongs to this instance.
    pub(crate) fn owns(&self, labels: Option<&HashMap<String, String>>) -> bool {
        labels.and_then(|labels| labels.get(INSTANCE)).is_some_and(|id| *id == self.id)
    }

    pub(crate) fn network(&self, vpc_id: &str) -> String {
        format!("neargate-{}-{vpc_id}", self.short())
    }

    pub(crate) fn sandbox(&self, sandbox_id: &str) -> String {
        format!("neargate-{}-sandbox-{sandbox_id}", self.short())
    }

    pub(crate) fn helper(&self, helper_id: &str) -> String {
        format!("neargate-{}-helper-{}", self.short(), first(helper_id, 8))
    }

    pub(crate) fn container(&self, task_id: &str, name: &str) -> String {
        format!("neargate-{}-{}-{name}", self.short(), first(task_id, 12))
    }

    pub(crate) fn volume(&self, task_id: &str, name: &str) -> String {
        format!("neargate-{}-{task_id}-{name}", self.short())
    }

    fn short(&self) -> &str {
        first(&self.id, 8)
    }
}

/// This machine's host name; empty if it has none.
pub(crate) fn this_host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

fn first(text: &str, length: usize) -> &str {
    text.get(..length).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_32_hexadecimal_digits() {
        for (text, expected) in [
            ("0123456789abcdef0123456789abcdef", true),
            ("0123456789ABCDEF0123456789ABCDEF", false),
            ("0123456789abcdef0123456789abcde", false),
            ("../../../../../../../../../../..", false),
            ("", false),
        ] {
            assert_eq!(is_id(text), expected, "{text:?}");
        }
    }
}
