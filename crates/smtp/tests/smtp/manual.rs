//! The manual's chapter about answers says what is so: its example is a set of rules, and it names every category.

use smtp::{Category, PathAction, Reason, RecipientOutcome, Reply, Rules, Stage};

fn chapter() -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/replies.md");
    std::fs::read_to_string(path).expect("the chapter")
}

#[test]
fn its_example_works() {
    let text = chapter();
    let example =
        text.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let rules = Rules::with_overlay(example).expect("sound");
    let reply = Reply::from_text("451 4.7.1 Volume exceeded").expect("a reply");
    let verdict = rules.classify_for("partner.example", &reply, Stage::Mail);
    assert_eq!(
        verdict.path,
        PathAction::Slow { factor_percent: 25, after_s: Some(1_800), one_connection: false }
    );
    assert_eq!(verdict.recipient, RecipientOutcome::Retry { after_s: None });
}

#[test]
fn it_names_every_category_and_reason() {
    let text = chapter();
    let names = Category::ALL.iter().map(|category| category.name());
    for name in names.chain(Reason::ALL.iter().map(|reason| reason.name())) {
        assert!(text.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn its_numbers_are_those_of_the_rules() {
    let rules = Rules::shipped().names().count();
    assert!(chapter().contains("some 130 rules") && (125..=135).contains(&rules), "{rules} rules");
}
