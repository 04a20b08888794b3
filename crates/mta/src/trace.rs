//! Watching the next connections to a site, line by line, as an operator wants it who asks why mail does not go out.
//! Secrets, recipients' local parts and messages are left out where they are seen, so that no reader has to.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use crate::watch::{TraceKind, TraceLine};

/// The time (UTC microseconds).
pub(crate) type Now = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Lines that a slow reader may be behind; then the trace loses lines, the connection never waits.
const LINES_WAITING_MAX: usize = 2_048;
/// Octets of one line that are shown.
const LINE_LEN_MAX: usize = 1_000;
/// Traces at once.
const TRACES_MAX: usize = 16;
/// Connections of one trace.
const CONNECTIONS_MAX: u32 = 100;

/// Traces that were asked for. Costs a connection one atomic look while there is none.
#[derive(Debug, Default)]
pub(crate) struct Traces {
    any: AtomicBool,
    wanted: Mutex<Vec<Wanted>>,
}

#[derive(Debug)]
struct Wanted {
    site: String,
    left: u32,
    begun: u32,
    sender: mpsc::Sender<TraceLine>,
}

impl Traces {
    /// Traces the next `connections` connections to `site`.
    pub(crate) fn want(&self, site: &str, connections: u32) -> mpsc::Receiver<TraceLine> {
        let (sender, receiver) = mpsc::channel(LINES_WAITING_MAX);
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        wanted.retain(|one| !one.sender.is_closed());
        if wanted.len() >= TRACES_MAX {
            wanted.remove(0);
        }
        let left = connections.clamp(1, CONNECTIONS_MAX);
        wanted.push(Wanted { site: site.to_owned(), left, begun: 0, sender });
        self.any.store(true, Ordering::Release);
        receiver
    }

    /// The tracer of a connection that begins, when somebody wants one.
    pub(crate) fn begin(&self, site: &str, now: impl FnOnce() -> Now) -> Option<Tracer> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        wanted.retain(|one| !one.sender.is_closed());
        let found = wanted.iter_mut().find(|one| one.site == site).map(|one| {
            one.left -= 1;
            one.begun += 1;
            Tracer::new(one.begun, one.sender.clone(), now())
        });
        wanted.retain(|one| one.left > 0);
        self.any.store(!wanted.is_empty(), Ordering::Release);
        found
    }
}

/// Cuts what passes into lines and shows them.
pub(crate) struct Tracer {
    connection: u32,
    sender: mpsc::Sender<TraceLine>,
    now: Now,
    out: Vec<u8>,
    input: Vec<u8>,
    /// A 354 was heard: what we say until a lone dot is a message.
    in_message: bool,
    message_octets: u64,
    /// In a line of a message that cannot be the lone dot.
    in_long: bool,
    /// AUTH was said: what we say until a final answer is a secret.
    in_login: bool,
}

impl std::fmt::Debug for Tracer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tracer").field("connection", &self.connection).finish_non_exhaustive()
    }
}

impl Tracer {
    fn new(connection: u32, sender: mpsc::Sender<TraceLine>, now: Now) -> Self {
        Self {
            connection,
            sender,
            now,
            out: Vec::new(),
            input: Vec::new(),
            in_message: false,
            message_octets: 0,
            in_long: false,
            in_login: false,
        }
    }

    /// Something about the connection.
    pub(crate) fn note(&mut self, text: &str) {
        self.show(TraceKind::Note, text);
    }

