//! Seeds and their groups: addresses of our own that get the real delivery.

use askama::Template;
use audience::{Filter, Seed, SeedGroup};
use axum::{
    extract::{Path, State},
    response::Response,
};

use super::{
    fault::Fault,
    filters,
    form::Form,
    page::{Desk, Page, Place, done, show, show_as},
    person::{Person, PersonForm},
    segment_form,
    segments::{self, Tree},
    texts,
};
use crate::{problem::Problem, state::AppState};

struct SeedRow {
    id: i64,
    email: String,
    name: String,
    place: String,
}

impl SeedRow {
    fn of(seed: Seed) -> SeedRow {
        let profile = seed.profile;
        let place: Vec<&str> = [&profile.city, &profile.country]
            .into_iter()
            .map(String::as_str)
            .filter(|text| !text.is_empty())
            .collect();
        SeedRow {
            id: seed.id,
            name: format!("{} {}", profile.first_name, profile.last_name).trim().to_owned(),
            place: place.join(", "),
            email: profile.email,
        }
    }
}

struct GroupRow {
    id: i64,
    name: String,
    condition: Option<String>,
    members: usize,
}

#[derive(Template)]
#[template(path = "seeds.html")]
struct SeedsPage {
    page: Page,
    groups: Vec<GroupRow>,
    rows: Vec<SeedRow>,
    problem: String,
}

async fn overview(desk: &Desk, state: &AppState, problem: String) -> Result<SeedsPage, Fault> {
    let now_us = state.clock.now_us();
    let mut groups = Vec::new();
    for group in state.audience.seed_groups().await? {
        let members = match group.condition {
            Some(_) => state.audience.seeds_of_group(&group, now_us).await?.len(),
            None => usize::try_from(group.members).unwrap_or(0),
        };
        let condition = group.condition.map(|filter| in_words(&filter));
        groups.push(GroupRow { id: group.id, name: group.name, condition, members });
    }
    let rows = state.audience.seeds().await?.into_iter().map(SeedRow::of).collect();
    Ok(SeedsPage { page: desk.page(Place::Seeds), groups, rows, problem })
}

/// A condition in words; one that asks nothing takes all seeds.
fn in_words(filter: &Filter) -> String {
    match segments::summary(&filter.to_json()) {
        empty if empty.is_empty() => texts::text("seed-group-all"),
        words => words,
    }
}

/// `GET /seeds`.
pub async fn index(desk: Desk, State(state): State<AppState>) -> Result<Response, Fault> {
    show(&overview(&desk, &state, String::new()).await?)
}

#[derive(Template)]
#[template(path = "seed.html")]
struct SeedPage {
    page: Page,
    heading: String,
    id: i64,
    person: PersonForm,
    groups: Vec<Membership>,
    problem: String,
}

struct Membership {
    id: i64,
    name: String,
    member: bool,
}

/// What the form of one seed holds.
#[derive(Default)]
struct Sheet {
    id: i64,
    person: Person,
    groups: Vec<i64>,
}

impl Sheet {
    fn sent(id: i64, form: &Form) -> Sheet {
        let groups = form.all("group").into_iter().filter_map(|text| text.parse().ok()).collect();
        Sheet { id, person: Person::sent(form), groups }
    }

    async fn page(self, desk: &Desk, state: &AppState, problem: String) -> Result<SeedPage, Fault> {
        let heading = if self.id > 0 { self.person.email.clone() } else { texts::text("seed-new") };
        let groups = by_hand(state).await?.into_iter();
        let membership = |group: SeedGroup| Membership {
            member: self.groups.contains(&group.id),
            id: group.id,
            name: group.name,
        };
        Ok(SeedPage {
            page: desk.page(Place::Seeds),
            heading,
            id: self.id,
            groups: groups.map(membership).collect(),
            person: self.person.form(state).await?,
            problem,
        })
    }

    /// Puts the seed into the groups that are ticked, and takes it out of the others.
    async fn join(&self, state: &AppState, seed: i64) -> Result<(), Fault> {
        for group in by_hand(state).await? {
            if self.groups.contains(&group.id) {
                state.audience.add_to_seed_group(group.id, vec![seed]).await?;
            } else {
                state.audience.remove_from_seed_group(group.id, vec![seed]).await?;
            }
        }
        Ok(())
    }
}

