//! Control rules through real analyses: look-ups, the two shipped typologies, rules of one's own, kept facts.

use std::io::Write;

use typology::{CustomRule, Level, Phase, Span, Tried};

use super::{START_US, World, definition, each, errors, html};
use crate::typologies::ControlRule;
use crate::{By, Error, NewRule, RuleDefinition, State};

impl World {
    /// The sender's domain with its keys and everything that receivers want published, and a link that is there.
    async fn published(&self) {
        let dns = &self.dns;
        self.routes.add_domain("shop.example", START_US).await.unwrap();
        let facts = routes::Facts { host: "out.shop.example".into(), ..routes::Facts::default() };
        for record in self.routes.records("shop.example", &facts).await.unwrap().records {
            match record.value.split_once(' ') {
                Some((_, host)) if record.kind == "MX" => dns.mx(&record.name, &[(10, host)]),
                _ => dns.txt(&record.name, &[&record.value]),
            }
        }
        dns.mx("shop.example", &[(10, "mx.shop.example")]);
        dns.a("out.shop.example", &["203.0.113.5"]);
        dns.ptr("203.0.113.5".parse().unwrap(), "out.shop.example");
    }

    /// So many people at Gmail, on the list `newsletter`.
    async fn gmail(&self, n: usize) {
        let mut file = tempfile::tempfile().unwrap();
        writeln!(file, "email").unwrap();
        (0..n).for_each(|i| writeln!(file, "r{i}@gmail.com").unwrap());
        std::io::Seek::rewind(&mut file).unwrap();
        let options = audience::ImportOptions {
            list: "newsletter".into(),
            file_name: "people.csv".into(),
            encoding: None,
            mapping: Vec::new(),
            dry_run: false,
            bytes_total: None,
            work_dir: self._dir.path().to_path_buf(),
        };
        self.audience.import(Box::new(file), options, START_US).await.unwrap();
    }

    /// Rules that have something serious to say, of a delivery of this typology.
    async fn complaints(&self, typology: &str) -> (State, Vec<(String, Level)>) {
        let mut definition = definition();
        definition.validation.typology = typology.into();
        let body = html()
            .replace("https://shop.example/", "#shop")
            .replace("{% if tier == 'gold' %}", "{% if email %}");
        let id = self.deliveries.create(definition, Some(body), None).await.unwrap().id;
        let analysis = self.analyse(id).await;
        let serious = analysis.findings.into_iter().filter(|finding| finding.level > Level::Info);
        (analysis.state, serious.map(|finding| (finding.rule, finding.level)).collect())
    }

    async fn control(&self, name: &str, control: ControlRule) {
        let rule = NewRule {
            name: name.into(),
            description: String::new(),
            typologies: vec!["default".into()],
            order: 50,
            active: true,
            scope: String::new(),
            from_us: None,
            until_us: None,
            definition: RuleDefinition::Control(control),
        };
        self.deliveries.create_rule(rule).await.unwrap();
    }
}

