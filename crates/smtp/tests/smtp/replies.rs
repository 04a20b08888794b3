//! The corpus of replies: each line is taken for what it has to be, each rule is needed by some line, and each rule of a
//! provider stands for a provider that mail is sent to under that name.

use std::collections::{BTreeMap, BTreeSet};

use smtp::{PathAction, RecipientOutcome, Reply, Rules, Stage, Verdict};

const CORPUS: &str = include_str!("../../corpus/replies.tsv");

/// What the corpus has to hold at least.
const LINES_MIN: usize = 400;
const RECEIVERS_MIN: usize = 30;

struct Line<'a> {
    receiver: &'a str,
    stage: Stage,
    expected: String,
    origin: &'a str,
    text: &'a str,
}

fn lines() -> Vec<Line<'static>> {
    let lines = CORPUS.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let columns: Vec<&str> = line.split('\t').collect();
            let [receiver, stage, outcome, category, reason, blames, path, origin, text] = columns[..] else {
                panic!("nine columns: {line:?}")
            };
            let expected = [outcome, category, reason, blames, path].join(" | ");
            Line { receiver, stage: stage_of(stage), expected, origin, text }
        })
        .collect()
}

fn stage_of(name: &str) -> Stage {
    match name {
        "greeting" => Stage::Greeting,
        "mail" => Stage::Mail,
        "rcpt" => Stage::Rcpt,
        "data" => Stage::Data,
        "dot" => Stage::Dot,
        other => panic!("stage {other}"),
    }
}

fn judge(line: &Line<'_>) -> Verdict {
    let site = if line.receiver.starts_with('(') { "" } else { line.receiver };
    Rules::shipped().classify_for(site, &Reply::from_text(line.text).expect(line.text), line.stage)
}

fn shown(verdict: &Verdict) -> String {
    let outcome = match (verdict.recipient, verdict.held) {
        (RecipientOutcome::Failed, _) if verdict.quarantine => "gone".to_owned(),
        (RecipientOutcome::Failed, _) => "failed".to_owned(),
        (RecipientOutcome::Retry { after_s: Some(seconds) }, true) => format!("held {seconds}"),
        (RecipientOutcome::Retry { after_s: Some(seconds) }, false) => format!("retry {seconds}"),
        (RecipientOutcome::Retry { after_s: None }, true) => "held".to_owned(),
        (RecipientOutcome::Retry { after_s: None }, false) if verdict.counts => "retry".to_owned(),
        (RecipientOutcome::Retry { after_s: None }, false) => "path".to_owned(),
        (RecipientOutcome::Sent, _) => "sent".to_owned(),
    };
    let path = match verdict.path {
        PathAction::Suspend { after_s: Some(seconds) } => format!("suspend {seconds}"),
        PathAction::Slow { factor_percent, after_s: Some(seconds), one_connection } => {
            format!("slow {factor_percent} {seconds}{}", if one_connection { " one" } else { "" })
        }
        action => action.name().to_owned(),
    };
    let (category, reason, blames) = (verdict.category.name(), verdict.reason.name(), verdict.blames.name());
    [&outcome, category, reason, blames, &path].join(" | ")
}

#[test]
fn each_reply_is_taken_for_what_it_is() {
    let mut wrong = Vec::new();
    for line in lines() {
        let verdict = judge(&line);
        if shown(&verdict) != line.expected {
            wrong.push(format!(
                "{} {}: {}\n    expected {}\n    found    {} by {:?}",
                line.receiver,
                line.stage,
                line.text,
                line.expected,
                shown(&verdict),
                verdict.rule
            ));
        }
    }
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_corpus_is_broad_and_each_origin_is_named() {
    let lines = lines();
    let receivers: BTreeSet<&str> =
        lines.iter().map(|line| line.receiver).filter(|name| !name.starts_with('(')).collect();
    assert!(lines.len() >= LINES_MIN, "{} lines", lines.len());
    assert!(receivers.len() >= RECEIVERS_MIN, "{} receivers", receivers.len());
    let head: String = CORPUS.lines().take_while(|line| line.starts_with('#')).collect::<Vec<_>>().join(" ");
    let named: BTreeSet<&str> = head.split([' ', ',']).collect();
    let unnamed: BTreeSet<&str> =
        lines.iter().map(|line| line.origin).filter(|origin| !named.contains(origin)).collect();
    assert!(unnamed.is_empty(), "no word about {unnamed:?} in the head");
    let unique: BTreeSet<_> = lines.iter().map(|line| (line.receiver, line.stage, line.text)).collect();
    assert_eq!(unique.len(), lines.len(), "a line stands twice");
}

#[test]
fn no_rule_is_dead() {
    let mut hits: BTreeMap<String, usize> =
        Rules::shipped().names().map(|(name, _)| (name.to_owned(), 0)).collect();
    for line in lines() {
        let verdict = judge(&line);
        if !verdict.rule.is_empty() {
            *hits.get_mut(&*verdict.rule).expect("a shipped rule") += 1;
        }
    }
    let dead: Vec<&String> = hits.iter().filter(|(_, hits)| **hits == 0).map(|(name, _)| name).collect();
    assert!(dead.is_empty(), "no line of the corpus needs {dead:#?}");
}

/// A rule for a provider that no site is called by would never be asked.
#[test]
fn rules_of_providers_are_asked() {
    let table = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../routes/data/providers.toml");
    let table: toml::Table =
        toml::from_str(&std::fs::read_to_string(table).expect("the table")).expect("TOML");
    let providers = table["provider"].as_array().expect("a list");
    let known: BTreeSet<&str> = providers.iter().filter_map(|provider| provider["name"].as_str()).collect();
    for (rule, sites) in Rules::shipped().names() {
        for site in sites {
            // With a dot it is the name that the MX hosts of an unlisted site share.
            assert!(site.contains('.') || known.contains(site.as_str()), "{rule}: no provider {site}");
        }
    }
}

/// What a provider says in its own words is still no fault of its recipients where the provider is not known.
#[test]
fn no_block_quarantines_without_its_provider() {
    for line in lines().iter().filter(|line| !line.expected.starts_with("gone")) {
        let reply = Reply::from_text(line.text).expect(line.text);
        let verdict = smtp::classify(&reply, line.stage);
        let of_its_own = ["docomo", "au", "qq"].contains(&line.receiver);
        assert!(!verdict.quarantine || of_its_own, "{} by {:?}: {}", line.receiver, verdict.rule, line.text);
    }
}
