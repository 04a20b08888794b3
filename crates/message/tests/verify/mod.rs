//! A DKIM verifier written from RFC 6376 alone, slow and plain, sharing no code with the signer.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Checks every signature of a message against `txt`, which gives the record of a selector. Returns how many.
pub fn signatures(message: &[u8], txt: impl Fn(&str) -> String) -> Result<usize, String> {
    // A letter for each octet, so that bodies in 8bit can be looked at too.
    let text: String = message.iter().map(|octet| char::from(*octet)).collect();
    let (head, body) = text.split_once("\r\n\r\n").ok_or("no body")?;
    let fields = unfolded(head);
    let mut checked = 0;
    for field in fields.iter().filter(|field| field.to_ascii_lowercase().starts_with("dkim-signature:")) {
        one(field, &fields, body, &txt)?;
        checked += 1;
    }
    Ok(checked)
}

/// Fields with their continuation lines, without the last CRLF.
fn unfolded(head: &str) -> Vec<String> {
    let mut fields: Vec<String> = Vec::new();
    for line in head.split("\r\n") {
        match fields.last_mut() {
            Some(last) if line.starts_with([' ', '\t']) => {
                last.push_str("\r\n");
                last.push_str(line);
            }
            _ => fields.push(line.to_owned()),
        }
    }
    fields
}

fn one(field: &str, fields: &[String], body: &str, txt: &impl Fn(&str) -> String) -> Result<(), String> {
    let value = field.split_once(':').ok_or("no colon")?.1;
    let tag = |name: &str| {
        let found = value.split(';').find_map(|tag| tag.trim().strip_prefix(name)?.trim().strip_prefix('='));
        found
            .map(|value| value.chars().filter(|c| !c.is_whitespace()).collect::<String>())
            .unwrap_or_default()
    };
    if tag("c") != "relaxed/relaxed" || tag("v") != "1" {
        return Err("unexpected c= or v=".into());
    }
    if tag("bh") != STANDARD.encode(digest(&SHA256, &octets(&relaxed_body(body)))) {
        return Err("body hash differs".into());
    }
    let is_signature = |field: &String| field.to_ascii_lowercase().starts_with("dkim-signature:");
    let mut left: Vec<&String> = fields.iter().filter(|other| !is_signature(other)).collect();
    let mut input = String::new();
    for name in tag("h").split(':') {
        let matches = |field: &&String| field.split(':').next().unwrap().trim().eq_ignore_ascii_case(name);
        if let Some(at) = left.iter().rposition(matches) {
            input.push_str(&relaxed_field(left.remove(at)));
            input.push_str("\r\n");
        }
    }
    if !left.is_empty() {
        return Err(format!("not signed: {left:?}"));
    }
    let b_at = field.rfind("b=").ok_or("no b=")?;
    input.push_str(&relaxed_field(&field[..b_at + 2]));
    let signature = STANDARD.decode(tag("b")).map_err(|_| "b= is not base64")?;
    let record = txt(&tag("s"));
    let public = record.rsplit("p=").next().unwrap_or_default();
    let public = STANDARD.decode(public).map_err(|_| "p= is not base64")?;
    let good = match tag("a").as_str() {
        "rsa-sha256" => {
            UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &public).verify(&octets(&input), &signature)
        }
        "ed25519-sha256" => {
            let hash = digest(&SHA256, &octets(&input));
            UnparsedPublicKey::new(&ED25519, &public).verify(hash.as_ref(), &signature)
        }
        other => return Err(format!("unexpected a={other}")),
    };
    good.map_err(|_| format!("{} signature is wrong", tag("a")))
}

fn octets(text: &str) -> Vec<u8> {
    text.chars().map(|c| c as u8).collect()
}

fn relaxed_body(body: &str) -> String {
    let lines: Vec<String> =
        body.split("\r\n").map(one_blank).map(|line| line.trim_end_matches(' ').to_owned()).collect();
    let mut text = lines.join("\r\n");
    while text.ends_with("\r\n") {
        text.truncate(text.len() - 2);
    }
    if !text.is_empty() {
        text.push_str("\r\n");
    }
    text
}

fn relaxed_field(field: &str) -> String {
    let (name, value) = field.split_once(':').unwrap();
    format!("{}:{}", name.trim().to_lowercase(), one_blank(&value.replace("\r\n", "")).trim())
}

fn one_blank(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        let c = if c == '\t' { ' ' } else { c };
        if c != ' ' || !out.ends_with(' ') {
            out.push(c);
        }
    }
    out
}
