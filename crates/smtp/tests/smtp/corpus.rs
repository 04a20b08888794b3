//! Real replies with another project's judgement, where the folder with them is present (`MAILWRIGHT_CORPUS`, or
//! `../shared/corpus` beside the workspace). It is not ours to ship, so without it these tests have nothing to do.

use std::path::{Path, PathBuf};

use smtp::{Enhanced, Reply, Stage, Verdict, classify_for};

/// Reasons that blame the sender, the message or the receiver: none of them may cost a recipient its address. ("expired"
/// is not among them: it is what a bounce says of its own queue, whatever the receiver said.)
const NEVER: &[&str] = &[
    "authfailure",
    "badreputation",
    "blocked",
    "contenterror",
    "exceedlimit",
    "failedstarttls",
    "mesgtoobig",
    "networkerror",
    "norelaying",
    "notcompliantrfc",
    "policyviolation",
    "rejected",
    "requireptr",
    "securityerror",
    "spamdetected",
    "speeding",
    "syntaxerror",
    "systemerror",
    "systemfull",
    "toomanyconn",
    "virusdetected",
    "ratelimited",
];

struct Line {
    file: String,
    remote: String,
    reason: String,
    text: String,
    reply: Reply,
}

fn folder() -> Option<PathBuf> {
    let named = std::env::var_os("MAILWRIGHT_CORPUS").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    named.or(Some(beside)).filter(|folder| folder.join("replies.tsv").is_file())
}

fn lines(folder: &Path) -> Vec<Line> {
    let text = std::fs::read_to_string(folder.join("replies.tsv")).expect("readable");
    text.lines().skip(1).filter_map(read_line).collect()
}

/// Columns: file, remote, status, reply code, reason, hard, text.
fn read_line(line: &str) -> Option<Line> {
    let columns: Vec<&str> = line.split('\t').collect();
    let [file, remote, status, code, reason, _, text] = columns[..] else {
        panic!("seven columns: {line:?}")
    };
    let mut reply = match Reply::from_text(text) {
        Some(reply) => reply,
        None => {
            let class = status.get(..1).and_then(|digit| digit.parse::<u16>().ok()).unwrap_or(5);
            Reply::new(code.parse().unwrap_or(class * 100 + 50), text)
        }
    };
    // The status of a bounce is what its own server made of the reply; where the text has none it is all there is.
    let agreed = Enhanced::parse(status).filter(|found| u16::from(found.class) == reply.code / 100);
    reply.enhanced = reply.enhanced.or(agreed.filter(|found| (found.subject, found.detail) != (0, 0)));
    (reply.code >= 400).then(|| Line {
        file: file.to_owned(),
        remote: remote.to_owned(),
        reason: reason.to_owned(),
        text: text.to_owned(),
        reply,
    })
}

/// What was answered, where the bounce says so; RCPT otherwise.
fn stage(folder: &Path, file: &str) -> Stage {
    let bytes = std::fs::read(folder.join("bounces").join(file)).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).split_whitespace().collect::<Vec<_>>().join(" ");
    let said = |command: &str| text.contains(&format!("(in reply to {command}"));
    match () {
        () if said("end of DATA") => Stage::Dot,
        () if said("DATA") => Stage::Data,
        () if said("MAIL FROM") => Stage::Mail,
        () => Stage::Rcpt,
    }
}

fn judged(folder: &Path) -> Vec<(Line, Verdict)> {
    let judge = |line: Line| {
        // The one receiver there whose words mean something else than elsewhere.
        let provider = if line.remote.ends_with(".docomo.ne.jp") { "docomo" } else { "" };
        let verdict = classify_for(provider, &line.reply, stage(folder, &line.file));
        (line, verdict)
    };
    lines(folder).into_iter().map(judge).collect()
}

#[test]
fn a_policy_or_a_block_never_quarantines() {
    let Some(folder) = folder() else { return };
    let wrong: Vec<String> = judged(&folder)
        .iter()
        .filter(|(line, verdict)| NEVER.contains(&line.reason.as_str()) && verdict.quarantine)
        .map(|(line, verdict)| {
            format!("{} {:?} by {:?}: {}", line.file, line.reason, verdict.rule, line.text)
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn an_unknown_user_always_does() {
    let Some(folder) = folder() else { return };
    let judged = judged(&folder);
    let unknown =
        judged.iter().filter(|(line, _)| matches!(line.reason.as_str(), "userunknown" | "hasmoved"));
    let wrong: Vec<String> = unknown
        .clone()
        .filter(|(line, verdict)| line.reply.is_permanent() && !verdict.quarantine)
        .map(|(line, verdict)| format!("{} by {:?}: {}", line.file, verdict.rule, line.text))
        .collect();
    assert!(unknown.count() > 0 && wrong.is_empty(), "{wrong:#?}");
}
