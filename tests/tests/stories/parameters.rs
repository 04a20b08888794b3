//! Every email parameter from a folder to what arrived: MJML, images, attachments, headers, a forced encoding, a rule
//! for a domain and a carrier's format in one delivery; then input that is wrong, each with a finding at its place.

use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mail_parser::{Message, MessageParser, MimeHeaders};
use serde_json::{Value, json};
use stories::{Cli, Database, Server, ServerOptions, root};

use crate::relay::{Receiver, check, start};

const TOML: &str = r#"label = "parameters"
subject = "{{ first_name }}さん、秋のお知らせ"
preheader = "今月の新しい本"

[sender]
name = "サンプル書店"
address = "news@shop.example"
reply_to = "相談窓口 <help@shop.example>"

[target]
include = [{ list = "parameters" }]

[content]
mjml = "content.mjml"
text = "content.txt"
attachments = [{ file = "terms.pdf", name = "規約 {{ country }}.pdf", when = "country == 'JP'" }]

[parameters]
encoding = "iso-2022-jp"
mirror_page = "always"
precedence = "bulk"
headers = { "X-For" = "{{ first_name }}" }

[tracking]
links = [{ url = "https://shop.example/terms", label = "Terms", category = "legal", mode = "untracked" }]
"#;

const MJML: &str = r#"<mjml>
  <mj-body>
    <mj-section>
      <mj-column>
        <mj-text>{{ first_name }}さん、こんにちは。</mj-text>
        {% if country == 'JP' %}<mj-text>日本のお客様へ</mj-text>{% endif %}
        <mj-image src="assets/photo.jpg" alt="本の表紙" />
        <mj-text><a href="https://shop.example/find?q={{ first_name | urlencode }}&amp;x=1">探す</a>
          <a href="https://shop.example/terms">規約</a>
          <a href="{{ unsubscribe_url }}">配信停止</a> <a href="{{ mirror_url }}">ブラウザで見る</a></mj-text>
      </mj-column>
    </mj-section>
  </mj-body>
</mjml>
"#;

const TEXT: &str =
    "{{ first_name }}さん、こんにちは。\n新刊： https://shop.example/new\n配信停止： {{ unsubscribe_url }}\n";

const PEOPLE: &str = "email,first_name,country,email_format\n\
    taro@any1.example,太郎,JP,\n\
    zoe@any2.example,Zoë,DE,\n\
    deco@docomo.ne.jp,花子,JP,\n\
    rule@text.example,次郎,JP,html\n\
    html@any3.example,三郎,,html\n";

fn golden(name: &str) -> Vec<u8> {
    std::fs::read(root().join("crates/content/tests/golden/assets").join(name)).unwrap()
}

async fn push(server: &Server, folder: &str) -> Cli {
    server.cli(&["delivery", "push", &server.path(folder).to_string_lossy()]).await
}

async fn prepared(server: &Server) -> String {
    let people = server.write("parameters.csv", PEOPLE);
    server.cli(&["import", &people.to_string_lossy(), "--list", "parameters"]).await.done();
    let rule = json!({ "mask": "text.example", "structure": "text" });
    let made = server.request(reqwest::Method::POST, "/format-rules").json(&rule).send().await.unwrap();
    assert_eq!(made.status(), 201, "{}", made.text().await.unwrap());
    server.write("parameters/delivery.toml", TOML);
    server.write("parameters/content.mjml", MJML);
    server.write("parameters/content.txt", TEXT);
    server.write("parameters/assets/photo.jpg", golden("photo.jpg"));
    server.write("parameters/terms.pdf", golden("terms.pdf"));
    push(server, "parameters").await.done()["id"].as_str().unwrap().to_owned()
}

async fn story(database: Database) {
    let (receiver, server, dns) = start(database).await;
    let id = prepared(&server).await;
    let analysis = server.analyze(&id).await;
    let findings = analysis["findings"].as_array().unwrap();
    let lacking = findings.iter().find(|finding| finding["text"].as_str().unwrap().contains('ë'));
    assert_eq!(lacking.map(|finding| &finding["level"]), Some(&json!("warning")), "{analysis}");
    server.confirm(&id).await;
    let status = server.wait_for(&id, &["finished", "retrying"], stories::WAIT).await;
    assert_eq!(status["messages"]["sent"], 5, "{status}\n{:?}", server.log(&id).await);
    check(&receiver, &dns, None);
    let mails = Mails { folder: receiver.folder.path() };
    bodies(&mails);
    sources(&server, &id, &receiver).await;
    followed(&mails).await;
    server.verify(&id).await;
}

