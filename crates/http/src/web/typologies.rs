//! Typologies and their rules: lists, forms, and trying a rule of one's own on past deliveries.

use askama::Template;
use axum::{
    Router,
    extract::{Path, Query, State},
    response::Response,
    routing::{get, post},
};
use delivery::{NewTypology, RuleDefinition, RuleFilter, RuleKind, TriedOn, Typology, TypologyRule};
use serde::Deserialize;
use typology::{CustomRule, FACTS, FactDoc, Level, Phase, Span, Tried};

use super::{
    delivery::zones,
    fault::Fault,
    filters,
    form::Form,
    help,
    page::{Desk, Page, Place, done, show, show_as},
    rule_form::Sheet,
    texts,
};
use crate::{problem::Problem, state::AppState};

/// Past deliveries that a rule is tried on.
const TRIED: u32 = 50;

/// The routes below `/typologies`.
pub fn routes() -> Router<AppState> {
    Router::new()
        .route("/typologies", get(index).post(create))
        .route("/typologies/{id}", get(view).post(save))
        .route("/typologies/{id}/delete", post(delete))
        .route("/typologies/rules/new", get(new_rule).post(create_rule))
        .route("/typologies/rules/try", post(try_rule))
        .route("/typologies/rules/{id}", get(rule).post(save_rule))
        .route("/typologies/rules/{id}/delete", post(delete_rule))
}

/// A rule as a line of a list.
struct RuleRow {
    id: i64,
    name: String,
    kind: &'static str,
    /// What it does, in a few words.
    about: String,
    order: i64,
    active: bool,
    typologies: String,
}

impl RuleRow {
    fn of(found: TypologyRule) -> RuleRow {
        let rule = found.rule;
        RuleRow {
            id: found.id,
            kind: rule.definition.kind().as_str(),
            about: about(&rule.definition),
            name: rule.name,
            order: rule.order,
            active: rule.active,
            typologies: rule.typologies.join(", "),
        }
    }
}

fn about(definition: &RuleDefinition) -> String {
    match definition {
        RuleDefinition::Control(rule) if rule.off => texts::text_s("rule-about-off", &rule.native),
        RuleDefinition::Control(rule) if !rule.native.is_empty() => {
            let level = rule.level.map_or_else(String::new, |level| texts::pick("level", level.as_str()));
            texts::text_ss("rule-about-native", &rule.native, &level)
        }
        RuleDefinition::Control(rule) => rule.condition.clone(),
        RuleDefinition::Filtering(whom) => match (&whom.segment, &whom.filter) {
            (Some(name), _) => name.clone(),
            (None, Some(filter)) => super::segments::summary(filter),
            (None, None) => String::new(),
        },
        RuleDefinition::Pressure(rule) => {
            let measure = texts::pick("rule-measure", &rule.measure);
            let most = format!("{} {measure}", super::format::grouped(rule.limit));
            texts::text_ss("rule-about-pressure", &most, &rule.period)
        }
        RuleDefinition::Capacity(rule) => texts::text_n("rule-about-capacity", rule.lines.len() as i64),
    }
}

