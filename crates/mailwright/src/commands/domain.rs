//! `domain add|records` and `dns check`.

use serde_json::{Value, json};

use crate::{
    client::{Client, segment},
    output::{Done, Failure, Output, table},
};

/// Runs `domain add`.
pub async fn add(client: &Client, domain: &str, out: &mut Output) -> Done {
    let document = client.post("/domains", &json!({"domain": domain}), None).await?;
    print_records(&document, out)
}

/// Runs `domain records`.
pub async fn records(client: &Client, domain: &str, out: &mut Output) -> Done {
    let document = client.get(&format!("/domains/{}/records", segment(domain)), &[]).await?;
    print_records(&document, out)
}

fn print_records(document: &Value, out: &mut Output) -> Done {
    let kept = json!({
        "domain": document["domain"], "selector": document["selector"], "records": document["records"],
    });
    out.document(&kept)?;
    out.line(format_args!("Publish these records in the DNS of {}:\n", text(&document["domain"])))?;
    for record in document["records"].as_array().into_iter().flatten() {
        out.line(format_args!(
            "{}  {}\n    {}\n",
            text(&record["name"]),
            text(&record["type"]),
            text(&record["value"])
        ))?;
    }
    out.line(format_args!("Then: mailwright dns check {}", text(&document["domain"])))
}

/// Runs `dns check`: exit 1 when a record is missing or wrong.
pub async fn check(client: &Client, domain: &str, out: &mut Output) -> Done {
    let document = client.post(&format!("/domains/{}/check", segment(domain)), &json!({}), None).await?;
    out.document(&document)?;
    let mut rows =
        vec![vec!["Record".to_owned(), "Type".to_owned(), "Result".to_owned(), "Found".to_owned()]];
    for record in document["records"].as_array().into_iter().flatten() {
        let found =
            record["found"].as_array().map(|all| all.iter().map(text).collect::<Vec<_>>().join(" | "));
        rows.push(vec![
            text(&record["name"]),
            text(&record["type"]),
            text(&record["state"]),
            found.unwrap_or_default().chars().take(80).collect(),
        ]);
    }
    out.line(table(&rows))?;
    for record in document["records"].as_array().into_iter().flatten() {
        if let Some(advice) = record["advice"].as_str().filter(|advice| !advice.is_empty()) {
            out.line(format_args!("{}: {advice}", text(&record["name"])))?;
        }
    }
    if document["ready"] == true { Ok(()) } else { Err(Failure::Told) }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or("").to_owned()
}