/// The groups whose members are chosen one by one.
async fn by_hand(state: &AppState) -> Result<Vec<SeedGroup>, Fault> {
    let groups = state.audience.seed_groups().await?;
    Ok(groups.into_iter().filter(|group| group.condition.is_none()).collect())
}

/// `GET /seeds/new`.
pub async fn new(desk: Desk, State(state): State<AppState>) -> Result<Response, Fault> {
    show(&Sheet::default().page(&desk, &state, String::new()).await?)
}

/// `GET /seeds/{id}`.
pub async fn view(desk: Desk, State(state): State<AppState>, Path(id): Path<i64>) -> Result<Response, Fault> {
    let seed = state.audience.seed(id).await?.ok_or(Fault::not_found("seed"))?;
    let mut groups = Vec::new();
    for group in by_hand(&state).await? {
        let members = state.audience.seeds_of_group(&group, state.clock.now_us()).await?;
        if members.iter().any(|member| member.id == id) {
            groups.push(group.id);
        }
    }
    show(&Sheet { id, person: Person::of(seed.profile), groups }.page(&desk, &state, String::new()).await?)
}

/// `POST /seeds/new`.
pub async fn create(desk: Desk, State(state): State<AppState>, form: Form) -> Result<Response, Fault> {
    let sheet = Sheet::sent(0, &form);
    match state.audience.create_seed(sheet.person.to_new(), state.clock.now_us()).await {
        Ok(seed) => {
            sheet.join(&state, seed.id).await?;
            Ok(done(&format!("/seeds/{}", seed.id), "created"))
        }
        Err(error) => again(&desk, &state, sheet, error.into()).await,
    }
}

/// `POST /seeds/{id}`.
pub async fn save(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
    form: Form,
) -> Result<Response, Fault> {
    let sheet = Sheet::sent(id, &form);
    let before = state.audience.seed(id).await?.ok_or(Fault::not_found("seed"))?.profile;
    let edit = sheet.person.to_edit(before.attributes);
    match state.audience.edit_seed(id, edit, state.clock.now_us()).await {
        Ok(_) => {
            sheet.join(&state, id).await?;
            Ok(done(&format!("/seeds/{id}"), "saved"))
        }
        Err(error) => again(&desk, &state, sheet, error.into()).await,
    }
}

async fn again(desk: &Desk, state: &AppState, sheet: Sheet, fault: Fault) -> Result<Response, Fault> {
    if !fault.is_callers() {
        return Err(fault);
    }
    show_as(fault.0.status, &sheet.page(desk, state, fault.text()).await?)
}

/// `POST /seeds/{id}/delete`.
pub async fn delete(
    _desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
) -> Result<Response, Fault> {
    state.audience.delete_seeds(vec![id]).await?;
    Ok(done("/seeds", "deleted"))
}

/// `POST /seeds/groups`: a group by hand, or one by a condition, which takes all seeds until it asks for something.
pub async fn create_group(desk: Desk, State(state): State<AppState>, form: Form) -> Result<Response, Fault> {
    let everyone = Filter::And(Vec::new());
    let condition = (form.get("kind") == "condition").then_some(&everyone);
    let made = state.audience.create_seed_group(form.get("name"), condition, state.clock.now_us()).await;
    let fault = match made {
        Ok(id) => return Ok(done(&format!("/seeds/groups/{id}"), "created")),
        Err(error) => Fault::from(error),
    };
    if !fault.is_callers() {
        return Err(fault);
    }
    show_as(fault.0.status, &overview(&desk, &state, fault.text()).await?)
}

#[derive(Template)]
#[template(path = "seed_group.html")]
struct GroupPage {
    page: Page,
    id: i64,
    heading: String,
    name: String,
    /// The condition's form; none: members are chosen by hand.
    condition: Option<Tree>,
    /// By hand: all seeds, and whether they are in. By condition: those that fit what is saved.
    seeds: Vec<Choosable>,
    problem: String,
}

struct Choosable {
    seed: SeedRow,
    member: bool,
}

