//! Who did what to a delivery's state, approvals, automatic starts, notices.

use super::{World, definition, each, html};
use crate::definition::Definition;
use crate::{Analysis, By, Closed, Decision, Edit, Error, Event, NoticeKind, State};

fn by(name: &str) -> By {
    By { name: name.into(), administer: false, start: true }
}

impl World {
    /// A draft of ann's.
    pub(super) async fn drafted(&self, change: impl FnOnce(&mut Definition)) -> i64 {
        let mut wanted = definition();
        change(&mut wanted);
        let sources = crate::Sources { html: Some(html()), ..crate::Sources::default() };
        let new = crate::New { definition: wanted, sources, by: "ann".into(), ..crate::New::default() };
        self.deliveries.create_new(new).await.unwrap().id
    }

    async fn analysed_by(&self, id: i64, who: &By) -> Analysis {
        self.deliveries.start_analysis(id, who).await.unwrap().wait().await.unwrap()
    }

    async fn kinds(&self, account: &str) -> Vec<NoticeKind> {
        let mut notices = self.deliveries.notices(account, false, None).await.unwrap();
        notices.reverse();
        notices.into_iter().map(|notice| notice.kind).collect()
    }

    async fn state(&self, id: i64) -> State {
        self.deliveries.get(id).await.unwrap().state
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_says_who_when_and_what_and_a_final_state_is_never_left() {
    each(|world| async move {
        world.recipients(4).await;
        let id = world.drafted(|_| {}).await;
        let analysis = world.analysed_by(id, &by("ann")).await;
        world.deliveries.confirm(id, analysis.snapshot.as_deref(), &by("ann")).await.unwrap();
        world.deliveries.pause(id, &by("bob")).await.unwrap();
        world.deliveries.resume(id, &by("bob")).await.unwrap();
        let changes = world.deliveries.changes(id).await.unwrap();
        let seen: Vec<_> = changes.iter().map(|c| (c.event, c.who.as_str())).collect();
        assert_eq!(
            seen,
            [
                (Event::AnalysisBegan, "ann"),
                (Event::AnalysisPassed, ""),
                (Event::Confirmed, "ann"),
                (Event::PauseAsked, "bob"),
                (Event::Resumed, "bob"),
            ]
        );
        world.queue.stop(id, super::START_US).await.unwrap();
        world.queue.stopped(id, super::START_US).await.unwrap();
        world.deliveries.tick().await.unwrap();
        assert_eq!(world.state(id).await, State::Stopped);
        let over = [
            world.deliveries.resume(id, &by("ann")).await.unwrap_err(),
            world.deliveries.pause(id, &by("ann")).await.unwrap_err(),
            world.deliveries.edit(id, Edit::default()).await.unwrap_err(),
            world.deliveries.cancel(id, "", &by("ann")).await.unwrap_err(),
            world.deliveries.confirm(id, None, &by("ann")).await.unwrap_err(),
            world.deliveries.start_analysis(id, &by("ann")).await.err().unwrap(),
        ];
        for error in over {
            assert!(error.to_string().contains("duplicate it"), "{error}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_who_confirm_at_once_one_wins_and_the_other_is_told() {
    each(|world| async move {
        world.recipients(4).await;
        let id = world.drafted(|d| d.validation.reviewers = vec!["bob".into()]).await;
        world.analysed_by(id, &by("ann")).await;
        let (ann, bob) = (by("ann"), by("bob"));
        let (one, two) =
            tokio::join!(world.deliveries.confirm(id, None, &ann), world.deliveries.confirm(id, None, &bob));
        let (won, lost) = if one.is_ok() { (one, two) } else { (two, one) };
        let winner = won.unwrap().confirmed_by;
        let told = lost.unwrap_err().to_string();
        assert!(told.contains("confirmed already") && told.contains(&winner), "{told}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_owner_reviewers_and_administrators_confirm() {
    each(|world| async move {
        world.recipients(4).await;
        let id = world.drafted(|_| {}).await;
        world.analysed_by(id, &by("ann")).await;
        let refused = world.deliveries.confirm(id, None, &by("eve")).await.unwrap_err();
        assert!(matches!(refused, Error::Forbidden(_)), "{refused}");
        assert!(refused.to_string().contains("ann"), "{refused}");
        let no_right = By { start: false, ..by("ann") };
        assert!(matches!(world.deliveries.confirm(id, None, &no_right).await, Err(Error::Forbidden(_))));
        assert!(matches!(world.deliveries.give_to(id, "eve", &by("eve")).await, Err(Error::Forbidden(_))));
        world.deliveries.give_to(id, "eve", &by("ann")).await.unwrap();
        world.deliveries.confirm(id, None, &by("eve")).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn confirm_waits_for_n_of_m_and_an_edit_withdraws() {
    each(|world| async move {
        world.recipients(4).await;
        let id = world
            .drafted(|d| {
                d.validation.approvers = vec!["cem".into(), "dan".into()];
                d.validation.target_approvers = vec!["eve".into()];
                d.validation.approvals_needed = 2;
            })
            .await;
        let snapshot = world.analysed_by(id, &by("ann")).await.snapshot.unwrap();
        assert_eq!(world.deliveries.confirm_plan(id).await.unwrap().closed, Some(Closed::AwaitingApproval));
        assert_eq!(world.kinds("cem").await, [NoticeKind::ApprovalAsked]);
        let decide = |who: &str, decision, snapshot: &str| {
            let (deliveries, who, snapshot) = (world.deliveries.clone(), by(who), snapshot.to_owned());
            async move { deliveries.decide(id, decision, &snapshot, "well", &who).await }
        };
        let stranger = decide("bob", Decision::Approved, &snapshot).await.unwrap_err();
        assert!(stranger.to_string().contains("cem, dan, eve"), "{stranger}");
        assert!(matches!(decide("cem", Decision::Approved, "other").await, Err(Error::State { .. })));
        decide("cem", Decision::Approved, &snapshot).await.unwrap();
        let half = decide("eve", Decision::Approved, &snapshot).await.unwrap();
        assert_eq!(half.topics.iter().map(|topic| topic.given).collect::<Vec<_>>(), [1, 2]);
        assert!(!half.complete);
        decide("dan", Decision::Rejected, &snapshot).await.unwrap();
        assert_eq!(world.deliveries.confirm_plan(id).await.unwrap().closed, Some(Closed::Rejected));
        assert!(decide("dan", Decision::Approved, &snapshot).await.unwrap().complete);
        assert_eq!(world.deliveries.confirm_plan(id).await.unwrap().closed, None);

        let edit = Edit { html: Some(Some(format!("{} ", html()))), by: "ann".into(), ..Edit::default() };
        world.deliveries.edit(id, edit).await.unwrap();
        let after = world.deliveries.approvals(id).await.unwrap();
        assert!(after.decisions.is_empty() && after.snapshot.is_none());
        assert!(after.withdrawn.iter().any(|said| said.withdrawn_why.contains("ann")));
        let again = world.analysed_by(id, &by("ann")).await.snapshot.unwrap();
        assert!(world.deliveries.confirm(id, Some(&again), &by("ann")).await.is_err());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn automatic_starts_only_with_the_right_without_errors_and_after_the_approvers() {
    each(|world| async move {
        world.recipients(4).await;
        let automatic = |d: &mut Definition| d.validation.approval = "automatic".into();
        let id = world.drafted(automatic).await;
        let without = By { start: false, ..by("ann") };
        world.analysed_by(id, &without).await;
        assert_eq!(world.state(id).await, State::Ready);
        assert_eq!(
            world.analysed_by(id, &by("ann")).await.findings.iter().filter(|f| f.rule.is_empty()).count(),
            0
        );
        assert!(world.state(id).await.is_active());
        let confirmed = world.deliveries.changes(id).await.unwrap();
        assert!(confirmed.iter().any(|c| c.event == Event::Confirmed && c.who.is_empty()));

        let waiting = world
            .drafted(|d| {
                d.validation.approval = "automatic".into();
                d.validation.content_approvers = vec!["cem".into()];
            })
            .await;
        let snapshot = world.analysed_by(waiting, &by("ann")).await.snapshot.unwrap();
        assert_eq!(world.state(waiting).await, State::Ready);
        world.deliveries.decide(waiting, Decision::Approved, &snapshot, "", &by("cem")).await.unwrap();
        assert!(world.state(waiting).await.is_active());

        let wrong = world
            .drafted(|d| {
                d.validation.approval = "automatic".into();
                d.sender.address = String::new();
            })
            .await;
        world.analysed_by(wrong, &by("ann")).await;
        assert_eq!(world.state(wrong).await, State::Failed);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn semi_automatic_waits_for_a_person_when_something_was_warned_of() {
    each(|world| async move {
        world.recipients(4).await;
        let id = world.drafted(|d| d.validation.approval = "semi_automatic".into()).await;
        let analysis = world.analysed_by(id, &by("ann")).await;
        let warned = analysis.findings.iter().any(|finding| finding.level == typology::Level::Warning);
        let started = world.state(id).await.is_active();
        assert_eq!(started, !warned);
        if warned {
            let journal = world.deliveries.journal(id).await.unwrap();
            assert!(journal.iter().any(|line| line.text.starts_with("Not started by itself")));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn approvers_are_reminded_at_half_their_time_and_the_owner_is_told_when_it_is_over() {
    each(|world| async move {
        world.recipients(4).await;
        let id = world
            .drafted(|d| {
                d.validation.approval = "automatic".into();
                d.validation.approvers = vec!["cem".into()];
                d.validation.approval_deadline = "2h".into();
            })
            .await;
        let snapshot = world.analysed_by(id, &by("ann")).await.snapshot.unwrap();
        let hour = std::time::Duration::from_secs(3_601);
        world.deliveries.tick().await.unwrap();
        assert_eq!(world.kinds("cem").await, [NoticeKind::ApprovalAsked]);
        world.clock.advance(hour);
        world.deliveries.tick().await.unwrap();
        world.deliveries.tick().await.unwrap();
        assert_eq!(world.kinds("cem").await, [NoticeKind::ApprovalAsked, NoticeKind::ApprovalReminder]);
        world.clock.advance(hour);
        world.deliveries.tick().await.unwrap();
        world.deliveries.tick().await.unwrap();
        assert_eq!(world.kinds("ann").await, [NoticeKind::Analysed, NoticeKind::ApprovalOverdue]);
        world.deliveries.decide(id, Decision::Approved, &snapshot, "", &by("cem")).await.unwrap();
        assert_eq!(world.state(id).await, State::Ready, "too late to start by itself");
        world.deliveries.confirm(id, Some(&snapshot), &by("ann")).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notice_is_a_delivery_of_its_own_that_no_list_shows() {
    each(|world| async move {
        let mut config = super::config();
        config.from_address = "desk@shop.example".into();
        let refused = world.deliveries.send_notice("ann@shop.example", "x", "y").await.unwrap_err();
        assert!(refused.to_string().contains("from_address"), "{refused}");
        world.deliveries.configure(config);
        let text = "Please look at {{ this }}";
        let id = world.deliveries.send_notice("ann@shop.example", "Please approve", text).await.unwrap();
        assert!(world.state(id).await.is_active());
        assert_eq!(world.deliveries.status(id).await.unwrap().pending, 1);
        assert!(world.deliveries.list(crate::ListFilter::default()).await.unwrap().is_empty());
        assert!(world.deliveries.send_notice("nobody", "x", "y").await.is_err());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn label_and_code_are_evaluated_by_the_analysis_and_an_edit_shows_them_as_written() {
    each(|world| async move {
        world.recipients(4).await;
        let id = world
            .drafted(|d| {
                d.label = "Weekly {{ code }}".into();
                d.code = "W{{ id }}".into();
            })
            .await;
        world.analysed_by(id, &by("ann")).await;
        let found = world.deliveries.get(id).await.unwrap();
        assert_eq!((found.label, found.code), (format!("Weekly W{id}"), format!("W{id}")));
        let edit = Edit { text: Some(Some("{{ unsubscribe_url }}".into())), ..Edit::default() };
        assert_eq!(world.deliveries.edit(id, edit).await.unwrap().label, "Weekly {{ code }}");
    })
    .await;
}
