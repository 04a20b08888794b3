//! `import`: streams the file to the server, waits, prints the counts, fetches the rejects.

use std::path::Path;

use reqwest::Body;
use serde_json::{Value, json};

use crate::{
    cli::ImportArgs,
    client::{self, Client, segment},
    output::{Done, Failure, Output, grouped},
};

/// States of an import that do not change any more.
const OVER: [&str; 4] = ["finished", "failed", "cancelled", "interrupted"];

/// Runs `import`.
pub async fn run(client: &Client, args: &ImportArgs, out: &mut Output) -> Done {
    for map in &args.map {
        if map.split_once('=').is_none_or(|(column, field)| column.is_empty() || field.is_empty()) {
            return Err(Failure::Usage(format!("--map takes COLUMN=FIELD, not {map}")));
        }
    }
    let name = file_name(&args.file);
    let mut query = vec![("list", args.list.as_str()), ("file", name.as_str())];
    query.extend(args.map.iter().map(|map| ("map", map.as_str())));
    if let Some(encoding) = &args.encoding {
        query.push(("encoding", encoding));
    }
    if args.dry_run {
        query.push(("dry_run", "true"));
    }
    let started = client.upload("/imports", &query, body(&args.file).await?).await?;
    let id = started["id"].as_str().ok_or_else(|| Failure::refused("the server named no import"))?.to_owned();
    let path = format!("/imports/{}", segment(&id));
    let done = client::wait(
        client,
        &path,
        out,
        |document| OVER.contains(&document["state"].as_str().unwrap_or("")),
        |document| {
            let count = |value: &Value| grouped(value.as_i64().unwrap_or(0));
            format!(
                "{} rows read, {} done",
                count(&document["progress"]["rows_read"]),
                count(&document["rows"])
            )
        },
    )
    .await?;
    if let Some(file) = &args.rejects {
        client.download(&format!("{path}/rejects"), file).await?;
    }
    report(args, &done, out)
}

fn report(args: &ImportArgs, done: &Value, out: &mut Output) -> Done {
    let count = |name: &str| done[name].as_i64().unwrap_or(0);
    let mut document = json!({
        "rows": count("rows"), "created": count("created"), "updated": count("updated"),
        "unchanged": count("unchanged"), "rejected": count("rejected"), "seconds": done["seconds"],
    });
    if done["state"] != "finished" {
        let why = done["error"].as_str().unwrap_or("the import did not finish");
        document["code"] = "import_failed".into();
        document["detail"] = why.into();
        return Err(Failure::Refused { text: why.to_owned(), document });
    }
    out.document(&document)?;
    out.line(format_args!(
        "{}{} rows in {} s: {} created, {} updated, {} unchanged, {} rejected",
        if args.dry_run { "Dry run, nothing changed. " } else { "" },
        grouped(count("rows")),
        done["seconds"],
        grouped(count("created")),
        grouped(count("updated")),
        grouped(count("unchanged")),
        grouped(count("rejected")),
    ))?;
    match &args.rejects {
        Some(file) if count("rejected") > 0 => {
            out.line(format_args!("Rejected rows and why: {}", file.display()))
        }
        None if count("rejected") > 0 => out.line("To see the rejected rows and why, give --rejects FILE."),
        _ => Ok(()),
    }
}

fn file_name(file: &Path) -> String {
    file.file_name().map_or_else(|| "stdin".to_owned(), |name| name.to_string_lossy().into_owned())
}

async fn body(file: &Path) -> Result<Body, Failure> {
    // The kernel's name for standard input, so that a pipe is streamed like a file.
    let path = if file.as_os_str() == "-" { Path::new("/dev/stdin") } else { file };
    let opened = tokio::fs::File::open(path).await;
    Ok(Body::from(opened.map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))?))
}