    /// We said this.
    pub(crate) fn wrote(&mut self, octets: &[u8]) {
        for piece in octets.split_inclusive(|octet| *octet == b'\n') {
            // A message's lines are not kept, only told apart from its end.
            if self.in_message && (self.in_long || self.out.len() + piece.len() > 3) {
                self.message_octets += (self.out.len() + piece.len()) as u64;
                self.out.clear();
                self.in_long = !piece.ends_with(b"\n");
                continue;
            }
            self.out.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.out);
                self.out_line(&line);
            }
        }
        self.out.truncate(LINE_LEN_MAX);
    }

    fn out_line(&mut self, line: &[u8]) {
        let text = shown(line);
        if self.in_message {
            if text == "." {
                self.in_message = false;
                let octets = std::mem::take(&mut self.message_octets);
                self.show(TraceKind::Out, &format!("(a message of {octets} octets)"));
                self.show(TraceKind::Out, ".");
            } else {
                self.message_octets += line.len() as u64;
            }
            return;
        }
        if self.in_login {
            return self.show(TraceKind::Out, "(hidden)");
        }
        let upper = text.get(..5).unwrap_or_default().to_ascii_uppercase();
        if upper == "AUTH " {
            self.in_login = true;
            let mechanism = text.split(' ').nth(1).unwrap_or_default().to_owned();
            return self.show(TraceKind::Out, &format!("AUTH {mechanism} (hidden)"));
        }
        let text = if upper == "MAIL " || upper == "RCPT " { without_local_part(&text) } else { text };
        self.show(TraceKind::Out, &text);
    }

    /// The receiver said this.
    pub(crate) fn read(&mut self, octets: &[u8]) {
        for piece in octets.split_inclusive(|octet| *octet == b'\n') {
            self.input.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.input);
                let text = shown(&line);
                if text.starts_with("354") {
                    self.in_message = true;
                }
                if !text.starts_with("334") {
                    self.in_login = false;
                }
                self.show(TraceKind::In, &without_local_part(&text));
            }
        }
        self.input.truncate(LINE_LEN_MAX);
    }

    fn show(&mut self, kind: TraceKind, text: &str) {
        let mut text = text.to_owned();
        text.truncate(text.floor_char_boundary(LINE_LEN_MAX));
        let line = TraceLine { at_us: (self.now)(), connection: self.connection, kind, text };
        // A reader that is behind or gone loses lines: the mail does not wait for it.
        let _ = self.sender.try_send(line);
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        self.note("the connection is over");
    }
}

fn shown(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    String::from_utf8_lossy(&line[..line.len().min(LINE_LEN_MAX)])
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// Addresses lose what stands before their '@': what is logged, shown and kept names nobody.
pub(crate) fn without_local_part(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for (at, piece) in text.split('@').enumerate() {
        if at > 0 {
            let local = shown.rfind(|c: char| c.is_whitespace() || "<:(,;=".contains(c));
            let keep =
                local.map_or(0, |place| place + shown[place..].chars().next().map_or(0, char::len_utf8));
            shown.truncate(keep);
            shown.push_str("…@");
        }
        shown.push_str(piece);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traced(act: impl FnOnce(&mut Tracer)) -> Vec<String> {
        let traces = Traces::default();
        let now = || -> Now { Arc::new(|| 7) };
        let mut receiver = traces.want("google", 1);
        assert!(traces.begin("yahoo", now).is_none());
        let mut tracer = traces.begin("google", now).unwrap();
        assert!(traces.begin("google", now).is_none(), "one was wanted");
        act(&mut tracer);
        drop(tracer);
        let mut lines = Vec::new();
        while let Ok(line) = receiver.try_recv() {
            lines.push(format!("{:?} {}", line.kind, line.text));
        }
        lines
    }

    #[test]
    fn messages_secrets_and_local_parts_are_hidden_in_pieces_of_any_size() {
        let said: &[(&str, bool)] = &[
            ("220 mx ready\r\n", false),
            ("EHLO mail.shop.example\r\n", true),
            ("AUTH LOGIN\r\n", true),
            ("334 VXNlcm5hbWU6\r\n", false),
            ("c2VjcmV0\r\n", true),
            ("235 ok\r\n", false),
            ("MAIL FROM:<bounce-7@shop.example> SIZE=9\r\nRCPT TO:<ann.lee@mx.example>\r\nDATA\r\n", true),
            ("250 ok\r\n250 <ann.lee@mx.example> ok\r\n354 go\r\n", false),
            ("Subject: private\r\n\r\n..hello\r\n.\r\nMAIL FROM:<x@shop.example>\r\n", true),
            ("250 2.0.0 taken\r\n", false),
        ];
        for size in [1, 3, 1_000] {
            let lines = traced(|tracer| {
                for (text, out) in said {
                    for piece in text.as_bytes().chunks(size) {
                        if *out { tracer.wrote(piece) } else { tracer.read(piece) }
                    }
                }
            });
            let all = lines.join("\n");
            for secret in ["ann.lee", "bounce-7", "private", "hello", "c2VjcmV0"] {
                assert!(!all.contains(secret), "{secret} in {all}");
            }
            for shown in
                ["Out EHLO mail.shop.example", "Out RCPT TO:<…@mx.example>", "In 250 2.0.0 taken", "octets)"]
            {
                assert!(all.contains(shown), "{shown} not in {all} ({size})");
            }
            assert_eq!(lines.last().unwrap(), "Note the connection is over");
        }
    }

    #[test]
    fn several_addresses_in_one_line_lose_their_names() {
        assert_eq!(
            without_local_part("550 a.b@c.example and d@e.example: no"),
            "550 …@c.example and …@e.example: no"
        );
        assert_eq!(without_local_part("no address"), "no address");
    }
}
