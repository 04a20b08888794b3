//! The A/B tab: variants of subject, sender or content that a sample gets, and how the winner is found.

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};
use delivery::{
    Delivery, Edit,
    definition::{AbTest, AbVariant},
};

use super::{
    super::{
        fault::Fault,
        filters,
        form::Form,
        page::{Desk, Page, Place, show},
    },
    frame::{Frame, answer},
    sheet::based_on,
};
use crate::state::AppState;

/// The tab.
const TAB: &str = "variants";
/// Variants beside the delivery's own content.
const VARIANTS_MAX: usize = 3;
/// Their letters; A is the delivery's own content.
const LETTERS: [&str; VARIANTS_MAX] = ["B", "C", "D"];

struct Row {
    letter: &'static str,
    variant: AbVariant,
    open: bool,
}

#[derive(Template)]
#[template(path = "delivery_variants.html")]
struct VariantsPage {
    page: Page,
    frame: Frame,
    on: bool,
    test: AbTest,
    rows: Vec<Row>,
    subject: String,
}

/// `GET /deliveries/{id}/variants`.
pub async fn view(desk: Desk, State(state): State<AppState>, Path(id): Path<i64>) -> Result<Response, Fault> {
    let found = state.deliveries.get(id).await?;
    let frame = Frame::of(&state, &found, TAB).await?;
    show(&build(&desk, &found, frame))
}

fn build(desk: &Desk, found: &Delivery, frame: Frame) -> VariantsPage {
    let test = found.definition.ab.clone().unwrap_or_default();
    let rows = LETTERS.into_iter().enumerate().map(|(index, letter)| Row {
        letter,
        variant: test.variants.get(index).cloned().unwrap_or_default(),
        // The next free one is open too, so that a variant can be added.
        open: index <= test.variants.len(),
    });
    VariantsPage {
        page: desk.page(if found.is_template { Place::Templates } else { Place::Deliveries }),
        rows: rows.collect(),
        on: found.definition.ab.is_some(),
        subject: found.definition.subject.clone(),
        test,
        frame,
    }
}

/// The test that a form describes; none: it is switched off. A variant that says nothing of its own is none.
fn sent(form: &Form) -> Option<AbTest> {
    if !form.has("on") {
        return None;
    }
    let said = |name: &str| form.get(name).to_owned();
    let variant = |letter: &&str| {
        let of = |name: &str| form.raw(&format!("{name}-{letter}")).trim_end().to_owned();
        AbVariant {
            subject: of("subject").trim().to_owned(),
            sender_name: of("sender_name").trim().to_owned(),
            sender_address: of("sender_address").trim().to_owned(),
            html: of("html"),
            text: of("text"),
        }
    };
    let variants = LETTERS.iter().map(variant).filter(|variant| *variant != AbVariant::default());
    Some(AbTest {
        sample: said("sample"),
        winner: said("winner"),
        after: said("after"),
        variants: variants.collect(),
    })
}

/// `POST /deliveries/{id}/variants`.
pub async fn save(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
    form: Form,
) -> Result<Response, Fault> {
    let mut found = state.deliveries.get(id).await?;
    found.definition.ab = sent(&form);
    let edit = Edit {
        definition: Some(found.definition.clone()),
        based_on: based_on(&form),
        by: desk.viewer.name.clone(),
        ..Edit::default()
    };
    let outcome = state.deliveries.edit(id, edit).await;
    let page = async |frame| Ok(build(&desk, &found, frame));
    answer(outcome, &state, &found, (TAB, "saved"), page).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_variants_are_none_and_a_switch_turns_it_off() {
        let fields = [
            ("sample", "20%"),
            ("winner", "clicks"),
            ("after", "4h"),
            ("subject-B", "Other"),
            ("html-D", "<p>D</p>\n"),
        ];
        assert_eq!(sent(&Form::of(&fields)), None);
        let on: Vec<_> = fields.into_iter().chain([("on", "1")]).collect();
        let test = sent(&Form::of(&on)).unwrap();
        assert_eq!(test.variants.len(), 2);
        assert_eq!(
            (test.variants[0].subject.as_str(), test.variants[1].html.as_str()),
            ("Other", "<p>D</p>")
        );
    }
}
