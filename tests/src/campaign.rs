//! The steps that every story takes, from the command line.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::Server;

/// HTML of a story that is not about content.
pub const HTML: &str = "<!doctype html><html><body><h1>Dear {{ first_name | default('reader') }}</h1>\
    <p><a href=\"https://shop.example/\">Shop</a> <a href=\"{{ unsubscribe_url }}\">Unsubscribe</a></p></body></html>\n";

/// One line of the delivery log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The address as it was imported.
    pub recipient: String,
    /// pending, sent, failed, cancelled or excluded.
    pub state: String,
    /// Tries that count.
    pub attempts: i64,
    /// The receiver's words.
    pub reply: String,
    /// Why, in a word.
    pub reason: String,
    /// Without angle brackets.
    pub message_id: String,
}

/// `delivery.toml` for a list, with a template's usual parts. `more` goes to its end, so it begins with a table.
#[must_use]
pub fn toml(label: &str, list: &str, more: &str) -> String {
    format!(
        "label = \"{label}\"\nsubject = \"{{{{ first_name | default('Hello') }}}}, news from us\"\n\n[sender]\n\
         name = \"Example Shop\"\naddress = \"news@shop.example\"\n\n[target]\ninclude = [{{ list = \"{list}\" }}]\n\n{more}"
    )
}

/// Addresses `{name}{n}@{domain}` in turn over the domains.
#[must_use]
pub fn addresses(count: usize, domains: &[&str]) -> Vec<String> {
    (0..count).map(|n| format!("r{n}@{}", domains[n % domains.len()])).collect()
}

impl Server {
    /// Imports these addresses, each with a first name.
    pub async fn import<S: AsRef<str>>(&self, list: &str, addresses: &[S]) {
        let mut csv = String::from("email,first_name\n");
        for (n, address) in addresses.iter().enumerate() {
            csv.push_str(&format!("{},Name{n}\n", address.as_ref()));
        }
        let file = self.write(&format!("{list}.csv"), csv);
        let done = self.cli(&["import", &file.to_string_lossy(), "--list", list]).await.done();
        assert_eq!(done["rows"].as_u64(), Some(addresses.len() as u64), "{done}");
        assert_eq!(done["rejected"], 0, "{done}");
    }

    /// Pushes a folder of this name with these two files and answers the delivery's id.
    pub async fn push(&self, folder: &str, toml: &str, html: &str) -> String {
        let pushed = self.try_push(folder, toml, html).await.done();
        pushed["id"].as_str().expect("an id").to_owned()
    }

    /// The same, whatever comes of it.
    pub async fn try_push(&self, folder: &str, toml: &str, html: &str) -> crate::Cli {
        self.write(&format!("{folder}/delivery.toml"), toml);
        self.write(&format!("{folder}/content.html"), html);
        self.cli(&["delivery", "push", &self.path(folder).to_string_lossy()]).await
    }

    /// Analyses and waits for the verdict, which must be good. Answers the analysis.
    pub async fn analyze(&self, id: &str) -> Value {
        self.cli(&["delivery", "analyze", id, "--wait"]).await.done()
    }

    /// Confirms what was analysed.
    pub async fn confirm(&self, id: &str) -> Value {
        self.cli(&["delivery", "confirm", id, "--yes"]).await.done()
    }

    /// Imports, pushes, analyses and confirms a delivery to these addresses. Answers its id.
    pub async fn campaign<S: AsRef<str>>(&self, name: &str, addresses: &[S], more: &str) -> String {
        self.import(name, addresses).await;
        let id = self.push(name, &toml(name, name, more), HTML).await;
        let analysis = self.analyze(&id).await;
        assert_eq!(analysis["to_deliver"].as_u64(), Some(addresses.len() as u64), "{analysis}");
        self.confirm(&id).await;
        id
    }

    /// The whole delivery log, by recipient. A recipient with two lines fails the story.
    pub async fn log(&self, id: &str) -> BTreeMap<String, Row> {
        let log = self.cli(&["delivery", "log", id]).await.done();
        let mut rows = BTreeMap::new();
        for line in log.as_array().expect("the log is an array") {
            let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
            let row = Row {
                recipient: text("recipient"),
                state: text("state"),
                attempts: line["attempts"].as_i64().unwrap_or(0),
                reply: text("reply"),
                reason: text("reason"),
                message_id: text("message_id"),
            };
            let double = rows.insert(row.recipient.clone(), row);
            assert!(double.is_none(), "{double:?} stands twice in the log");
        }
        rows
    }

    /// Waits until nothing is left to do now: over, or every pending message waits for its retry.
    pub async fn wait_until_tried(&self, id: &str, limit: Duration) -> Value {
        let end = tokio::time::Instant::now() + limit;
        loop {
            let status = self.status(id).await;
            let pending = status["messages"]["pending"].as_i64();
            let over =
                matches!(status["state"].as_str(), Some("finished" | "stopped" | "cancelled" | "failed"));
            let started = status["state"] != "ready" && status["state"] != "draft";
            if over || started && pending == status["deferred"].as_i64() {
                return status;
            }
            assert!(tokio::time::Instant::now() < end, "still {status}\n{}", self.stderr());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// `verify`: the totals and the rows agree.
    pub async fn verify(&self, id: &str) {
        let verified = self.cli(&["verify", id]).await;
        assert_eq!(verified.status, 0, "{}\n{}", verified.stdout, verified.stderr);
    }
}
