//! The duties of a client by the section of the RFC that names them. What a dialogue shows better stands in
//! `dialogues/`; here are the counts, the bounds and what has to hold at every step.

use std::time::Duration;

use smtp::{
    Answer, Client, Config, Cut, Envelope, Event, NotBegun, Outcome, RecipientOutcome, Reply, Stage, TlsUse,
    classify, push_stuffed,
};

/// What a server offers in most tests.
const ALL: &[&str] =
    &["PIPELINING", "SIZE 1000000", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "STARTTLS", "CHUNKING"];

fn client(tls: TlsUse) -> Client {
    Client::new(Config { ehlo: "out.example".to_owned(), tls, login: None })
}

fn envelope(to: &str) -> Envelope {
    Envelope { from: "r@bounce.example".to_owned(), to: to.to_owned(), size: 100, eight_bit: false }
}

/// A client whose session stands, with the extensions offered.
fn ready(offers: &[&str]) -> Client {
    let mut client = client(TlsUse::Never);
    client.input(b"220 mx.example ESMTP\r\n");
    assert_eq!(said(&mut client), ["EHLO out.example"]);
    let mut lines = vec!["mx.example"];
    lines.extend(offers);
    client.input(hello(&lines).as_bytes());
    assert_eq!(client.next_event(), Some(Event::Ready));
    client
}

fn hello(lines: &[&str]) -> String {
    let last = lines.len() - 1;
    let mark = |at: usize| if at == last { ' ' } else { '-' };
    lines.iter().enumerate().map(|(at, line)| format!("250{}{line}\r\n", mark(at))).collect()
}

/// All that the client wants to say now, which is thereby written; each line without its CRLF.
fn said(client: &mut Client) -> Vec<String> {
    let text = String::from_utf8(client.output().to_vec()).expect("commands are text");
    client.wrote(text.len());
    text.split_terminator("\r\n").map(str::to_owned).collect()
}

fn finished(client: &mut Client) -> Option<Outcome> {
    std::iter::from_fn(|| client.next_event()).find_map(|event| match event {
        Event::Finished { outcome, .. } => Some(outcome),
        _ => None,
    })
}

/// A server that answers only when the client has nothing more to say: each of its turns is a round trip.
#[derive(Default)]
struct Turns {
    count: usize,
    in_data: bool,
    accepted: usize,
}

impl Turns {
    fn answer(&mut self, client: &mut Client) {
        let mut replies = String::new();
        for line in said(client) {
            replies += match line.as_str() {
                "." if self.in_data => {
                    self.in_data = false;
                    self.accepted += 1;
                    "250 2.0.0 Ok\r\n"
                }
                _ if self.in_data => "",
                "DATA" => {
                    self.in_data = true;
                    "354 go on\r\n"
                }
                _ => "250 2.1.0 Ok\r\n",
            };
        }
        self.count += 1;
        client.input(replies.as_bytes());
    }
}