#[derive(Template)]
#[template(path = "typologies.html")]
struct TypologiesPage {
    page: Page,
    typologies: Vec<Typology>,
    rules: Vec<RuleRow>,
    kinds: [&'static str; 4],
    new_name: String,
    problem: String,
}

const KINDS: [&str; 4] = ["control", "filtering", "pressure", "capacity"];

async fn list(desk: &Desk, state: &AppState) -> Result<TypologiesPage, Fault> {
    let rules = state.deliveries.typology_rules(RuleFilter::default()).await?;
    Ok(TypologiesPage {
        page: desk.page(Place::Typologies),
        typologies: state.deliveries.typologies().await?,
        rules: rules.into_iter().map(RuleRow::of).collect(),
        kinds: KINDS,
        new_name: String::new(),
        problem: String::new(),
    })
}

/// `GET /typologies`.
async fn index(desk: Desk, State(state): State<AppState>) -> Result<Response, Fault> {
    show(&list(&desk, &state).await?)
}

fn typology_of(form: &Form) -> Result<NewTypology, Fault> {
    let weight = form.number("weight", &texts::text("rule-field-weight"));
    let weight = weight.map_err(|problem| Fault(Problem::invalid("weight", problem)))?;
    Ok(NewTypology {
        name: form.get("name").to_owned(),
        description: form.get("description").to_owned(),
        base: if form.has("base") { form.get("base").to_owned() } else { "default".to_owned() },
        weight: if form.has("weight") { weight } else { delivery::typologies::WEIGHT_DEFAULT },
        pool: form.get("pool").to_owned(),
    })
}

/// `POST /typologies`.
async fn create(desk: Desk, State(state): State<AppState>, form: Form) -> Result<Response, Fault> {
    let made = match typology_of(&form) {
        Ok(new) => state.deliveries.create_typology(new).await.map_err(Fault::from),
        Err(fault) => Err(fault),
    };
    let fault = match made {
        Ok(made) => return Ok(done(&format!("/typologies/{}", made.id), "created")),
        Err(fault) if fault.is_callers() => fault,
        Err(fault) => return Err(fault),
    };
    let mut page = list(&desk, &state).await?;
    page.problem = refusal(&fault.0);
    form.get("name").clone_into(&mut page.new_name);
    show_as(fault.0.status, &page)
}

/// What was refused, with the name that the field has on the page.
fn refusal(problem: &Problem) -> String {
    let field = problem.field.as_deref().and_then(|field| field.rsplit('.').next()).unwrap_or("");
    let key = format!("rule-field-{}", field.replace('_', "-"));
    match field.is_empty() || !texts::exists(&key) || problem.detail.starts_with(char::is_uppercase) {
        true => problem.detail.clone(),
        false => format!("{}: {}", texts::pick("rule-field", field), problem.detail),
    }
}

/// A control rule that comes with the program.
struct Shipped {
    name: &'static str,
    summary: &'static str,
    level: &'static str,
    help: String,
    /// A rule of this typology sets it otherwise.
    changed: Option<i64>,
    off: bool,
}

#[derive(Template)]
#[template(path = "typology.html")]
struct TypologyPage {
    page: Page,
    found: Typology,
    rules: Vec<RuleRow>,
    shipped: Vec<Shipped>,
    kinds: [&'static str; 4],
    /// Pools to choose from, with the one that it names.
    pools: Vec<String>,
    problem: String,
}

/// The pools that have sources, and the one that is chosen although it may have none; `default` apart.
pub(super) fn pool_names(state: &AppState, chosen: &str) -> Vec<String> {
    let mut names: Vec<String> = state.routes.rules().pools().into_iter().map(|pool| pool.name).collect();
    if !names.iter().any(|name| name == chosen) {
        names.push(chosen.to_owned());
    }
    names.retain(|name| !name.is_empty() && name != routes::DEFAULT_POOL);
    names
}

async fn one(desk: &Desk, state: &AppState, found: Typology) -> Result<TypologyPage, Fault> {
    let filter = RuleFilter { typology: Some(found.id), kind: None };
    let rules = state.deliveries.typology_rules(filter).await?;
    Ok(TypologyPage {
        page: desk.page(Place::Typologies),
        shipped: shipped(&rules),
        pools: pool_names(state, &found.pool),
        rules: rules.into_iter().map(RuleRow::of).collect(),
        found,
        kinds: KINDS,
        problem: String::new(),
    })
}

fn shipped(rules: &[TypologyRule]) -> Vec<Shipped> {
    let own = |name: &str| {
        rules.iter().filter(|found| found.rule.active).find_map(|found| match &found.rule.definition {
            RuleDefinition::Control(control) if control.native == name => Some((found.id, control)),
            _ => None,
        })
    };
    let row = |rule: &'static typology::Rule| {
        let changed = own(rule.name);
        Shipped {
            name: rule.name,
            summary: rule.summary,
            level: changed.and_then(|(_, control)| control.level).unwrap_or(rule.level).as_str(),
            help: format!("/help/rules#{}", help::anchor(rule.name)),
            off: changed.is_some_and(|(_, control)| control.off),
            changed: changed.map(|(id, _)| id),
        }
    };
    typology::all().into_iter().map(row).collect()
}

async fn found(state: &AppState, id: i64) -> Result<Typology, Fault> {
    state.deliveries.typology(id).await?.ok_or_else(|| Fault::not_found("typology"))
}

/// `GET /typologies/{id}`.
async fn view(desk: Desk, State(state): State<AppState>, Path(id): Path<i64>) -> Result<Response, Fault> {
    let typology = found(&state, id).await?;
    show(&one(&desk, &state, typology).await?)
}

/// `POST /typologies/{id}`.
async fn save(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
    form: Form,
) -> Result<Response, Fault> {
    let before = found(&state, id).await?;
    let mut new = typology_of(&form)?;
    if before.shipped {
        // Their fields cannot be changed, so the page does not send them.
        (new.name, new.base) = (before.name.clone(), before.base.clone());
    }
    match state.deliveries.update_typology(id, new.clone()).await.map_err(Fault::from) {
        Ok(_) => Ok(done(&format!("/typologies/{id}"), "saved")),
        Err(fault) if fault.is_callers() => {
            let NewTypology { name, description, base, weight, pool } = new;
            let mut page =
                one(&desk, &state, Typology { name, description, base, weight, pool, ..before }).await?;
            page.problem = refusal(&fault.0);
            show_as(fault.0.status, &page)
        }
        Err(fault) => Err(fault),
    }
}

/// `POST /typologies/{id}/delete`.
async fn delete(desk: Desk, State(state): State<AppState>, Path(id): Path<i64>) -> Result<Response, Fault> {
    match state.deliveries.delete_typology(id).await.map_err(Fault::from) {
        Ok(true) => Ok(done("/typologies", "deleted")),
        Ok(false) => Err(Fault::not_found("typology")),
        Err(fault) if fault.is_callers() => {
            let mut page = list(&desk, &state).await?;
            page.problem = refusal(&fault.0);
            show_as(fault.0.status, &page)
        }
        Err(fault) => Err(fault),
    }
}

/// How a trial ended, by delivery.
struct TrialRow {
    delivery: i64,
    label: String,
    at: i64,
    outcome: &'static str,
    tone: &'static str,
    text: String,
}

impl TrialRow {
    fn of(tried: TriedOn) -> TrialRow {
        let (outcome, tone, text) = match tried.tried {
            Tried::Passed => ("passed", "ok", String::new()),
            Tried::Found(text) => ("found", "warn", text),
            Tried::OutOfScope => ("out_of_scope", "idle", String::new()),
            Tried::Unknown(why) => ("unknown", "bad", why),
        };
        TrialRow { delivery: tried.delivery, label: tried.label, at: tried.at, outcome, tone, text }
    }
}

/// What a trial said.
#[derive(Default)]
struct Trial {
    /// It was asked for.
    done: bool,
    rows: Vec<TrialRow>,
    problem: String,
}

#[derive(Template)]
#[template(path = "rule.html")]
struct RulePage {
    page: Page,
    sheet: Sheet,
    heading: String,
    typologies: Vec<(String, bool)>,
    segments: Vec<String>,
    natives: Vec<&'static str>,
    facts: &'static [FactDoc],
    phases: [Phase; 4],
    zones: Vec<String>,
    capacity: Vec<delivery::CapacityUse>,
    trial: Trial,
    problem: String,
}

#[derive(Template)]
#[template(path = "rule_trial.html")]
struct TrialPart {
    trial: Trial,
}

async fn rule_page(desk: &Desk, state: &AppState, sheet: Sheet) -> Result<RulePage, Fault> {
    let chosen = &sheet.rule.typologies;
    let all = state.deliveries.typologies().await?.into_iter();
    let typologies = all.map(|one| (one.name.clone(), chosen.contains(&one.name))).collect();
    let capacity = if sheet.id > 0 && sheet.kind() == "capacity" {
        state.deliveries.capacity_lines(sheet.id).await?.unwrap_or_default()
    } else {
        Vec::new()
    };
    Ok(RulePage {
        page: desk.page(Place::Typologies),
        heading: match sheet.id {
            0 => texts::pick("rule-new", sheet.kind()),
            _ => sheet.rule.name.clone(),
        },
        typologies,
        segments: state.audience.segments().await?.into_iter().map(|segment| segment.name).collect(),
        natives: typology::all().into_iter().map(|rule| rule.name).collect(),
        facts: FACTS,
        phases: Phase::ALL,
        zones: zones(),
        capacity,
        trial: Trial::default(),
        problem: String::new(),
        sheet,
    })
}

/// What a link to a new rule asks for.
#[derive(Deserialize)]
struct Beginning {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    typology: String,
    #[serde(default)]
    native: String,
}

fn kind_of(name: &str) -> RuleKind {
    match name {
        "filtering" => RuleKind::Filtering,
        "pressure" => RuleKind::Pressure,
        "capacity" => RuleKind::Capacity,
        _ => RuleKind::Control,
    }
}

/// `GET /typologies/rules/new`.
async fn new_rule(
    desk: Desk,
    State(state): State<AppState>,
    Query(beginning): Query<Beginning>,
) -> Result<Response, Fault> {
    let typology = if beginning.typology.is_empty() { "default".to_owned() } else { beginning.typology };
    let sheet = Sheet::fresh(kind_of(&beginning.kind), vec![typology], &beginning.native);
    show(&rule_page(&desk, &state, sheet).await?)
}

/// `GET /typologies/rules/{id}`.
async fn rule(desk: Desk, State(state): State<AppState>, Path(id): Path<i64>) -> Result<Response, Fault> {
    let found = state.deliveries.typology_rule(id).await?.ok_or_else(|| Fault::not_found("rule"))?;
    show(&rule_page(&desk, &state, Sheet::of(found.id, found.rule)).await?)
}

/// Saves what a form says, and shows it again with the reason when it is refused.
async fn keep(desk: &Desk, state: &AppState, id: i64, form: &Form) -> Result<Response, Fault> {
    let fault = match Sheet::sent(form) {
        Err(problem) => Fault(Problem::invalid("rule", problem)),
        Ok(new) => {
            let kept = match id {
                0 => state.deliveries.create_rule(new).await,
                id => state.deliveries.update_rule(id, new).await,
            };
            match kept.map_err(Fault::from) {
                Ok(kept) => {
                    let word = if id == 0 { "created" } else { "saved" };
                    return Ok(done(&format!("/typologies/rules/{}", kept.id), word));
                }
                Err(fault) if fault.is_callers() => fault,
                Err(fault) => return Err(fault),
            }
        }
    };
    let mut page = rule_page(desk, state, shown_again(id, form)).await?;
    page.problem = refusal(&fault.0);
    show_as(fault.0.status, &page)
}

/// The form as it was sent; numbers and dates that are none are left out.
fn shown_again(id: i64, form: &Form) -> Sheet {
    match Sheet::sent(form) {
        Ok(rule) => Sheet::of(id, rule),
        Err(_) => {
            let mut sheet = Sheet::fresh(kind_of(form.get("kind")), Vec::new(), form.get("native"));
            sheet.id = id;
            form.get("name").clone_into(&mut sheet.rule.name);
            form.get("description").clone_into(&mut sheet.rule.description);
            form.get("scope").clone_into(&mut sheet.rule.scope);
            sheet
        }
    }
}

/// `POST /typologies/rules/new`.
async fn create_rule(desk: Desk, State(state): State<AppState>, form: Form) -> Result<Response, Fault> {
    keep(&desk, &state, 0, &form).await
}

/// `POST /typologies/rules/{id}`.
async fn save_rule(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
    form: Form,
) -> Result<Response, Fault> {
    keep(&desk, &state, id, &form).await
}

/// `POST /typologies/rules/{id}/delete`.
async fn delete_rule(
    _desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
) -> Result<Response, Fault> {
    match state.deliveries.delete_rule(id).await? {
        true => Ok(done("/typologies", "deleted")),
        false => Err(Fault::not_found("rule")),
    }
}

/// `POST /typologies/rules/try`: what a condition says of the deliveries analysed last. Nothing is kept.
async fn try_rule(desk: Desk, State(state): State<AppState>, form: Form) -> Result<Response, Fault> {
    let custom = CustomRule {
        name: "trial".to_owned(),
        phase: Phase::parse(form.get("phase")).unwrap_or(Phase::EndOfAnalysis),
        order: typology::default_order(),
        level: Level::parse(form.get("level")).unwrap_or(Level::Warning),
        condition: form.get("condition").to_owned(),
        message: form.get("message").to_owned(),
        hint: String::new(),
        scope: form.get("scope").to_owned(),
        effective: Span::default(),
    };
    let trial = match state.deliveries.try_rule(&custom, TRIED).await.map_err(Fault::from) {
        Ok(rows) => {
            Trial { done: true, rows: rows.into_iter().map(TrialRow::of).collect(), problem: String::new() }
        }
        Err(fault) if fault.is_callers() => {
            Trial { done: true, rows: Vec::new(), problem: refusal(&fault.0) }
        }
        Err(fault) => return Err(fault),
    };
    if desk.fragment {
        return show(&TrialPart { trial });
    }
    let id = form.get("id").parse().unwrap_or(0);
    let mut page = rule_page(&desk, &state, shown_again(id, &form)).await?;
    page.trial = trial;
    show(&page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_level_phase_and_outcome_has_its_words() {
        for kind in KINDS {
            assert!(
                texts::exists(&format!("rule-kind-{kind}")) && texts::exists(&format!("rule-new-{kind}"))
            );
        }
        for phase in Phase::ALL {
            assert!(texts::exists(&format!("rule-phase-{}", phase.as_str().replace('_', "-"))));
        }
        for outcome in ["passed", "found", "out-of-scope", "unknown"] {
            assert!(texts::exists(&format!("tried-{outcome}")));
        }
    }

    #[test]
    fn a_refusal_names_the_field_of_the_form() {
        let said = refusal(&Problem::invalid("definition.period", "is no duration"));
        assert_eq!(said, format!("{}: is no duration", texts::text("rule-field-period")));
        assert_eq!(refusal(&Problem::invalid("definition", "A sentence.")), "A sentence.");
    }
}
