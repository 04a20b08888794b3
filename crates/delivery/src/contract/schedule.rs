//! When messages go: contact dates, waves, zones, what is provisional or late, and the brake.

use std::sync::Arc;
use std::time::Duration;

use queue::{FinalState, Message, NoQuarantine, Settlement, Verdict};

use super::{START_US, World, definition, each, errors, html};
use crate::definition::{Brake, Definition, WaveLine, Waves};
use crate::{Analysis, By, Closed, Edit, Error, State};

/// 2026-10-01T08:00 in Berlin, ten days after the beginning of each story.
const CONTACT: &str = "2026-10-01T08:00";
const HOUR_US: i64 = 3_600_000_000;

fn at(text: &str) -> i64 {
    text.parse::<jiff::Timestamp>().unwrap().as_microsecond()
}

fn dated(date: &str) -> Definition {
    let mut definition = definition();
    definition.schedule.contact_date = date.into();
    definition.schedule.time_zone = "Europe/Berlin".into();
    definition
}

fn equal(size: &str, period: &str) -> Option<Waves> {
    Some(Waves { size: size.into(), period: period.into(), ..Waves::default() })
}

impl World {
    async fn analysed_as(&self, definition: Definition) -> Analysis {
        let id = self.deliveries.create(definition, Some(html()), None).await.unwrap().id;
        self.analyse(id).await
    }

    pub(super) async fn confirmed(&self, definition: Definition) -> i64 {
        let analysis = self.analysed_as(definition).await;
        assert_eq!(errors(&analysis), [""; 0]);
        self.deliveries.confirm(analysis.id, analysis.snapshot.as_deref(), &By::system()).await.unwrap();
        analysis.id
    }

    /// Turns the clock to a moment.
    pub(super) fn turn_to(&self, to_us: i64) {
        let by_us = to_us - net::Clock::now_us(&*self.clock);
        self.clock.advance(Duration::from_micros(by_us.unsigned_abs()));
    }

    /// Claims everything that is due at a moment.
    pub(super) async fn due(&self, id: i64, at_us: i64) -> Vec<Message> {
        let run = self.queue.run(id).await.unwrap();
        let mut messages = Vec::new();
        for work in self.queue.lanes(id).await.unwrap() {
            for (_, loaded) in self.queue.claim(&run, &work.lane, 1_000, at_us).await.unwrap() {
                messages.extend(loaded);
            }
        }
        messages
    }

    pub(super) async fn answer(&self, messages: &[Message], site: &str, state: FinalState) {
        let reason = (state == FinalState::Failed).then_some("user_unknown");
        self.answer_because(messages, site, (state, reason)).await;
    }

    async fn answer_because(
        &self,
        messages: &[Message],
        site: &str,
        (state, reason): (FinalState, Option<&str>),
    ) {
        let batch = messages.iter().map(|message| Settlement {
            id: message.id,
            recipient: message.recipient,
            part: Arc::clone(&message.part),
            verdict: Verdict::Final { state, digest: None },
            attempts: 1,
            first_try: Some(START_US),
            last_try: Some(START_US),
            site: site.into(),
            source: None,
            reason: reason.map(str::to_owned),
            reply: None,
            nonexistent: None,
            octets: 0,
            tls: None,
        });
        self.queue.settle(Arc::new(batch.collect()), vec![], Arc::new(NoQuarantine)).await.unwrap();
    }

