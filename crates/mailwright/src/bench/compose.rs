//! What one message costs without database and network: composing and signing it, and evaluating its slots, each beside the
//! bare work that it cannot be done without.

use std::hint::black_box;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use content::{CompileOptions, Compiled, Draft, Fields};
use message::{DkimKey, Envelope, KeyKind, Prepared, Signer, Slots, Stamp, TokenKeys, compose};

use super::Bench;
use super::instance::failed;
use super::measure::{RUNS, Sides, scaled};
use crate::output::{Done, Failure, Output};

pub const BENCH: Bench = Bench {
    name: "compose",
    about: "a message of 30 KB with 12 values and 20 tracked links: composed, signed, and its slots evaluated",
    run,
};

const MESSAGES: usize = 20_000;
const SIGNED_MESSAGES: usize = 2_000;
/// Both sides take turns this often within a run, so that what else the machine does hits them alike.
const TURNS: usize = 20;
/// Different recipients, taken in turn.
const PEOPLE: usize = 64;
const LINKS: usize = 20;
/// Length of the newsletter's HTML that gives a message of about 30 KB, in quoted-printable and in base64.
const HTML_LEN: usize = 26_000;
const HTML_LEN_BASE64: usize = 20_000;
/// Octets of a message's header, about what RSA signs.
const HEADER_LEN: usize = 400;

/// The columns that the newsletter names: twelve values with those of the subject and the text.
const COLUMNS: [&str; 8] =
    ["first_name", "last_name", "city", "points", "last_order", "shop", "birthday", "loyalty_tier"];
const SUBJECT: &str = "{{ first_name | default('Hello') }}, news from us";
const TEXT: &str = "Dear {{ first_name }},\n\nnews from {{ shop }}.\n\n{{ unsubscribe_url }}\n";
const ENGLISH: &str = "<table><tr><td style=\"padding:12px\"><h2>Something new this month</h2><p>The shop around the corner has more of what \
                       you like, and less of what you do not. Come in, look round, take your time.</p></td></tr></table>\n";
const JAPANESE: &str = "<h2>今月の新しいもの</h2><p>角の店には、お好きなものがもっとあり、そうでないものは少なくなりました。\
                        ぜひお立ち寄りください。どうぞごゆっくり。</p>\n";

/// One of the two newsletters, ready to be composed for each of the people.
struct Newsletter {
    html: String,
    compiled: Compiled,
    prepared: Prepared,
    people: Vec<Fields>,
    slots: Vec<Slots>,
}

fn run(out: &mut Output) -> Done {
    let english = Newsletter::new(ENGLISH, HTML_LEN)?;
    let japanese = Newsletter::new(JAPANESE, HTML_LEN_BASE64)?;
    let goal = "at most the bare time";
    unsigned(out, &english, "quoted-printable, unsigned, beside base64 and SHA-256 of the same bytes", goal)?;
    unsigned(out, &japanese, "base64, unsigned, beside base64 and SHA-256 of the same bytes", goal)?;
    signed(
        out,
        &english,
        "quoted-printable, signed, beside RSA-2048 alone",
        "at least 85 % of the bare rate",
    )?;
    signed(out, &japanese, "base64, signed, beside RSA-2048 alone", "at least 78 % of the bare rate")?;
    evaluated(out, &english, "slots evaluated, beside a plain render", "at most 1.6 times the bare time")
}

/// Unlike what a test mailbox would get, nothing here is drawn by lot: each run does the same.
fn html(filling: &str, length: usize) -> String {
    let values =
        ["first_name", "last_name", "city", "points", "last_order", "shop", "birthday", "city", "shop"];
    let mut html = String::from("<!doctype html><html><body>\n");
    for section in 0..LINKS {
        if let Some(value) = values.get(section) {
            html.push_str(&format!("<p>Dear {{{{ {value} }}}}</p>\n"));
        }
        html.push_str(&format!(
            "<p><a href=\"https://shop.example/offers/{section}\">Offer {section}</a></p>\n"
        ));
        while html.len() < length * (section + 1) / LINKS {
            html.push_str(filling);
        }
    }
    html.push_str(
        "{% if loyalty_tier == 'gold' %}<p>Gold members come in first.</p>{% endif %}</body></html>\n",
    );
    html
}

