//! What this room promises, on both databases.

use std::future::Future;
use std::sync::Arc;

use audience::{Audience, NewRecipient};
use net::FakeClock;
use routes::{Providers, Routes};
use store::{Store, Vault};
use typology::Level;

use crate::definition::{Definition, Substitution, TargetItem};
use crate::{
    By, Closed, Config, Deliveries, Edit, Error, ListFilter, ProofFreshness, ProofTarget, Push, Rooms, State,
};

mod ab;
mod ahead;
mod analyses;
mod at_once;
mod capacity;
mod content_parts;
mod life;
mod model;
mod pressure;
mod proofs;
mod receivers;
mod rules;
mod schedule;
mod scope;
mod target;

const START_US: i64 = 1_790_000_000_000_000;

/// A fresh instance.
struct World {
    deliveries: Deliveries,
    audience: Audience,
    content: content::Content,
    queue: queue::Queue,
    routes: Routes,
    clock: Arc<FakeClock>,
    tokens: Arc<message::TokenKeys>,
    /// What the analyses' look-ups are answered.
    dns: Arc<net::StaticResolver>,
    _dir: tempfile::TempDir,
}

fn config() -> Config {
    Config {
        public_url: "https://mail.shop.example".into(),
        from_name: String::new(),
        from_address: String::new(),
        reply_to: String::new(),
        error_address: String::new(),
        from_masks: Vec::new(),
        error_masks: Vec::new(),
        bounce_domain: String::new(),
        relay: false,
        tls: true,
        ehlo: "out.shop.example".into(),
        sources: Vec::new(),
        archive_problem: None,
        analysis_threads: 2,
        analyses_at_once: 2,
        low_activity: None,
    }
}

async fn world(store: Store) -> World {
    let rooms = [
        audience::MIGRATIONS,
        content::MIGRATIONS,
        routes::MIGRATIONS,
        queue::MIGRATIONS,
        tracking::MIGRATIONS,
        crate::MIGRATIONS,
    ];
    store.migrate(&rooms).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let vault = Arc::new(Vault::open(dir.path()).unwrap());
    let tokens = Arc::new(message::TokenKeys::derive(&vault.derive_key("tokens")));
    let clock = Arc::new(FakeClock::new(START_US));
    let audience = Audience::new(store.clone());
    let routes = Routes::new(store.clone(), vault, Providers::built_in().clone());
    let queue = queue::Queue::new(store.clone(), 1);
    let content = content::Content::new(store.clone());
    let dns = Arc::new(net::StaticResolver::new());
    let rooms = Rooms {
        audience: audience.clone(),
        content: content.clone(),
        routes: routes.clone(),
        queue: queue.clone(),
        clock: clock.clone(),
        tokens: Arc::clone(&tokens),
        fetcher: Arc::new(net::Fetcher::new(
            Arc::clone(&dns) as Arc<dyn net::Resolver>,
            net::Tls::new(&[]).unwrap(),
            net::Guard::new(vec!["127.0.0.0/8".parse().unwrap()]),
        )),
        code_key: content::CodeKey::new([7; 32]),
    };
    World {
        deliveries: Deliveries::new(store, rooms, config()),
        audience,
        content,
        queue,
        routes,
        clock,
        tokens,
        dns,
        _dir: dir,
    }
}

async fn each<F, R>(test: F)
where
    F: Fn(World) -> R,
    R: Future<Output = ()>,
{
    store::testing::each(|store| async { test(world(store).await).await }).await;
}

impl World {
    /// `n` recipients on the list `newsletter`, over a few domains.
    async fn recipients(&self, n: usize) {
        let list = self.audience.create_list("newsletter", START_US).await.unwrap();
        let domains = ["gmail.com", "yahoo.com", "tail1.example", "tail2.example"];
        let mut ids = Vec::new();
        for i in 0..n {
            let new = NewRecipient {
                email: format!("r{i}@{}", domains[i % domains.len()]),
                first_name: if i == 3 { String::new() } else { format!("Name{i}") },
                attributes: [("tier".to_owned(), if i % 2 == 0 { "gold" } else { "" }.to_owned())].into(),
                ..NewRecipient::default()
            };
            ids.push(self.audience.create_recipient(new, START_US).await.unwrap().id);
        }
        self.audience.add_to_list(list, ids).await.unwrap();
    }

