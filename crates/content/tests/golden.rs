//! The golden corpus: deliveries of each format, encoding, structure and several scripts, compiled, evaluated and
//! composed with fixed ids, keys and time. What comes out is kept in `tests/golden/mail`: `NAME.eml`, and beside it
//! `NAME.json`, which says what a reader must find in it. Parsers that are not ours read them back
//! (`tests/python/test_golden.py`, `tests/node/golden.test.mjs`).
//!
//! The cases stand in `tests/golden/*.toml`, what has to come out written by hand. `MAILWRIGHT_GOLDEN=rewrite cargo
//! test -p content --test golden` writes the mail anew: look at the difference before it is committed.

#![allow(clippy::unwrap_used)] // a test may panic

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use content::{
    AttachmentDraft, Block, CodeKey, CompileOptions, Draft, Fields, FormatChoice, FormatRule, ImageChoice,
    LinkChoice, NamedAsset, compile,
};
use message::{Charset, DkimKey, Envelope, KeyKind, PartName, Prepared, Signer, Stamp, TokenKeys, compose};
use serde::Deserialize;
use serde_json::{Value, json};

const PUBLIC_URL: &str = "https://t.shop.example";
/// HTML up to this size is kept whole in what a reader must find.
const HTML_KEPT_MAX: usize = 3_000;
/// Thu, 26 Nov 2026 10:13:00 UTC.
const TIME_US: i64 = 1_795_687_980_123_456;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases {
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// Folder of a starting template below `crates/delivery/starters`.
    #[serde(default)]
    starter: String,
    /// Columns of the recipient; `email` is there.
    recipient: BTreeMap<String, String>,
    #[serde(default)]
    draft: DraftOf,
    #[serde(default)]
    rules: Vec<FormatRule>,
    #[serde(default)]
    blocks: BTreeMap<String, Block>,
    /// Prefix of a proof's subject.
    #[serde(default)]
    proof: String,
    /// `LONG` in both bodies becomes this text so many times.
    #[serde(default)]
    long: Option<Long>,
    expect: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct Long {
    #[serde(rename = "LONG")]
    text: String,
    times: usize,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct DraftOf {
    from_name: String,
    reply_to: String,
    subject: String,
    preheader: String,
    html: Option<String>,
    mjml: Option<String>,
    text: Option<String>,
    amp: Option<String>,
    headers: Vec<(String, String)>,
    precedence: String,
    inline_css: bool,
    personalise: Option<bool>,
    image_mode: ImageChoice,
    image_inline: Vec<String>,
    link_choices: Vec<LinkChoice>,
    utm: BTreeMap<String, String>,
    track_clicks: bool,
    track_opens: bool,
    attachments: Vec<FileOf>,
    encoding: String,
    format: FormatChoice,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileOf {
    file: String,
    name: String,
    #[serde(default)]
    when: String,
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Files by their names in the content, with their bytes by hash.
struct Files {
    assets: Vec<NamedAsset>,
    bytes: BTreeMap<String, Arc<[u8]>>,
}

fn files(folder: &Path) -> Files {
    let mut files = Files { assets: Vec::new(), bytes: BTreeMap::new() };
    let Ok(entries) = std::fs::read_dir(folder) else { return files };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        let bytes = std::fs::read(&path).unwrap();
        let kind = match path.extension().unwrap().to_str().unwrap() {
            "jpg" => "image/jpeg",
            "gif" => "image/gif",
            "pdf" => "application/pdf",
            _ => "image/png",
        };
        let hash = blake3::hash(&bytes).to_hex().to_string();
        files.assets.push(NamedAsset {
            name: path.file_name().unwrap().to_str().unwrap().to_owned(),
            hash: hash.clone(),
            content_type: kind.to_owned(),
            size: bytes.len() as u64,
            width: if kind == "application/pdf" { 0 } else { 24 },
            height: if kind == "application/pdf" { 0 } else { 16 },
            ..NamedAsset::default()
        });
        files.bytes.insert(hash, bytes.into());
    }
    files
}

/// A starting template's texts put into the case.
fn with_starter(case: &mut Case, folder: &Path) {
    let toml: toml::Table = read(&folder.join("delivery.toml")).parse().unwrap();
    let text = |value: &toml::Value| value.as_str().unwrap().to_owned();
    case.draft.subject = text(&toml["subject"]);
    case.draft.preheader = text(&toml["preheader"]);
    case.draft.from_name = text(&toml["sender"]["name"]);
    case.draft.inline_css = toml["content"]["inline_css"].as_bool().unwrap();
    case.draft.text = Some(read(&folder.join("content.txt")));
    match folder.join("content.mjml") {
        mjml if mjml.exists() => case.draft.mjml = Some(read(&mjml)),
        _ => case.draft.html = Some(read(&folder.join("content.html"))),
    }
    case.draft.track_clicks = true;
    case.draft.track_opens = true;
}

fn draft(case: &Case, files: &Files) -> Draft {
    let given = &case.draft;
    let long = |text: &String| match &case.long {
        Some(long) => text.replace("LONG", &long.text.repeat(long.times)),
        None => text.clone(),
    };
    let file = |name: &str| files.assets.iter().find(|asset| asset.name == name).unwrap();
    let attachments = given.attachments.iter().map(|given| AttachmentDraft {
        hash: file(&given.file).hash.clone(),
        content_type: file(&given.file).content_type.clone(),
        size: file(&given.file).size,
        name: given.name.clone(),
        when: given.when.clone(),
    });
    Draft {
        from_name: given.from_name.clone(),
        from_address: "news@shop.example".into(),
        reply_to: given.reply_to.clone(),
        subject: given.subject.clone(),
        preheader: given.preheader.clone(),
        html: given.html.as_ref().map(long),
        mjml: given.mjml.clone(),
        text: given.text.as_ref().map(long),
        amp: given.amp.clone(),
        headers: given.headers.clone(),
        precedence: given.precedence.clone(),
        inline_css: given.inline_css,
        personalise: given.personalise.unwrap_or(true),
        image_mode: given.image_mode,
        image_inline: given.image_inline.clone(),
        link_choices: given.link_choices.clone(),
        utm: given.utm.clone(),
        track_clicks: given.track_clicks,
        track_opens: given.track_opens,
        attachments: attachments.collect(),
        encoding: Charset::parse(if given.encoding.is_empty() { "utf-8" } else { &given.encoding }).unwrap(),
        format: given.format,
        ..Draft::default()
    }
}

fn options(case: &Case, files: &Files) -> CompileOptions {
    CompileOptions {
        delivery: 42,
        inert: !case.proof.is_empty(),
        subject_prefix: case.proof.clone(),
        public_url: PUBLIC_URL.into(),
        bounce_domain: "bounce.shop.example".into(),
        list_unsubscribe: true,
        feedback_id: "42:shop:campaign:mailwright".into(),
        now_us: TIME_US,
        attributes: ["tier", "items"].map(str::to_owned).to_vec(),
        blocks: case.blocks.clone(),
        assets: files.assets.clone(),
        format_rules: case.rules.clone(),
        code_key: Some(CodeKey::new([5; 32])),
        ..CompileOptions::default()
    }
}

/// The mail, and what a reader must find in it.
fn made(case: &Case, files: &Files, signers: &[Signer]) -> Result<(Vec<u8>, Value), String> {
    let compiled = compile(&draft(case, files), &options(case, files))
        .map_err(|problems| format!("{}: {problems:?}", case.name))?;
    let columns = case.recipient.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let fields = Fields::from_pairs(columns);
    let address = &case.recipient["email"];
    let email_format = case.recipient.get("email_format").map(String::as_str).unwrap_or_default();
    let domain = address.rsplit('@').next().unwrap();
    let evaluation = compiled
        .evaluate(&fields, compiled.flags_for(email_format, domain))
        .map_err(|problem| format!("{}: {problem:?}", case.name))?;
    let warned = !evaluation.warnings.is_empty();
    let expected = case.expect.get("warned").and_then(Value::as_bool).unwrap_or(false);
    if warned != expected {
        return Err(format!("{}: warnings {:?}", case.name, evaluation.warnings));
    }
    let links: Vec<String> = compiled.snapshot.links.iter().map(|link| link.url.clone()).collect();
    let prepared = Prepared::new(compiled.snapshot, |hash| files.bytes.get(hash).cloned()).unwrap();
    // Numbered by its name, so that tokens differ and a new case changes no other.
    let number = blake3::hash(case.name.as_bytes()).as_bytes()[..3]
        .iter()
        .fold(0, |n, octet| n << 8 | i64::from(*octet));
    let id = 42 << 28 | number;
    let envelope = Envelope { id, address, flags: evaluation.flags };
    let keys = TokenKeys::derive(&[9; 32]);
    let stamp = Stamp { time_us: TIME_US };
    let composed = compose(&prepared, &evaluation.slots, &envelope, &stamp, signers, &keys)
        .map_err(|error| format!("{}: {error}", case.name))?;

    let mut expect = case.expect.clone();
    expect.entry("subject".into()).or_insert_with(|| json!(format!("{}{}", case.proof, case.draft.subject)));
    expect.entry("to".into()).or_insert_with(|| json!(address));
    expect.insert("public_url".into(), json!(PUBLIC_URL));
    expect.insert("urls".into(), json!(links));
    let assets = files.assets.iter().map(|asset| (asset.hash.clone(), json!(asset.name)));
    expect.insert("assets".into(), Value::Object(assets.collect()));
    if prepared.snapshot().part(PartName::Html).is_some() {
        let html = prepared.part_text(PartName::Html, &evaluation.slots, id, &keys).unwrap();
        // The mirror page's HTML, which has URLs or data where a message has images inside.
        let has_images = case.expect.contains_key("inline") || case.expect.contains_key("codes");
        if html.len() <= HTML_KEPT_MAX && !has_images {
            expect.insert("html".into(), json!(html));
        }
    }
    Ok((composed.bytes, json!(expect)))
}

fn signer(kind: KeyKind) -> Signer {
    let file = format!("../message/tests/golden/test-key-{}.pkcs8.b64", kind.as_str());
    let stored = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(file));
    let key = DkimKey::from_pkcs8(kind, &STANDARD.decode(stored.trim()).unwrap()).unwrap();
    Signer::new("shop.example", kind.as_str(), key).unwrap()
}

/// Compares with what is kept; in rewriting mode, keeps it. Answers what differs.
fn keep(path: &Path, bytes: &[u8]) -> Option<String> {
    if std::env::var("MAILWRIGHT_GOLDEN").is_ok_and(|mode| mode == "rewrite") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let kept = std::fs::read(path).unwrap_or_default();
    if kept == bytes {
        return None;
    }
    let (kept, made) =
        (String::from_utf8_lossy(&kept).into_owned(), String::from_utf8_lossy(bytes).into_owned());
    let differs = kept.lines().zip(made.lines()).enumerate().find(|(_, (kept, made))| kept != made);
    Some(match differs {
        Some((n, (kept, made))) => format!("{} line {}:\n  {kept}\n  {made}", path.display(), n + 1),
        None => format!("{}: {} octets kept, {} made", path.display(), kept.len(), made.len()),
    })
}

#[test]
fn the_corpus_gives_the_mail_it_gave() {
    let signers = [signer(KeyKind::Rsa), signer(KeyKind::Ed25519)];
    let mut sources: Vec<PathBuf> = std::fs::read_dir(golden())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "toml"))
        .collect();
    sources.sort();
    let (mut names, mut differences) = (Vec::new(), Vec::new());
    for source in sources {
        let cases: Cases =
            toml::from_str(&read(&source)).unwrap_or_else(|error| panic!("{}: {error}", source.display()));
        for mut case in cases.case {
            let mut own = files(&golden().join("assets"));
            if !case.starter.is_empty() {
                let folder =
                    Path::new(env!("CARGO_MANIFEST_DIR")).join("../delivery/starters").join(&case.starter);
                with_starter(&mut case, &folder);
                own = files(&folder.join("assets"));
            }
            names.push(case.name.clone());
            let (mail, expect) = match made(&case, &own, &signers) {
                Ok(made) => made,
                Err(fault) => {
                    differences.push(fault);
                    continue;
                }
            };
            let path = |kind: &str| golden().join("mail").join(format!("{}.{kind}", case.name));
            differences.extend(keep(&path("eml"), &mail));
            let expect = serde_json::to_string_pretty(&expect).unwrap() + "\n";
            differences.extend(keep(&path("json"), expect.as_bytes()));
        }
    }
    let dns = signers.iter().map(|signer| {
        (format!("{}._domainkey.shop.example", signer.selector()), json!(signer.txt_value().unwrap()))
    });
    let dns = serde_json::to_string_pretty(&Value::Object(dns.collect())).unwrap() + "\n";
    differences.extend(keep(&golden().join("dns.json"), dns.as_bytes()));
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
    let kept = std::fs::read_dir(golden().join("mail")).unwrap().count();
    assert_eq!(kept, 2 * names.len(), "tests/golden/mail holds mail of no case");
}
