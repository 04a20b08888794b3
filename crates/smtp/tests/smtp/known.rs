//! Replies of the large receivers and of the common servers, in `known.tsv`: stage, what follows (`gone`: quarantined;
//! `failed`; `retry`), reason, blame, and the reply. Each line is one that a wrong rule has mistaken somewhere.

use smtp::{RecipientOutcome, Reply, Stage, Verdict, classify};

fn shown(verdict: &Verdict) -> String {
    let outcome = match verdict.recipient {
        RecipientOutcome::Failed if verdict.quarantine => "gone".to_owned(),
        RecipientOutcome::Failed => "failed".to_owned(),
        RecipientOutcome::Retry { after_s: Some(seconds) } => format!("retry {seconds}"),
        RecipientOutcome::Retry { after_s: None } if verdict.counts => "retry".to_owned(),
        RecipientOutcome::Retry { after_s: None } => "path".to_owned(),
        RecipientOutcome::Sent => "sent".to_owned(),
    };
    format!("{outcome}\t{}\t{}", verdict.reason.name(), format!("{:?}", verdict.blames).to_lowercase())
}

fn stage(name: &str) -> Stage {
    match name {
        "greeting" => Stage::Greeting,
        "mail" => Stage::Mail,
        "rcpt" => Stage::Rcpt,
        "data" => Stage::Data,
        "dot" => Stage::Dot,
        other => panic!("stage {other}"),
    }
}

#[test]
fn known_replies() {
    let mut wrong = Vec::new();
    let lines = include_str!("known.tsv").lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    for line in lines {
        let (stage_name, rest) = line.split_once('\t').expect("a stage");
        let (expected, text) = rest.rsplit_once('\t').expect("a reply");
        let verdict = classify(&Reply::from_text(text).expect(text), stage(stage_name));
        if shown(&verdict) != expected {
            wrong.push(format!(
                "{text}\n    expected {expected}\n    found    {} by {:?}",
                shown(&verdict),
                verdict.rule
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
