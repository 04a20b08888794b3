//! Sources and pools: the addresses that mail leaves from, their shares, and which domains they serve.

use std::collections::BTreeMap;

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};
use routes::{DEFAULT_POOL, Kind, Source};

use super::{
    super::{
        fault::Fault,
        filters,
        form::Form,
        page::{Desk, Page, Place, show},
        texts,
    },
    changes::{ChangeRow, of_name},
    paths::signed,
    refused::{Refused, answer},
};
use crate::{acts::Told, paths::Standing, state::AppState};

/// Where the pages are.
const HOME: &str = "/sending/sources";

/// A line of the table.
struct Row {
    source: Source,
    address: String,
    /// EHLO name in force.
    ehlo: String,
    domains: String,
    connections: i64,
    speed: f64,
    resting: i64,
}

impl Row {
    fn of(stored: &Source, in_force: Option<&Source>, standing: &Standing) -> Row {
        let mine = || standing.paths.iter().filter(|path| path.source == stored.name);
        let mut domains = Vec::new();
        if !stored.include.is_empty() {
            domains.push(texts::text_s("source-only", &stored.include.join(", ")));
        }
        if !stored.exclude.is_empty() {
            domains.push(texts::text_s("source-not", &stored.exclude.join(", ")));
        }
        Row {
            address: stored.address.map_or_else(String::new, |address| address.to_string()),
            ehlo: in_force.map_or_else(|| stored.ehlo.clone(), |source| source.ehlo.clone()),
            domains: domains.join(" · "),
            connections: signed(mine().map(|path| path.connections as u64).sum()),
            speed: mine().map(|path| path.accepted_per_second).sum(),
            resting: mine().filter(|path| path.rests()).count() as i64,
            source: stored.clone(),
        }
    }
}

/// A pool's line: its sources with their shares of mail that may go by any of them.
struct PoolRow {
    name: String,
    sources: Vec<(String, String)>,
}

fn pools(sources: &[Source]) -> Vec<PoolRow> {
    let mut pools: BTreeMap<&str, Vec<&Source>> = BTreeMap::new();
    for source in sources.iter().filter(|source| source.enabled) {
        for pool in &source.pools {
            pools.entry(pool).or_default().push(source);
        }
    }
    let row = |(name, members): (&str, Vec<&Source>)| {
        let whole: i64 = members.iter().map(|source| i64::from(source.weight)).sum();
        let share = |source: &&Source| super::super::format::percent(i64::from(source.weight), whole);
        PoolRow {
            name: name.to_owned(),
            sources: members.iter().map(|source| (source.name.clone(), share(source))).collect(),
        }
    };
    pools.into_iter().map(row).collect()
}

#[derive(Template)]
#[template(path = "sending_sources.html")]
struct SourcesPage {
    page: Page,
    rows: Vec<Row>,
    pools: Vec<PoolRow>,
    refused: Refused,
}

async fn build(desk: &Desk, state: &AppState, refused: Refused) -> Result<SourcesPage, Fault> {
    let stored = state.routes.sources().await?;
    let rules = state.routes.rules();
    let standing = state.engine.standing().await;
    let in_force = |name: &str| rules.sources.iter().find(|source| source.name == name);
    Ok(SourcesPage {
        page: desk.page(Place::Sources),
        rows: stored.iter().map(|source| Row::of(source, in_force(&source.name), &standing)).collect(),
        pools: pools(&stored),
        refused,
    })
}

/// `GET /sending/sources`.
pub async fn index(desk: Desk, State(state): State<AppState>) -> Result<Response, Fault> {
    show(&build(&desk, &state, Refused::default()).await?)
}

#[derive(Template)]
#[template(path = "sending_source.html")]
struct SourcePage {
    page: Page,
    is_new: bool,
    heading: String,
    action: String,
    form: Typed,
    /// The EHLO name that an empty field means.
    ehlo: String,
    /// Names of pools there are.
    pools: Vec<String>,
    changes: Vec<ChangeRow>,
    /// Deliveries that go out by pools that only this source serves.
    alone: Vec<String>,
    refused: Refused,
}

