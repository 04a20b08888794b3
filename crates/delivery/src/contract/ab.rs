//! A/B tests from the analysis to the rest that gets the winner.

use std::time::Duration;

use message::{Envelope, Prepared, Signer, Slots, Snapshot, Stamp, compose};
use queue::{FinalState, Message};
use store::{Lane, binds};

use super::{START_US, World, definition, each, errors, html};
use crate::ab::AbState;
use crate::definition::{AbTest, AbVariant, Definition, Substitution};
use crate::{By, Error, NoticeKind, ProofTarget, State};

const HOUR_US: i64 = 3_600_000_000;

fn tested(winner: &str) -> Definition {
    let mut definition = definition();
    let variant = AbVariant { subject: "Only today, {{ first_name }}".into(), ..AbVariant::default() };
    definition.ab = Some(AbTest {
        sample: "25%".into(),
        winner: winner.into(),
        after: "4h".into(),
        variants: vec![variant],
    });
    definition
}

impl World {
    /// Somebody follows a link of a message, or only opens it.
    async fn reacted(&self, message: i64, kind: i64) {
        self.deliveries
            .store
            .write(Lane::Urgent, move |tx| {
                tx.execute(
                    "INSERT INTO event (message, kind, link, at, machine, agent, client) VALUES ($1, $2, NULL, $3, 0, '', '')",
                    &binds![message, kind, START_US],
                )
            })
            .await
            .unwrap();
    }

    /// A message as it would be sent now.
    async fn composed(&self, message: &Message) -> String {
        let bytes = self.queue.snapshot(&message.part.snapshot).await.unwrap().unwrap();
        let prepared = Prepared::new(Snapshot::from_bytes(&bytes).unwrap(), |_| None).unwrap();
        let envelope = Envelope { id: message.id, address: &message.address, flags: message.flags };
        let slots = Slots::from_bytes(&message.slots).unwrap();
        let stamp = Stamp { time_us: START_US };
        let composed = compose::<Signer>(&prepared, &slots, &envelope, &stamp, &[], &self.tokens).unwrap();
        String::from_utf8(composed.bytes.to_vec()).unwrap()
    }

    async fn count(&self, sql: &'static str) -> i64 {
        self.deliveries.store.read(move |tx| tx.query_one(sql, &[], |row| row.int(0))).await.unwrap()
    }

    /// Confirms a test of 400 recipients and lets its samples arrive: 50 of A, 50 of B.
    async fn sampled(&self, definition: Definition) -> (i64, Vec<Message>, Vec<Message>) {
        self.recipients(400).await;
        let id = self.confirmed(definition).await;
        let due = self.due(id, START_US).await;
        self.answer(&due, "google", FinalState::Sent).await;
        let (a, b): (Vec<_>, Vec<_>) = due.into_iter().partition(|message| message.part.wave == 0);
        assert_eq!((a.len(), b.len()), (50, 50));
        (id, a, b)
    }

