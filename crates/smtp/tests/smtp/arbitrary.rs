//! Whatever a server sends: no panic, bounded memory, and one result for each transaction.

use std::collections::HashMap;

use proptest::prelude::*;
use smtp::{
    Client, Config, Cut, DELAY_MAX_S, DELAY_MIN_S, Envelope, Event, Login, PathAction, RecipientOutcome,
    Reply, Rules, Stage, TlsUse, Verdict,
};

/// What the world does to a client.
#[derive(Debug, Clone)]
enum Move {
    Say(Vec<u8>),
    Write(usize),
    Begin,
    Body,
    Secured,
    Quit,
    Cut,
}

fn any_move() -> impl Strategy<Value = Move> {
    let line =
        "(220|250|250-|354|334|235|421|450|550|221) ?(PIPELINING|STARTTLS|AUTH PLAIN LOGIN|SIZE 9|ok)?\r\n";
    prop_oneof![
        8 => line.prop_map(|text| Move::Say(text.into_bytes())),
        1 => proptest::collection::vec(any::<u8>(), 0..200).prop_map(Move::Say),
        6 => (0..200_usize).prop_map(Move::Write),
        4 => Just(Move::Begin),
        4 => Just(Move::Body),
        2 => Just(Move::Secured),
        1 => Just(Move::Quit),
        1 => Just(Move::Cut),
    ]
}

fn any_config() -> impl Strategy<Value = Config> {
    let tls = prop_oneof![
        3 => Just(TlsUse::Never),
        1 => Just(TlsUse::Opportunistic),
        1 => Just(TlsUse::Required),
        1 => Just(TlsUse::Implicit)
    ];
    let login = Login { user: "u".to_owned(), password: "p".to_owned(), in_clear: true };
    let login = prop_oneof![3 => Just(None), 1 => Just(Some(login))];
    (tls, login).prop_map(|(tls, login)| Config { ehlo: "out.example".to_owned(), tls, login })
}

/// A client that is past its EHLO in most cases, so that transactions are reached.
fn opened(config: Config, prelude: bool) -> Client {
    let welcome: &[u8] = if config.login.is_some() { b"235 welcome\r\n" } else { b"" };
    let mut client = Client::new(config);
    if prelude {
        client.input(b"220 x\r\n250-x\r\n250-AUTH PLAIN\r\n250 PIPELINING\r\n");
        client.input(welcome);
        client.wrote(usize::MAX / 2);
    }
    client
}

#[derive(Default)]
struct Ledger {
    begun: u64,
    finished: HashMap<u64, u32>,
    wanted: Option<u64>,
    closed: bool,
}

impl Ledger {
    fn note(&mut self, event: Event) {
        assert!(!self.closed, "nothing comes after the end");
        match event {
            Event::BodyWanted { id } => self.wanted = Some(id),
            Event::Finished { id, .. } => *self.finished.entry(id).or_default() += 1,
            Event::Closed { .. } => self.closed = true,
            Event::Handshake | Event::Ready => {}
        }
    }
}