/// What arrived, by recipient.
struct Mails<'a> {
    folder: &'a Path,
}

impl Mails<'_> {
    fn octets(&self, recipient: &str) -> Vec<u8> {
        std::fs::read(self.folder.join(format!("{recipient}.eml"))).unwrap()
    }

    fn of(&self, recipient: &str) -> Message<'static> {
        MessageParser::default().parse(&self.octets(recipient)).unwrap().into_owned()
    }
}

/// `multipart/mixed multipart/alternative text/plain ...`, in the order of the mail.
fn types(mail: &Message<'_>) -> String {
    let kind = |part: &mail_parser::MessagePart<'_>| match part.content_type() {
        Some(kind) => format!("{}/{}", kind.ctype(), kind.subtype().unwrap_or_default()),
        None => "none".to_owned(),
    };
    mail.parts.iter().map(kind).collect::<Vec<_>>().join(" ")
}

fn charset<'a>(mail: &'a Message<'_>, kind: &str) -> Option<&'a str> {
    let parts = mail.parts.iter().filter_map(|part| part.content_type());
    let mut found = parts.filter(|of| of.ctype() == "text" && of.subtype() == Some(kind));
    found.next().and_then(|of| of.attribute("charset"))
}

fn bodies(mails: &Mails<'_>) {
    let taro = mails.of("taro@any1.example");
    assert_eq!(taro.subject(), Some("太郎さん、秋のお知らせ"));
    assert_eq!(types(&taro), "multipart/mixed multipart/alternative text/plain text/html application/pdf");
    assert_eq!(charset(&taro, "html").map(str::to_lowercase).as_deref(), Some("iso-2022-jp"));
    assert_eq!(taro.attachment(0).unwrap().attachment_name(), Some("規約 JP.pdf"));
    assert_eq!(taro.attachment(0).unwrap().contents(), golden("terms.pdf"));
    let raw = mails.octets("taro@any1.example");
    let added = MessageParser::new().header_text("X-For").parse(&raw).unwrap();
    assert_eq!(added.header("X-For").and_then(|value| value.as_text()), Some("太郎"));
    assert_eq!(taro.header("Precedence").and_then(|value| value.as_text()), Some("bulk"));
    assert_eq!(taro.reply_to().unwrap().first().unwrap().name(), Some("相談窓口"));
    let html = taro.body_html(0).unwrap();
    assert!(html.contains("日本のお客様へ") && html.contains("今月の新しい本"), "{html}");
    assert!(html.contains("/a/") && html.contains("\"https://shop.example/terms\""), "{html}");
    assert!(taro.body_text(0).unwrap().contains("太郎さん、こんにちは。"));

    let zoe = mails.of("zoe@any2.example");
    assert_eq!(types(&zoe), "multipart/alternative text/plain text/html", "the terms are for JP");
    assert_eq!(zoe.subject(), Some("Zoëさん、秋のお知らせ"));
    assert_eq!(charset(&zoe, "plain").map(str::to_lowercase).as_deref(), Some("utf-8"));
    assert!(!zoe.body_html(0).unwrap().contains("日本のお客様へ"));

    let deco = mails.of("deco@docomo.ne.jp");
    assert!(types(&deco).contains("multipart/related multipart/alternative text/plain text/html image/jpeg"));
    assert_eq!(charset(&deco, "html").map(str::to_lowercase).as_deref(), Some("shift_jis"));
    let image = deco.parts.iter().find(|part| part.content_id().is_some()).unwrap();
    assert_eq!(image.contents(), golden("photo.jpg"));
    assert!(deco.body_html(0).unwrap().contains(&format!("cid:{}", image.content_id().unwrap())));

    assert_eq!(types(&mails.of("rule@text.example")), "multipart/mixed text/plain application/pdf");
    assert_eq!(types(&mails.of("html@any3.example")), "text/html");
}

/// The source that an operator is shown is what arrived.
async fn sources(server: &Server, id: &str, receiver: &Receiver) {
    for mail in receiver.mails() {
        let recipient = mail.file_stem().unwrap().to_str().unwrap();
        let source = server.cli(&["delivery", "source", id, recipient]).await.done();
        let shown = STANDARD.decode(source["source_base64"].as_str().unwrap()).unwrap();
        assert_eq!(shown, std::fs::read(&mail).unwrap(), "{recipient}");
    }
}

fn urls<'a>(html: &'a str, attribute: &str) -> Vec<&'a str> {
    html.split(attribute).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