async fn group_page(
    desk: &Desk,
    state: &AppState,
    group: SeedGroup,
    typed: Typed,
) -> Result<GroupPage, Fault> {
    let now = state.audience.seeds_of_group(&group, state.clock.now_us()).await?;
    let (condition, seeds) = match typed.lines {
        Some(lines) => {
            let fit = now.into_iter().map(|seed| Choosable { seed: SeedRow::of(seed), member: true });
            (Some(segments::tree(state, lines, false).await?), fit.collect())
        }
        None => {
            let chosen = |seed: &Seed| match &typed.members {
                Some(members) => members.contains(&seed.id),
                None => now.iter().any(|member| member.id == seed.id),
            };
            let all = state.audience.seeds().await?.into_iter();
            (None, all.map(|seed| Choosable { member: chosen(&seed), seed: SeedRow::of(seed) }).collect())
        }
    };
    let page = desk.page(Place::Seeds);
    let (name, problem) = (typed.name, typed.problem);
    Ok(GroupPage { page, id: group.id, heading: group.name, name, condition, seeds, problem })
}

/// What the form of a group says.
struct Typed {
    name: String,
    lines: Option<Vec<segment_form::Line>>,
    /// None: not yet.
    members: Option<Vec<i64>>,
    problem: String,
}

async fn find_group(state: &AppState, id: i64) -> Result<SeedGroup, Fault> {
    state.audience.seed_group(id).await?.ok_or(Fault::not_found("seed group"))
}

/// `GET /seeds/groups/{id}`.
pub async fn view_group(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
) -> Result<Response, Fault> {
    let group = find_group(&state, id).await?;
    let lines = group.condition.as_ref().map(|filter| segment_form::lines_of(&filter.to_json()));
    let typed = Typed { name: group.name.clone(), lines, members: None, problem: String::new() };
    show(&group_page(&desk, &state, group, typed).await?)
}

/// `POST /seeds/groups/{id}`: saves, or does what a button of the condition asks.
pub async fn save_group(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
    form: Form,
) -> Result<Response, Fault> {
    let group = find_group(&state, id).await?;
    let ids = form.all("seed").into_iter().filter_map(|text| text.parse().ok()).collect();
    let mut typed = Typed {
        name: form.get("name").to_owned(),
        lines: group.condition.is_some().then(|| segment_form::sent(&form)),
        members: Some(ids),
        problem: String::new(),
    };
    match form.get("do") {
        "save" | "" => {
            let fault = match keep(&state, &group, &typed).await {
                Ok(()) => return Ok(done(&format!("/seeds/groups/{id}"), "saved")),
                Err(fault) => fault,
            };
            if !fault.is_callers() {
                return Err(fault);
            }
            typed.problem = fault.text();
            show_as(fault.0.status, &group_page(&desk, &state, group, typed).await?)
        }
        action => {
            typed.lines = typed.lines.map(|lines| segment_form::change(lines, action));
            let mut response = show(&group_page(&desk, &state, group, typed).await?)?;
            response.extensions_mut().insert(crate::acts::Unchanged);
            Ok(response)
        }
    }
}

async fn keep(state: &AppState, group: &SeedGroup, typed: &Typed) -> Result<(), Fault> {
    let condition = match &typed.lines {
        Some(lines) => {
            let parsed = Filter::parse(&segment_form::filter_of(lines));
            Some(parsed.map_err(|error| Fault(Problem::invalid("condition", error.to_string())))?)
        }
        None => None,
    };
    state.audience.update_seed_group(group.id, &typed.name, condition.as_ref()).await?;
    if let (None, Some(wanted)) = (&condition, &typed.members) {
        let now = state.audience.seeds_of_group(group, state.clock.now_us()).await?;
        let gone = now.iter().map(|seed| seed.id).filter(|id| !wanted.contains(id)).collect();
        state.audience.remove_from_seed_group(group.id, gone).await?;
        state.audience.add_to_seed_group(group.id, wanted.clone()).await?;
    }
    Ok(())
}

/// `POST /seeds/groups/{id}/delete`.
pub async fn delete_group(
    _desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
) -> Result<Response, Fault> {
    state.audience.delete_seed_group(id).await?;
    Ok(done("/seeds", "deleted"))
}