fn apply(client: &mut Client, ledger: &mut Ledger, step: Move) {
    match step {
        Move::Say(bytes) => client.input(&bytes),
        Move::Write(count) => client.wrote(count),
        Move::Begin => {
            let envelope =
                Envelope { from: String::new(), to: "a@x.example".into(), size: 1, eight_bit: false };
            if client.begin(ledger.begun, envelope).is_ok() {
                ledger.begun += 1;
            }
        }
        Move::Body => {
            if let Some(id) = ledger.wanted.take() {
                client.body(id, b".x\r\n");
            }
        }
        Move::Secured => client.secured(),
        Move::Quit => {
            client.quit();
        }
        Move::Cut => client.cut(Cut::Eof),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn each_transaction_has_one_result(
        config in any_config(),
        prelude in prop::bool::weighted(0.8),
        moves in proptest::collection::vec(any_move(), 0..60),
    ) {
        let mut client = opened(config, prelude);
        let mut ledger = Ledger::default();
        for step in moves {
            apply(&mut client, &mut ledger, step);
            while let Some(event) = client.next_event() {
                ledger.note(event);
            }
            prop_assert!(client.output().len() < 2_000, "what is said is bounded");
            prop_assert_eq!(client.is_closed(), ledger.closed);
            prop_assert!(!(client.is_closed() && client.wait().is_some()));
        }
        client.cut(Cut::Timeout);
        while let Some(event) = client.next_event() {
            ledger.note(event);
        }
        prop_assert!(ledger.closed);
        prop_assert_eq!(ledger.finished.len() as u64, ledger.begun);
        prop_assert!(ledger.finished.values().all(|times| *times == 1));
    }

    #[test]
    fn an_answer_is_never_unknown_before_the_dot_nor_lost_after_it(cut_after in 0..40_usize) {
        let config = Config { ehlo: "out.example".to_owned(), tls: TlsUse::Never, login: None };
        let mut client = opened(config, true);
        let envelope = Envelope { from: String::new(), to: "a@x.example".into(), size: 1, eight_bit: false };
        client.begin(7, envelope).expect("ready");
        client.wrote(client.output().len());
        client.input(b"250 ok\r\n250 ok\r\n354 go\r\n");
        prop_assert!(client.body(7, b"Subject: x\r\n\r\nhello\r\n"));
        let whole = client.output().len();
        client.wrote(cut_after.min(whole));
        prop_assert_eq!(client.dot_is_written(7), cut_after >= whole);
        client.cut(Cut::Eof);
        let outcome = std::iter::from_fn(|| client.next_event()).find_map(|event| match event {
            Event::Finished { outcome, .. } => Some(outcome),
            _ => None,
        });
        prop_assert_eq!(outcome.expect("a result").is_unknown(), cut_after >= whole);
    }
}

/// Words that many rules look for, in any order.
fn any_words() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        "(user|unknown|mailbox|full|blocked|listed|spam|dmarc|spf |policy|too many|connections|rate limit|sender)",
        "(rejected|greylisted|try again in|seconds|[0-9]{1,5}|<a@b.example>|\\[TSS04\\]|S3150|frequency limited|tls required)",
        "[45]\\.[0-7]\\.[0-9]{1,3}",
        "\\PC{0,8}",
    ];
    proptest::collection::vec(word, 0..10).prop_map(|words| words.join(" "))
}

fn bounded(wait: Option<u32>) -> bool {
    wait.is_none_or(|seconds| (DELAY_MIN_S..=DELAY_MAX_S).contains(&seconds))
}

/// What holds for every verdict, whatever the rules say.
fn is_sound(verdict: &Verdict, reply: &Reply, stage: Stage) -> bool {
    let RecipientOutcome::Retry { after_s } = verdict.recipient else {
        let failed = verdict.recipient == RecipientOutcome::Failed;
        let by_code = if failed { reply.is_permanent() } else { reply.is_positive() && stage == Stage::Dot };
        return by_code && !verdict.held && !(verdict.quarantine && stage == Stage::Mail);
    };
    let waits = match verdict.path {
        PathAction::Suspend { after_s } => bounded(after_s),
        PathAction::Slow { factor_percent, after_s, .. } => {
            bounded(after_s) && (1..=99).contains(&factor_percent)
        }
        _ => true,
    };
    // What is tried again and not counted has to wait for something, or it would be tried without end.
    let waits_for_something =
        verdict.counts || after_s.is_some() || verdict.path != PathAction::None || reply.code < 400;
    waits
        && bounded(after_s)
        && waits_for_something
        && !verdict.quarantine
        // Of "not now" only words about the content hold a delivery.
        && (!verdict.held
            || !verdict.counts && (reply.is_permanent() || verdict.blames == smtp::Blame::Content))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn verdicts_hold_together(
        code in 200..600_u16,
        text in any_words(),
        stage in prop::sample::select(vec![Stage::Greeting, Stage::Mail, Stage::Rcpt, Stage::Data, Stage::Body, Stage::Dot]),
        site in prop::sample::select(vec!["", "google", "yahoo", "outlook", "orange", "qq", "gmx", "mimecast"]),
    ) {
        let reply = Reply::new(code, &text);
        let verdict = Rules::shipped().classify_for(site, &reply, stage);
        prop_assert!(is_sound(&verdict, &reply, stage), "{} at {}: {:?}", reply, stage, verdict);
        let again = smtp::normalised(&reply.to_string());
        prop_assert!(again.len() <= smtp::NORMALISED_LEN_MAX);
    }
}
