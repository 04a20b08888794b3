//! Plays the scripts in `dialogues/` against the client. Each file holds dialogues, each begun by `== title`:
//!
//! ```text
//! with ehlo=out.example tls=never|opportunistic|required|implicit login=user:password clear
//! S: 220 what the server says        consecutive lines arrive together
//! S! 421 the same, while output is still unwritten
//! C: EHLO what the client must say   the next line of its output, which is thereby written
//! > begin 1 from to size=9 8bit      what the owner does; "= text" at the end: it is refused, with this text
//! > ask 1 from to                    the same, ending with the answer to RCPT
//! > body 1 text\r\n                  \r and \n stand for themselves
//! > write 3                          that many octets go out
//! > secured | > quit | > cut eof|timeout|abandoned
//! - ready                            the next event, or "-" alone: none
//! ? wait RCPT TO 300                 what is awaited and how many seconds, or "none"
//! ? begin yes|no                     whether a transaction can begin
//! # comment
//! ```
//!
//! Nothing may be left over: before the server speaks all output must have been expected, and all events read. Each
//! dialogue is played twice: with what arrives in one piece, and octet by octet.

use std::path::Path;

use smtp::{Answer, Client, Config, Cut, Envelope, Event, Login, TlsUse};

#[derive(Clone, Copy, PartialEq, Debug)]
enum Pieces {
    Whole,
    Octets,
}

struct Player {
    client: Client,
    pieces: Pieces,
    /// What the server says, until something else happens.
    said: String,
    place: String,
}

#[test]
fn scripts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/smtp/dialogues");
    let mut played = 0;
    for entry in std::fs::read_dir(folder).expect("the folder") {
        let path = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&path).expect("a script");
        for dialogue in text.split("\n== ").skip(1) {
            play(&path, dialogue, Pieces::Whole);
            play(&path, dialogue, Pieces::Octets);
            played += 1;
        }
    }
    assert!(played >= 40, "only {played} dialogues");
}

fn play(path: &Path, dialogue: &str, pieces: Pieces) {
    let mut lines = dialogue.lines();
    let title = lines.next().unwrap_or_default();
    let mut lines = lines.filter(|line| !line.trim().is_empty() && !line.starts_with('#')).peekable();
    let settings = lines.next_if(|line| line.starts_with("with ")).unwrap_or("with");
    let mut player =
        Player { client: Client::new(config(settings)), pieces, said: String::new(), place: String::new() };
    for line in lines {
        player.place = format!("{}, {title:?}, {pieces:?}: {line:?}", path.display());
        player.step(line);
    }
    player.place = format!("{}, {title:?}, {pieces:?}: the end", path.display());
    player.step("-");
    assert_eq!(text_of(player.client.output()), "", "{}", player.place);
}

fn config(settings: &str) -> Config {
    let mut config = Config { ehlo: "out.example".to_owned(), tls: TlsUse::Never, login: None };
    for word in settings.split_whitespace().skip(1) {
        match word.split_once('=').unwrap_or((word, "")) {
            ("ehlo", name) => config.ehlo = name.to_owned(),
            ("tls", "never") => config.tls = TlsUse::Never,
            ("tls", "opportunistic") => config.tls = TlsUse::Opportunistic,
            ("tls", "required") => config.tls = TlsUse::Required,
            ("tls", "implicit") => config.tls = TlsUse::Implicit,
            ("login", pair) => {
                let (user, password) = pair.split_once(':').expect("user:password");
                config.login =
                    Some(Login { user: user.to_owned(), password: password.to_owned(), in_clear: false });
            }
            ("clear", _) => config.login.iter_mut().for_each(|login| login.in_clear = true),
            other => panic!("setting {other:?}"),
        }
    }
    config
}

impl Player {
    fn step(&mut self, line: &str) {
        let (mark, rest) = line.split_at(line.len().min(2));
        let rest = rest.trim_start();
        if !mark.starts_with('S') {
            self.hear();
        }
        match mark.trim_end() {
            "S:" => {
                assert_eq!(text_of(self.client.output()), "", "{}", self.place);
                if self.said.is_empty() {
                    assert_eq!(self.client.next_event(), None, "{}", self.place);
                }
                self.said += &format!("{rest}\r\n");
            }
            "S!" => self.said += &format!("{rest}\r\n"),
            "C:" => self.expect_output(rest),
            ">" => self.act(rest),
            "-" => {
                let event = self.client.next_event().map(shown).unwrap_or_default();
                assert_eq!(event, rest, "{}", self.place);
            }
            "?" => self.check(rest),
            _ => panic!("no such step: {}", self.place),
        }
    }

