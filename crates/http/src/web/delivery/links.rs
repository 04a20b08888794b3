//! The Links tab: what is tracked, what becomes of each link, and parameters for other statistics.

use std::collections::BTreeSet;

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};
use delivery::{Definition, Delivery, Edit, definition::LinkChoice};

use super::{
    super::{
        fault::Fault,
        filters,
        form::Form,
        page::{Desk, Page, Place, show},
        texts,
    },
    frame::{Frame, answer},
    preview,
    sheet::{Sheet, based_on},
};
use crate::state::AppState;

/// Parameters that statistics programs know; others that a delivery has are listed after them.
const UTM: [&str; 5] = ["source", "medium", "campaign", "term", "content"];

/// A line of the table.
struct Row {
    url: String,
    /// What the author chose; empty: the link's words.
    label: String,
    /// The link's words.
    words: String,
    category: String,
    mode: String,
    /// Places in the content.
    count: i64,
    /// A choice for a link that the content does not have now.
    gone: bool,
}

#[derive(Template)]
#[template(path = "delivery_links.html")]
struct LinksPage {
    page: Page,
    frame: Frame,
    opens: bool,
    clicks: bool,
    links: Vec<Row>,
    categories: Vec<String>,
    utm: Vec<(String, String)>,
    problem: String,
}

/// `GET /deliveries/{id}/links`.
pub async fn view(desk: Desk, State(state): State<AppState>, Path(id): Path<i64>) -> Result<Response, Fault> {
    let found = state.deliveries.get(id).await?;
    let frame = Frame::of(&state, &found, "links").await?;
    show(&build(&desk, &state, &found, frame).await?)
}

async fn build(desk: &Desk, state: &AppState, found: &Delivery, frame: Frame) -> Result<LinksPage, Fault> {
    let tracking = &found.definition.tracking;
    let made = preview::made(state, found.id, &Sheet::of(found), "", "").await?;
    let links = rows(&made.preview.links, &tracking.links);
    let categories: BTreeSet<String> =
        links.iter().map(|row| row.category.clone()).filter(|c| !c.is_empty()).collect();
    let mut utm: Vec<(String, String)> = UTM
        .iter()
        .map(|name| ((*name).to_owned(), tracking.utm.get(*name).cloned().unwrap_or_default()))
        .collect();
    let others = tracking.utm.iter().filter(|(name, _)| !UTM.contains(&name.as_str()));
    utm.extend(others.map(|(name, value)| (name.clone(), value.clone())));
    Ok(LinksPage {
        page: desk.page(if found.is_template { Place::Templates } else { Place::Deliveries }),
        frame,
        opens: tracking.opens,
        clicks: tracking.clicks,
        links,
        categories: categories.into_iter().collect(),
        utm,
        // The words of an error say little without its place, which the Content tab shows.
        problem: if made.problems.is_empty() { made.preview.problem } else { texts::text("links-errors") },
    })
}

/// The content's links with the choices for them, then choices for links that it no longer has.
fn rows(found: &[preview::Link], choices: &[LinkChoice]) -> Vec<Row> {
    let choice = |url: &str| choices.iter().find(|choice| choice.url == url);
    let there = found.iter().map(|link| {
        let chosen = choice(&link.url);
        Row {
            url: link.url.clone(),
            label: chosen.map(|choice| choice.label.clone()).unwrap_or_default(),
            words: link.label.clone(),
            category: chosen.map_or_else(|| link.category.clone(), |choice| choice.category.clone()),
            mode: chosen.map_or_else(|| link.mode.to_owned(), |choice| choice.mode.clone()),
            count: link.count,
            gone: false,
        }
    });
    let gone =
        choices.iter().filter(|choice| !found.iter().any(|link| link.url == choice.url)).map(|choice| Row {
            url: choice.url.clone(),
            label: choice.label.clone(),
            words: String::new(),
            category: choice.category.clone(),
            mode: choice.mode.clone(),
            count: 0,
            gone: true,
        });
    there.chain(gone).collect()
}