    pub(super) async fn told(&self, id: i64, words: &str) -> bool {
        self.deliveries.journal(id).await.unwrap().iter().any(|line| line.text.contains(words))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waves_go_on_their_days_from_the_contact_date_on() {
    each(|world| async move {
        world.recipients(50).await;
        let mut wanted = dated(CONTACT);
        wanted.waves = equal("25%", "1d");
        let id = world.confirmed(wanted).await;
        let start = at("2026-10-01T06:00Z");
        let day = 24 * HOUR_US;
        let waves = world.deliveries.waves(id).await.unwrap();
        let found: Vec<_> = waves.iter().map(|wave| (wave.wave, wave.starts_at, wave.messages)).collect();
        assert_eq!(
            found,
            [(0, start, 12), (1, start + day, 13), (2, start + 2 * day, 12), (3, start + 3 * day, 13)]
        );
        let run = world.queue.run(id).await.unwrap();
        assert_eq!((run.spec.start_at, run.spec.valid_until), (start, start + 5 * day));
        assert_eq!(world.deliveries.get(id).await.unwrap().state, State::Pending);
        assert!(world.due(id, start - 1).await.is_empty(), "nothing before the contact date");
        let mut ids = Vec::new();
        for (wave, count) in [(0, 12), (1, 13), (2, 12), (3, 13)] {
            let due = world.due(id, start + wave * day).await;
            assert_eq!((due.len(), due.iter().all(|m| m.part.wave == wave)), (count, true));
            ids.extend(due.iter().map(|message| message.id));
        }
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 50, "everybody once");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wave_that_starts_after_the_end_of_validity_is_an_error() {
    each(|world| async move {
        world.recipients(8).await;
        let mut wanted = dated(CONTACT);
        wanted.waves = equal("25%", "1d");
        wanted.parameters.validity = "3d".into();
        let analysis = world.analysed_as(wanted.clone()).await;
        assert_eq!(analysis.state, State::Failed, "the fourth wave starts three days after the contact date");
        let finding = analysis.findings.iter().find(|finding| finding.rule == "wave_schedule").unwrap();
        assert!(!finding.text.is_empty());
        wanted.parameters.validity = "73h".into();
        assert_eq!(world.analysed_as(wanted).await.state, State::Ready);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_has_the_hour_of_the_own_zone_and_no_one_is_woken() {
    each(|world| async move {
        world.recipients(8).await;
        let zones = ["Asia/Tokyo", "America/New_York", "", "Mars/Base"];
        for (n, zone) in zones.iter().enumerate() {
            let email = format!("r{n}@{}", ["gmail.com", "yahoo.com", "tail1.example", "tail2.example"][n]);
            let id = world.audience.recipient_by_address(&email).await.unwrap().unwrap().id;
            let edit = audience::RecipientEdit {
                time_zone: Some((*zone).to_owned()),
                ..audience::RecipientEdit::default()
            };
            world.audience.edit_recipient(id, edit, START_US).await.unwrap();
        }
        let mut wanted = dated(CONTACT);
        wanted.schedule.recipient_time_zone = true;
        wanted.schedule.quiet_hours = "21:00-09:00".into();
        let id = world.confirmed(wanted).await;
        // 09:00 in Tokyo, in Berlin (which stands for no zone and for one that is none), and in New York.
        let dues = [("2026-10-01T00:00Z", 1), ("2026-10-01T07:00Z", 6), ("2026-10-01T13:00Z", 1)];
        assert_eq!(world.queue.run(id).await.unwrap().spec.start_at, at(dues[0].0));
        for (when, count) in dues {
            assert!(world.due(id, at(when) - 1).await.is_empty(), "{when}");
            assert_eq!(world.due(id, at(when)).await.len(), count, "{when}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contact_date_in_the_past_is_refused_with_what_to_do() {
    each(|world| async move {
        world.recipients(4).await;
        let analysis = world.analysed_as(dated("2026-09-01T08:00")).await;
        assert_eq!(analysis.state, State::Failed);
        assert_eq!(analysis.findings.iter().filter(|finding| finding.rule == "contact_date").count(), 1);
        let analysis = world.analysed_as(dated(CONTACT)).await;
        let start = at("2026-10-01T06:00Z");
        world.turn_to(start + HOUR_US + 1);
        let plan = world.deliveries.confirm_plan(analysis.id).await.unwrap();
        assert_eq!(plan.closed, Some(Closed::ContactDatePast));
        let refused = world.deliveries.confirm(analysis.id, None, &By::system()).await.unwrap_err();
        assert!(refused.to_string().contains("set a later one"), "{refused}");
        let mut patient = dated("2026-10-02T08:00");
        patient.schedule.grace = "2h".into();
        let analysis = world.analysed_as(patient).await;
        world.turn_to(start + 25 * HOUR_US);
        world.deliveries.confirm(analysis.id, None, &By::system()).await.unwrap();
        assert_eq!(
            world.due(analysis.id, start + 25 * HOUR_US).await.len(),
            4,
            "within the grace it begins at once"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hours_that_the_clocks_skip_are_said_and_sent_after_them() {
    each(|world| async move {
        world.recipients(2).await;
        let analysis = world.analysed_as(dated("2027-03-28T02:30")).await;
        let finding = analysis.findings.iter().find(|finding| finding.rule == "contact_date").unwrap();
        assert!(finding.text.contains("does not exist"), "{}", finding.text);
        world.deliveries.confirm(analysis.id, None, &By::system()).await.unwrap();
        assert_eq!(world.queue.run(analysis.id).await.unwrap().spec.start_at, at("2027-03-28T01:30Z"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quiet_hours_of_a_start_at_once_hold_for_an_hour_at_most() {
    each(|world| async move {
        world.recipients(3).await;
        let mut wanted = definition();
        // The story begins at 14:13 UTC.
        wanted.schedule.quiet_hours = "14:00-16:00".into();
        let analysis = world.analysed_as(wanted.clone()).await;
        world.turn_to(START_US + HOUR_US);
        let plan = world.deliveries.confirm_plan(analysis.id).await.unwrap();
        assert_eq!(plan.closed, Some(Closed::QuietHoursStale));
        let refused = world.deliveries.confirm(analysis.id, None, &By::system()).await.unwrap_err();
        assert!(refused.to_string().contains("analyse it again"), "{refused}");
        world.analyse(analysis.id).await;
        world.deliveries.confirm(analysis.id, None, &By::system()).await.unwrap();
        assert!(world.due(analysis.id, START_US + HOUR_US).await.is_empty());
        assert_eq!(world.due(analysis.id, at("2026-09-21T16:00:00Z")).await.len(), 3);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provisional_delivery_is_analysed_on_its_date_and_not_sent() {
    each(|world| async move {
        world.recipients(4).await;
        let mut wanted = dated(CONTACT);
        wanted.schedule.automatic = false;
        wanted.validation.approval = "automatic".into();
        let made = world.deliveries.create(wanted.clone(), Some(html()), None).await.unwrap();
        assert_eq!(made.state, State::TargetingPending);
        world.deliveries.tick().await.unwrap();
        assert_eq!(world.deliveries.get(made.id).await.unwrap().state, State::TargetingPending);
        let calendar = world.deliveries.calendar(START_US, at("2026-11-01T00:00Z")).await.unwrap();
        assert_eq!((calendar.entries.len(), calendar.entries[0].wave), (1, None));
        world.turn_to(at("2026-10-01T06:00:01Z"));
        world.deliveries.tick().await.unwrap();
        if let Some(handle) = world.deliveries.analysis_handle(made.id) {
            handle.wait().await.unwrap();
        }
        let found = world.deliveries.get(made.id).await.unwrap();
        assert_eq!((found.state, found.to_deliver), (State::Ready, 4));
        world.deliveries.tick().await.unwrap();
        assert_eq!(world.deliveries.get(made.id).await.unwrap().state, State::Ready, "nobody confirmed it");
        // An edit that makes it an ordinary one takes it off the calendar.
        wanted.schedule = Default::default();
        let edit = Edit { definition: Some(wanted), ..Edit::default() };
        assert_eq!(world.deliveries.edit(made.id, edit).await.unwrap().state, State::Draft);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_down_at_the_contact_date_asks_before_it_sends_late() {
    each(|world| async move {
        world.recipients(4).await;
        let mut wanted = dated(CONTACT);
        wanted.waves = equal("50%", "1h");
        let id = world.confirmed(wanted).await;
        let start = at("2026-10-01T06:00Z");
        world.turn_to(start + 30 * 60_000_000);
        world.deliveries.recover().await.unwrap();
        assert_eq!(world.deliveries.get(id).await.unwrap().state, State::InProgress, "within the grace");
        world.turn_to(start + 5 * HOUR_US);
        world.deliveries.recover().await.unwrap();
        let status = world.deliveries.status(id).await.unwrap();
        assert_eq!((status.state, status.late), (State::Paused, true));
        assert!(world.told(id, "the server was down at 2026-10-01 08:00 Europe/Berlin").await);
        world.deliveries.recover().await.unwrap();
        world.deliveries.resume(id, &By::named("anna")).await.unwrap();
        let status = world.deliveries.status(id).await.unwrap();
        assert_eq!((status.state, status.late), (State::InProgress, false));
        assert_eq!(world.due(id, start + 5 * HOUR_US).await.len(), 2);
        assert!(
            world.due(id, start + 6 * HOUR_US - 1).await.is_empty(),
            "its waves are as far apart as ever"
        );
        world.turn_to(start + 6 * HOUR_US);
        assert!(
            world.due(id, start + 6 * HOUR_US).await.is_empty(),
            "nothing before the clock was looked at"
        );
        world.deliveries.tick().await.unwrap();
        assert_eq!(world.due(id, start + 6 * HOUR_US).await.len(), 2);
        world.deliveries.recover().await.unwrap();
        assert_eq!(
            world.deliveries.get(id).await.unwrap().state,
            State::InProgress,
            "what has begun goes on"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_brake_pauses_a_delivery_whose_bounces_pass_their_share() {
    each(|world| async move {
        world.recipients(400).await;
        let mut wanted = definition();
        let brake = Brake { hard_bounces: "5%".into(), ..Brake::default() };
        wanted.waves = Some(Waves { brake, ..Waves::default() });
        let id = world.confirmed(wanted).await;
        let messages = world.due(id, START_US).await;
        let (lost, rest) = messages.split_at(6);
        world.answer(lost, "google", FinalState::Failed).await;
        world.answer(&rest[..93], "google", FinalState::Sent).await;
        world.clock.advance(Duration::from_secs(1));
        world.deliveries.tick().await.unwrap();
        assert_eq!(world.deliveries.get(id).await.unwrap().state, State::InProgress, "99 answered");
        world.answer(&rest[93..94], "google", FinalState::Sent).await;
        world.clock.advance(Duration::from_secs(1));
        world.deliveries.tick().await.unwrap();
        assert_eq!(world.deliveries.get(id).await.unwrap().state, State::Pausing);
        assert!(world.told(id, "hard bounces 6% (6 of 100 answered) passed 5%").await);
        let now = net::Clock::now_us(&*world.clock);
        world.queue.paused(id, now).await.unwrap();
        world.deliveries.resume(id, &By::named("anna")).await.unwrap();
        world.answer(&rest[94..194], "google", FinalState::Sent).await;
        world.clock.advance(Duration::from_secs(1));
        world.deliveries.tick().await.unwrap();
        assert_eq!(world.deliveries.get(id).await.unwrap().state, State::InProgress, "it counts anew");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_brake_holds_one_provider_and_resume_lets_it_go() {
    each(|world| async move {
        world.recipients(1_000).await;
        let mut wanted = definition();
        let brake = Brake { hard_bounces: "12%".into(), ..Brake::default() };
        wanted.waves =
            Some(Waves { brake, calendar: vec![line("0s", "60%"), line("1h", "40%")], ..Waves::default() });
        let id = world.confirmed(wanted).await;
        let messages = world.due(id, START_US).await;
        let (google, others): (Vec<_>, Vec<_>) =
            messages.into_iter().partition(|m| &*m.part.lane == "google");
        assert!(google.len() > 120, "{}", google.len());
        world.answer(&google[..30], "google", FinalState::Failed).await;
        world.answer(&google[30..120], "google", FinalState::Sent).await;
        world.answer(&others[..300], "yahoo", FinalState::Sent).await;
        world.clock.advance(Duration::from_secs(1));
        world.deliveries.tick().await.unwrap();
        assert_eq!(world.deliveries.get(id).await.unwrap().state, State::InProgress);
        let holds = world.deliveries.holds(id).await.unwrap();
        assert_eq!((holds.len(), holds[0].lane.as_str()), (1, "google"));
        let status = world.deliveries.status(id).await.unwrap();
        assert!(status.providers.iter().any(|p| p.provider == "google" && p.held));
        assert!(world.queue.lanes(id).await.unwrap().iter().all(|work| work.lane != "google"));
        world.deliveries.resume(id, &By::named("anna")).await.unwrap();
        assert!(world.deliveries.holds(id).await.unwrap().is_empty());
        assert!(world.queue.lanes(id).await.unwrap().iter().any(|work| work.lane == "google"));
        world.clock.advance(Duration::from_secs(1));
        world.deliveries.tick().await.unwrap();
        assert!(world.deliveries.holds(id).await.unwrap().is_empty(), "it counts anew");
    })
    .await;
}

fn line(start: &str, size: &str) -> WaveLine {
    WaveLine { start: start.into(), size: size.into() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_delivery_has_no_copies_and_proofs_are_no_tests() {
    each(|world| async move {
        world.recipients(2).await;
        let mut wanted = dated(CONTACT);
        wanted.parameters.test_smtp = true;
        wanted.waves = equal("50%", "1d");
        let id = world.confirmed(wanted).await;
        let spec = world.queue.run(id).await.unwrap().spec;
        assert!(spec.test_smtp && !spec.bcc);
        let to = crate::definition::Substitution { to: "boss@shop.example".into(), profile: "random".into() };
        let target = crate::ProofTarget::Substitution(vec![to]);
        let started = world.deliveries.proof(id, target, &By::system()).await.unwrap();
        let proof = started.analysed().await.unwrap();
        let spec = world.queue.run(proof.id).await.unwrap().spec;
        assert!(!spec.test_smtp && spec.start_at == START_US, "a proof goes at once, and whole");
        assert_eq!(world.due(proof.id, START_US).await.len(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_calendar_shows_waves_and_what_they_add_up_to() {
    each(|world| async move {
        world.recipients(40).await;
        let mut wanted = dated(CONTACT);
        wanted.waves = equal("50%", "1d");
        let id = world.confirmed(wanted.clone()).await;
        let other = world.analysed_as(dated("2026-10-02T10:00")).await.id;
        let from = at("2026-10-01T00:00Z");
        let calendar = world.deliveries.calendar(from, from + 48 * HOUR_US).await.unwrap();
        let found: Vec<_> = calendar
            .entries
            .iter()
            .map(|entry| (entry.delivery, entry.wave, entry.waves, entry.messages, entry.tentative))
            .collect();
        assert_eq!(
            found,
            [(id, Some(0), 2, 20, false), (id, Some(1), 2, 20, false), (other, Some(0), 1, 40, true)]
        );
        let sums =
            calendar.load.iter().fold((0, 0), |sum, hour| (sum.0 + hour.confirmed, sum.1 + hour.tentative));
        assert_eq!(sums, (40, 40));
        let first = world.deliveries.calendar(from, from + 24 * HOUR_US).await.unwrap();
        assert_eq!((first.entries.len(), first.more), (1, false));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_kept_is_refused_when_it_is_saved() {
    each(|world| async move {
        let refused = async |change: fn(&mut Definition)| {
            let mut wanted = dated(CONTACT);
            change(&mut wanted);
            match world.deliveries.create(wanted, Some(html()), None).await {
                Err(Error::Refused(refusal)) => refusal.field,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(refused(|d| d.schedule.time_zone = "Europe/Atlantis".into()).await, "schedule.time_zone");
        assert_eq!(refused(|d| d.waves = equal("110%", "1d")).await, "waves.size");
        let over = |d: &mut Definition| {
            d.waves =
                Some(Waves { calendar: vec![line("0s", "70%"), line("1d", "40%")], ..Waves::default() });
        };
        assert_eq!(refused(over).await, "waves.calendar");
    })
    .await;
}

/// Deferred until then, as the engine settles it.
fn deferred(message: &Message, due: i64) -> Settlement {
    Settlement {
        id: message.id,
        recipient: message.recipient,
        part: Arc::clone(&message.part),
        verdict: Verdict::Deferred { due, sticky_until: None, unknown: false },
        attempts: 1,
        first_try: Some(START_US),
        last_try: Some(START_US),
        site: "slow".into(),
        source: None,
        reason: None,
        reply: None,
        nonexistent: None,
        octets: 0,
        tls: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_out_in_the_evening_waits_for_the_morning() {
    each(|world| async move {
        world.recipients(8).await;
        // Half of them live where it is morning when it is evening in Berlin.
        for n in 0..4 {
            let email =
                format!("r{n}@{}", ["gmail.com", "yahoo.com", "tail1.example", "tail2.example"][n % 4]);
            let found = world.audience.recipient_by_address(&email).await.unwrap().unwrap();
            let edit = audience::RecipientEdit {
                time_zone: Some("America/Los_Angeles".into()),
                ..Default::default()
            };
            world.audience.edit_recipient(found.id, edit, START_US).await.unwrap();
        }
        let mut wanted = dated("2026-10-01T20:00");
        wanted.schedule.quiet_hours = "21:00-08:00".into();
        let id = world.confirmed(wanted).await;
        let (start, evening) = (at("2026-10-01T18:00Z"), at("2026-10-01T19:00Z"));
        let morning = at("2026-10-02T06:00Z");
        world.turn_to(start);
        world.deliveries.tick().await.unwrap();
        let claimed = world.due(id, start).await;
        assert_eq!(claimed.len(), 8);
        // One of each zone is put off; the others are claimed and do not get their turn.
        let zone_of = |message: &Message| i64::from(message.recipient > 4);
        let put_off: Vec<&Message> = [0, 1]
            .iter()
            .map(|zone| claimed.iter().find(|message| zone_of(message) == *zone).unwrap())
            .collect();
        let batch = put_off.iter().map(|message| deferred(message, evening + HOUR_US)).collect();
        world.queue.settle(Arc::new(batch), vec![], Arc::new(NoQuarantine)).await.unwrap();
        let epoch = world.queue.run(id).await.unwrap().epoch;
        world.turn_to(evening);
        world.deliveries.tick().await.unwrap();
        let run = world.queue.run(id).await.unwrap();
        assert_eq!(run.epoch, epoch + 1, "what is claimed is given back");
        world.queue.recover(evening).await.unwrap();
        world.deliveries.tick().await.unwrap();
        assert_eq!(world.queue.run(id).await.unwrap().epoch, epoch + 1, "once");
        assert!(world.told(id, "waits until 2026-10-02 08:00 Europe/Berlin").await);
        let awake = world.due(id, evening).await;
        assert_eq!(awake.len(), 3, "those for whom it is day");
        assert!(awake.iter().all(|message| zone_of(message) == 0));
        let retries = async |now| {
            let mut found = Vec::new();
            for work in world.queue.lanes(id).await.unwrap() {
                let run = world.queue.run(id).await.unwrap();
                found.extend(world.queue.take_retries(&run, &work.lane, 10, now).await.unwrap());
            }
            found
        };
        world.queue.awake(morning - 1);
        let night = retries(morning - 1).await;
        assert_eq!(night.iter().map(zone_of).collect::<Vec<_>>(), [0], "the other waits for eight o'clock");
        assert_eq!(retries(morning).await.len(), 1);
        world.turn_to(morning);
        world.deliveries.tick().await.unwrap();
        assert_eq!(world.due(id, morning).await.len(), 3, "and so do the first tries");
    })
    .await;
}