    fn hear(&mut self) {
        let said = std::mem::take(&mut self.said);
        match self.pieces {
            Pieces::Whole => self.client.input(said.as_bytes()),
            Pieces::Octets => said.as_bytes().chunks(1).for_each(|octet| self.client.input(octet)),
        }
    }

    fn expect_output(&mut self, line: &str) {
        let output = text_of(self.client.output());
        let expected = format!("{line}\r\n");
        assert!(output.starts_with(&expected), "{}: output is {output:?}", self.place);
        self.client.wrote(expected.len());
    }

    fn act(&mut self, words: &str) {
        let (words, refusal) = match words.split_once(" = ") {
            Some((words, refusal)) => (words, Some(refusal.to_owned())),
            None => (words, None),
        };
        let (verb, rest) = words.split_once(' ').unwrap_or((words, ""));
        match verb {
            "begin" | "ask" => {
                let (id, envelope) = envelope(rest);
                let result = match verb {
                    "ask" => self.client.probe(id, envelope),
                    _ => self.client.begin(id, envelope),
                };
                assert_eq!(result.err().map(|error| error.to_string()), refusal, "{}", self.place);
            }
            "body" => {
                let (id, text) = rest.split_once(' ').unwrap_or((rest, ""));
                let text = text.replace("\\r", "\r").replace("\\n", "\n");
                let taken = self.client.body(id.parse().expect("an id"), text.as_bytes());
                assert_eq!(taken, refusal.is_none(), "{}", self.place);
            }
            "write" => self.client.wrote(rest.parse().expect("a number")),
            "secured" => self.client.secured(),
            "quit" => assert_eq!(self.client.quit(), refusal.is_none(), "{}", self.place),
            "cut" => self.client.cut(match rest {
                "eof" => Cut::Eof,
                "timeout" => Cut::Timeout,
                "abandoned" => Cut::Abandoned,
                other => panic!("cut {other}"),
            }),
            _ => panic!("no such act: {}", self.place),
        }
    }

    fn check(&mut self, words: &str) {
        let (what, expected) = words.split_once(' ').expect("a question and its answer");
        let found = match what {
            "wait" => match self.client.wait() {
                Some(wait) => format!("{} {}", wait.stage, wait.timeout.as_secs()),
                None => "none".to_owned(),
            },
            "begin" => if self.client.can_begin() { "yes" } else { "no" }.to_owned(),
            "secured" => if self.client.is_secured() { "yes" } else { "no" }.to_owned(),
            _ => panic!("no such question: {}", self.place),
        };
        assert_eq!(found, expected, "{}", self.place);
    }
}

fn envelope(words: &str) -> (u64, Envelope) {
    let mut words = words.split_whitespace();
    let id = words.next().and_then(|id| id.parse().ok()).expect("an id");
    let mut path = || words.next().expect("a path").trim_matches(['<', '>']).to_owned();
    let (from, to) = (path(), path());
    let mut envelope = Envelope { from, to, size: 100, eight_bit: false };
    for word in words {
        match word.split_once('=') {
            Some(("size", size)) => envelope.size = size.parse().expect("a size"),
            _ if word == "8bit" => envelope.eight_bit = true,
            _ => panic!("begin with {word}"),
        }
    }
    (id, envelope)
}

fn shown(event: Event) -> String {
    match event {
        Event::Handshake => "handshake".to_owned(),
        Event::Ready => "ready".to_owned(),
        Event::BodyWanted { id } => format!("body {id}"),
        Event::Finished { id, outcome } => {
            let dot = if outcome.dot_written { ", dot written" } else { "" };
            let unknown = if outcome.is_unknown() { ", unknown" } else { "" };
            let answer = match outcome.answer {
                Answer::Reply(reply) => reply.to_string(),
                Answer::None(why) => format!("none, {why}"),
            };
            format!("finished {id} at {}{dot}{unknown}: {answer}", outcome.stage)
        }
        Event::Closed { stage, why } => format!("closed at {stage}: {why}"),
    }
}

fn text_of(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}
