//! The receivers are talked to over raw sockets, as careful and as careless clients do, and by Python's smtplib.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use testkit::{
    Behaviour, Internet, InternetOptions, Log, Mailboxes, Receiver, Shared, Sink, Stage, What, World,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const LOCAL: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

struct Rig {
    receiver: Receiver,
    mailboxes: std::sync::Arc<Mailboxes>,
    log: std::sync::Arc<Log>,
}

async fn rig(change: impl FnOnce(&mut Behaviour)) -> Rig {
    let mut behaviour = Behaviour::accepting("p", "mx.p.example");
    change(&mut behaviour);
    let (log, mailboxes) = (Log::new(), std::sync::Arc::new(Mailboxes::default()));
    let tls = testkit::Tls::self_signed(&["mx.p.example".to_owned()]).expect("certificate");
    let shared = Shared::new(log.clone(), Some(mailboxes.clone()), Some(tls));
    let receiver = Receiver::start(SocketAddr::from(LOCAL), behaviour, shared).await.expect("starts");
    Rig { receiver, mailboxes, log }
}

/// Sends all of `text` in pieces of `size` octets and gives everything that was said until the end.
async fn talk(address: SocketAddr, text: &str, size: usize) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connects");
    stream.set_nodelay(true).expect("nodelay");
    for piece in text.as_bytes().chunks(size) {
        if stream.write_all(piece).await.is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    // Whoever says nothing more is taken leave of.
    let _ = stream.shutdown().await;
    let mut said = Vec::new();
    // A receiver that cuts resets the connection: what was said before counts.
    let _ = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut said)).await;
    String::from_utf8(said).expect("text")
}

fn codes(said: &str) -> Vec<&str> {
    said.lines().filter(|line| line.as_bytes().get(3) == Some(&b' ')).map(|line| &line[..3]).collect()
}

/// Two messages, everything at once: the body opens the next group.
const PIPELINED: &str = "EHLO me.example\r\nMAIL FROM:<b1@bounce.example> SIZE=90\r\nRCPT TO:<\"a..b\"@p.example>\r\nDATA\r\n\
    Message-ID: <1@x>\r\nSubject: one\r\n\r\n..stuffed\r\n...\r\nend\r\n.\r\nMAIL FROM:<b2@bounce.example>\r\n\
    RCPT TO:<nouser@p.example>\r\nRCPT TO:<c@p.example>\r\nDATA\r\nMESSAGE-id:  <2@x>\r\n\r\nx\r\n.\r\nQUIT\r\n";

#[tokio::test]
async fn pipelined_input_is_taken_in_pieces_of_any_size() {
    for size in [1, 2, 3, 7, 64, 10_000] {
        let rig = rig(|_| {}).await;
        let said = talk(rig.receiver.address(), PIPELINED, size).await;
        assert_eq!(
            codes(&said),
            ["220", "250", "250", "250", "354", "250", "250", "550", "250", "354", "250", "221"],
            "pieces of {size}: {said}"
        );
        assert_eq!(rig.mailboxes.arrived(), 2);
        let first = &rig.mailboxes.of("\"a..b\"@p.example")[0];
        let text = String::from_utf8(first.octets.to_vec()).expect("text");
        assert!(text.ends_with("\r\n\r\n.stuffed\r\n..\r\nend\r\n"), "{text}");
        assert_eq!(first.sender, "b1@bounce.example");
        let events = rig.log.events();
        let dots: Vec<&str> =
            events.iter().filter(|e| e.what == What::DotRead).map(|e| e.message_id.as_str()).collect();
        assert_eq!(dots, ["<1@x>", "<2@x>"]);
        let written = events.iter().filter(|e| e.what == What::Accepted).count();
        assert_eq!(written, 2);
    }
}

#[tokio::test]
async fn a_dot_inside_and_a_bare_dot_line_are_told_apart() {
    let rig = rig(|_| {}).await;
    let text = "EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@p.example>\r\nDATA\r\nA: b\r\n\r\nx\n.\nMAIL\r\n.\rx\r\n.\r\nQUIT\r\n";
    let said = talk(rig.receiver.address(), text, 5).await;
    assert_eq!(codes(&said), ["220", "250", "250", "250", "354", "250", "221"], "{said}");
    assert_eq!(rig.mailboxes.arrived(), 1, "only CR LF . CR LF ends a body");
}

