//! Bad input: an error that names the place, nothing else lost, memory flat, and the process up.

use std::io::Write;
use std::time::{Duration, Instant};

use mail_parser::MessageParser;
use serde_json::Value;
use stories::campaign::{HTML, toml};
use stories::{Cli, Database, Server, ServerOptions};
use testkit::{Internet, InternetOptions, World};

/// What the process may hold at any size of input.
const MEMORY_MAX: u64 = 300 * 1_024 * 1_024;
const HUGE_FIELD: usize = 100 * 1_024 * 1_024;

async fn start(database: Database) -> (Internet, Server) {
    let internet = Internet::start(&World::friendly(), InternetOptions::default()).await.unwrap();
    let options = ServerOptions { config: internet.settings(), ..ServerOptions::default() };
    let server = Server::start(database, options).await;
    (internet, server)
}

async fn import(server: &Server, file: &std::path::Path, list: &str, more: &[&str]) -> (Cli, String) {
    let rejects = server.path(&format!("{list}-rejects.csv"));
    let (file, report) = (file.to_string_lossy().into_owned(), rejects.to_string_lossy().into_owned());
    let mut arguments = vec!["import", &file, "--list", list, "--rejects", &report];
    arguments.extend(more);
    let done = server.cli(&arguments).await;
    (done, std::fs::read_to_string(&rejects).unwrap_or_default())
}

fn counts(done: &Value) -> [u64; 3] {
    ["rows", "created", "rejected"].map(|name| done[name].as_u64().unwrap_or(u64::MAX))
}

async fn files(server: &mut Server) {
    let mut csv = b"email,first_name,note\n".to_vec();
    csv.extend(b"good1@tail1.example,Ann,ok\n");
    csv.extend(b"cells@tail1.example,Ann,ok,more,and more\n");
    csv.extend(b"latin@tail1.example,Ren\xe9,ok\n");
    csv.extend(b"ctrl\x01@tail1.example,Ann,ok\n");
    csv.extend(b"\"inject@tail1.example\r\nBcc: evil@tail1.example\",Ann,ok\n");
    csv.extend(b"good2@tail1.example,Zo\xc3\xab,ok\n");
    csv.extend(b"escape@tail1.example,Ann\x1b[31m,ok\n");
    csv.extend(b"nul@tail1.example,Ann,\x00\n");
    csv.extend(b"@tail1.example,Ann,ok\n");
    csv.extend(b"open@tail1.example,\"Ann,ok\n");
    let file = server.write("bad.csv", &csv);
    let (done, report) = import(server, &file, "bad", &[]).await;
    assert_eq!(counts(&done.done()), [10, 2, 8], "{report}");
    for place in ["3", "4", "5", "6", "9", "10", "11", "12"] {
        let found = report.lines().any(|line| line.split(',').next() == Some(place));
        assert!(found, "line {place} is not in the report: {report}");
    }
    for words in ["5 cells", "utf-8", "control or invisible", "first_name", "U+0000", "never closed"] {
        assert!(report.contains(words), "{words} is not in the report: {report}");
    }

    let (refused, _) = import(server, &file, "bad", &["--encoding", "klingon"]).await;
    assert_eq!(refused.status, 1);
    assert!(refused.stdout.contains("klingon"), "{}", refused.stdout);
    let (refused, _) = import(server, &server.write("empty.csv", ""), "bad", &[]).await;
    assert_eq!(refused.status, 1, "{}", refused.stdout);
    let (refused, _) = import(server, &server.write("none.csv", "name,town\nAnn,Rome\n"), "bad", &[]).await;
    assert_eq!(refused.status, 1, "{}", refused.stdout);
    assert!(refused.stderr.contains("email"), "no address column: {}", refused.stderr);
    let (refused, _) =
        import(server, &server.write("image.csv", [0x89, b'P', 0, 0xff, 0, 0, 1]), "bad", &[]).await;
    assert_eq!(refused.status, 1, "{}", refused.stdout);
    // What is Latin-1 is right in Latin-1.
    let (done, report) = import(server, &file, "latin", &["--encoding", "latin1", "--dry-run"]).await;
    assert!(!report.lines().any(|line| line.starts_with("4,")), "{report}");
    assert_eq!(done.done()["created"], 1, "the third row is good in Latin-1");
    assert!(server.is_running());
}

