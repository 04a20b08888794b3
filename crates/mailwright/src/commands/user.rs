//! `user …`: people who may sign in.

use serde_json::{Value, json};

use crate::{
    cli::UserCommand,
    client::{Client, segment},
    output::{Done, Output},
};

/// Runs a command about users.
pub async fn run(client: &Client, command: UserCommand, out: &mut Output) -> Done {
    match command {
        UserCommand::Add { name, rights, invite, email } => {
            let mut body = json!({"name": name});
            if let Some(rights) = rights {
                body["rights"] = rights.into();
            }
            if invite || email.is_some() {
                body["email"] = email.unwrap_or_default().into();
                return print_link(&client.post("/invitations", &body, None).await?, out);
            }
            print_password(&client.post("/users", &body, None).await?, out)
        }
        UserCommand::Reset { name, link, second_factor } => {
            let path = format!("/users/{}", segment(&name));
            if second_factor {
                client.delete(&format!("{path}/second-factor")).await?;
            }
            if link {
                return print_link(&client.post(&format!("{path}/link"), &json!({}), None).await?, out);
            }
            print_password(&client.post(&format!("{path}/reset"), &json!({}), None).await?, out)
        }
        UserCommand::Rights { name, rights } => {
            let path = format!("/users/{}", segment(&name));
            let document = client.patch(&path, &json!({"rights": rights})).await?;
            out.document(&document)?;
            out.line(format_args!("User {name}: {}", words(&document["rights"])))
        }
    }
}

fn words(rights: &Value) -> String {
    let names: Vec<&str> = rights.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if names.is_empty() { "no rights".to_owned() } else { names.join(", ") }
}

fn print_password(document: &Value, out: &mut Output) -> Done {
    out.document(document)?;
    out.line(format_args!(
        "User {}, one-time password: {}",
        document["name"].as_str().unwrap_or("?"),
        document["password"].as_str().unwrap_or("?"),
    ))
}

/// The link is a secret: whoever has it is let in as that user.
fn print_link(document: &Value, out: &mut Output) -> Done {
    out.document(document)?;
    let text = |name: &str| document[name].as_str().unwrap_or("?").to_owned();
    let mailed = if document["mailed"] == true { " It was mailed as well." } else { "" };
    out.line(format_args!(
        "User {}, link to choose a password, until {}: {}{mailed}",
        text("name"),
        text("expires_at"),
        text("link")
    ))
}
