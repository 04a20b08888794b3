//! `bench`: the measurements of this machine, by name. Each prints a ratio against the bare work it stands for.

mod analysis;
mod backlog;
mod bare;
mod beside;
mod compose;
mod cpu;
mod distance;
mod import;
mod instance;
mod measure;
mod pages;
mod postfix;
mod pressure;
mod sender;
mod sending;

use crate::output::{Done, Failure, Output};

/// One measurement.
pub struct Bench {
    /// The name on the command line.
    pub name: &'static str,
    /// What it measures, in one line.
    pub about: &'static str,
    /// Runs it and prints its figures.
    pub run: fn(&mut Output) -> Done,
}

/// All measurements, in the order in which they run.
pub const BENCHES: &[Bench] = &[
    import::SQLITE,
    import::POSTGRES,
    analysis::SQLITE,
    analysis::POSTGRES,
    pressure::SQLITE,
    pressure::POSTGRES,
    compose::BENCH,
    sending::SQLITE,
    sending::SQLITE_30K,
    sending::POSTGRES,
    sending::POSTGRES_30K,
    sending::UNSIGNED,
    postfix::BENCH,
    distance::BENCH,
    beside::IMPORT,
    pages::SQLITE,
    pages::POSTGRES,
    pages::SQLITE_LARGE,
    pages::POSTGRES_LARGE,
    backlog::SMALL,
    backlog::LARGE,
    backlog::SMALL_POSTGRES,
    backlog::LARGE_POSTGRES,
];

/// Runs one measurement, or all.
pub fn run(name: Option<&str>, out: &mut Output) -> Done {
    let chosen: Vec<&Bench> =
        BENCHES.iter().filter(|bench| name.is_none_or(|name| bench.name == name)).collect();
    if let (Some(name), true) = (name, chosen.is_empty()) {
        let names: Vec<&str> = BENCHES.iter().map(|bench| bench.name).collect();
        return Err(Failure::Usage(format!(
            "there is no measurement {name}; there are: {}",
            names.join(", ")
        )));
    }
    if std::env::var_os("MAILWRIGHT_LOG").is_some() {
        crate::server::serve::log_to_stderr();
    }
    for bench in chosen {
        out.line(format_args!("{}: {}", bench.name, bench.about))?;
        (bench.run)(out)?;
    }
    Ok(())
}

/// The runtime of one measurement, as wide as the machine.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

/// What is said where PostgreSQL is not given.
fn skipped(out: &mut Output) -> Done {
    out.line(format_args!("  skipped: there is no PostgreSQL here"))?;
    Ok(())
}
