//! A panic in a transaction closure ends that transaction, not the thread that owns the connection.

use crate::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `f`; a panic becomes [`Error::Panicked`] with its text.
pub(crate) fn caught<T>(f: impl FnOnce() -> T) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|panic| {
        let text = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_string())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no text".into());
        tracing::error!(panic = %text, "a database transaction panicked and was rolled back");
        Error::Panicked(text)
    })
}
