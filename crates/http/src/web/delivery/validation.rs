//! The Validation tab: which rules it must pass, who must say yes, who may start it, and when it is analysed.

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};
use delivery::{Definition, Delivery, Edit, Typology, definition::Validation};

use super::{
    super::{
        fault::Fault,
        filters,
        form::Form,
        page::{Desk, Page, Place, show},
        texts,
    },
    frame::{Frame, answer},
    sheet::based_on,
};
use crate::{problem::Problem, state::AppState};

/// The tab.
const TAB: &str = "validation";
/// What an account can be asked for.
const ASKED: [&str; 4] = ["nothing", "both", "content", "target"];

/// An account that may be asked.
struct Person {
    name: String,
    /// One of [`ASKED`].
    asked: &'static str,
    reviews: bool,
    owns: bool,
    /// Has the right to approve.
    may_approve: bool,
    /// The account is gone.
    gone: bool,
}

#[derive(Template)]
#[template(path = "delivery_validation.html")]
struct ValidationPage {
    page: Page,
    frame: Frame,
    validation: Validation,
    typologies: Vec<Typology>,
    unknown_typology: bool,
    weight: String,
    people: Vec<Person>,
    asked: [&'static str; 4],
    owner: String,
    /// The viewer may give it to somebody else.
    may_give: bool,
}

/// `GET /deliveries/{id}/validation`.
pub async fn view(desk: Desk, State(state): State<AppState>, Path(id): Path<i64>) -> Result<Response, Fault> {
    let found = state.deliveries.get(id).await?;
    let frame = Frame::of(&state, &found, TAB).await?;
    show(&build(&desk, &state, &found, frame).await?)
}

async fn build(
    desk: &Desk,
    state: &AppState,
    found: &Delivery,
    frame: Frame,
) -> Result<ValidationPage, Fault> {
    let validation = found.definition.validation.clone();
    let typologies = state.deliveries.typologies().await?;
    Ok(ValidationPage {
        page: desk.page(if found.is_template { Place::Templates } else { Place::Deliveries }),
        frame,
        unknown_typology: !typologies.iter().any(|one| one.name == validation.typology),
        typologies,
        weight: validation.weight.map(|weight| weight.to_string()).unwrap_or_default(),
        people: people(state, found).await?,
        may_give: desk.viewer.by().administer || desk.viewer.name == found.owner,
        owner: match found.owner.as_str() {
            "" => texts::text("owner-nobody"),
            owner => owner.to_owned(),
        },
        validation,
        asked: ASKED,
    })
}

/// Everybody with an account, and those whom the delivery names without there being one.
async fn people(state: &AppState, found: &Delivery) -> Result<Vec<Person>, Fault> {
    let validation = &found.definition.validation;
    let person = |name: String, may_approve: bool, gone: bool| Person {
        asked: asked(validation, &name),
        reviews: validation.reviewers.contains(&name),
        owns: name == found.owner,
        may_approve,
        gone,
        name,
    };
    let accounts = state.access.users().await?;
    let mut people: Vec<Person> = accounts
        .into_iter()
        .map(|account| {
            let may = account.rights.may(access::Right::Approve);
            person(account.name, may, false)
        })
        .collect();
    let Validation { approvers, content_approvers, target_approvers, reviewers, .. } = validation;
    for name in approvers.iter().chain(content_approvers).chain(target_approvers).chain(reviewers) {
        if !people.iter().any(|known| known.name == *name) {
            people.push(person(name.clone(), false, true));
        }
    }
    Ok(people)
}

fn asked(validation: &Validation, name: &str) -> &'static str {
    let is_in = |names: &[String]| names.iter().any(|one| one == name);
    let (content, target) = (is_in(&validation.content_approvers), is_in(&validation.target_approvers));
    match (is_in(&validation.approvers), content, target) {
        (true, ..) | (false, true, true) => "both",
        (false, true, false) => "content",
        (false, false, true) => "target",
        (false, false, false) => "nothing",
    }
}

/// Puts what the form sent into a definition.
fn apply(definition: &mut Definition, form: &Form) -> Result<(), String> {
    let said = |name: &str| form.get(name).to_owned();
    let validation = &mut definition.validation;
    validation.approval = said("approval");
    validation.typology = said("typology");
    validation.weight = match form.number::<u32>("weight", &texts::text("validation-weight"))? {
        0 => None,
        weight => Some(weight),
    };
    validation.approvals_needed =
        form.number::<u32>("approvals_needed", &texts::text("validation-needed"))?.max(1);
    validation.approval_deadline = said("approval_deadline");
    validation.low_activity = form.has("low_activity");
    validation.analysis_priority = said("analysis_priority");
    let pairs: Vec<(&str, &str)> = form.all("person").into_iter().zip(form.all("asked")).collect();
    let named = |what: &str| {
        pairs.iter().filter(|(_, asked)| *asked == what).map(|(name, _)| (*name).to_owned()).collect()
    };
    validation.approvers = named("both");
    validation.content_approvers = named("content");
    validation.target_approvers = named("target");
    validation.reviewers = form.all("reviewer").into_iter().map(str::to_owned).collect();
    Ok(())
}

/// `POST /deliveries/{id}/validation`.
pub async fn save(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
    form: Form,
) -> Result<Response, Fault> {
    let mut found = state.deliveries.get(id).await?;
    let outcome = match apply(&mut found.definition, &form) {
        Err(problem) => Err(Fault(Problem::invalid("validation", problem))),
        Ok(()) => {
            let edit = Edit {
                definition: Some(found.definition.clone()),
                based_on: based_on(&form),
                by: desk.viewer.name.clone(),
                ..Edit::default()
            };
            state.deliveries.edit(id, edit).await.map_err(Fault::from)
        }
    };
    let page = |frame| build(&desk, &state, &found, frame);
    answer(outcome, &state, &found, (TAB, "saved"), page).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_asked_comes_back_as_it_was() {
        let form = Form::of(&[
            ("approval", "semi_automatic"),
            ("typology", "bulk"),
            ("approvals_needed", "2"),
            ("approval_deadline", "12h"),
            ("analysis_priority", "high"),
            ("person", "ann"),
            ("asked", "both"),
            ("person", "ben"),
            ("asked", "content"),
            ("person", "eve"),
            ("asked", "nothing"),
            ("reviewer", "eve"),
        ]);
        let mut definition = Definition::new("x");
        apply(&mut definition, &form).unwrap();
        let validation = &definition.validation;
        for (name, expected) in [("ann", "both"), ("ben", "content"), ("eve", "nothing")] {
            assert_eq!(asked(validation, name), expected);
        }
        assert_eq!(
            (validation.reviewers.len(), validation.approvals_needed, validation.weight),
            (1, 2, None)
        );
        assert!(definition.check().is_ok());
    }

    #[test]
    fn an_empty_number_of_approvals_means_one() {
        let mut definition = Definition::new("x");
        apply(&mut definition, &Form::of(&[])).unwrap();
        assert_eq!(definition.validation.approvals_needed, 1);
        assert!(apply(&mut definition, &Form::of(&[("weight", "heavy")])).is_err());
    }
}
