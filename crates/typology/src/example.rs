//! The delivery that the manual and the tests begin with: everything about it is known, and every rule is content.

use crate::{
    AuthenticationFact, CheckFact, Checked, DeliveryFact, ExcludedFact, Facts, HeaderFact, HeloFact,
    ImageFact, LinkFact, Lookups, MobileFact, PartFact, PoolFact, PredictionFact, ProofFact, ProviderFact,
    ScheduleFact, SenderFact, SizeFact, SourceFact, TargetFact,
};

const HOUR_US: i64 = 3_600_000_000;
/// 1 October 2026, 08:00 UTC.
const START_US: i64 = 1_790_841_600_000_000;

/// Facts of a newsletter to 20,000 people that passes every shipped rule. A rule's failing example is this one, changed
/// by [`crate::Rule::breaks`].
pub fn example() -> Facts {
    Facts {
        delivery: delivery(),
        subject: "News from the shop".into(),
        sender: SenderFact {
            name: "Example Shop".into(),
            address: "news@shop.example".into(),
            reply_to: "hello@shop.example".into(),
            domain_known: Some(true),
            ..SenderFact::default()
        },
        links: vec![link("https://shop.example/autumn", 12), link("{{ unsubscribe_url }}", 40)],
        parts: vec![part("html", false), part("text", true)],
        messages: Some(19_420),
        proof: Some(ProofFact { recipients: 3 }),
        proof_outdated: Some(false),
        prediction: Some(PredictionFact {
            start_us: START_US,
            valid_until_us: START_US + 120 * HOUR_US,
            end_us: START_US + HOUR_US,
            slowest: Some("yahoo".into()),
        }),
        size: Some(SizeFact { largest: 31_000, html: 24_000 }),
        mirror_page: Some(true),
        attachments: 1,
        images: vec![ImageFact { src: "assets/leaves.png".into(), has_alt: true, line: 8, column: 5 }],
        headers: vec![HeaderFact { name: "X-Campaign".into(), value: "october".into() }],
        feedback_id: "17:mailwright".into(),
        public_url: "https://mail.shop.example".into(),
        tls: Some(true),
        pool: Some(PoolFact {
            name: "default".into(),
            sources: 2,
            known: vec!["default".into(), "news".into()],
            ..PoolFact::default()
        }),
        providers: providers(),
        excluded: vec![ExcludedFact { reason: "denylisted".into(), recipients: 580 }],
        schedule: Some(ScheduleFact {
            contact_us: START_US,
            past: false,
            notes: Vec::new(),
            last_due_us: START_US + 48 * HOUR_US,
            waves: 3,
            last_wave_us: Some(START_US + 48 * HOUR_US),
            last_wave_end_us: Some(START_US + 49 * HOUR_US),
        }),
        lookups: lookups(),
        mobiles: vec![MobileFact { format: "deco".into(), recipients: 120, problems: Vec::new() }],
        archive_problem: None,
    }
}

fn delivery() -> DeliveryFact {
    DeliveryFact {
        label: "October newsletter".into(),
        code: "news-10".into(),
        template: "newsletter".into(),
        priority: "normal".into(),
        format: "recipient".into(),
        encoding: "utf-8".into(),
        precedence: "bulk".into(),
        tracks_opens: true,
        tracks_clicks: true,
        waves: true,
        typology: "default".into(),
        ..DeliveryFact::default()
    }
}

fn link(url: &str, line: u32) -> LinkFact {
    LinkFact { part: "html".into(), url: url.into(), has_text: true, line, column: 3 }
}

fn part(name: &str, generated: bool) -> PartFact {
    PartFact {
        part: name.into(),
        generated,
        unsubscribe: true,
        mirror: true,
        bytes: 8_400,
        characters: Some(1_900),
        suspicious: Vec::new(),
    }
}

fn providers() -> Vec<ProviderFact> {
    let of = |provider: &str, messages| ProviderFact { provider: provider.into(), messages };
    vec![of("google", 9_800), of("outlook", 5_100), of("yahoo", 2_300), of("other", 2_220)]
}

fn lookups() -> Lookups {
    let pass = |found: &str| CheckFact::new(Checked::Pass, found);
    Lookups {
        authentication: Some(AuthenticationFact {
            domain: "shop.example".into(),
            spf: pass("v=spf1 a:out.shop.example ~all"),
            spf_domain: "bounce.shop.example".into(),
            spf_aligned: true,
            dkim: pass("mw1._domainkey.shop.example"),
            dkim_domain: "shop.example".into(),
            dkim_aligned: true,
            dmarc: pass("v=DMARC1; p=none"),
            mail: pass("mx.shop.example"),
        }),
        sources: Some(vec![SourceFact { address: "203.0.113.5".into(), reverse: pass("out.shop.example") }]),
        helo: Some(HeloFact { name: "out.shop.example".into(), check: pass("203.0.113.5") }),
        targets: Some(vec![TargetFact {
            url: "https://shop.example/autumn".into(),
            check: pass("the server answers 200"),
            status: 200,
        }]),
    }
}