async fn huge_field(server: &mut Server) {
    let path = server.path("huge.csv");
    for quoted in [false, true] {
        let mut file = std::io::BufWriter::new(std::fs::File::create(&path).unwrap());
        file.write_all(b"email,first_name\nbefore@tail2.example,Ann\nhuge@tail2.example,").unwrap();
        if quoted {
            file.write_all(b"\"").unwrap();
        }
        let piece = vec![b'x'; 1 << 20];
        for _ in 0..HUGE_FIELD >> 20 {
            file.write_all(&piece).unwrap();
        }
        if quoted {
            file.write_all(b"\"").unwrap();
        }
        file.write_all(b"\nafter@tail2.example,Bob\n").unwrap();
        file.into_inner().unwrap().sync_all().unwrap();
        let (done, report) = import(server, &path, "huge", &[]).await;
        let done = done.done();
        assert_eq!((&done["rows"], &done["rejected"]), (&3.into(), &1.into()), "{report:.300}");
        assert!(
            report.contains("\n3,") || report.lines().any(|line| line.starts_with("3,")),
            "{report:.300}"
        );
        assert!(report.len() < 10_000, "the report shows the beginning only");
    }
    std::fs::remove_file(&path).unwrap();
    assert!(server.memory_peak() < MEMORY_MAX, "{} octets", server.memory_peak());
    assert!(server.is_running());
}

/// The errors of a delivery with this HTML, wherever they are told.
async fn errors(server: &Server, name: &str, toml: &str, html: &str) -> Vec<Value> {
    let pushed = server.try_push(name, toml, html).await;
    if pushed.status != 0 {
        let told = pushed.json();
        return told["problems"].as_array().cloned().unwrap_or_else(|| vec![told]);
    }
    let id = pushed.json()["id"].as_str().unwrap().to_owned();
    let started = Instant::now();
    let analysis = server.cli(&["delivery", "analyze", &id, "--wait"]).await;
    assert!(started.elapsed() < Duration::from_secs(120), "{name} took {:?}", started.elapsed());
    assert_eq!(analysis.status, 1, "{name}: {}", analysis.stdout);
    let confirmed = server.cli(&["delivery", "confirm", &id, "--yes"]).await;
    assert_eq!(confirmed.status, 1, "{name}: an error forbids Confirm: {}", confirmed.stdout);
    let findings = analysis.json()["findings"].as_array().unwrap().clone();
    findings.into_iter().filter(|finding| finding["level"] == "error").collect()
}

async fn templates(server: &mut Server) {
    let unending = "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}x{% endfor %}{% endfor %}{% endfor %}";
    let cases = [
        ("loop", unending),
        ("include", "{% include \"content.html\" %}"),
        ("extends", "{% extends \"content.html\" %}"),
        ("macro", "{% macro m(n) %}{{ m(n + 1) }}{% endmacro %}{{ m(1) }}"),
        ("long", "{{ 'x' * 1000000000 }}"),
        ("range", "{{ range(1000000000) | list | length }}"),
        (
            "grow",
            "{% set s = 'xxxxxxxxxx' %}{% for a in range(40) %}{% set s = s ~ s %}{{ s ~ s ~ s ~ s ~ s ~ s ~ s }}{% endfor %}{% for a in range(100000) %}{{ s * 1000 }}{% endfor %}",
        ),
        ("unknown", "{{ no_such_field }}"),
        ("division", "{{ 1 / 0 }}"),
    ];
    for (name, wrong) in cases {
        let html = HTML.replace("<p>", &format!("<p>one</p>\n<p>two\n{wrong}\n"));
        let line = html.lines().position(|text| text.contains(wrong)).unwrap() as i64 + 1;
        let found = errors(server, name, &toml(name, "bad", ""), &html).await;
        let there = found.iter().any(|error| error["line"].as_i64() == Some(line));
        assert!(there, "{name} stands in line {line}: {found:?}");
        assert!(server.is_running());
    }
    let deep = format!("{}x{}", "{% if 1 %}".repeat(5_000), "{% endif %}".repeat(5_000));
    let found = errors(server, "deep", &toml("deep", "bad", ""), &deep).await;
    assert!(!found.is_empty());
    assert!(server.is_running(), "{}", server.stderr());
    assert!(server.memory_peak() < MEMORY_MAX, "{} octets", server.memory_peak());
}

