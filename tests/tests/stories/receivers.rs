//! Receivers that refuse, stumble, hang up, lie and talk nonsense: the delivery log has the right outcome each time,
//! and only an address that does not exist goes into quarantine.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use stories::campaign::Row;
use stories::{Database, Server, ServerOptions, soak};
use testkit::{Behaviour, Fault, Internet, InternetOptions, Node, Place, Script, ScriptServer, Stage, World};

/// What one receiver does.
enum Does {
    /// Behaves like this.
    Behaves(Box<dyn Fn(&mut Behaviour)>),
    /// Says this, word by word.
    Says(String),
    /// Its name leads elsewhere.
    Named(Node),
}

/// What has to come of it.
#[derive(Clone, Copy)]
struct Outcome {
    state: &'static str,
    attempts: i64,
    /// One of these; none: anything.
    reasons: &'static [&'static str],
    quarantined: bool,
}

const SENT: Outcome = Outcome { state: "sent", attempts: 1, reasons: &[""], quarantined: false };
/// The message failed; the address is not blamed.
const REFUSED: Outcome = Outcome { state: "failed", attempts: 1, reasons: &[], quarantined: false };
const NO_SUCH_USER: Outcome =
    Outcome { state: "failed", attempts: 1, reasons: &["user_unknown"], quarantined: true };
/// The domain takes no mail: nobody was asked.
const NO_DOMAIN: Outcome =
    Outcome { state: "failed", attempts: 0, reasons: &["invalid_domain"], quarantined: false };
/// The receiver answered about the message: a try.
const TRIED: Outcome = Outcome { state: "pending", attempts: 1, reasons: &[], quarantined: false };
/// The connection broke after the receiver had taken the recipient.
const BROKE: Outcome =
    Outcome { state: "pending", attempts: 1, reasons: &["unreachable"], quarantined: false };
/// The path is to blame, nothing is written about the message.
const UNTRIED: Outcome = Outcome { state: "pending", attempts: 0, reasons: &[], quarantined: false };

struct Case {
    name: String,
    does: Does,
    outcome: Outcome,
    /// Has to stand in the receiver's words of the log.
    words: &'static str,
}

fn case(name: &str, does: Does, outcome: Outcome, words: &'static str) -> Case {
    Case { name: name.to_owned(), does, outcome, words }
}

fn behaves(change: impl Fn(&mut Behaviour) + 'static) -> Does {
    Does::Behaves(Box::new(change))
}

fn answers(stage: Stage, reply: &'static str) -> Does {
    behaves(move |b| b.answers.push((stage, reply.to_owned())))
}

fn says(script: &str) -> Does {
    Does::Says(script.replace("HELLO", "S: 220 mx.test ESMTP\nC: EHLO *\nS: 250-mx.test\nS: 250 PIPELINING"))
}

/// Every command answered with 421, 4xx and 5xx.
fn answer_cases() -> Vec<Case> {
    let stages = [
        ("connect", Stage::Connect),
        ("ehlo", Stage::Ehlo),
        ("mail", Stage::Mail),
        ("rcpt", Stage::Rcpt),
        ("data", Stage::Data),
        ("dot", Stage::Dot),
    ];
    let mut cases = Vec::new();
    for (name, stage) in stages {
        let of_message = !matches!(stage, Stage::Connect | Stage::Ehlo);
        let (later, refused) = if of_message { (TRIED, REFUSED) } else { (UNTRIED, UNTRIED) };
        let later_words = if of_message { "later please" } else { "" };
        let refused_words = if of_message { "policy" } else { "" };
        cases.push(case(&format!("a421-{name}"), answers(stage, "421 4.3.2 going down"), UNTRIED, ""));
        cases.push(case(
            &format!("a451-{name}"),
            answers(stage, "451 4.3.0 later please"),
            later,
            later_words,
        ));
        let reply = "550 5.7.1 refused by local policy";
        cases.push(case(&format!("a550-{name}"), answers(stage, reply), refused, refused_words));
    }
    // A receiver that refuses EHLO with 5xx is asked with HELO (RFC 5321 section 3.2), and refuses that too here.
    cases
}

