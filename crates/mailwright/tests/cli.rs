//! What scripts rely on without a server: exit status and the one document on standard output.

use std::process::{Command, Output};

use serde_json::{Value, json};

fn mailwright(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mailwright"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("MAILWRIGHT_"))
    {
        command.env_remove(name);
    }
    // Nobody listens on the discard port of this machine.
    command.env("MAILWRIGHT_URL", "http://127.0.0.1:9").args(arguments).output().expect("the program starts")
}

fn status(arguments: &[&str]) -> i32 {
    mailwright(arguments).status.code().expect("no signal ended it")
}

fn document(arguments: &[&str]) -> Value {
    serde_json::from_slice(&mailwright(arguments).stdout).expect("one JSON document")
}

#[test]
fn the_exit_status_says_how_it_ended() {
    assert_eq!(status(&["version"]), 0);
    assert_eq!(status(&["delivery", "status", "1"]), 3);
    for wrong in [
        &["nonsense"][..],
        &["import", "/nowhere.csv", "--list", "x"],
        &["import", "Cargo.toml", "--list", "x", "--map", "y"],
        &["delivery", "push", "/nowhere"],
        &["delivery", "proof", "1"],
        &["serve"],
        &["restore", "/nowhere", "--data", "/tmp/never-made"],
    ] {
        assert_eq!(status(wrong), 2, "{wrong:?}");
    }
    for refused in [&["bounce", "explain", "x.eml"][..], &["reply", "explain", "550 no", "--provider", "x"]] {
        assert_eq!(status(refused), 1, "{refused:?}");
    }
    assert_eq!(status(&["reply", "explain", "not a reply"]), 1);
}

#[test]
fn with_json_there_is_one_document_and_nothing_else() {
    let explained = document(&["reply", "explain", "550 5.1.1 <x@y.example>: user unknown", "--json"]);
    assert_eq!(explained["recipient"], "failed");
    assert_eq!((&explained["type"], &explained["blames"]), (&json!("hard"), &json!("recipient")));
    let words = "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred";
    let explained = document(&["reply", "explain", words, "--provider", "yahoo", "--json"]);
    assert_eq!((&explained["path"], &explained["blames"]), (&json!("suspend"), &json!("source")));
    assert_eq!(document(&["delivery", "status", "1", "--json"])["code"], "unreached");
    assert_eq!(document(&["delivery", "approve", "1", "--snapshot", "x", "--json"])["code"], "unreached");
    assert_eq!(document(&["bounce", "explain", "x.eml", "--json"])["code"], "not_supported");
    let human = mailwright(&["delivery", "status", "1"]);
    assert!(human.stdout.is_empty());
    assert!(String::from_utf8_lossy(&human.stderr).contains("no server reached"));
}