/// What gets into a header cannot end it.
async fn headers(server: &mut Server, internet: &Internet) {
    let base = toml("headers", "inject", "");
    for (name, wrong) in [
        ("subject", base.replace("news from us", "news\\r\\nBcc: evil@tail1.example")),
        ("name", base.replace("Example Shop", "Shop\\nBcc: evil@tail1.example")),
        ("address", base.replace("news@shop.example", "news@shop.example\\r\\nBcc: evil@tail1.example")),
        (
            "reply_to",
            base.replace(
                "[target]",
                "reply_to = \"help@shop.example\\r\\nBcc: evil@tail1.example\"\n\n[target]",
            ),
        ),
        (
            "header",
            format!(
                "{base}[parameters]\nheaders = {{ \"X-Season\" = \"autumn\\r\\nBcc: evil@tail1.example\" }}\n"
            ),
        ),
    ] {
        let file = server.write("inject.csv", "email,first_name,note\nann@tail1.example,Ann,ok\n");
        import(server, &file, "inject", &[]).await.0.done();
        assert!(!errors(server, name, &wrong, HTML).await.is_empty(), "{name}");
    }
    // Fields: whatever an import lets through is one line in a header, or an error; never a second header.
    let mut csv = String::from("email,first_name,note\n");
    csv.push_str(
        "\"one@tail1.example\",\"Ann\r\nBcc: evil@tail1.example\",\"a\r\nX-Evil: yes\r\n\r\nbody\"\n",
    );
    csv.push_str("two@tail1.example,\"Bob \u{2028}Bcc: x\",\"b\u{85}X-Evil: yes\"\n");
    let file = server.write("fields.csv", csv);
    let (_, report) = import(server, &file, "fields", &[]).await;
    let text = toml("fields", "fields", "").replace("Example Shop", "{{ first_name | default('x') }}");
    let id = server.push("fields", &text, HTML).await;
    let analysis = server.cli(&["delivery", "analyze", &id, "--wait"]).await;
    if analysis.status == 0 {
        server.confirm(&id).await;
        server.wait_for(&id, &["finished"], stories::WAIT).await;
        for mail in internet.mailboxes().list("", None, 100) {
            let message = MessageParser::default().parse(&*mail.octets).unwrap();
            assert!(
                message.bcc().is_none() && message.header_raw("X-Evil").is_none(),
                "{:?}",
                mail.recipient
            );
            assert_eq!(message.header_raw("MIME-Version").map(str::trim), Some("1.0"));
        }
    }
    println!("fields with line breaks: {} {report}", analysis.stdout.lines().count());
    // An attribute may have line breaks; a header made of it is an error that names it.
    let text = toml("attribute", "fields", "").replace("news from us", "{{ note }}");
    let found = errors(server, "attribute", &text, HTML).await;
    assert!(found.iter().any(|error| error.to_string().contains("subject")), "{found:?}");
}

async fn story(database: Database) {
    let (internet, mut server) = start(database).await;
    files(&mut server).await;
    templates(&mut server).await;
    headers(&mut server, &internet).await;
    huge_field(&mut server).await;
    println!("{} MB at most", server.memory_peak() >> 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_input_is_named_on_sqlite() {
    story(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_input_is_named_on_postgres() {
    story(Database::Postgres).await;
}
