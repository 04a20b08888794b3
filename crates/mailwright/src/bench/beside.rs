//! Sending while something else goes on: an import of recipients into the same database.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use store::Dialect;

use super::Bench;
use super::instance::{Instance, failed};
use super::measure::{RUNS, Sides, scaled};
use super::sender::{HTML_LEN_10K, Sender, Setup, runtime, sink, sink_runtime};
use crate::output::{Done, Failure, Output};

pub const IMPORT: Bench = Bench {
    name: "beside-import",
    about: "signed messages of 10 KB from SQLite while people are imported into the same database, beside sending alone",
    run: import,
};

const MESSAGES: usize = 100_000;
/// Rows of one import; they follow each other until everything is sent.
const ROWS: usize = 200_000;

fn import(out: &mut Output) -> Done {
    let setup = Setup {
        dialect: Dialect::Sqlite,
        recipients: scaled(MESSAGES),
        domains: 10,
        html_len: HTML_LEN_10K,
        connections: 20,
        signed: true,
        in_memory: false,
    };
    let sinks = sink_runtime()?;
    let sink = sink(&sinks)?;
    let mut sides = Sides::default();
    let mut imported = 0;
    runtime()?.block_on(async {
        let sender = Arc::new(Sender::new(&setup, sink.address()).await?);
        let others = others(&sender.instance)?;
        for _ in 0..RUNS {
            sides.bare(sender.send().await?.took);
            let over = Arc::new(AtomicBool::new(false));
            let importing =
                tokio::spawn(keep_importing(Arc::clone(&sender), others.clone(), Arc::clone(&over)));
            let sent = sender.send().await;
            over.store(true, Ordering::Release);
            imported += importing.await.map_err(failed)??;
            let sent = sent?;
            sides.ours(sent.took, sent.peak_bytes);
        }
        sender.engine.shutdown().await.map_err(failed)
    })?;
    out.line(format_args!("  {imported} rows were imported meanwhile"))?;
    sides.print(out, setup.recipients, "at least 85 % of the rate without an import")
}

/// People of another list, so that the target stays as it is.
fn others(instance: &Instance) -> Result<std::path::PathBuf, Failure> {
    let path = instance.dir.path().join("others.csv");
    let file = std::io::BufWriter::new(std::fs::File::create(&path)?);
    testkit::people::write_csv(file, scaled(ROWS), 2)?;
    Ok(path)
}

async fn keep_importing(
    sender: Arc<Sender>,
    file: std::path::PathBuf,
    over: Arc<AtomicBool>,
) -> Result<u64, Failure> {
    let mut rows = 0;
    while !over.load(Ordering::Acquire) {
        rows += sender.instance.import_into("others", &file).await?.counts.rows();
    }
    Ok(rows)
}
