//! `demo`: everything on one machine, nothing leaving it.

use crate::{
    cli::{Common, DemoArgs},
    output::{Done, Failure, Output},
};

/// Runs `demo`.
pub fn run(_common: &Common, _args: &DemoArgs, _out: &mut Output) -> Done {
    Err(Failure::not_supported("demo"))
}