/// Round trips for so many messages over one busy connection: the next is begun as soon as that is possible.
fn turns_for(messages: u64, offers: &[&str]) -> usize {
    let mut client = ready(offers);
    let mut server = Turns::default();
    let (mut begun, mut sent) = (0, 0);
    while sent < messages {
        while begun < messages && client.can_begin() {
            client.begin(begun, envelope("a@x.example")).expect("can begin");
            begun += 1;
        }
        if !client.output().is_empty() {
            server.answer(&mut client);
        }
        while let Some(event) = client.next_event() {
            match event {
                Event::BodyWanted { id } => assert!(client.body(id, b"Subject: x\r\n\r\nhello\r\n")),
                Event::Finished { outcome, .. } => {
                    assert!(outcome.dot_written && matches!(outcome.answer, Answer::Reply(_)));
                    sent += 1;
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(server.accepted as u64, messages);
    server.count
}

#[test]
fn rfc_2920_3_1_one_round_trip_per_message_on_a_busy_connection() {
    assert_eq!(turns_for(1, ALL), 2, "the group, then the message");
    assert_eq!(turns_for(100, ALL), 101, "each body opens the next message's group");
    assert_eq!(turns_for(100, &["8BITMIME"]), 400, "MAIL, RCPT, DATA and the message, each for itself");
}

#[test]
fn rfc_2920_3_1_nothing_is_grouped_before_it_is_offered_and_a_group_ends_at_data() {
    let mut client = client(TlsUse::Never);
    client.input(b"220 mx.example ESMTP\r\n");
    assert_eq!(said(&mut client), ["EHLO out.example"], "the reply to EHLO is awaited");
    assert_eq!(client.begin(1, envelope("a@x.example")), Err(NotBegun::Busy));
    let mut client = ready(ALL);
    client.begin(1, envelope("a@x.example")).expect("ready");
    let group = said(&mut client);
    assert_eq!(group, ["MAIL FROM:<r@bounce.example> SIZE=100", "RCPT TO:<a@x.example>", "DATA"]);
    assert!(!client.can_begin(), "after DATA the answer has to be read");
}

#[test]
fn rfc_2920_3_1_a_354_without_a_recipient_is_answered_by_a_lone_dot() {
    let mut client = ready(ALL);
    client.begin(1, envelope("a@x.example")).expect("ready");
    said(&mut client);
    client.input(b"250 2.1.0 Ok\r\n550 5.1.1 unknown\r\n354 go on\r\n");
    assert_eq!(said(&mut client), ["."]);
    let outcome = finished(&mut client).expect("the answer to RCPT");
    assert_eq!((outcome.stage, outcome.dot_written), (Stage::Rcpt, false));
    client.input(b"554 5.5.1 no valid recipients\r\n");
    assert!(client.can_begin() && client.next_event().is_none(), "the connection goes on");
}

/// A server that offers PIPELINING and reads one command at a time, throwing away what came along with it.
#[test]
fn rfc_2920_a_server_that_lies_about_pipelining_is_found_out() {
    let mut client = ready(ALL);
    client.begin(1, envelope("a@x.example")).expect("ready");
    said(&mut client);
    client.input(b"250 2.1.0 Ok\r\n");
    client.cut(Cut::Timeout);
    let outcome = finished(&mut client).expect("a result");
    assert_eq!((outcome.stage, outcome.dot_written), (Stage::Rcpt, false));
    assert!(client.doubts_pipelining());

    let mut client = ready(ALL);
    client.begin(1, envelope("a@x.example")).expect("ready");
    said(&mut client);
    client.input(b"250 2.1.0 Ok\r\n500 5.5.1 command unrecognized: \"CPT TO\"\r\n503 5.5.1 bad sequence\r\n");
    assert!(client.doubts_pipelining());

    let mut client = ready(&["8BITMIME"]);
    client.begin(1, envelope("a@x.example")).expect("ready");
    said(&mut client);
    client.input(b"250 Ok\r\n");
    said(&mut client);
    client.cut(Cut::Timeout);
    assert!(!client.doubts_pipelining(), "in lock-step a silence is a silence");
}

#[test]
fn what_lied_about_pipelining_is_spoken_to_in_lock_step() {
    let mut client = client(TlsUse::Never);
    client.without_pipelining();
    client.input(b"220 mx.example\r\n");
    said(&mut client);
    client.input(hello(&["mx.example", "PIPELINING", "SIZE"]).as_bytes());
    client.begin(1, envelope("a@x.example")).expect("ready");
    assert_eq!(said(&mut client), ["MAIL FROM:<r@bounce.example> SIZE=100"], "and the other extensions stay");
}

#[test]
fn rfc_5321_4_5_3_2_waits_are_at_least_those_of_the_standard() {
    let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
    for (stage, least) in [
        (Stage::Greeting, minutes(5)),
        (Stage::Mail, minutes(5)),
        (Stage::Rcpt, minutes(5)),
        (Stage::Data, minutes(2)),
        (Stage::Body, minutes(3)),
        (Stage::Dot, minutes(10)),
    ] {
        assert!(stage.timeout() >= least, "{stage}");
    }
}

#[test]
fn rfc_5321_4_5_3_2_5_the_wait_for_a_block_begins_anew_with_each_one() {
    let mut client = ready(ALL);
    client.begin(1, envelope("a@x.example")).expect("ready");
    said(&mut client);
    client.input(b"250 Ok\r\n250 Ok\r\n354 go on\r\n");
    assert!(matches!(client.next_event(), Some(Event::BodyWanted { id: 1 })));
    client.body(1, &b"line\r\n".repeat(10_000));
    let first = client.wait().expect("a wait");
    assert_eq!(first.stage, Stage::Body);
    client.wrote(16_384);
    let second = client.wait().expect("a wait");
    assert_eq!(second.stage, Stage::Body);
    assert_ne!(second.serial, first.serial);
    client.wrote(client.output().len());
    assert_eq!(client.wait().expect("a wait").stage, Stage::Dot);
}

/// Section 3.8: a server may end the session with 421 at any point.
#[test]
fn rfc_5321_3_8_a_421_may_come_at_any_point() {
    let steps: &[&str] =
        &["220 mx.example\r\n", "", "250 Ok\r\n", "250 Ok\r\n", "354 go on\r\n", "BODY", "250 Ok\r\n"];
    for taken in 0..=steps.len() {
        let mut client = client(TlsUse::Never);
        for step in &steps[..taken] {
            match *step {
                "" => {
                    client.input(hello(&["mx.example", "PIPELINING"]).as_bytes());
                    client.begin(1, envelope("a@x.example")).expect("ready");
                }
                "BODY" => assert!(client.body(1, b"x\r\n")),
                reply => client.input(reply.as_bytes()),
            }
            client.wrote(client.output().len());
        }
        client.input(b"421 4.3.2 mx.example closing\r\n");
        let events: Vec<Event> = std::iter::from_fn(|| client.next_event()).collect();
        let refused = matches!(events.last(), Some(Event::Closed { why: Cut::Refused(reply), .. }) if reply.code == 421);
        assert!(refused && client.is_closed(), "after {taken} steps: {events:?}");
        let results = events.iter().filter(|event| matches!(event, Event::Finished { .. })).count();
        assert_eq!(results, usize::from(taken >= 2), "after {taken} steps: {events:?}");
    }
    let verdict = classify(&Reply::new(421, "4.3.2 closing"), Stage::Dot);
    assert_eq!(verdict.recipient, RecipientOutcome::Retry { after_s: None });
    assert!(!verdict.counts, "the message is as good as before");
}

#[test]
fn rfc_5321_4_2_1_the_first_digit_decides_about_codes_that_nobody_knows() {
    let at_dot = |code: u16| classify(&Reply::new(code, "words of their own"), Stage::Dot).recipient;
    assert_eq!(at_dot(299), RecipientOutcome::Sent);
    assert_eq!(at_dot(477), RecipientOutcome::Retry { after_s: None });
    assert_eq!(at_dot(599), RecipientOutcome::Failed);
    let mut client = ready(ALL);
    client.begin(1, envelope("a@x.example")).expect("ready");
    said(&mut client);
    client.input(b"259 yes\r\n251 will forward\r\n354 go on\r\n");
    assert!(matches!(client.next_event(), Some(Event::BodyWanted { id: 1 })));
}

#[test]
fn rfc_5321_4_2_1_and_4_5_3_1_5_replies_of_many_and_of_long_lines() {
    let mut client = ready(ALL);
    client.begin(1, envelope("a@x.example")).expect("ready");
    said(&mut client);
    let long = format!("250-{}\r\n", "x".repeat(2_000));
    let reply = format!("{}250 2.1.0 Ok\r\n", long.repeat(900));
    for octets in reply.as_bytes().chunks(1_777) {
        client.input(octets);
    }
    client.input(b"250 2.1.5 Ok\r\n354 go on\r\n");
    assert!(matches!(client.next_event(), Some(Event::BodyWanted { id: 1 })));
}

#[test]
fn rfc_5321_2_3_8_commands_end_in_crlf_and_hold_no_other_cr_or_lf() {
    let mut client = ready(ALL);
    for to in ["a@x.example\r\nRCPT TO:<b@x.example>", "a@x.example\n", "a\r@x.example"] {
        assert_eq!(client.begin(1, envelope(to)), Err(NotBegun::Envelope), "{to:?}");
    }
    client.begin(1, envelope("a@x.example")).expect("ready");
    let output = String::from_utf8(client.output().to_vec()).expect("text");
    assert!(output.ends_with("\r\n"));
    assert_eq!(output.replace("\r\n", "").find(['\r', '\n']), None);
}

/// Section 4.5.3.1.6 counts a line without the dot that transparency adds, so 998 octets may begin with one.
#[test]
fn rfc_5321_4_5_2_and_4_5_3_1_6_a_full_line_keeps_its_length_but_for_the_dot() {
    for first in ["x", "."] {
        let line = format!("{first}{}\r\n", "y".repeat(997));
        let mut out = Vec::new();
        push_stuffed(&mut out, line.as_bytes());
        let expected = line.replacen('.', "..", 1) + ".\r\n";
        assert_eq!(out, expected.as_bytes());
    }
}

#[test]
fn rfc_1870_size_is_declared_where_it_is_offered_and_obeyed() {
    let mut client = ready(ALL);
    let large = Envelope { size: 1_000_001, ..envelope("a@x.example") };
    let refusal = client.begin(1, large).expect_err("too large");
    assert_eq!(refusal, NotBegun::TooLarge(1_000_000));
    let reply = refusal.reply().expect("the receiver's own reply");
    assert_eq!((reply.code, reply.enhanced.map(|code| code.to_string())), (552, Some("5.3.4".to_owned())));
    let verdict = classify(&reply, Stage::Mail);
    assert_eq!(verdict.recipient, RecipientOutcome::Failed);
    client.begin(1, Envelope { size: 1_000_000, ..envelope("a@x.example") }).expect("at the limit");
    let mut silent = ready(&["PIPELINING"]);
    silent.begin(1, envelope("a@x.example")).expect("ready");
    assert_eq!(said(&mut silent)[0], "MAIL FROM:<r@bounce.example>", "nothing that was not offered");
}

#[test]
fn rfc_6152_body_is_declared_where_it_is_offered_and_needed() {
    let eight = Envelope { eight_bit: true, ..envelope("a@x.example") };
    let mut client = ready(ALL);
    client.begin(1, eight.clone()).expect("ready");
    assert_eq!(said(&mut client)[0], "MAIL FROM:<r@bounce.example> SIZE=100 BODY=8BITMIME");
    let mut silent = ready(&["PIPELINING"]);
    silent.begin(1, eight).expect("ready");
    assert_eq!(said(&mut silent)[0], "MAIL FROM:<r@bounce.example>");
}

#[test]
fn rfc_6531_3_5_addresses_beyond_ascii_only_where_they_are_taken() {
    let mut client = ready(ALL);
    client.begin(1, envelope("été@x.example")).expect("offered");
    let group = said(&mut client);
    assert_eq!(group[0], "MAIL FROM:<r@bounce.example> SIZE=100 SMTPUTF8");
    assert_eq!(group[1], "RCPT TO:<été@x.example>");
    let mut silent = ready(&["PIPELINING", "8BITMIME"]);
    let refusal = silent.begin(1, envelope("été@x.example")).expect_err("not offered");
    let reply = refusal.reply().expect("a reply as the receiver would give it");
    assert_eq!((reply.code, reply.enhanced.map(|code| code.to_string())), (553, Some("5.6.7".to_owned())));
    assert!(silent.can_begin(), "nothing was said");
}

/// RFC 2034 section 4 and RFC 3463 section 2: the class is the reply's first digit; where it is not, the reply counts.
#[test]
fn rfc_3463_2_an_enhanced_code_of_another_class_is_no_enhanced_code() {
    let contradictory = Reply::from_text("450 5.1.1 user unknown").expect("a reply");
    assert_eq!(contradictory.enhanced, None);
    let verdict = classify(&contradictory, Stage::Rcpt);
    assert_eq!(verdict.recipient, RecipientOutcome::Retry { after_s: None });
    assert!(!verdict.quarantine);
    let contradictory = Reply::from_text("550 4.7.1 try later").expect("a reply");
    assert_eq!((contradictory.enhanced, contradictory.is_permanent()), (None, true));
}

#[test]
fn rfc_3207_4_2_and_6_nothing_from_before_the_handshake_counts_after_it() {
    let mut client = client(TlsUse::Opportunistic);
    client.input(b"220 mx.example\r\n");
    said(&mut client);
    client.input(hello(&["mx.example", "STARTTLS", "PIPELINING", "SIZE 9"]).as_bytes());
    assert_eq!(said(&mut client), ["STARTTLS"]);
    client.input(b"220 go\r\n250-injected\r\n250 SMTPUTF8\r\n");
    assert_eq!(client.next_event(), Some(Event::Handshake));
    client.secured();
    assert_eq!(said(&mut client), ["EHLO out.example"], "it is said again");
    assert!(client.next_event().is_none() && !client.ehlo().pipelining && !client.ehlo().smtputf8);
    client.input(hello(&["mx.example"]).as_bytes());
    assert_eq!(client.next_event(), Some(Event::Ready));
    assert_eq!(client.ehlo().size_max, None);
}

#[test]
fn rfc_5321_4_1_1_10_quit_is_said_and_its_answer_awaited() {
    let mut client = ready(ALL);
    assert!(client.quit());
    assert_eq!(said(&mut client), ["QUIT"]);
    assert!(client.next_event().is_none(), "not before the answer");
    client.input(b"221 bye\r\n");
    assert!(matches!(client.next_event(), Some(Event::Closed { why: Cut::Quit, .. })));
}

/// RFC 1047 and RFC 5321 section 4.5.3.2.6: past the dot, silence is not a refusal.
#[test]
fn rfc_1047_no_answer_to_the_dot_is_unknown_and_not_failed() {
    let mut client = ready(ALL);
    client.begin(1, envelope("a@x.example")).expect("ready");
    said(&mut client);
    client.input(b"250 Ok\r\n250 Ok\r\n354 go on\r\n");
    assert!(client.next_event().is_some() && client.body(1, b"x\r\n"));
    said(&mut client);
    client.cut(Cut::Timeout);
    let outcome = finished(&mut client).expect("a result");
    assert!(outcome.is_unknown());
    assert!(!client.doubts_pipelining());
}
