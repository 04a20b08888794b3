//! The Target tab: who is included and excluded, who is left out, seeds, control group, estimate.

use std::time::{Duration, Instant};

use askama::Template;
use axum::{
    extract::{Multipart, Path, State},
    response::Response,
};
use delivery::{
    Delivery, Edit, ListFilter, WHO,
    definition::{ControlGroup, Target, TargetItem},
};

use super::{
    super::{
        fault::Fault,
        filters,
        form::Form,
        page::{Desk, Page, Place, show},
        segments::{self, Choice},
        texts,
    },
    elements::{self, KINDS, Row, SIDES},
    files,
    frame::{Frame, answer},
    sheet::based_on,
};
use crate::{problem::Problem, state::AppState};

/// Members of an element that an estimate names.
const FIRST: usize = 3;
/// Elements are counted one by one as long as that took less than this; the whole is counted in any case.
const COUNT_TIME_MAX: Duration = Duration::from_secs(3);
/// Deliveries whose labels are offered.
const OFFERED_MAX: usize = 50;
/// The tab.
const TAB: &str = "target";

/// What an element can be chosen from.
struct Offers {
    lists: Vec<(String, i64)>,
    segments: Vec<String>,
    services: Vec<(String, i64)>,
    deliveries: Vec<String>,
    files: Vec<String>,
    fields: Vec<Choice>,
    attributes: Vec<Choice>,
    ops: Vec<&'static str>,
}

/// How the control group is chosen.
struct Control {
    way: &'static str,
    size: String,
    sort: String,
    descending: bool,
    list: String,
}

impl Control {
    fn of(group: &ControlGroup) -> Control {
        let sized = !group.size.trim_start_matches('0').trim_start_matches('%').is_empty();
        let way = match (group.list.is_empty(), sized, group.method.as_str()) {
            (false, _, _) => "list",
            (true, false, _) => "none",
            (true, true, "first") => "first",
            (true, true, _) => "random",
        };
        Control {
            way,
            size: if way == "none" { "10%".to_owned() } else { group.size.clone() },
            sort: group.sort.trim_start_matches('-').to_owned(),
            descending: group.sort.starts_with('-'),
            list: group.list.clone(),
        }
    }

    fn group(form: &Form) -> ControlGroup {
        let said = |name: &str| form.get(name).to_owned();
        let sign = if form.get("control_order") == "descending" { "-" } else { "" };
        match form.get("control_way") {
            "random" => ControlGroup { size: said("control_size"), ..ControlGroup::default() },
            "first" => ControlGroup {
                size: said("control_size"),
                method: "first".into(),
                sort: format!("{sign}{}", form.get("control_sort")),
                ..ControlGroup::default()
            },
            "list" => ControlGroup { list: said("control_list"), ..ControlGroup::default() },
            _ => ControlGroup::default(),
        }
    }
}

/// What an estimate said.
#[derive(Default)]
struct Estimate {
    count: Option<i64>,
    problem: String,
    /// Elements were counted too, so that their lines can say it.
    rows: Vec<Row>,
}

