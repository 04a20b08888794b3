//! `block …` and `template …`: what deliveries have in common.

use std::{collections::BTreeMap, path::PathBuf};

use serde_json::{Value, json};

use crate::{
    client::{Client, segment},
    output::{Done, Failure, Output},
};

/// Names that a list prints in one page.
const PAGE: &str = "500";

/// Runs `block push`. A form that no file brings stays as it is.
pub async fn push_blocks(client: &Client, files: &[PathBuf], out: &mut Output) -> Done {
    let mut blocks: BTreeMap<String, Value> = BTreeMap::new();
    for file in files {
        let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or("");
        let form = match ending {
            "html" | "htm" => "html",
            "txt" => "text",
            _ => {
                let text = format!("{}: a block is in NAME.html and NAME.txt", file.display());
                return Err(Failure::Usage(text));
            }
        };
        let name = file.file_stem().and_then(|name| name.to_str()).unwrap_or("");
        let source = std::fs::read_to_string(file)
            .map_err(|error| Failure::refused(format!("{}: {error}", file.display())))?;
        blocks.entry(name.to_owned()).or_insert_with(|| json!({}))[form] = json!(source);
    }
    let mut saved = Vec::new();
    for (name, forms) in blocks {
        saved.push(push_block(client, &name, forms).await?);
    }
    out.document(&json!({ "items": saved }))?;
    for block in &saved {
        out.line(format_args!("Block {} is saved.", block["name"].as_str().unwrap_or("?")))?;
    }
    Ok(())
}

async fn push_block(client: &Client, name: &str, mut forms: Value) -> Result<Value, Failure> {
    let path = format!("/blocks/{}", segment(name));
    let before = client.get("/blocks", &[("search", name), ("limit", PAGE)]).await?;
    let known = before["items"].as_array().into_iter().flatten().find(|block| block["name"] == name);
    for field in ["html", "text", "label", "visible"] {
        if forms[field].is_null()
            && let Some(known) = known
        {
            forms[field] = known[field].clone();
        }
    }
    if let Value::Object(fields) = &mut forms {
        fields.retain(|_, value| !value.is_null());
    }
    client.put(&path, &forms).await
}

/// Runs `block list`.
pub async fn list_blocks(client: &Client, out: &mut Output) -> Done {
    list(client, "/blocks", "name", out).await
}

/// Runs `template list`.
pub async fn list_templates(client: &Client, out: &mut Output) -> Done {
    list(client, "/templates", "label", out).await
}

async fn list(client: &Client, path: &str, field: &str, out: &mut Output) -> Done {
    let mut items: Vec<Value> = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut query = vec![("limit", PAGE)];
        query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let page = client.get(path, &query).await?;
        items.extend(page["items"].as_array().into_iter().flatten().cloned());
        cursor = page["next"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    out.document(&json!({ "items": items }))?;
    for item in &items {
        out.line(item[field].as_str().unwrap_or(""))?;
    }
    Ok(())
}

/// Runs `template save`.
pub async fn save_template(client: &Client, id: &str, name: &str, out: &mut Output) -> Done {
    let document = client.post("/templates", &json!({"delivery": id, "name": name}), None).await?;
    out.document(&json!({"id": document["id"], "name": document["label"]}))?;
    out.line(format_args!(
        "Template {name:?} is kept. To start from it: template = {name:?} in delivery.toml"
    ))
}
