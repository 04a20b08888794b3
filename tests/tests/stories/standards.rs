//! The list of what standards and receivers ask of a sender, `tests/standards.tsv`, names tests that are there; and the
//! corpus of replies holds what large receivers are known to say, with the reaction that is right.

use std::collections::BTreeMap;

use stories::root;

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn each_duty_has_its_test() {
    let list = read("tests/standards.tsv");
    let mut files: BTreeMap<&str, String> = BTreeMap::new();
    let mut missing = Vec::new();
    for line in list.lines().filter(|line| !line.starts_with('#')) {
        let [_, _, file, name] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("four columns: {line}");
        };
        let text = files.entry(file).or_insert_with(|| read(file));
        if !text.contains(&format!("fn {name}(")) {
            missing.push(format!("{file}: {name}"));
        }
    }
    assert!(files.len() > 20 && missing.is_empty(), "{missing:#?}");
}

/// What a reply holds, and what it has to be taken for: the recipient's outcome, whom it blames, and what the path does.
const REACTIONS: [(&str, &str, &str, &str); 27] = [
    (
        "4.7.28 Gmail has detected an unusual rate of email originating from your IP",
        "path",
        "source",
        "slow 50",
    ),
    ("originating from your DKIM domain", "retry", "domain", "none"),
    ("originating from your SPF domain", "retry", "domain", "none"),
    ("containing one of your URL domains", "retry", "url", "none"),
    ("4.7.29", "path", "configuration", "secure_only"),
    ("5.7.26", "held", "domain", "none"),
    ("5.7.27", "held", "domain", "none"),
    ("5.7.30", "held", "domain", "none"),
    ("4.7.32", "retry", "domain", "none"),
    ("450-4.2.1 The user you are trying to contact is receiving", "retry 1800", "recipient", "none"),
    ("452-4.2.2", "retry", "recipient", "none"),
    ("552-5.2.2", "failed", "recipient", "none"),
    ("[TSS04]", "path", "source", "suspend 7200"),
    ("[TSS05]", "path", "source", "suspend 14400"),
    ("[TS03]", "path", "source", "suspend 14400"),
    ("Max message per connection", "path", "source", "fewer_messages"),
    ("[BL", "held", "source", "suspend 7200"),
    ("554 5.7.9", "held", "domain", "none"),
    ("(S3140)", "held", "source", "suspend 7200"),
    ("S775", "path", "source", "slow 10 3600"),
    ("5.7.515", "held", "domain", "none"),
    ("IB007", "path", "source", "fewer_connections"),
    ("RP-00", "path", "source", "fewer_connections"),
    ("[BS02]", "path", "none", "suspend 900"),
    ("[HCM1]", "path", "source", "slow"),
    ("Trop de connexions", "path", "source", "fewer_connections"),
    ("550-5.1.1", "gone", "recipient", "none"),
];

/// That each line of the corpus is taken for what it says there is shown beside the rules; here, that these are among them.
#[test]
fn the_corpus_has_what_large_receivers_are_known_to_say() {
    let corpus = read("crates/smtp/corpus/replies.tsv");
    let lines: Vec<Vec<&str>> =
        corpus.lines().filter(|line| !line.starts_with('#')).map(|line| line.split('\t').collect()).collect();
    let mut wrong = Vec::new();
    for (words, outcome, blames, path) in REACTIONS {
        let found: Vec<&Vec<&str>> =
            lines.iter().filter(|line| line.last().is_some_and(|reply| reply.contains(words))).collect();
        let fits = |line: &&Vec<&str>| {
            line[2].starts_with(outcome) && line[5] == blames && line[6].starts_with(path)
        };
        if !found.iter().any(fits) {
            wrong.push(format!("{words}: {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