#[derive(Template)]
#[template(path = "delivery_target.html")]
struct TargetPage {
    page: Page,
    frame: Frame,
    nothing: bool,
    sides: [&'static str; 2],
    kinds: [&'static str; 7],
    whos: [&'static str; 7],
    rows: Vec<Row>,
    offers: Offers,
    new_side: String,
    new_kind: String,
    target: Target,
    limit: String,
    seed: String,
    control: Control,
    seed_groups: Vec<(String, bool)>,
    estimate: Estimate,
}

#[derive(Template)]
#[template(path = "delivery_target_estimate.html")]
struct EstimatePart {
    estimate: Estimate,
}

/// `GET /deliveries/{id}/target`.
pub async fn view(desk: Desk, State(state): State<AppState>, Path(id): Path<i64>) -> Result<Response, Fault> {
    let found = state.deliveries.get(id).await?;
    let frame = Frame::of(&state, &found, TAB).await?;
    let estimate = at_sight(&state, &found).await?;
    show(&build(&desk, &state, &found, frame, estimate).await?)
}

/// What a look at the page counts. A file would be read by that, so it waits for the button.
async fn at_sight(state: &AppState, found: &Delivery) -> Result<Estimate, Fault> {
    let target = &found.definition.target;
    let has_file = target.include.iter().chain(&target.exclude).any(|item| item.file.is_some());
    if target.include.is_empty() || has_file {
        return Ok(Estimate::default());
    }
    whole(state, found).await
}

async fn whole(state: &AppState, found: &Delivery) -> Result<Estimate, Fault> {
    match state.deliveries.estimate_target_of(found.id, &found.definition.target).await {
        Ok(count) => Ok(Estimate { count: Some(count), ..Estimate::default() }),
        Err(error) => {
            let fault = Fault::from(error);
            if !fault.is_callers() {
                return Err(fault);
            }
            Ok(Estimate { problem: super::frame::refusal(&fault.0), ..Estimate::default() })
        }
    }
}

/// Counts the target, then its elements one by one.
async fn estimated(state: &AppState, found: &Delivery) -> Result<Estimate, Fault> {
    let started = Instant::now();
    let target = &found.definition.target;
    if target.include.is_empty() {
        return Ok(Estimate { problem: texts::text("target-estimate-none"), ..Estimate::default() });
    }
    let mut estimate = whole(state, found).await?;
    estimate.rows = elements::rows(target);
    let items: Vec<&TargetItem> = target.include.iter().chain(&target.exclude).collect();
    for (row, item) in estimate.rows.iter_mut().zip(items) {
        if started.elapsed() > COUNT_TIME_MAX {
            break;
        }
        match state.deliveries.estimate_item(found.id, item, FIRST).await {
            Ok((count, first)) => {
                row.count = Some(count);
                row.first = first.into_iter().map(|recipient| recipient.email).collect();
            }
            Err(error) => {
                let problem = Problem::from(error);
                if problem.status.is_server_error() {
                    return Err(Fault(problem));
                }
                row.problem = problem.detail;
            }
        }
    }
    Ok(estimate)
}

async fn offers(state: &AppState, found: &Delivery) -> Result<Offers, Fault> {
    let attached = &found.definition.content.attachments;
    let assets = state.deliveries.assets(found.id).await?.into_iter();
    let guests = state.audience.guest_files(found.id).await?.into_iter().map(|guest| guest.file);
    let mut files: Vec<String> = assets
        .filter(|file| file.width == 0 && !attached.iter().any(|one| one.file == file.name))
        .map(|file| file.name)
        .chain(guests)
        .collect();
    files.sort();
    files.dedup();
    let others = state.deliveries.list(ListFilter { limit: OFFERED_MAX, ..ListFilter::default() }).await?;
    let (fields, attributes) = segments::choices(state).await?;
    Ok(Offers {
        lists: state.audience.lists().await?.into_iter().map(|list| (list.name, list.members)).collect(),
        segments: state.audience.segments().await?.into_iter().map(|segment| segment.name).collect(),
        services: state
            .audience
            .services()
            .await?
            .into_iter()
            .map(|one| (one.name, one.subscribers))
            .collect(),
        deliveries: others
            .into_iter()
            .filter(|other| other.confirmed_at.is_some() && other.id != found.id)
            .map(|other| other.label)
            .collect(),
        files,
        fields,
        attributes,
        ops: audience::Op::ALL.into_iter().map(|(_, name)| name).collect(),
    })
}

async fn build(
    desk: &Desk,
    state: &AppState,
    found: &Delivery,
    frame: Frame,
    mut estimate: Estimate,
) -> Result<TargetPage, Fault> {
    let target = found.definition.target.clone();
    let offers = offers(state, found).await?;
    let counted = std::mem::take(&mut estimate.rows);
    let rows = if counted.is_empty() { elements::rows(&target) } else { counted };
    let groups = state.audience.seed_groups().await?.into_iter().map(|group| group.name);
    let known: Vec<String> = groups.collect();
    let gone = target.seeds.iter().filter(|name| !known.contains(name)).cloned();
    let seed_groups =
        known.iter().cloned().chain(gone).map(|name| (name.clone(), target.seeds.contains(&name))).collect();
    Ok(TargetPage {
        page: desk.page(if found.is_template { Place::Templates } else { Place::Deliveries }),
        nothing: rows.is_empty() && offers.lists.is_empty() && offers.segments.is_empty(),
        frame,
        sides: SIDES,
        kinds: KINDS,
        whos: WHO,
        rows,
        new_side: "include".to_owned(),
        new_kind: if offers.lists.is_empty() && !offers.segments.is_empty() { "segment" } else { "list" }
            .to_owned(),
        offers,
        limit: if target.limit == 0 { String::new() } else { target.limit.to_string() },
        seed: target.seed.map(|seed| seed.to_string()).unwrap_or_default(),
        control: Control::of(&target.control_group),
        seed_groups,
        target,
        estimate,
    })
}

/// Puts what the form sent into a target.
fn apply(target: &mut Target, form: &Form) -> Result<(), String> {
    elements::apply(target, form)?;
    let duplicates = form.get("duplicates");
    target.exclude_duplicates = !matches!(duplicates, "keep" | "keep_same");
    target.keep_same_recipient = duplicates == "keep_same";
    target.exclude_denylisted = form.has("exclude_denylisted");
    target.exclude_quarantined = form.has("exclude_quarantined");
    target.include_proof_target = form.has("include_proof_target");
    target.limit = form.number("limit", &texts::text("target-limit"))?;
    target.seed =
        if form.has("seed") { Some(form.number("seed", &texts::text("target-seed"))?) } else { None };
    target.seeds = form.all("seeds").into_iter().map(str::to_owned).collect();
    target.control_group = Control::group(form);
    Ok(())
}

/// `POST /deliveries/{id}/target`: saves; the buttons *Add* and *Remove* do too.
pub async fn save(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
    form: Form,
) -> Result<Response, Fault> {
    let mut found = state.deliveries.get(id).await?;
    let outcome = match apply(&mut found.definition.target, &form) {
        Err(problem) => Err(Fault(Problem::invalid("target", problem))),
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
    let page = |frame| build(&desk, &state, &found, frame, Estimate::default());
    answer(outcome, &state, &found, (TAB, "saved"), page).await
}

/// `POST /deliveries/{id}/target/estimate`: counts what the form says, without saving it.
pub async fn estimate(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
    form: Form,
) -> Result<Response, Fault> {
    let mut found = state.deliveries.get(id).await?;
    let outcome = match apply(&mut found.definition.target, &form) {
        Err(problem) => Estimate { problem, ..Estimate::default() },
        Ok(()) => estimated(&state, &found).await?,
    };
    if desk.fragment {
        return show(&EstimatePart { estimate: outcome });
    }
    let frame = Frame::of(&state, &found, TAB).await?;
    show(&build(&desk, &state, &found, frame, outcome).await?)
}

/// `POST /deliveries/{id}/target/file`: uploads a file of recipients and includes it.
pub async fn upload(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
    parts: Multipart,
) -> Result<Response, Fault> {
    let outcome = take_file(&desk, &state, id, parts).await;
    let found = state.deliveries.get(id).await?;
    let page = |frame| build(&desk, &state, &found, frame, Estimate::default());
    answer(outcome, &state, &found, (TAB, "uploaded"), page).await
}

async fn take_file(desk: &Desk, state: &AppState, id: i64, parts: Multipart) -> Result<(), Fault> {
    let (files, fields) = files::read(parts).await?;
    let import = fields.get("import").is_none_or(|import| import != "no");
    for (name, bytes) in files {
        state.deliveries.put_asset(id, &name, bytes, &desk.viewer.name).await?;
        let mut definition = state.deliveries.get(id).await?.definition;
        definition.target.include.retain(|item| item.file.as_deref() != Some(name.as_str()));
        definition.target.include.push(TargetItem {
            file: Some(name),
            import: Some(import),
            ..TargetItem::default()
        });
        let by = desk.viewer.name.clone();
        state.deliveries.edit(id, Edit { definition: Some(definition), by, ..Edit::default() }).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_group_comes_back_as_it_was() {
        let group = |size: &str, method: &str, sort: &str, list: &str| ControlGroup {
            size: size.into(),
            method: method.into(),
            sort: sort.into(),
            list: list.into(),
        };
        for (kept, way) in [
            (ControlGroup::default(), "none"),
            (group("10%", "random", "", ""), "random"),
            (group("500", "first", "-points", ""), "first"),
            (group("0%", "random", "", "control"), "list"),
        ] {
            let control = Control::of(&kept);
            assert_eq!(control.way, way);
            let order = if control.descending { "descending" } else { "ascending" };
            let form = Form::of(&[
                ("control_way", control.way),
                ("control_size", &control.size),
                ("control_sort", &control.sort),
                ("control_order", order),
                ("control_list", &control.list),
            ]);
            assert_eq!(Control::group(&form), kept);
        }
    }

    #[test]
    fn options_are_read() {
        let mut target = Target::default();
        let form =
            Form::of(&[("duplicates", "keep_same"), ("limit", "100"), ("seed", "7"), ("seeds", "desk")]);
        apply(&mut target, &form).unwrap();
        assert!(!target.exclude_duplicates && target.keep_same_recipient && !target.exclude_denylisted);
        assert_eq!((target.limit, target.seed, target.seeds.len()), (100, Some(7), 1));
        assert!(apply(&mut target, &Form::of(&[("limit", "many")])).is_err());
    }
}