fn person(number: usize) -> Vec<(&'static str, String)> {
    let tier = if number.is_multiple_of(4) { "gold" } else { "basic" };
    let values = ["Ann-Marie", "O'Neill & Sons", "Zürich", "1,250", "1 October", "Old Street", "3 May", tier];
    COLUMNS.into_iter().zip(values.map(|value| format!("{value}{}", "x".repeat(number % 7)))).collect()
}

impl Newsletter {
    fn new(filling: &str, length: usize) -> Result<Newsletter, Failure> {
        let html = html(filling, length);
        let draft = Draft {
            from_name: "Example Shop".into(),
            from_address: "news@shop.example".into(),
            subject: SUBJECT.into(),
            html: Some(html.clone()),
            text: Some(TEXT.into()),
            inline_css: false,
            track_clicks: true,
            track_opens: true,
            ..Draft::default()
        };
        let options = CompileOptions {
            delivery: 1,
            public_url: "https://t.shop.example".into(),
            bounce_domain: "bounce.shop.example".into(),
            list_unsubscribe: true,
            feedback_id: "1:shop:campaign:mailwright".into(),
            ..CompileOptions::default()
        };
        let compiled =
            content::compile(&draft, &options).map_err(|problems| failed(format!("{problems:?}")))?;
        let people: Vec<Fields> = (0..PEOPLE)
            .map(|number| {
                let pairs = person(number);
                Fields::from_pairs(pairs.iter().map(|(name, value)| (*name, value.as_str())))
            })
            .collect();
        let evaluate = |fields| compiled.evaluate(fields, 0).map(|evaluation| evaluation.slots);
        let slots: Result<Vec<Slots>, _> = people.iter().map(evaluate).collect();
        let slots = slots.map_err(|problem| failed(format!("{problem:?}")))?;
        let prepared = Prepared::new(compiled.snapshot.clone(), |_| None).map_err(failed)?;
        Ok(Newsletter { html, compiled, prepared, people, slots })
    }

    fn composed(&self, number: usize, signers: &[Signer], keys: &TokenKeys) -> Result<Vec<u8>, Failure> {
        let envelope = Envelope { id: 1 << 28 | number as i64, address: "ann@example.org", flags: 0 };
        let stamp = Stamp { time_us: 1_795_687_980_000_000 };
        let slots = &self.slots[number % PEOPLE];
        let composed = compose(&self.prepared, slots, &envelope, &stamp, signers, keys).map_err(failed)?;
        Ok(composed.bytes)
    }
}

fn keys() -> TokenKeys {
    TokenKeys::derive(&[1; 32])
}

/// Runs both sides in turns, each for `count` numbers in all, and prints how they compare.
fn compare(
    out: &mut Output,
    count: usize,
    goal: &str,
    mut ours: impl FnMut(usize) -> Done,
    mut bare: impl FnMut(usize) -> Done,
) -> Done {
    let mut sides = Sides::default();
    let each = count.div_ceil(TURNS);
    for _ in 0..RUNS {
        let (mut ours_took, mut bare_took) = (Duration::ZERO, Duration::ZERO);
        for turn in 0..TURNS {
            let numbers = turn * each..(turn + 1) * each;
            let begun = Instant::now();
            numbers.clone().try_for_each(&mut ours)?;
            ours_took += begun.elapsed();
            let begun = Instant::now();
            numbers.clone().try_for_each(&mut bare)?;
            bare_took += begun.elapsed();
        }
        sides.ours(ours_took, 0);
        sides.bare(bare_took);
    }
    sides.print(out, each * TURNS, goal)
}