#[tokio::test]
async fn greylists_by_recipient_then_accepts() {
    let rig = rig(|b| b.greylist = Some(Duration::from_millis(300))).await;
    let text = "EHLO x\r\nMAIL FROM:<b1@s.example>\r\nRCPT TO:<a@p.example>\r\nDATA\r\nA: b\r\n\r\nx\r\n.\r\nQUIT\r\n";
    let early = talk(rig.receiver.address(), text.split("DATA").next().expect("head"), 999).await;
    assert!(early.contains("451 4.7.1 Greylisted, please try again in 1 seconds"), "{early}");
    tokio::time::sleep(Duration::from_millis(350)).await;
    let later = talk(rig.receiver.address(), &text.replace("b1@", "b2@"), 999).await;
    assert_eq!(codes(&later), ["220", "250", "250", "250", "354", "250", "221"], "{later}");
}

#[tokio::test]
async fn throttles_with_the_providers_words() {
    let rig = rig(|b| {
        b.throttle.connections = Some(1);
        b.throttle.per_connection = Some(1);
    })
    .await;
    let mut first = TcpStream::connect(rig.receiver.address()).await.expect("connects");
    let mut greeting = [0; 64];
    assert!(first.read(&mut greeting).await.expect("reads") > 0);
    let second = talk(rig.receiver.address(), "", 1).await;
    assert!(second.starts_with("421 4.7.0 Too many concurrent"), "{second}");
    first.write_all(PIPELINED.as_bytes()).await.expect("writes");
    let mut said = String::new();
    let _ = first.read_to_string(&mut said).await;
    assert!(said.ends_with("Max message per connection reached, please close this connection\r\n"), "{said}");
    assert_eq!(rig.mailboxes.arrived(), 1);
}

#[tokio::test]
async fn cuts_once_and_hangs_and_closes_where_told() {
    let rig = rig(|b| b.cut_permille = 1000).await;
    let said = talk(rig.receiver.address(), PIPELINED, 9_999).await;
    assert_eq!(codes(&said), ["220", "250", "250", "250", "354"], "{said}");
    let again = talk(rig.receiver.address(), PIPELINED, 9_999).await;
    assert_eq!(codes(&again).len(), 10, "the first passes now, the second is cut: {again}");
    assert_eq!(rig.mailboxes.arrived(), 1);

    rig.receiver.provider().change(|b| {
        b.cut_permille = 0;
        b.close_at = Some(Stage::Rcpt);
    });
    assert_eq!(codes(&talk(rig.receiver.address(), PIPELINED, 9_999).await), ["220", "250", "250"]);
    rig.receiver.provider().change(|b| {
        b.close_at = None;
        b.hang_at = Some(Stage::Dot);
    });
    let mut stream = TcpStream::connect(rig.receiver.address()).await.expect("connects");
    stream.write_all(PIPELINED.as_bytes()).await.expect("writes");
    let mut said = Vec::new();
    while !String::from_utf8_lossy(&said).contains("\r\n354") {
        assert!(stream.read_buf(&mut said).await.expect("reads") > 0, "it closes");
    }
    let waited = tokio::time::timeout(Duration::from_millis(300), stream.read_to_end(&mut said)).await;
    assert!(waited.is_err(), "it says nothing any more and does not close");
    assert_eq!(codes(&String::from_utf8(said).expect("text")), ["220", "250", "250", "250", "354"]);
}

#[tokio::test]
async fn answers_as_told_and_keeps_to_its_extensions() {
    let rig = rig(|b| {
        b.pipelining = false;
        b.size_max = Some(100);
        *b = b.clone().answering(Stage::Data, "451 4.3.0\u{20}busy");
    })
    .await;
    let said = talk(rig.receiver.address(), "EHLO x\r\nMAIL FROM:<> SIZE=101\r\nMAIL FROM:<>\r\nDATA\r\nRCPT TO:<a@p.example>\r\nDATA\r\nVRFY a\r\nQUIT\r\n", 999).await;
    assert!(!said.contains("PIPELINING") && said.contains("SIZE 100"));
    assert_eq!(codes(&said), ["220", "250", "552", "250", "451", "250", "451", "502", "221"], "{said}");
}