/// Only choices that say something are kept, so that a new link text still names its link. A link that the content no
/// longer has keeps its choice until it is set back to the default.
fn apply(definition: &mut Definition, form: &Form) {
    let tracking = &mut definition.tracking;
    tracking.opens = form.has("opens");
    tracking.clicks = form.has("clicks");
    let rows =
        form.all("url").into_iter().zip(form.all("label")).zip(form.all("category")).zip(form.all("mode"));
    let sent: Vec<LinkChoice> = rows
        .map(|(((url, label), category), mode)| LinkChoice {
            url: url.to_owned(),
            label: label.trim().to_owned(),
            category: category.trim().to_owned(),
            mode: mode.to_owned(),
        })
        .collect();
    let listed: BTreeSet<String> = sent.iter().map(|choice| choice.url.clone()).collect();
    tracking.links.retain(|choice| !listed.contains(&choice.url));
    let says = |choice: &LinkChoice| {
        !choice.label.is_empty() || !choice.category.is_empty() || choice.mode != "tracked"
    };
    tracking.links.extend(sent.into_iter().filter(says));
    for (name, value) in form.pairs() {
        if let Some(name) = name.strip_prefix("utm:") {
            match value.trim() {
                "" => tracking.utm.remove(name),
                value => tracking.utm.insert(name.to_owned(), value.to_owned()),
            };
        }
    }
}

/// `POST /deliveries/{id}/links`.
pub async fn save(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
    form: Form,
) -> Result<Response, Fault> {
    let mut found = state.deliveries.get(id).await?;
    apply(&mut found.definition, &form);
    let edit = Edit {
        definition: Some(found.definition.clone()),
        based_on: based_on(&form),
        by: desk.viewer.name.clone(),
        ..Edit::default()
    };
    let outcome = state.deliveries.edit(id, edit).await;
    let page = |frame| build(&desk, &state, &found, frame);
    answer(outcome, &state, &found, ("links", "saved"), page).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(url: &str, mode: &str) -> LinkChoice {
        LinkChoice { url: url.into(), label: String::new(), category: String::new(), mode: mode.into() }
    }

    #[test]
    fn choices_for_links_that_are_gone_stay_visible() {
        let found =
            [preview::Link { url: "https://a.example/".into(), label: "Shop".into(), ..Default::default() }];
        let list = rows(&found, &[choice("https://old.example/", "untracked")]);
        assert_eq!(list.len(), 2);
        assert!(!list[0].gone && list[0].words == "Shop");
        assert!(list[1].gone && list[1].mode == "untracked");
    }

    #[test]
    fn only_choices_that_say_something_are_kept() {
        let mut definition = Definition::new("x");
        definition.tracking.links =
            vec![choice("https://kept.example/", "opt_out"), choice("https://b.example/", "mirror")];
        definition.tracking.utm.insert("source".into(), "old".into());
        let form = Form::of(&[
            ("clicks", "1"),
            ("url", "https://a.example/"),
            ("label", ""),
            ("category", ""),
            ("mode", "tracked"),
            ("url", "https://b.example/"),
            ("label", " Terms "),
            ("category", "legal"),
            ("mode", "untracked"),
            ("utm:source", ""),
            ("utm:medium", "email"),
        ]);
        apply(&mut definition, &form);
        let tracking = &definition.tracking;
        assert!(tracking.clicks && !tracking.opens);
        let urls: Vec<_> =
            tracking.links.iter().map(|link| (link.url.as_str(), link.label.as_str())).collect();
        assert_eq!(urls, [("https://kept.example/", ""), ("https://b.example/", "Terms")]);
        assert_eq!(tracking.utm.iter().collect::<Vec<_>>(), [(&"medium".to_owned(), &"email".to_owned())]);
    }
}
