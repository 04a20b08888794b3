//! Verdicts: what is suspended or slowed, by whom and until when; setting one and lifting one.

use askama::Template;
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use routes::{Action, Verdict};

use super::{
    super::{
        fault::Fault,
        filters,
        form::Form,
        format,
        page::{Desk, Page, Place, done, show},
        said::said,
        texts,
    },
    limits::label,
    refused::{Refused, answer},
};
use crate::{acts::Told, state::AppState};

/// Where the page is.
const HOME: &str = "/sending/verdicts";

/// A verdict as pages show it.
pub struct VerdictRow {
    pub(super) identity: String,
    /// `source`, `domain`, `url`, `delivery` or `site`.
    pub(super) kind: String,
    pub(super) subject: String,
    pub(super) provider: String,
    /// For people; empty: everywhere.
    pub(super) label: String,
    /// `suspend`, `slow` or `drain`.
    pub(super) action: &'static str,
    pub(super) percent: u8,
    pub(super) until: Option<i64>,
    pub(super) reason: String,
    pub(super) rule: String,
    /// What kind of answer, by a name of `smtp::Category`; empty: none.
    pub(super) answer: String,
    pub(super) by: String,
    pub(super) at: i64,
    pub(super) holds: bool,
}

impl VerdictRow {
    fn of(verdict: Verdict, now_us: i64, providers: &routes::Providers) -> VerdictRow {
        let (kind, subject) = verdict.identity.split_once(':').unwrap_or(("", &verdict.identity));
        let (action, percent) = match verdict.action {
            Action::Suspend => ("suspend", 0),
            Action::Slow(percent) => ("slow", percent),
            Action::Drain => ("drain", 0),
        };
        VerdictRow {
            kind: kind.to_owned(),
            subject: subject.to_owned(),
            label: if verdict.provider.is_empty() {
                String::new()
            } else {
                label(&verdict.provider, providers)
            },
            action,
            percent,
            holds: verdict.holds(now_us),
            until: verdict.until_us,
            // What a person wrote stays as it is.
            reason: if verdict.by.is_empty() { said("path", &verdict.reason) } else { verdict.reason },
            rule: verdict.rule,
            answer: verdict.category,
            by: verdict.by,
            at: verdict.at_us,
            provider: verdict.provider,
            identity: verdict.identity,
        }
    }
}

/// The verdicts in force that concern a site.
pub async fn of_site(state: &AppState, site: &str) -> Result<Vec<VerdictRow>, Fault> {
    let now_us = state.clock.now_us();
    let providers = state.routes.providers();
    let all = state.routes.verdicts(now_us).await?;
    let own = format!("site:{site}");
    let concerns = |verdict: &Verdict| match verdict.identity.starts_with("site:") {
        true => verdict.identity == own,
        false => verdict.provider == site || verdict.provider.is_empty(),
    };
    let rows = all.into_iter().filter(concerns);
    Ok(rows.map(|verdict| VerdictRow::of(verdict, now_us, &providers)).collect())
}

/// What is typed.
#[derive(Default)]
struct Typed {
    kind: String,
    subject: String,
    provider: String,
    action: String,
    percent: String,
    until: String,
    reason: String,
}

impl Typed {
    fn sent(form: &Form) -> Typed {
        let word = |field: &str| form.get(field).to_owned();
        Typed {
            kind: word("kind"),
            subject: word("subject").to_lowercase(),
            provider: word("provider").to_lowercase(),
            action: word("action"),
            percent: word("percent"),
            until: word("until"),
            reason: word("reason"),
        }
    }

    fn read(&self, by: &str, now_us: i64) -> Result<Verdict, Refused> {
        let until_us = until(&self.until, now_us).map_err(|why| Refused::new("until", why))?;
        let percent = || {
            let percent = self.percent.trim_end_matches('%').trim().parse::<u8>();
            percent.map_err(|_| Refused::new("percent", texts::text("verdict-refused-percent")))
        };
        Ok(Verdict {
            identity: format!("{}:{}", self.kind, self.subject),
            provider: self.provider.clone(),
            action: match self.action.as_str() {
                "slow" => Action::Slow(percent()?),
                "drain" => Action::Drain,
                _ => Action::Suspend,
            },
            until_us,
            reason: self.reason.clone(),
            rule: String::new(),
            category: String::new(),
            by: by.to_owned(),
            at_us: now_us,
        })
    }
}