#[tokio::test]
async fn wants_a_login_when_told_to() {
    let rig = rig(|b| b.login = Some(("user".to_owned(), "pass".to_owned()))).await;
    let said = talk(
        rig.receiver.address(),
        "EHLO x\r\nMAIL FROM:<>\r\nAUTH PLAIN AHVzZXIAbm8=\r\nAUTH PLAIN AHVzZXIAcGFzcw==\r\nAUTH LOGIN\r\ndXNlcg==\r\ncGFzcw==\r\nMAIL FROM:<>\r\nQUIT\r\n",
        999,
    )
    .await;
    assert_eq!(
        codes(&said),
        ["220", "250", "530", "535", "235", "334", "334", "235", "250", "221"],
        "{said}"
    );
}

#[tokio::test]
async fn the_sink_counts() {
    let sink = Sink::start(SocketAddr::from(LOCAL)).await.expect("starts");
    let said = talk(sink.address(), PIPELINED, 11).await;
    assert_eq!(codes(&said).len(), 12, "{said}");
    assert_eq!(sink.messages(), 2);
    assert!(sink.octets() > 50);
}

/// A client with an independent grammar, over STARTTLS and without, to two addresses of the demo world.
#[tokio::test]
async fn python_smtplib_delivers() {
    let internet = Internet::start(&World::friendly(), InternetOptions::default()).await.expect("starts");
    let script = r#"
import smtplib, ssl, sys
from email.message import EmailMessage
port = int(sys.argv[1])
for host, secure in (("127.0.10.1", True), ("127.0.20.1", False)):
    client = smtplib.SMTP(host, port, local_hostname="client.example", timeout=60)
    client.ehlo()
    if secure:
        client.starttls(context=ssl._create_unverified_context())
        client.ehlo()
    for n in range(3):
        mail = EmailMessage()
        mail["From"] = "a@b.example"; mail["To"] = "r%d@gmail.com" % n; mail["Subject"] = "n\u00fc"
        mail["Message-ID"] = "<%d-%s@b.example>" % (n, host)
        mail.set_content("one\n.\n..two\n" * 1000)
        refused = client.send_message(mail, "a@b.example", ["r%d@gmail.com" % n, "nouser@gmail.com"])
        assert refused["nouser@gmail.com"][0] == 550, refused
    client.quit()
"#;
    let port = internet.port().to_string();
    let output =
        tokio::task::spawn_blocking(move || Command::new("python3").args(["-c", script, &port]).output())
            .await
            .expect("joins")
            .expect("python3 runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(internet.mailboxes().arrived(), 6);
    let mails = internet.mailboxes().list("r0@", None, 10);
    assert!(mails.iter().any(|m| m.tls && &*m.provider == "google"));
    assert!(mails.iter().any(|m| !m.tls && &*m.provider == "docomo"));
    let text = String::from_utf8_lossy(&mails[0].octets).replace("\r\n", "\n");
    assert!(text.contains("one\n.\n..two\n"));
    assert!(testkit::duplicates(&internet.log().events()).is_empty());
}

/// Raw sockets from two addresses: a block of one leaves the other running, and a reputation is the address's own.
#[tokio::test]
async fn a_personality_knows_who_comes() {
    let mut outlook = Behaviour::personality("outlook").expect("known");
    outlook.blocks = vec![(Ipv4Addr::new(127, 0, 0, 2).into(), outlook.words.blocked.clone())];
    if let Some(habits) = &mut outlook.habits {
        (habits.per_second, habits.burst, habits.patience) = (0.01, 2.0, 2);
    }
    let shared = Shared::new(Log::new(), None, None);
    let receiver = Receiver::start(SocketAddr::from(LOCAL), outlook, shared).await.expect("starts");
    let mail = "EHLO x\r\nMAIL FROM:<b1@s.example>\r\nQUIT\r\n";
    let mut said = Vec::new();
    for host in [2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3] {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.bind(SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), 0))).expect("binds");
        let mut stream = socket.connect(receiver.address()).await.expect("connects");
        stream.write_all(mail.as_bytes()).await.expect("writes");
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("reads");
        said.push(text.lines().rev().nth(1).expect("an answer to MAIL").to_owned());
    }
    assert!(said[0].contains("S3150"), "{said:?}");
    let firsts: Vec<&str> = said[1..13].iter().map(|line| line.get(..3).unwrap_or("")).collect();
    // Two in the burst; deferred until patience has run out three times; then the block.
    assert_eq!(firsts[..4], ["250", "250", "451", "451"], "{said:?}");
    assert!(said[12].contains("S3150") && said[13].starts_with("250"), "{said:?}");
    assert!(receiver.provider().standing(Ipv4Addr::LOCALHOST.into()).is_some_and(|standing| standing < 0.2));
}