    async fn hours_later(&self, hours: i64) -> i64 {
        self.clock.advance(Duration::from_secs(hours.unsigned_abs() * 3_600));
        self.deliveries.tick().await.unwrap();
        net::Clock::now_us(&*self.clock)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rest_gets_what_won_on_the_samples() {
    each(|world| async move {
        let (id, a, b) = world.sampled(tested("opens")).await;
        let planned = world.deliveries.get(id).await.unwrap();
        assert!(
            a.iter().chain(&b).all(|m| Some(&*m.part.snapshot) != planned.snapshot.as_deref()),
            "a hash over both"
        );
        assert_ne!(a[0].part.snapshot, b[0].part.snapshot);
        assert!(world.composed(&b[0]).await.contains("Subject: Only today, Name"));
        assert!(world.composed(&a[0]).await.contains(", news\r\n"));
        for message in a.iter().take(5).chain(b.iter().take(9)) {
            world.reacted(message.id, 1).await;
        }
        world.reacted(b[0].id, 2).await;
        let now_us = world.hours_later(3).await;
        let status = world.deliveries.ab(id).await.unwrap().unwrap();
        assert_eq!(
            (status.state, status.due_at, status.rest),
            (AbState::Sampling, Some(START_US + 4 * HOUR_US), 300)
        );
        let figures: Vec<_> =
            status.variants.iter().map(|v| (v.messages, v.sent, v.opened, v.clicked)).collect();
        assert_eq!(figures, [(50, 50, 5, 0), (50, 50, 9, 1)]);
        assert!(world.due(id, now_us + 48 * HOUR_US).await.is_empty(), "the rest waits");

        let now_us = world.hours_later(1).await;
        world.deliveries.apply_winner(id).await.unwrap();
        let status = world.deliveries.ab(id).await.unwrap().unwrap();
        assert_eq!(
            (status.state, status.winner, status.chosen_by.as_str()),
            (AbState::Released, Some('B'), "")
        );
        assert!(world.told(id, "variant B wins, by opens: A 10.0% (5 of 50), B 18.0% (9 of 50)").await);
        assert!(world.told(id, "the other 300 messages go out as variant B").await);
        assert!(world.due(id, now_us - 1).await.is_empty());
        let rest = world.due(id, now_us).await;
        assert_eq!(rest.len(), 300);
        assert!(rest.iter().all(|m| m.part.snapshot == b[0].part.snapshot && m.part.wave == 2));
        let source = world.composed(&rest[0]).await;
        assert!(source.contains("Subject: Only today, Name"), "{source}");
        assert_eq!(world.count("SELECT count(*) FROM variant_slots").await, 0);
        let waves = world.deliveries.waves(id).await.unwrap();
        assert_eq!((waves[2].starts_at, waves[2].messages), (now_us, 300));
        world.answer(&rest, "google", FinalState::Sent).await;
        world.deliveries.tick().await.unwrap();
        assert_eq!(world.deliveries.get(id).await.unwrap().state, State::Finished);
        assert!(world.queue.verify(id, now_us).await.unwrap().agrees);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tie_is_the_deliverys_own_content_and_a_paused_delivery_waits() {
    each(|world| async move {
        let (id, a, _) = world.sampled(tested("clicks")).await;
        world.reacted(a[0].id, 1).await;
        world.deliveries.pause(id, &By::system()).await.unwrap();
        world.queue.paused(id, START_US).await.unwrap();
        world.hours_later(5).await;
        assert_eq!(world.deliveries.ab(id).await.unwrap().unwrap().state, AbState::Sampling);
        world.deliveries.resume(id, &By::system()).await.unwrap();
        let now_us = world.hours_later(1).await;
        world.deliveries.apply_winner(id).await.unwrap();
        assert_eq!(world.deliveries.ab(id).await.unwrap().unwrap().winner, Some('A'));
        assert!(world.told(id, "variant A wins, nobody did anything yet").await);
        let rest = world.due(id, now_us).await;
        assert!(rest.len() == 300 && rest.iter().all(|m| m.part.snapshot == a[0].part.snapshot));
        assert!(world.composed(&rest[0]).await.contains(", news\r\n"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_by_hand_asks_and_the_first_word_counts() {
    each(|world| async move {
        world.recipients(400).await;
        let id = world.drafted(|d| d.ab = tested("manual").ab).await;
        let analysis = world.analyse(id).await;
        assert_eq!(errors(&analysis), [""; 0]);
        assert!(
            analysis.findings.iter().any(|f| f.text.contains("samples of A 50, B 50; 300 messages wait"))
        );
        let early = world.deliveries.choose_winner(id, "B", &By::system()).await.unwrap_err();
        assert!(early.to_string().contains("not confirmed yet"), "{early}");
        world.deliveries.confirm(id, None, &By::system()).await.unwrap();
        let due = world.due(id, START_US).await;
        world.answer(&due, "google", FinalState::Sent).await;
        world.hours_later(4).await;
        world.hours_later(1).await;
        assert_eq!(world.deliveries.ab(id).await.unwrap().unwrap().state, AbState::Choosing);
        let notices = world.deliveries.notices("ann", false, None).await.unwrap();
        assert_eq!(notices.iter().filter(|notice| notice.kind == NoticeKind::ChooseWinner).count(), 1);
        let stranger = By { start: true, ..By::named("eve") };
        assert!(matches!(world.deliveries.choose_winner(id, "B", &stranger).await, Err(Error::Forbidden(_))));
        let ann = By { start: true, ..By::named("ann") };
        let wrong = world.deliveries.choose_winner(id, "C", &ann).await.unwrap_err();
        assert!(wrong.to_string().contains("A to B"), "{wrong}");
        let chosen = world.deliveries.choose_winner(id, "b", &ann).await.unwrap();
        assert_eq!((chosen.winner, chosen.chosen_by.as_str()), (Some('B'), "ann"));
        let second = world.deliveries.choose_winner(id, "A", &ann).await.unwrap_err();
        assert!(second.to_string().contains("chosen already"), "{second}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_while_the_winner_is_applied_is_taken_up_again() {
    each(|world| async move {
        let (id, ..) = world.sampled(tested("opens")).await;
        // Chosen, some messages changed, then the server stopped.
        world
            .deliveries
            .store
            .write(Lane::Urgent, move |tx| {
                let sql = "UPDATE ab_test SET state = 'applying', winner = 1, chosen_at = $2 WHERE delivery = $1";
                tx.execute(sql, &binds![id, START_US])?;
                let some = "UPDATE message SET slots = (SELECT v.slots FROM variant_slots v WHERE v.message = message.id) \
                            WHERE id IN (SELECT v.message FROM variant_slots v ORDER BY v.message LIMIT 100)";
                tx.execute(some, &[])
            })
            .await
            .unwrap();
        world.deliveries.tick().await.unwrap();
        world.deliveries.apply_winner(id).await.unwrap();
        world.deliveries.apply_winner(id).await.unwrap();
        let rest = world.due(id, START_US).await;
        assert_eq!(rest.len(), 300);
        for message in [&rest[0], &rest[150], &rest[299]] {
            assert!(world.composed(message).await.contains("Subject: Only today, Name"));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_is_cancelled_with_the_validity_and_nothing_is_kept() {
    each(|world| async move {
        let mut wanted = tested("manual");
        wanted.parameters.validity = "1d".into();
        let (id, ..) = world.sampled(wanted).await;
        assert_eq!(world.count("SELECT count(*) FROM variant_slots").await, 300);
        world.hours_later(24).await;
        assert_eq!(world.deliveries.get(id).await.unwrap().state, State::Finished);
        let status = world.deliveries.status(id).await.unwrap();
        assert_eq!((status.sent, status.cancelled), (100, 300));
        let late = world.deliveries.choose_winner(id, "A", &By::system()).await.unwrap_err();
        assert!(late.to_string().contains("it is over"), "{late}");
        world.deliveries.apply_winner(id).await.unwrap();
        assert_eq!(world.count("SELECT count(*) FROM variant_slots").await, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_variant_is_analysed_for_everybody_who_may_get_it() {
    each(|world| async move {
        world.recipients(40).await;
        let mut wanted = tested("opens");
        let broken = html().replace("Dear", "{% if tier == 'gold' %}{{ 1 // 0 }}{% endif %}");
        wanted.ab.as_mut().unwrap().variants[0].html = broken;
        let id = world.deliveries.create(wanted, Some(html()), None).await.unwrap().id;
        let analysis = world.analyse(id).await;
        assert_eq!(analysis.state, State::Failed);
        let found: Vec<_> = errors(&analysis);
        assert!(found.len() == 1 && found[0].starts_with("variant B: "), "{found:?}");

        let mut other = tested("opens");
        other.ab.as_mut().unwrap().variants[0].sender_address = "news@elsewhere.example".into();
        let id = world.deliveries.create(other, Some(html()), None).await.unwrap().id;
        let analysis = world.analyse(id).await;
        assert!(
            errors(&analysis)[0].contains("variant B: has a sender of another domain"),
            "{:?}",
            errors(&analysis)
        );

        let mut small = tested("opens");
        small.ab.as_mut().unwrap().sample = "1".into();
        let id = world.deliveries.create(small, Some(html()), None).await.unwrap().id;
        assert!(errors(&world.analyse(id).await)[0].contains("too few for 2 variants"));

        let mut without = tested("opens");
        let link = "<a href=\"{{ unsubscribe_url }}\">Unsubscribe</a>";
        without.ab.as_mut().unwrap().variants[0].html = html().replace(link, "");
        let id = world.deliveries.create(without, Some(html()), None).await.unwrap().id;
        let analysis = world.analyse(id).await;
        let of_b = analysis.findings.iter().filter(|f| f.text.starts_with("variant B: ")).count();
        assert!(of_b > 0, "{:?}", analysis.findings);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_of_a_proof_see_every_variant() {
    each(|world| async move {
        world.recipients(8).await;
        let id = world.drafted(|d| d.ab = tested("opens").ab).await;
        let to = |to: &str| Substitution { to: to.into(), profile: "r2@tail1.example".into() };
        let target = ProofTarget::Substitution(vec![to("boss@gmail.com"), to("ann@shop.example")]);
        let started = world.deliveries.proof(id, target, &By::named("ann")).await.unwrap();
        let proof = started.proof.id;
        let analysis = started.analysed().await.unwrap();
        assert_eq!((errors(&analysis), analysis.to_deliver), (vec![], 4));
        let due = world.due(proof, START_US).await;
        let mut subjects = Vec::new();
        for message in &due {
            let source = world.composed(message).await;
            let subject = source.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap().to_owned();
            subjects.push((message.address.clone(), subject));
        }
        subjects.sort();
        let (a, b) = ("Proof #1: Name2, news", "Proof #1 B: Only today, Name2");
        let expected =
            [("ann@shop.example", a), ("ann@shop.example", b), ("boss@gmail.com", a), ("boss@gmail.com", b)];
        let mut expected: Vec<_> =
            expected.iter().map(|(to, subject)| ((*to).to_owned(), (*subject).to_owned())).collect();
        expected.sort();
        assert_eq!(subjects, expected);
        assert!(world.deliveries.ab(proof).await.unwrap().is_none(), "a proof chooses nothing");
    })
    .await;
}