/// The end that a field says, in the reader's zone; empty: none.
pub(super) fn until(text: &str, now_us: i64) -> Result<Option<i64>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    match format::from_local_input(text) {
        Some(until) if until > now_us => Ok(Some(until)),
        _ => Err(texts::text("verdict-refused-until")),
    }
}

#[derive(Template)]
#[template(path = "sending_verdicts.html")]
struct VerdictsPage {
    page: Page,
    rows: Vec<VerdictRow>,
    ended: Vec<VerdictRow>,
    providers: Vec<(String, String)>,
    kinds: [&'static str; 5],
    form: Typed,
    refused: Refused,
}

/// Who can be named.
const KINDS: [&str; 5] = ["domain", "url", "delivery", "source", "site"];

async fn build(desk: &Desk, state: &AppState, form: Typed, refused: Refused) -> Result<VerdictsPage, Fault> {
    let now_us = state.clock.now_us();
    let providers = state.routes.providers();
    let all = state.routes.recent_verdicts(now_us).await?;
    let rows = all.into_iter().map(|verdict| VerdictRow::of(verdict, now_us, &providers));
    let (rows, ended) = rows.partition(|row| row.holds);
    Ok(VerdictsPage {
        page: desk.page(Place::Paths),
        rows,
        ended,
        providers: providers
            .list()
            .iter()
            .map(|one| (one.name.clone(), label(&one.name, &providers)))
            .collect(),
        kinds: KINDS,
        form,
        refused,
    })
}

/// `GET /sending/verdicts`.
pub async fn index(desk: Desk, State(state): State<AppState>) -> Result<Response, Fault> {
    show(&build(&desk, &state, Typed::default(), Refused::default()).await?)
}

/// `POST /sending/verdicts`: sets one.
pub async fn put(desk: Desk, State(state): State<AppState>, form: Form) -> Result<Response, Fault> {
    let typed = Typed::sent(&form);
    let now_us = state.clock.now_us();
    let put = match typed.read(&desk.viewer.name, now_us) {
        Ok(verdict) => {
            let subject = format!("{} {}", verdict.identity, verdict.provider).trim_end().to_owned();
            let told = Told { subject, detail: typed.reason.clone() };
            let put = state.routes.put_verdict(verdict, now_us).await;
            Refused::unless(put, |field| texts::pick("verdict-field", field))?.map(|_| told)
        }
        Err(refused) => Err(refused),
    };
    let page = async |refused| build(&desk, &state, typed, refused).await;
    answer(put, (HOME, "saved"), page).await
}

/// `POST /sending/verdicts/lift`: ends one before its time.
pub async fn lift(desk: Desk, State(state): State<AppState>, form: Form) -> Result<Response, Fault> {
    let (identity, provider) = (form.get("identity"), form.get("provider"));
    let by = desk.viewer.name.clone();
    let lifted = state.routes.lift_verdict(identity, provider, &by, state.clock.now_us()).await?;
    if !lifted {
        return Ok(done(HOME, "verdict-over").into_response());
    }
    let subject = format!("{identity} {provider}").trim_end().to_owned();
    Ok(Told::about(subject).on(done(HOME, "lifted")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_a_verdict() {
        let typed = Typed {
            kind: "domain".into(),
            subject: "shop.example".into(),
            provider: "google".into(),
            action: "slow".into(),
            percent: "25 %".into(),
            ..Typed::default()
        };
        let verdict = typed.read("ann", 5).unwrap();
        assert_eq!((verdict.identity.as_str(), verdict.action), ("domain:shop.example", Action::Slow(25)));
        assert_eq!((verdict.until_us, verdict.by.as_str()), (None, "ann"));
        assert!(Typed { percent: "half".into(), ..typed }.read("ann", 5).is_err());
    }

    #[test]
    fn each_kind_of_answer_has_words() {
        let known = texts::english("answer-kind-", &["", "", ""].map(String::from));
        let mut known: Vec<String> =
            known.into_iter().map(|(key, _)| key.replace("answer-kind-", "").replace('-', "_")).collect();
        let mut kinds: Vec<&str> = smtp::Category::ALL.iter().map(|kind| kind.name()).collect();
        known.sort_unstable();
        kinds.sort_unstable();
        assert_eq!(known, kinds);
    }

    #[test]
    fn an_end_lies_ahead() {
        let now_us = 1_795_687_920_000_000;
        assert_eq!(until("", now_us), Ok(None));
        assert_eq!(until("2026-11-26T10:13", now_us), Ok(Some(now_us + 60_000_000)));
        assert!(until("2026-11-26T10:12", now_us).is_err());
        assert!(until("later", now_us).is_err());
    }
}