    async fn draft(&self) -> i64 {
        self.deliveries.create(definition(), Some(html()), None).await.unwrap().id
    }

    async fn analyse(&self, id: i64) -> crate::Analysis {
        self.deliveries.start_analysis(id, &By::system()).await.unwrap().wait().await.unwrap()
    }
}

fn definition() -> Definition {
    let mut definition = Definition::new("October newsletter");
    definition.subject = "{{ first_name | default('Hello') }}, news".into();
    definition.sender.address = "news@shop.example".into();
    definition.target.include = vec![TargetItem::list("newsletter")];
    definition
}

fn html() -> String {
    "<html><body><p>Dear {{ first_name | default('friend') }}</p>{% if tier == 'gold' %}<b>Gold</b>{% endif %}\
     <a href=\"https://shop.example/\">Shop</a> <a href=\"{{ unsubscribe_url }}\">Unsubscribe</a></body></html>"
        .into()
}

fn errors(analysis: &crate::Analysis) -> Vec<&str> {
    analysis.findings.iter().filter(|f| f.level == Level::Error).map(|f| f.text.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_recipient_is_accounted_for_from_analysis_to_confirm() {
    each(|world| async move {
        world.recipients(50).await;
        let id = world.draft().await;
        let denied = world.audience.recipient_by_address("r4@gmail.com").await.unwrap().unwrap().id;
        world.audience.set_denylisted(denied, true, START_US).await.unwrap();
        world
            .audience
            .quarantine("R5@yahoo.com", "unknown_user", "550 no such user", START_US)
            .await
            .unwrap();
        let analysis = world.analyse(id).await;
        assert_eq!(errors(&analysis), [""; 0]);
        assert_eq!((analysis.state, analysis.target, analysis.to_deliver), (State::Ready, 50, 48));
        assert_eq!(analysis.excluded.get("denylisted"), Some(&1));
        assert_eq!(analysis.excluded.get("quarantined"), Some(&1));
        assert!(analysis.providers.iter().any(|plan| plan.provider == "google" && plan.messages == 12));
        assert!(analysis.predicted_end.unwrap() >= START_US);

        let plan = world.deliveries.confirm_plan(id).await.unwrap();
        assert_eq!((plan.closed, plan.messages), (None, 48));
        world.deliveries.confirm(id, analysis.snapshot.as_deref(), &By::system()).await.unwrap();
        let status = world.deliveries.status(id).await.unwrap();
        assert_eq!(status.target, 50);
        assert_eq!(status.pending + status.sent + status.failed + status.cancelled, 48);
        assert!(world.deliveries.confirm(id, None, &By::system()).await.is_err());
        let refused = world.deliveries.edit(id, Edit::default()).await.unwrap_err();
        assert!(matches!(refused, Error::State { .. }), "{refused}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_closes_confirm_until_it_is_analysed_again() {
    each(|world| async move {
        world.recipients(10).await;
        let id = world.draft().await;
        assert_eq!(world.deliveries.confirm_plan(id).await.unwrap().closed, Some(Closed::NotAnalysed));
        let first = world.analyse(id).await;
        let mut changed = definition();
        changed.subject = "Other".into();
        let edit = Edit { definition: Some(changed), ..Edit::default() };
        let edited = world.deliveries.edit(id, edit).await.unwrap();
        assert_eq!(world.deliveries.confirm_plan(id).await.unwrap().closed, Some(Closed::EditedSince));
        assert!(world.deliveries.confirm(id, None, &By::system()).await.is_err());
        let stale = Edit { based_on: Some(edited.revision - 1), ..Edit::default() };
        assert!(matches!(world.deliveries.edit(id, stale).await, Err(Error::Conflict { .. })));
        let second = world.analyse(id).await;
        assert_ne!(first.snapshot, second.snapshot);
        let refused =
            world.deliveries.confirm(id, first.snapshot.as_deref(), &By::system()).await.unwrap_err();
        assert!(refused.to_string().contains("no longer what was analysed"), "{refused}");
        world.deliveries.confirm(id, second.snapshot.as_deref(), &By::system()).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_template_error_names_its_place_and_whom_it_hits() {
    each(|world| async move {
        world.recipients(12).await;
        let mut wrong = definition();
        wrong.subject = "News".into();
        let text =
            "Hello\n{% if first_name == 'Name7' %}{{ 1 // 0 }}{% endif %}\n{{ unsubscribe_url }}".to_owned();
        let id = world.deliveries.create(wrong, None, Some(text)).await.unwrap().id;
        let analysis = world.analyse(id).await;
        assert_eq!(analysis.state, State::Failed);
        let found = analysis.findings.iter().find(|finding| finding.rule == "template").unwrap();
        assert_eq!((found.part.as_deref(), found.line), (Some("text"), Some(2)));
        assert!(found.text.contains("r7@"), "{}", found.text);
        assert_eq!(world.deliveries.confirm_plan(id).await.unwrap().closed, Some(Closed::HasErrors));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_chooses_at_random_and_the_rest_has_its_reason() {
    each(|world| async move {
        world.recipients(40).await;
        let mut limited = definition();
        limited.target.limit = 15;
        let id = world.deliveries.create(limited, Some(html()), None).await.unwrap().id;
        let analysis = world.analyse(id).await;
        assert_eq!((analysis.target, analysis.to_deliver), (40, 15));
        assert_eq!(analysis.excluded.get("limit"), Some(&25));
        let again = world.analyse(id).await;
        assert_eq!((again.target, again.to_deliver), (40, 15));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_is_a_union_less_what_is_left_out() {
    each(|world| async move {
        world.recipients(20).await;
        let mut set = definition();
        set.target.include = vec![
            TargetItem::list("newsletter"),
            TargetItem { recipient: Some("r1@yahoo.com".into()), ..TargetItem::default() },
        ];
        set.target.exclude = vec![TargetItem {
            filter: Some(serde_json::json!({ "field": "tier", "op": "eq", "value": "gold" })),
            ..TargetItem::default()
        }];
        let id = world.deliveries.create(set.clone(), Some(html()), None).await.unwrap().id;
        assert_eq!(world.deliveries.estimate(id).await.unwrap(), 10);
        assert_eq!(world.analyse(id).await.target, 10);
        set.target.include = vec![TargetItem::list("no such list")];
        let id = world.deliveries.create(set, Some(html()), None).await.unwrap().id;
        let analysis = world.analyse(id).await;
        assert!(errors(&analysis)[0].contains("no such list"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proof_is_a_numbered_delivery_and_an_edit_makes_it_out_of_date() {
    each(|world| async move {
        world.recipients(10).await;
        let id = world.draft().await;
        let to = |profile: &str| Substitution { to: "boss@shop.example".into(), profile: profile.into() };
        let target = ProofTarget::Substitution(vec![to("random"), to("r2@tail1.example")]);
        let started = world.deliveries.proof(id, target, &By::system()).await.unwrap();
        let proof = started.proof.clone();
        assert_eq!((proof.parent, proof.proof_no), (Some(id), 1));
        assert_eq!(proof.label, "Proof #1: October newsletter");
        let analysis = started.analysed().await.unwrap();
        assert_eq!((errors(&analysis), analysis.to_deliver), (vec![], 2));
        assert!(world.deliveries.get(proof.id).await.unwrap().state.is_active());
        let (first, _) = queue::id_range(proof.id);
        assert_eq!(world.queue.message(first).await.unwrap().unwrap().address, "boss@shop.example");
        assert_eq!(world.deliveries.get(id).await.unwrap().proof, ProofFreshness::Current);
        assert_eq!(world.deliveries.list(ListFilter::default()).await.unwrap().len(), 1);
        assert_eq!(world.deliveries.proofs(id).await.unwrap().len(), 1);

        let edit = Edit { html: Some(Some(html().replace("Dear", "Hello"))), ..Edit::default() };
        world.deliveries.edit(id, edit).await.unwrap();
        assert_eq!(world.deliveries.get(id).await.unwrap().proof, ProofFreshness::Outdated);
        let analysis = world.analyse(id).await;
        assert!(analysis.findings.iter().any(|finding| finding.rule == "proof_outdated"));
        let second = world
            .deliveries
            .proof(id, ProofTarget::Recipients(vec!["r1@yahoo.com".into()]), &By::system())
            .await
            .unwrap();
        assert_eq!(second.proof.proof_no, 2);
        second.analysed().await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proof_to_more_than_a_hundred_is_an_error() {
    each(|world| async move {
        world.recipients(2).await;
        let id = world.draft().await;
        let list = (0..101)
            .map(|n| Substitution { to: format!("p{n}@shop.example"), profile: "random".into() })
            .collect();
        let started =
            world.deliveries.proof(id, ProofTarget::Substitution(list), &By::system()).await.unwrap();
        let analysis = started.analysed().await.unwrap();
        assert_eq!(analysis.state, State::Failed);
        assert!(errors(&analysis)[0].contains("at most 100"));
        assert_eq!(world.deliveries.get(id).await.unwrap().proof, ProofFreshness::None);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn push_creates_then_updates_then_leaves_a_confirmed_one_alone() {
    const TOML: &str = "label = \"Oct\"\nsubject = \"Hi\"\n[sender]\naddress = \"n@shop.example\"\n[target]\ninclude = [{ list = \"newsletter\" }]\n";
    each(|world| async move {
        world.recipients(3).await;
        let push = async |origin: &str, toml: &str| {
            let files = [("delivery.toml".into(), toml.into()), ("content.html".into(), html().into_bytes())];
            let push = Push { origin: origin.into(), files: files.into(), ..Push::default() };
            world.deliveries.push(push).await.map(|pushed| pushed.delivery)
        };
        let first = push("/a", TOML).await.unwrap();
        let same = push("/a", TOML).await.unwrap();
        assert_eq!((same.id, same.revision), (first.id, first.revision));
        let changed = push("/a", &TOML.replace("Hi", "Ho")).await.unwrap();
        assert_eq!((changed.id, changed.definition.subject.as_str()), (first.id, "Ho"));
        assert_ne!(push("/b", TOML).await.unwrap().id, first.id);
        world.analyse(first.id).await;
        world.deliveries.confirm(first.id, None, &By::system()).await.unwrap();
        assert_ne!(push("/a", TOML).await.unwrap().id, first.id);
        let Err(Error::Refused(refusal)) = push("/c", "label = 1\n").await else { panic!() };
        assert_eq!(refusal.line, Some(1));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn validity_ends_a_run_and_pending_becomes_cancelled() {
    each(|world| async move {
        world.recipients(5).await;
        world.routes.add_domain("shop.example", START_US).await.unwrap();
        let mut brief = definition();
        brief.parameters.validity = "2h".into();
        let id = world.deliveries.create(brief, Some(html()), None).await.unwrap().id;
        world.analyse(id).await;
        world.deliveries.confirm(id, None, &By::system()).await.unwrap();
        assert!(!world.queue.run(id).await.unwrap().spec.signing.is_empty());
        world.clock.advance(std::time::Duration::from_secs(3 * 3_600));
        world.deliveries.tick().await.unwrap();
        let status = world.deliveries.status(id).await.unwrap();
        assert_eq!((status.state, status.cancelled, status.pending), (State::Finished, 5, 0));
        let journal = world.deliveries.journal(id).await.unwrap();
        assert!(journal.last().unwrap().text.contains("validity"), "{journal:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_search_archive_and_delete() {
    each(|world| async move {
        let mut other = definition();
        other.label = "50% off".into();
        let first = world.draft().await;
        let second = world.deliveries.create(other, Some(html()), None).await.unwrap().id;
        let found = |search: &str| ListFilter { search: search.into(), ..ListFilter::default() };
        assert_eq!(world.deliveries.list(found("0% O")).await.unwrap()[0].id, second);
        assert_eq!(world.deliveries.list(found("")).await.unwrap().len(), 2);
        world.deliveries.archive(first, true, &By::system()).await.unwrap();
        assert_eq!(world.deliveries.list(found("")).await.unwrap().len(), 1);
        let copy = world.deliveries.duplicate(first, &By::system()).await.unwrap();
        assert_eq!((copy.label.as_str(), copy.state), ("October newsletter (copy)", State::Draft));
        world.deliveries.delete(second, &By::system()).await.unwrap();
        assert!(matches!(world.deliveries.get(second).await, Err(Error::NotFound(_))));
    })
    .await;
}
