//! The limit of open files: each followed container, published port and client needs one, and most shells allow 1,024.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The largest number of concurrent connections.
const MOST_CONNECTIONS: u64 = 4096;

/// Raises the soft limit to the hard one, and returns it; `None` means no limit.
pub(super) fn raise() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum,
        Err(error) => {
            tracing::warn!(%error, "could not raise the limit of open files; it stays at {current:?}");
            current
        }
    }
}

/// The number of concurrent connections: at most half of the open files, so that clients cannot use up those of the store and
/// the containers.
pub(super) fn connections(open_files: Option<u64>) -> usize {
    let half = open_files.map_or(MOST_CONNECTIONS, |files| files / 2);
    usize::try_from(half.clamp(1, MOST_CONNECTIONS)).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_becomes_the_hard_one_and_connections_take_at_most_half_of_it() {
        let raised = raise();
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        assert_eq!((raised, current), (maximum, maximum));
        assert_eq!([Some(256), Some(1 << 20), None].map(connections), [128, 4096, 4096]);
    }
}