/// The form as it is typed.
struct Typed {
    name: String,
    address: String,
    ehlo: String,
    weight: String,
    include: String,
    exclude: String,
    pools: String,
    proxy: String,
    node: String,
    enabled: bool,
}

impl Typed {
    fn of(source: &Source) -> Typed {
        Typed {
            name: source.name.clone(),
            address: source.address.map_or_else(String::new, |address| address.to_string()),
            ehlo: source.ehlo.clone(),
            weight: source.weight.to_string(),
            include: source.include.join("\n"),
            exclude: source.exclude.join("\n"),
            pools: source.pools.join(", "),
            proxy: source.proxy.map_or_else(String::new, |proxy| proxy.to_string()),
            node: source.node.clone().unwrap_or_default(),
            enabled: source.enabled,
        }
    }

    fn sent(name: &str, form: &Form) -> Typed {
        let word = |field: &str| form.get(field).to_owned();
        Typed {
            name: name.to_owned(),
            address: word("address"),
            ehlo: word("ehlo"),
            weight: word("weight"),
            include: form.raw("include").to_owned(),
            exclude: form.raw("exclude").to_owned(),
            pools: word("pools"),
            proxy: word("proxy"),
            node: word("node"),
            enabled: form.has("enabled"),
        }
    }

    /// The source that is meant.
    fn read(&self) -> Result<Source, Refused> {
        let optional = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let lines = |text: &str| {
            let split = text.split([',', ' ', '\n']).map(str::trim).filter(|line| !line.is_empty());
            split.map(str::to_owned).collect::<Vec<_>>()
        };
        let refused = |field: &str| Refused::new(field, texts::pick("source-refused", field));
        let pools = lines(&self.pools);
        Ok(Source {
            name: self.name.clone(),
            address: optional(&self.address)
                .map(|text| text.parse())
                .transpose()
                .map_err(|_| refused("address"))?,
            ehlo: self.ehlo.clone(),
            weight: if self.weight.is_empty() {
                1
            } else {
                self.weight.parse().map_err(|_| refused("weight"))?
            },
            include: lines(&self.include),
            exclude: lines(&self.exclude),
            pools: if pools.is_empty() { vec![DEFAULT_POOL.to_owned()] } else { pools },
            proxy: optional(&self.proxy)
                .map(|text| text.parse())
                .transpose()
                .map_err(|_| refused("proxy"))?,
            enabled: self.enabled,
            node: optional(&self.node),
        })
    }
}

/// A field as the form calls it.
fn label(field: &str) -> String {
    texts::pick("source-field", field)
}

/// Pools that no other enabled source is in.
fn alone(name: &str, sources: &[Source]) -> Vec<String> {
    let Some(own) = sources.iter().find(|source| source.name == name) else { return Vec::new() };
    let others = || sources.iter().filter(|source| source.enabled && source.name != name);
    own.pools.iter().filter(|pool| !others().any(|other| other.pools.contains(pool))).cloned().collect()
}

async fn form_page(
    desk: &Desk,
    state: &AppState,
    name: Option<&str>,
    form: Typed,
    refused: Refused,
) -> Result<SourcePage, Fault> {
    let sources = state.routes.sources().await?;
    let mut names: Vec<String> = sources.iter().flat_map(|source| source.pools.clone()).collect();
    names.sort_unstable();
    names.dedup();
    let changes = match name {
        Some(name) => of_name(state, Kind::Source, name).await?,
        None => Vec::new(),
    };
    Ok(SourcePage {
        page: desk.page(Place::Sources),
        is_new: name.is_none(),
        heading: name.map_or_else(|| texts::text("source-new"), str::to_owned),
        action: name.map_or_else(|| format!("{HOME}/new"), |name| format!("{HOME}/{name}")),
        form,
        ehlo: state.settings().ehlo().map(str::to_owned).unwrap_or_default(),
        pools: names,
        changes,
        alone: name.map(|name| alone(name, &sources)).unwrap_or_default(),
        refused,
    })
}

/// `GET /sending/sources/new`.
pub async fn new(desk: Desk, State(state): State<AppState>) -> Result<Response, Fault> {
    let blank = Source { name: String::new(), ..Source::first("") };
    show(&form_page(&desk, &state, None, Typed::of(&blank), Refused::default()).await?)
}

