//! `reply explain`: what a receiver's words mean, by the same function that the engine asks. No server needed.

use crate::output::{Done, Failure, Output};

/// Runs `reply explain`.
pub fn explain(_text: &str, _provider: Option<&str>, _out: &mut Output) -> Done {
    Err(Failure::not_supported("reply explain"))
}