fn small(condition: &str) -> CustomRule {
    CustomRule {
        name: "small".into(),
        phase: Phase::AfterTargeting,
        order: 50,
        level: Level::Error,
        condition: condition.into(),
        message: "{{ messages }} messages".into(),
        hint: String::new(),
        scope: String::new(),
        effective: Span::default(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_that_receivers_trust_has_nothing_to_hear() {
    each(|world| async move {
        world.recipients(10).await;
        world.published().await;
        assert_eq!(world.complaints("default").await, (State::Ready, Vec::new()));
        assert_eq!(world.complaints("bulk").await, (State::Ready, Vec::new()));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_receivers_refuse_is_an_error_in_bulk_once_the_target_is_large_enough() {
    each(|world| async move {
        world.gmail(4_999).await;
        world.published().await;
        world.dns.txt("bounce.shop.example", &["v=spf1 ip4:192.0.2.0/24 -all"]);
        world.dns.exists("_dmarc.shop.example");
        world.dns.txt("_dmarc.shop.example", &[]);
        let warned = [("spf".to_owned(), Level::Warning), ("dmarc".to_owned(), Level::Warning)];
        assert_eq!(world.complaints("default").await, (State::Ready, warned.to_vec()));
        assert_eq!(world.complaints("bulk").await, (State::Ready, warned.to_vec()));
        world.gmail(5_000).await;
        assert_eq!(world.complaints("default").await, (State::Ready, warned.to_vec()));
        let refused = warned.map(|(rule, _)| (rule, Level::Error));
        assert_eq!(world.complaints("bulk").await, (State::Failed, refused.to_vec()));
        // What nobody answers is no reason to refuse.
        world.dns.fails("bounce.shop.example", net::RecordKind::Txt);
        world.dns.fails("_dmarc.shop.example", net::RecordKind::Txt);
        assert_eq!(world.complaints("bulk").await, (State::Ready, warned_again()));
    })
    .await;
}

fn warned_again() -> Vec<(String, Level)> {
    vec![("spf".to_owned(), Level::Warning), ("dmarc".to_owned(), Level::Warning)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_link_is_found_at_its_place_and_the_journal_says_how_to_mend_it() {
    each(|world| async move {
        world.recipients(4).await;
        world.published().await;
        let body = html().replace("https://shop.example/", "https://gone.example/autumn");
        let id = world.deliveries.create(definition(), Some(body), None).await.unwrap().id;
        let analysis = world.analyse(id).await;
        assert_eq!((analysis.state, errors(&analysis).len()), (State::Ready, 0));
        let found = analysis.findings.iter().find(|finding| finding.rule == "broken_links").unwrap();
        assert_eq!((found.level, found.part.as_deref(), found.line), (Level::Warning, Some("html"), Some(1)));
        assert!(found.text.contains("gone.example") && found.hint.is_some(), "{found:?}");
        let lines = world.deliveries.journal(id).await.unwrap();
        let line = lines.iter().find(|line| line.rule == "broken_links").unwrap();
        assert!(line.hint.as_deref().unwrap().ends_with('.'), "{line:?}");
        // A proof asks nobody.
        let asked = world.dns.lookups();
        let readers = crate::ProofTarget::Recipients(vec!["r1@yahoo.com".into()]);
        let proof = world.deliveries.proof(id, readers, &By::system()).await.unwrap();
        let analysis = proof.analysed().await.unwrap();
        assert!(analysis.findings.iter().all(|finding| finding.rule != "broken_links"));
        assert_eq!(world.dns.lookups(), asked);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_of_ones_own_are_tried_on_past_deliveries_and_then_switched_on() {
    each(|world| async move {
        world.recipients(8).await;
        world.published().await;
        let id = world.draft().await;
        assert_eq!(world.analyse(id).await.state, State::Ready);
        let outcome = async |rule: CustomRule| {
            let tried = world.deliveries.try_rule(&rule, 10).await.unwrap();
            assert_eq!(
                (tried.len(), tried[0].delivery, tried[0].label.as_str()),
                (1, id, "October newsletter")
            );
            tried[0].tried.clone()
        };
        assert_eq!(outcome(small("messages <= 8")).await, Tried::Passed);
        assert_eq!(outcome(small("messages < 8")).await, Tried::Found("8 messages".into()));
        assert_eq!(outcome(small("lookups.authentication.spf.state == 'pass'")).await, Tried::Passed);
        let scoped = CustomRule { scope: "delivery.code == 'x'".into(), ..small("messages < 8") };
        assert_eq!(outcome(scoped).await, Tried::OutOfScope);
        for wrong in ["mesages < 8", "messages <", "'x' * 99999999 == ''", "size.html < 5"] {
            let refused = world.deliveries.try_rule(&small(wrong), 10).await.unwrap_err();
            assert!(
                matches!(&refused, Error::Refused(refusal) if refusal.field == "condition"),
                "{wrong}: {refused}"
            );
        }
        world
            .control(
                "Small",
                ControlRule {
                    condition: "messages < 8".into(),
                    message: "{{ messages }} messages".into(),
                    hint: "Ask Anna.".into(),
                    level: Some(Level::Error),
                    ..ControlRule::default()
                },
            )
            .await;
        let analysis = world.analyse(id).await;
        assert_eq!((analysis.state, errors(&analysis)), (State::Failed, vec!["8 messages"]));
        world.deliveries.delete(id, &By::system()).await.unwrap();
        assert_eq!(world.deliveries.try_rule(&small("messages < 8"), 10).await.unwrap(), []);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn content_that_is_wrong_computes_no_target() {
    each(|world| async move {
        world.recipients(4).await;
        let mut definition = definition();
        definition.parameters.mirror_page = "never".into();
        let body = html().replace("https://shop.example/", "{{ mirror_url }}");
        let id = world.deliveries.create(definition, Some(body), None).await.unwrap().id;
        let asked = world.dns.lookups();
        let analysis = world.analyse(id).await;
        assert_eq!((analysis.state, analysis.target), (State::Failed, 0));
        assert_eq!(analysis.findings.iter().filter(|finding| finding.rule == "mirror_link").count(), 2);
        assert_eq!(world.dns.lookups(), asked, "nobody was asked");
    })
    .await;
}
