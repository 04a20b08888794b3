//! Whatever a server sends: no panic, bounded memory, and one result for each transaction.

use std::collections::HashMap;

use proptest::prelude::*;
use smtp::{Client, Config, Cut, Envelope, Event, Login, TlsUse};

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