async fn find(state: &AppState, name: &str) -> Result<Source, Fault> {
    let sources = state.routes.sources().await?;
    sources.into_iter().find(|source| source.name == name).ok_or_else(|| Fault::not_found("source"))
}

/// `GET /sending/sources/{name}`.
pub async fn view(
    desk: Desk,
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<Response, Fault> {
    let source = find(&state, &name).await?;
    show(&form_page(&desk, &state, Some(&name), Typed::of(&source), Refused::default()).await?)
}

async fn keep(desk: &Desk, state: &AppState, name: Option<&str>, typed: Typed) -> Result<Response, Fault> {
    let kept = match typed.read() {
        Ok(source) => {
            let put = state.routes.put_source(source, &desk.viewer.name, state.clock.now_us()).await;
            Refused::unless(put, label)?.map(|()| Told::about(&typed.name))
        }
        Err(refused) => Err(refused),
    };
    answer(kept, (HOME, "saved"), async |refused| form_page(desk, state, name, typed, refused).await).await
}

/// `POST /sending/sources/new`. A name that is taken is refused: this form would overwrite it unseen.
pub async fn create(desk: Desk, State(state): State<AppState>, form: Form) -> Result<Response, Fault> {
    let typed = Typed::sent(form.get("name"), &form);
    if state.routes.sources().await?.iter().all(|source| source.name != typed.name) {
        return keep(&desk, &state, None, typed).await;
    }
    let taken = Refused::taken("name", texts::text_s("source-exists", &typed.name));
    let page = async |refused| form_page(&desk, &state, None, typed, refused).await;
    answer(Err(taken), (HOME, "saved"), page).await
}

/// `POST /sending/sources/{name}`.
pub async fn save(
    desk: Desk,
    State(state): State<AppState>,
    Path(name): Path<String>,
    form: Form,
) -> Result<Response, Fault> {
    find(&state, &name).await?;
    keep(&desk, &state, Some(&name), Typed::sent(&name, &form)).await
}

/// `POST /sending/sources/{name}/delete`.
pub async fn delete(
    desk: Desk,
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<Response, Fault> {
    let removed = state.routes.remove_source(&name, &desk.viewer.name, state.clock.now_us()).await;
    let page = async |refused| build(&desk, &state, refused).await;
    answer(Refused::unless(removed, label)?.map(|()| Told::about(name)), (HOME, "deleted"), page).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(name: &str, weight: u32, pools: &[&str]) -> Source {
        Source {
            name: name.into(),
            weight,
            pools: pools.iter().map(|pool| (*pool).to_owned()).collect(),
            ..Source::first("")
        }
    }

    #[test]
    fn shares_are_weights_within_a_pool() {
        let mut off = source("c", 50, &["default"]);
        off.enabled = false;
        let rows = pools(&[source("a", 3, &["default", "bulk"]), source("b", 1, &["default"]), off]);
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0].name, "bulk");
        let shares: Vec<_> =
            rows[1].sources.iter().map(|(name, share)| (name.as_str(), share.as_str())).collect();
        assert_eq!(shares, [("a", "75.0"), ("b", "25.0")]);
    }

    #[test]
    fn a_pool_that_would_stand_empty_is_named() {
        let sources = [source("a", 1, &["default", "bulk"]), source("b", 1, &["default"])];
        assert_eq!(alone("a", &sources), ["bulk"]);
        assert!(alone("b", &sources).is_empty());
    }

    #[test]
    fn what_is_typed_is_the_source_again() {
        let mut wanted = source("mta-a", 5, &["default", "bulk"]);
        wanted.address = Some("192.0.2.7".parse().unwrap());
        wanted.proxy = Some("192.0.2.8:5000".parse().unwrap());
        wanted.include = vec!["*.example".into(), "a.test".into()];
        wanted.node = Some("n1".into());
        assert_eq!(Typed::of(&wanted).read().unwrap(), wanted);
        let wrong = Typed { address: "here".into(), ..Typed::of(&wanted) };
        assert_eq!(wrong.read().unwrap_err().at, "address");
    }
}