/// The links of a mail lead where they should, and to nothing else.
async fn followed(mails: &Mails<'_>) {
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let taro = mails.of("taro@any1.example");
    let html = taro.body_html(0).unwrap().replace("&amp;", "&");
    let links = urls(&html, "href=\"");
    let click = links.iter().find(|link| link.contains("/l/")).unwrap();
    let answer = client.get(*click).send().await.unwrap();
    assert!(answer.status().is_redirection(), "{click}: {}", answer.status());
    let target = answer.headers()["location"].to_str().unwrap();
    assert_eq!(target, "https://shop.example/find?q=%E5%A4%AA%E9%83%8E&x=1");
    let forged = click.replace("/l/", "/l/AA");
    let status = client.get(&forged).send().await.unwrap().status();
    assert!(status.is_client_error(), "{forged}: {status}");
    let mirror = links.iter().find(|link| link.contains("/m/")).unwrap();
    let page = client.get(*mirror).send().await.unwrap().text().await.unwrap();
    assert!(page.contains("太郎さん、こんにちは。"), "{page}");
    let images = urls(&html, "src=\"");
    let image = images.iter().find(|image| image.contains("/a/")).unwrap();
    let octets = client.get(*image).send().await.unwrap().bytes().await.unwrap();
    assert_eq!(octets.as_ref(), golden("photo.jpg"));
    let pixel = images.iter().find(|image| image.contains("/o/")).unwrap();
    let answer = client.get(*pixel).send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "image/gif");
}

/// Wrong content, and what has to be said of it.
struct Wrong {
    name: &'static str,
    /// Stands in a line of its own in an otherwise good HTML.
    html: String,
    /// The level of a finding at that line; none: it may pass.
    level: Option<&'static str>,
    /// A word of that finding.
    says: &'static str,
}

fn wrong(
    name: &'static str,
    html: impl Into<String>,
    level: Option<&'static str>,
    says: &'static str,
) -> Wrong {
    Wrong { name, html: html.into(), level, says }
}

fn wrongs() -> Vec<Wrong> {
    let links = |n: usize| {
        (0..n).map(|n| format!("<a href=\"https://shop.example/{n}\">{n}</a> ")).collect::<String>()
    };
    vec![
        wrong("unclosed", "<table><tr><td><b>open <a href=\"https://shop.example/", None, ""),
        wrong("nested", "<table><tr><td>".repeat(3_000) + &"</td></tr></table>".repeat(3_000), None, ""),
        wrong("script", "<p>x</p><script>alert(1)</script>", Some("warning"), "script"),
        wrong("handler", "<p onclick=\"alert(1)\">x</p>", None, ""),
        wrong("nul", "<p>a\0b</p>", Some("error"), ""),
        wrong("javascript", "<a href=\"javascript:alert(1)\">x</a>", Some("error|warning"), "javascript"),
        wrong("vbscript", "<a href=\" java\tscript:alert(1)\">x</a>", None, ""),
        wrong("blanks", "<a href=\"https://shop.example/a b c\">x</a>", None, ""),
        wrong("host", "<a href=\"https://{{ first_name }}.example/\">x</a>", Some("error"), "host"),
        wrong("attribute", "<p {{ first_name }}=\"x\" class=\"{{ first_name }}\">x</p>", None, ""),
        wrong("style", "<style>p { color: {{ first_name }} } {% if 1 %} b { } {% endif %}</style>", None, ""),
        wrong("rtl", "<p dir=\"rtl\">שלום \u{202e}מרחבא\u{202c} مرحبا</p>", None, ""),
        wrong("links", links(10_000), None, ""),
        wrong(
            "missing",
            "<img src=\"assets/not-there.png\" alt=\"\">",
            Some("error|warning"),
            "not-there.png",
        ),
        wrong("data", "<img src=\"data:image/png;base64,AAAA\" alt=\"\">", None, ""),
        wrong("file", "<img src=\"file:///etc/passwd\" alt=\"\">", None, ""),
        wrong("include", "{% include \"no such block\" %}", Some("error"), "no such block"),
    ]
}

fn bad_toml(name: &str) -> String {
    stories::campaign::toml(name, "bad", "")
}

