//! `mailwright`: the binary. Command line, configuration, wiring; everything else lives in the rooms.

mod bench;
mod cli;
mod client;
mod commands;
mod demo;
mod output;
mod server;

use std::process::ExitCode;

use clap::Parser;

use crate::{
    cli::{Cli, Command},
    output::{Done, Output},
};

/// Fragmentation of the system's allocator over days of small, short-lived messages is the reason for another one.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut out = Output::new(cli.common.json);
    match run(cli, &mut out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            out.failure(&failure);
            ExitCode::from(failure.status())
        }
    }
}

fn run(cli: Cli, out: &mut Output) -> Done {
    match &cli.command {
        Command::Serve(args) => server::serve::run(&cli.common, args, out),
        Command::Demo(args) => demo::run(&cli.common, args, out),
        Command::Bench { name } => bench::run(name.as_deref(), out),
        _ => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(commands::run(cli, out))
        }
    }
}
