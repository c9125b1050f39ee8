//! Watches, and what ends them.

use kube::runtime::watcher;

use crate::AccessError;

/// In seconds. A watch that ends no later shows that its connection is dead, which is said by nothing else.
const LONGEST: u32 = 30;

/// How everything is watched.
pub(super) fn config() -> watcher::Config {
    watcher::Config::default().timeout(LONGEST)
}

/// Nobody may watch that; trying again is of no use.
pub(super) fn is_forbidden(error: &watcher::Error) -> bool {
    matches!(cause(error), AccessError::Refused { status: 401 | 403, .. })
}

/// What a watch has failed for.
pub(super) fn cause(error: &watcher::Error) -> AccessError {
    use watcher::Error::{InitialListFailed, NoResourceVersion, WatchFailed, WatchStartFailed};
    match error {
        InitialListFailed(error) | WatchStartFailed(error) | WatchFailed(error) => AccessError::of(error),
        watcher::Error::WatchError(status) => AccessError::refused(status.code, &status.message),
        NoResourceVersion => AccessError::Unreadable(error.to_string()),
    }
}