/// The findings of a push and, where that was done, of the analysis. None of it may take long.
async fn findings(server: &Server, name: &str) -> Vec<Value> {
    let started = Instant::now();
    let pushed = push(server, name).await;
    let found = if pushed.status == 0 {
        let id = pushed.json()["id"].as_str().unwrap().to_owned();
        let analysis = server.cli(&["delivery", "analyze", &id, "--wait"]).await;
        assert!(analysis.status < 2, "{name}: {} {}", analysis.stdout, analysis.stderr);
        let mut found = analysis.json()["findings"].as_array().cloned().unwrap_or_default();
        found.extend(pushed.json()["warnings"].as_array().into_iter().flatten().cloned());
        found
    } else {
        assert_eq!(pushed.status, 1, "{name}: {}", pushed.stderr);
        let told = pushed.json();
        let mut problems = told["problems"].as_array().cloned().unwrap_or_else(|| vec![told]);
        problems
            .iter_mut()
            .filter(|one| one["level"].is_null())
            .for_each(|one| one["level"] = json!("error"));
        problems
    };
    assert!(started.elapsed() < Duration::from_secs(120), "{name} took {:?}", started.elapsed());
    found
}

async fn bad_content(server: &mut Server) {
    for case in wrongs() {
        let html = format!(
            "<html><body>\n<p>Hello {{{{ first_name }}}}</p>\n{}\n<p><a href=\"{{{{ unsubscribe_url }}}}\">Leave</a></p>\n</body></html>\n",
            case.html
        );
        server.write(&format!("{}/delivery.toml", case.name), bad_toml(case.name));
        server.write(&format!("{}/content.html", case.name), html);
        let found = findings(server, case.name).await;
        assert!(server.is_running(), "{}\n{}", case.name, server.stderr());
        let Some(level) = case.level else { continue };
        let there = found.iter().any(|finding| {
            level.split('|').any(|level| finding["level"] == level)
                && finding["line"].as_i64() == Some(3)
                && finding.to_string().contains(case.says)
        });
        assert!(there, "{} stands in line 3: {found:#?}", case.name);
    }
}

async fn bad_files(server: &mut Server) {
    let good = "<html><body><p><img src=\"assets/a.png\" alt=\"\"> <a href=\"{{ unsubscribe_url }}\">Leave</a></p></body></html>\n";
    let mut bomb = golden("mark.png");
    // Width and height in the header of a PNG: 60,000 by 60,000.
    bomb[16..24].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
    let cases: [(&str, &str, Vec<u8>, &str); 7] = [
        ("utf8", "content.html", b"<p>caf\xe9</p>\n<p>{{ unsubscribe_url }}</p>\n".to_vec(), "content.html"),
        ("utf16", "content.html", good.encode_utf16().flat_map(u16::to_le_bytes).collect(), "UTF-8"),
        (
            "huge",
            "content.html",
            good.replace("<p>", &format!("<p>{}", "x".repeat(5 << 20))).into_bytes(),
            "html",
        ),
        ("liar", "assets/a.png", b"<html><script>alert(1)</script></html>".to_vec(), "a.png"),
        ("empty", "assets/a.png", Vec::new(), "a.png"),
        ("bomb", "assets/a.png", bomb, "a.png"),
        ("other", "assets/a.png", golden("photo.jpg"), "image/jpeg"),
    ];
    for (name, file, octets, says) in cases {
        server.write(&format!("{name}/delivery.toml"), bad_toml(name));
        server.write(&format!("{name}/content.html"), good);
        server.write(&format!("{name}/assets/a.png"), golden("mark.png"));
        server.write(&format!("{name}/{file}"), octets);
        let found = findings(server, name).await;
        let named =
            found.iter().any(|finding| finding["level"] != "info" && finding.to_string().contains(says));
        assert!(named, "{name}: {says} is not named: {found:#?}");
        assert!(server.is_running(), "{name}\n{}", server.stderr());
    }
    // A folder does not name files outside.
    server.write("outside/delivery.toml", bad_toml("outside") + "[content]\nhtml = \"../bad.csv\"\n");
    let pushed = push(server, "outside").await;
    assert_ne!(pushed.status, 0, "{}", pushed.stdout);
}

async fn bad_input(database: Database) {
    let mut server = Server::start(database, ServerOptions::default()).await;
    let people = server.write("bad.csv", "email,first_name\nann@tail1.example,Ann\n");
    server.cli(&["import", &people.to_string_lossy(), "--list", "bad"]).await.done();
    server.cli(&["domain", "add", "shop.example"]).await.done();
    bad_content(&mut server).await;
    bad_files(&mut server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_parameter_arrives_on_sqlite() {
    story(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_parameter_arrives_on_postgres() {
    story(Database::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_content_is_named_at_its_place() {
    bad_input(Database::Sqlite).await;
}