fn behaviour_cases() -> Vec<Case> {
    vec![
        case("plain", behaves(|_| {}), SENT, "250"),
        case("lockstep", behaves(|b| b.pipelining = false), SENT, "250"),
        case(
            "bare",
            behaves(|b| (b.pipelining, b.starttls, b.eight_bit, b.smtputf8) = (false, false, false, false)),
            SENT,
            "250",
        ),
        case("helo", behaves(|b| b.ehlo = false), SENT, "250"),
        case("slow", behaves(|b| b.reply_delay = Duration::from_millis(400)), SENT, "250"),
        case("late", behaves(|b| b.dot_delay = Duration::from_secs(3)), SENT, "250"),
        case("cuts-body", behaves(|b| b.cut_permille = 1000), BROKE, ""),
        case("closes-connect", behaves(|b| b.close_at = Some(Stage::Connect)), UNTRIED, ""),
        case(
            "closes-mail",
            behaves(|b| (b.close_at, b.pipelining) = (Some(Stage::Mail), false)),
            UNTRIED,
            "",
        ),
        case("closes-rcpt", behaves(|b| (b.close_at, b.pipelining) = (Some(Stage::Rcpt), false)), BROKE, ""),
        case("closes-data", behaves(|b| (b.close_at, b.pipelining) = (Some(Stage::Data), false)), BROKE, ""),
        case("closes-dot", behaves(|b| b.close_at = Some(Stage::Dot)), BROKE, ""),
        case("nouser", behaves(|b| b.bounce.permille = 1000), NO_SUCH_USER, "5.1.1"),
        case(
            "greylist",
            behaves(|b| b.greylist = Some(Duration::from_secs(100))),
            Outcome { attempts: 0, ..TRIED },
            "4.7.1",
        ),
        // RFC 5321 section 4.5.3.1.10: 552 to RCPT is treated as 452.
        case(
            "full",
            answers(Stage::Rcpt, "552 5.2.2 mailbox full"),
            Outcome { reasons: &["mailbox_full"], ..TRIED },
            "full",
        ),
        case("too-big", behaves(|b| b.size_max = Some(100)), Outcome { attempts: 0, ..REFUSED }, "5.3.4"),
    ]
}

