//! `restore`: a backup into an empty data directory, without a server.

use serde_json::json;
use store::{DirLock, Options, Store};

use crate::{
    cli::{Common, RestoreArgs},
    output::{Done, Failure, Output, grouped},
    server::{ROOMS, prepare},
};

/// Runs `restore`.
pub async fn run(common: &Common, args: &RestoreArgs, out: &mut Output) -> Done {
    let data = common.data.as_deref().ok_or_else(|| Failure::Usage("restore needs --data DIR".to_owned()))?;
    if !args.file.is_file() {
        return Err(Failure::Usage(format!("{} is no file", args.file.display())));
    }
    let data = prepare::make_dir(data)?;
    let refused = |error: store::Error| Failure::refused(error.to_string());
    let _lock = DirLock::acquire(&data).map_err(refused)?;
    let url = prepare::database_url(args.database.as_deref(), &data);
    let store = Store::open(&url, Options::default()).await.map_err(refused)?;
    let report = store.restore(ROOMS, &args.file, &data).await;
    store.close().await;
    let report = report.map_err(refused)?;
    let rows: u64 = report.rows.iter().map(|(_, rows)| rows).sum();
    out.document(&json!({
        "rows": rows, "tables": report.rows.len(), "files": report.files,
    }))?;
    let rows = i64::try_from(rows).unwrap_or(i64::MAX);
    out.line(format_args!("Restored {} rows of {} tables.", grouped(rows), report.rows.len()))?;
    out.line(format_args!("Start it: mailwright serve --data {}", data.display()))
}