fn unsigned(out: &mut Output, newsletter: &Newsletter, what: &str, goal: &str) -> Done {
    let keys = keys();
    let bytes = newsletter.composed(0, &[], &keys)?;
    out.line(format_args!("  {what}: {} bytes", bytes.len()))?;
    let mut letters = vec![0; bytes.len() * 2];
    compare(
        out,
        scaled(MESSAGES),
        goal,
        |number| newsletter.composed(number, &[], &keys).map(|bytes| drop(black_box(bytes))),
        |_| {
            black_box(STANDARD.encode_slice(&bytes, &mut letters).map_err(failed)?);
            black_box(digest(&SHA256, &bytes));
            Ok(())
        },
    )
}

fn signed(out: &mut Output, newsletter: &Newsletter, what: &str, goal: &str) -> Done {
    let keys = keys();
    let der = DkimKey::generate(KeyKind::Rsa).and_then(|key| key.to_pkcs8()).map_err(failed)?;
    let key = DkimKey::from_pkcs8(KeyKind::Rsa, &der).map_err(failed)?;
    let signers = [Signer::new("shop.example", "rsa", key).map_err(failed)?];
    let bare = KeyPair::from_pkcs8(&der).map_err(failed)?;
    let random = SystemRandom::new();
    let mut signature = vec![0; bare.public_modulus_len()];
    out.line(format_args!("  {what}"))?;
    compare(
        out,
        scaled(SIGNED_MESSAGES),
        goal,
        |number| newsletter.composed(number, &signers, &keys).map(|bytes| drop(black_box(bytes))),
        |_| bare.sign(&RSA_PKCS1_SHA256, &random, &[b'x'; HEADER_LEN], &mut signature).map_err(failed),
    )
}

fn evaluated(out: &mut Output, newsletter: &Newsletter, what: &str, goal: &str) -> Done {
    let mut environment = minijinja::Environment::new();
    environment.add_template("a.html", &newsletter.html).map_err(failed)?;
    environment.add_template("b.txt", TEXT).map_err(failed)?;
    environment.add_template("c.txt", SUBJECT).map_err(failed)?;
    let context = |number| -> minijinja::Value {
        person(number).into_iter().chain([("unsubscribe_url", String::new())]).collect()
    };
    let contexts: Vec<minijinja::Value> = (0..PEOPLE).map(context).collect();
    out.line(format_args!("  {what}"))?;
    compare(
        out,
        scaled(MESSAGES),
        goal,
        |number| {
            let fields = &newsletter.people[number % PEOPLE];
            let evaluation = newsletter.compiled.evaluate(fields, 0);
            evaluation
                .map(|evaluation| drop(black_box(evaluation)))
                .map_err(|problem| failed(format!("{problem:?}")))
        },
        |number| {
            for name in ["a.html", "b.txt", "c.txt"] {
                let template = environment.get_template(name).map_err(failed)?;
                black_box(template.render(&contexts[number % PEOPLE]).map_err(failed)?);
            }
            Ok(())
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newsletters_are_what_the_goals_are_about() {
        for (filling, length, transfer) in
            [(ENGLISH, HTML_LEN, "quoted-printable"), (JAPANESE, HTML_LEN_BASE64, "base64")]
        {
            let newsletter = Newsletter::new(filling, length).unwrap_or_else(|error| panic!("{error:?}"));
            assert_eq!(newsletter.compiled.snapshot.links.len(), LINKS);
            let values = [&newsletter.html, SUBJECT, TEXT].map(|source| source.matches("{{").count());
            assert_eq!(values, [9, 1, 3], "twelve values and the unsubscription link");
            let bytes = newsletter.composed(0, &[], &keys()).unwrap_or_else(|error| panic!("{error:?}"));
            assert!((28_000..34_000).contains(&bytes.len()), "{}", bytes.len());
            let html = format!("text/html; charset=utf-8\r\nContent-Transfer-Encoding: {transfer}");
            assert!(String::from_utf8_lossy(&bytes).contains(&html));
        }
    }
}