fn scripted_cases() -> Vec<Case> {
    let long = "x".repeat(1_500);
    let many: String = (0..50).map(|n| format!("S: 250-line {n} {long}\n")).collect();
    let endless: String = (0..3_000).map(|n| format!("S: 250-line {n}\n")).collect();
    vec![
        case("nonsense-greeting", says("S: <html>not a mail server</html>\nE:"), UNTRIED, ""),
        case("binary-greeting", says("R: \\x00\\xFF\\xFE\\x01\\r\\n\\0\\0\nE:"), UNTRIED, ""),
        case("long-greeting", says("L: 100000\nE:"), UNTRIED, ""),
        case("endless-ehlo", says(&format!("S: 220 mx\nC: EHLO *\n{endless}E:")), UNTRIED, ""),
        case(
            "nonsense-rcpt",
            says("HELLO\nC: MAIL FROM:*\nS: 250 ok\nC: RCPT TO:*\nR: \\x00\\xFFrubbish\\r\\n\nE:"),
            BROKE,
            "",
        ),
        case(
            "long-and-many-lines",
            says(&format!(
                "S: 220-mx {long}\nS: 220 ready\nC: EHLO *\n{many}S: 250 SIZE 1000000\nC: MAIL FROM:*\nS: 250-{long}\nS: 250 ok\n\
                 C: RCPT TO:*\nS: 250 ok\nC: DATA\nS: 354-go\nS: 354 on\nB:\nS: 250-{long}\nS: 250 2.0.0 taken in two lines\nE:"
            )),
            SENT,
            "250",
        ),
        case(
            "refused-in-three-lines",
            says(
                "HELLO\nC: MAIL FROM:*\nC: RCPT TO:*\nC: DATA\nS: 250 ok\nS: 550-5.1.1 The email account that you tried\nS: 550-5.1.1 to reach does not exist. Please check\nS: 550 5.1.1 the address. user unknown\nS: 503 5.5.1 no recipients\nE:",
            ),
            NO_SUCH_USER,
            "5.1.1",
        ),
        case(
            "354-after-a-refusal",
            says(
                "HELLO\nC: MAIL FROM:*\nC: RCPT TO:*\nC: DATA\nS: 250 ok\nS: 554 5.7.1 not from you\nS: 354 go on\nC: .\nS: 554 no valid recipients\nE:",
            ),
            REFUSED,
            "not from you",
        ),
        case(
            "421-in-the-body",
            says(
                "HELLO\nC: MAIL FROM:*\nC: RCPT TO:*\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go on\nB: 100\nS: 421 4.3.2 going down\nX:",
            ),
            UNTRIED,
            "",
        ),
        case(
            "drops-in-the-body",
            says(
                "HELLO\nC: MAIL FROM:*\nC: RCPT TO:*\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go on\nB: 100\nX:",
            ),
            BROKE,
            "",
        ),
        case(
            "starttls-stripped",
            says(
                "S: 220 mx\nC: EHLO *\nS: 250-mx\nS: 250 STARTTLS\nC: STARTTLS\nS: 454 4.7.0 TLS not available\nE:",
            ),
            Outcome { state: "", ..UNTRIED },
            "",
        ),
        case("down", Does::Named(Node::default()), UNTRIED, ""),
    ]
}

fn named_cases() -> Vec<Case> {
    vec![
        case("null-mx", Does::Named(Node::null_mx()), NO_DOMAIN, "7505"),
        case("nxdomain", Does::Named(Node::broken(Fault::NxDomain)), NO_DOMAIN, ""),
        case("servfail", Does::Named(Node::broken(Fault::ServFail)), UNTRIED, ""),
        // No MX: its own address takes the mail (RFC 5321 section 5.1).
        case("address-only", Does::Named(Node::default()), SENT, "250"),
        case("second-host", Does::Named(Node::mail(&["mx.down.example", "mx.plain.example"])), SENT, "250"),
    ]
}

/// Nobody listens here.
const NOWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 79, 1);

struct Scene {
    internet: Internet,
    scripted: BTreeMap<String, ScriptServer>,
}

async fn scene(cases: &[Case]) -> Scene {
    let mut places = Vec::new();
    for case in cases {
        let Does::Behaves(change) = &case.does else { continue };
        let host = format!("mx.{}.example", case.name);
        let mut behaviour = Behaviour::accepting(&case.name, &host);
        change(&mut behaviour);
        let address = Ipv4Addr::new(127, 0, 71, places.len() as u8 + 1);
        places.push(Place::new(behaviour, address).domain(&format!("{}.example", case.name), &[&host]));
    }
    let plain = places.iter().find(|place| place.behaviour.name == "plain").map(|place| place.addresses[0]);
    let plain = IpAddr::V4(plain.expect("one receiver just takes mail"));
    let world = World { places };
    let internet = Internet::start(&world, InternetOptions::default()).await.unwrap();
    let mut scripted = BTreeMap::new();
    for (number, case) in cases.iter().enumerate() {
        let domain = format!("{}.example", case.name);
        match &case.does {
            Does::Behaves(_) => {}
            Does::Says(text) => {
                let script = Script::parse(text).unwrap();
                let address = Ipv4Addr::new(127, 0, 72, number as u8 + 1);
                let server = ScriptServer::start(SocketAddr::from((address, internet.port())), vec![script]);
                scripted.insert(case.name.clone(), server.await.unwrap());
                internet.change_zone(|zone| {
                    let host = format!("mx.{domain}");
                    zone.set(&domain, Node::mail(&[&host]));
                    zone.set(&host, Node::host(IpAddr::V4(address)));
                });
            }
            Does::Named(_) if case.name == "down" => internet.change_zone(|zone| {
                zone.set(&domain, Node::mail(&["mx.down.example"]));
                zone.set("mx.down.example", Node::host(IpAddr::V4(NOWHERE)));
            }),
            Does::Named(_) if case.name == "address-only" => {
                internet.change_zone(|zone| zone.set(&domain, Node::host(plain)));
            }
            Does::Named(node) => internet.change_zone(|zone| zone.set(&domain, node.clone())),
        }
    }
    Scene { internet, scripted }
}

fn address(case: &Case) -> String {
    format!("someone@{}.example", case.name)
}

/// What is wrong with a row; none: it is as it should be.
fn fault(case: &Case, row: &Row, quarantine: &str) -> Option<String> {
    let outcome = case.outcome;
    let right = (outcome.state.is_empty() || row.state == outcome.state)
        && row.attempts == outcome.attempts
        && (outcome.reasons.is_empty() || outcome.reasons.contains(&row.reason.as_str()))
        && row.reply.contains(case.words)
        && quarantine.contains(&row.recipient) == outcome.quarantined;
    let quarantined = quarantine.contains(&row.recipient);
    (!right).then(|| format!("{}: {row:?} quarantined: {quarantined}", case.name))
}

/// Every receiver was spoken to.
fn all_heard(scene: &Scene, cases: &[Case]) -> bool {
    let events = scene.internet.log().events();
    cases.iter().all(|case| match &case.does {
        Does::Behaves(_) => events.iter().any(|event| event.provider == case.name),
        Does::Says(_) => scene.scripted.get(&case.name).is_some_and(|server| !server.played().is_empty()),
        Does::Named(_) => true,
    })
}

async fn story(database: Database) {
    let mut cases = answer_cases();
    cases.extend(behaviour_cases());
    cases.extend(scripted_cases());
    cases.extend(named_cases());
    let scene = scene(&cases).await;
    let options =
        ServerOptions { config: scene.internet.settings(), turnable: true, ..ServerOptions::default() };
    let server = Server::start(database, options).await;
    let targets: Vec<String> = cases.iter().map(address).collect();
    // Nobody is tried twice, however long the first tries take.
    let more = "[parameters]\nretry_period = \"1h\"\n";
    let id = server.campaign("receivers", &targets, more).await;
    let decided = cases.iter().filter(|case| matches!(case.outcome.state, "sent" | "failed")).count() as u64;
    // Short of the greylist's time, after which it is another story.
    let end = tokio::time::Instant::now() + Duration::from_secs(90);
    loop {
        let status = server.status(&id).await;
        let count = |name: &str| status["messages"][name].as_u64().unwrap_or(0);
        let done = count("sent") + count("failed") >= decided && all_heard(&scene, &cases);
        if done || tokio::time::Instant::now() > end {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    while !faults(&server, &id, &cases).await.is_empty() && tokio::time::Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    // What should not happen gets a moment in which it could.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let faults = faults(&server, &id, &cases).await;
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    server.verify(&id).await;
    if soak() {
        everybody_recovers(&server, &scene, &cases, &id).await;
    }
}

/// What is wrong with the delivery's rows.
async fn faults(server: &Server, id: &str, cases: &[Case]) -> Vec<String> {
    let rows = server.log(id).await;
    let quarantine = server.request(reqwest::Method::GET, "/quarantine").send().await.unwrap();
    let quarantine = quarantine.text().await.unwrap();
    assert_eq!(rows.len(), cases.len());
    cases.iter().filter_map(|case| fault(case, rows.get(&address(case))?, &quarantine)).collect()
}

/// Receivers that behave again get what waits for them, in hours told in seconds.
async fn everybody_recovers(server: &Server, scene: &Scene, cases: &[Case], id: &str) {
    for case in cases {
        if let Some(provider) = scene.internet.provider(&case.name) {
            provider
                .change(|behaviour| *behaviour = Behaviour::accepting(&case.name, &behaviour.host.clone()));
        }
    }
    let end = tokio::time::Instant::now() + stories::WAIT;
    loop {
        server.turn_to(server.now_us() + 10 * 60 * 1_000_000);
        let rows = server.log(id).await;
        let waiting: Vec<&Row> = cases
            .iter()
            .filter(|case| matches!(case.does, Does::Behaves(_)))
            .filter_map(|case| rows.get(&address(case)))
            .filter(|row| row.state == "pending")
            .collect();
        if waiting.is_empty() {
            break;
        }
        assert!(tokio::time::Instant::now() < end, "{waiting:?}");
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    server.verify(id).await;
}

/// A bounce in one delivery takes the address out of every other one.
async fn gone_for_everybody(database: Database) {
    let refusing =
        Behaviour::accepting("gone", "mx.gone.example").answering(Stage::Rcpt, "450 4.2.0 not now");
    let place =
        Place::new(refusing, Ipv4Addr::new(127, 0, 73, 1)).domain("gone.example", &["mx.gone.example"]);
    let internet = Internet::start(&World { places: vec![place] }, InternetOptions::default()).await.unwrap();
    // A connection stays with the behaviour that it began with.
    let shaping = "[unknown]\nconnections = 10\nmessages_per_connection = 1\nmessage_rates = []\n".to_owned();
    let options =
        ServerOptions { config: internet.settings(), shaping: Some(shaping), ..ServerOptions::default() };
    let server = Server::start(database, options).await;
    let targets = ["left@gone.example", "stays@gone.example"];
    let waiting = server.campaign("waiting", &targets, "[parameters]\nretry_period = \"60s\"\n").await;
    server.wait_until_tried(&waiting, stories::WAIT).await;
    internet.provider("gone").unwrap().change(|behaviour| {
        behaviour.answers.clear();
        behaviour.bounce.local_contains = vec!["left".to_owned()];
    });
    let id =
        server.push("next", &stories::campaign::toml("next", "waiting", ""), stories::campaign::HTML).await;
    server.analyze(&id).await;
    server.confirm(&id).await;
    let status = server.wait_for(&id, &["finished"], stories::WAIT).await;
    assert_eq!(
        (&status["messages"]["sent"], &status["messages"]["failed"]),
        (&1.into(), &1.into()),
        "{status}"
    );
    let third =
        server.push("third", &stories::campaign::toml("third", "waiting", ""), stories::campaign::HTML).await;
    let analysis = server.analyze(&third).await;
    assert_eq!((&analysis["excluded"]["quarantined"], &analysis["to_deliver"]), (&1.into(), &1.into()));
    if soak() {
        cancelled_at_its_turn(&server, &waiting).await;
    }
}

/// The gate is where a pending message is cancelled: when its next try is due.
async fn cancelled_at_its_turn(server: &Server, id: &str) {
    let status = server.wait_for(id, &["finished"], stories::WAIT).await;
    assert_eq!((&status["messages"]["cancelled"], &status["messages"]["sent"]), (&1.into(), &1.into()));
    let row = server.log(id).await.remove("left@gone.example").unwrap();
    assert_eq!((row.state.as_str(), row.reason.as_str()), ("cancelled", "suppressed"), "{row:?}");
    server.verify(id).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_exist_is_left_out_everywhere_on_sqlite() {
    gone_for_everybody(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_exist_is_left_out_everywhere_on_postgres() {
    gone_for_everybody(Database::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_has_its_outcome_on_sqlite() {
    story(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_has_its_outcome_on_postgres() {
    story(Database::Postgres).await;
}
