//! Setup: password, public URL, sender domain, way out, first list. Every step can be skipped and come back to.

use access::{Relay, RelayTls, Right};
use askama::Template;
use axum::{
    extract::{Path, Query, State},
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;

use super::{
    assets,
    domains::Records,
    fault::Fault,
    filters,
    form::Form,
    page::{Bare, show, show_as},
    session::{Viewer, may_not},
    texts,
};
use crate::{problem::Problem, state::AppState};

/// The steps in their order.
const STEPS: [&str; 5] = ["password", "url", "domain", "sending", "list"];
/// Longest time that a test mail is waited for.
const TEST_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(45);

/// The relay's fields as the form shows them.
#[derive(Default)]
struct RelayForm {
    host: String,
    port: u16,
    tls: String,
    user: String,
    has_password: bool,
}

#[derive(Template)]
#[template(path = "setup.html")]
struct SetupPage {
    frame: Bare,
    script: String,
    step: &'static str,
    dots: Vec<(&'static str, &'static str)>,
    problem: String,
    done: String,
    one_time: bool,
    public_url: String,
    public_url_pinned: bool,
    domain: String,
    records: Option<Records>,
    way: &'static str,
    relay: RelayForm,
    relay_pinned: bool,
    test_to: String,
    list: String,
}

/// `GET /setup`: the first step that is not done.
pub async fn begin(viewer: Viewer, State(state): State<AppState>) -> Result<Response, Fault> {
    let step = if viewer.caller.must_change_password {
        "password"
    } else if !viewer.caller.may(Right::Administer) {
        return Ok(Redirect::to("/").into_response());
    } else if state.settings().public_url().is_none() && state.demo.is_none() {
        "url"
    } else if state.routes.domains().await?.is_empty() {
        "domain"
    } else if state.audience.lists().await?.is_empty() {
        "sending"
    } else {
        return Ok(Redirect::to("/").into_response());
    };
    Ok(to(step))
}

fn to(step: &str) -> Response {
    Redirect::to(&format!("/setup/{step}")).into_response()
}

fn known(step: &str) -> Result<&'static str, Fault> {
    STEPS.into_iter().find(|name| *name == step).ok_or(Fault::not_found("page"))
}

/// Everybody chooses a password; what follows concerns the whole instance.
fn may(viewer: &Viewer, step: &str) -> Result<(), Fault> {
    match step == "password" || viewer.caller.may(Right::Administer) {
        true => Ok(()),
        false => Err(may_not(Right::Administer)),
    }
}

/// `?domain=` and `?check` of the domain step.
#[derive(Default, Deserialize)]
pub struct Asked {
    domain: Option<String>,
    check: Option<String>,
}

/// `GET /setup/{step}`.
pub async fn view(
    viewer: Viewer,
    State(state): State<AppState>,
    Path(step): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let step = known(&step)?;
    // Until the password is changed there is nothing else to do here.
    if viewer.caller.must_change_password && step != "password" {
        return Ok(to("password"));
    }
    may(&viewer, step)?;
    show(&build(&viewer, &state, step, &asked).await?)
}

async fn build(
    viewer: &Viewer,
    state: &AppState,
    step: &'static str,
    asked: &Asked,
) -> Result<SetupPage, Fault> {
    let at = STEPS.iter().position(|name| *name == step).unwrap_or(0);
    let kind = |index: usize| match index.cmp(&at) {
        std::cmp::Ordering::Less => "done",
        std::cmp::Ordering::Equal => "here",
        std::cmp::Ordering::Greater => "",
    };
    let settings = state.settings();
    let entries = settings.entries();
    let pinned = |key: &str| entries.iter().any(|entry| entry.setting.key == key && !entry.editable);
    let first = state.routes.domains().await?.into_iter().next().map(|domain| domain.domain);
    let domain = asked.domain.clone().or(first);
    let records = match (step, &domain, &asked.check) {
        ("domain", Some(domain), Some(_)) => Some(Records::checked(state, domain).await?),
        ("domain", Some(domain), None) => Some(Records::of(state, domain).await?),
        _ => None,
    };
    Ok(SetupPage {
        frame: Bare::new(),
        script: assets::url("app.js"),
        step,
        dots: STEPS.into_iter().enumerate().map(|(index, name)| (name, kind(index))).collect(),
        problem: String::new(),
        done: String::new(),
        one_time: viewer.caller.must_change_password,
        public_url: settings.public_url().unwrap_or("").to_owned(),
        public_url_pinned: pinned("public_url"),
        domain: domain.unwrap_or_default(),
        records,
        way: if settings.relay().is_some() { "relay" } else { "direct" },
        relay: settings.relay().map_or_else(RelayForm::fresh, RelayForm::of),
        relay_pinned: pinned("mta.relay"),
        test_to: String::new(),
        list: String::new(),
    })
}

impl RelayForm {
    fn fresh() -> RelayForm {
        RelayForm { port: 587, tls: "required".into(), ..RelayForm::default() }
    }

    fn of(relay: &Relay) -> RelayForm {
        let tls = match relay.tls {
            RelayTls::None => "none",
            RelayTls::Opportunistic => "opportunistic",
            RelayTls::Required => "required",
            RelayTls::Implicit => "implicit",
        };
        RelayForm {
            host: relay.host.clone(),
            port: relay.port,
            tls: tls.into(),
            user: relay.login.as_ref().map(|(user, _)| user.clone()).unwrap_or_default(),
            has_password: relay.login.is_some(),
        }
    }
}

/// What a step's form led to.
enum After {
    /// The next step.
    Next,
    /// This step again, with what was done.
    Stay(String),
    /// Another address.
    Go(String),
}

/// `POST /setup/{step}`.
pub async fn act(
    viewer: Viewer,
    State(state): State<AppState>,
    Path(step): Path<String>,
    form: Form,
) -> Result<Response, Fault> {
    let step = known(&step)?;
    let forced = viewer.caller.must_change_password;
    if forced && step != "password" {
        return Ok(to("password"));
    }
    may(&viewer, step)?;
    let outcome = match form.get("do") {
        "skip" if !forced => Ok(After::Next),
        _ => match step {
            "password" => password(&viewer, &state, &form).await,
            "url" => public_url(&viewer, &state, &form).await,
            "domain" => domain(&state, &form).await,
            "sending" => sending(&viewer, &state, &form).await,
            _ => list(&state, &form).await,
        },
    };
    let fault = match outcome {
        Ok(After::Next) if !viewer.caller.may(Right::Administer) => {
            return Ok(Redirect::to("/").into_response());
        }
        Ok(After::Next) => return Ok(following(step)),
        Ok(After::Go(path)) => return Ok(Redirect::to(&path).into_response()),
        Ok(After::Stay(done)) => {
            let mut page = build(&viewer, &state, step, &Asked::default()).await?;
            (page.done, page.test_to) = (done, form.get("test_to").to_owned());
            return show(&page);
        }
        Err(fault) => fault,
    };
    if fault.0.status.is_server_error() && fault.0.status != StatusCode::SERVICE_UNAVAILABLE {
        return Err(fault);
    }
    let mut page = build(&viewer, &state, step, &Asked::default()).await?;
    page.problem = fault.text();
    typed(&mut page, &form);
    show_as(fault.0.status, &page)
}

/// What was typed is shown again.
fn typed(page: &mut SetupPage, form: &Form) {
    match page.step {
        "url" => page.public_url = form.get("public_url").to_owned(),
        "domain" if page.records.is_none() => page.domain = form.get("domain").to_owned(),
        "sending" => {
            page.way = if form.get("way") == "relay" { "relay" } else { "direct" };
            page.relay = RelayForm {
                host: form.get("host").to_owned(),
                port: form.get("port").parse().unwrap_or(587),
                tls: form.get("tls").to_owned(),
                user: form.get("user").to_owned(),
                has_password: page.relay.has_password,
            };
            page.test_to = form.get("test_to").to_owned();
        }
        "list" => page.list = form.get("list").to_owned(),
        _ => {}
    }
}

fn following(step: &str) -> Response {
    let next = STEPS.iter().position(|name| *name == step).and_then(|at| STEPS.get(at + 1));
    next.map_or_else(|| Redirect::to("/?done=setup").into_response(), |next| to(next))
}

async fn password(viewer: &Viewer, state: &AppState, form: &Form) -> Result<After, Fault> {
    let (present, new) = (form.raw("now"), form.raw("new"));
    if new.is_empty() && !viewer.caller.must_change_password {
        return Ok(After::Next);
    }
    if new != form.raw("again") {
        return Err(Fault(Problem::invalid("again", texts::text("password-differs"))));
    }
    let now_us = state.clock.now_us();
    state.access.change_password(&viewer.caller, present, new, Some(&viewer.cookie), now_us).await?;
    Ok(After::Next)
}

async fn public_url(viewer: &Viewer, state: &AppState, form: &Form) -> Result<After, Fault> {
    let url = form.get("public_url");
    if state.settings().public_url().unwrap_or("") != url {
        state.access.set(&viewer.name, "public_url", url, state.clock.now_us()).await?;
    }
    Ok(After::Next)
}

async fn domain(state: &AppState, form: &Form) -> Result<After, Fault> {
    if form.get("do") == "check" {
        return Ok(After::Go("/setup/domain?check=1".to_owned()));
    }
    if !form.has("domain") {
        return Ok(After::Next);
    }
    let added = state.routes.add_domain(form.get("domain"), state.clock.now_us()).await?;
    Ok(After::Go(format!("/setup/domain?domain={}", added.domain)))
}

/// The relay as one text, as the setting takes it. The login is percent-encoded.
fn relay_text(form: &Form, known: Option<&Relay>) -> String {
    let encode = |text: &str| {
        url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
    };
    let user = form.get("user");
    // The password is not shown, so an empty field keeps the one that is known for this user.
    let kept = known.and_then(|relay| relay.login.as_ref()).filter(|(name, _)| name == user);
    let password = match (form.raw("password"), kept) {
        ("", Some((_, password))) => password.as_str(),
        (typed, _) => typed,
    };
    let login =
        if user.is_empty() { String::new() } else { format!("{}:{}@", encode(user), encode(password)) };
    let host = form.get("host");
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let port = if form.has("port") { form.get("port") } else { "587" };
    format!("smtp://{login}{host}:{port}?tls={}", form.get("tls"))
}

async fn sending(viewer: &Viewer, state: &AppState, form: &Form) -> Result<After, Fault> {
    let settings = state.settings();
    let pinned = settings.entries().iter().any(|entry| entry.setting.key == "mta.relay" && !entry.editable);
    if !pinned {
        let value =
            if form.get("way") == "relay" { relay_text(form, settings.relay()) } else { String::new() };
        if value.is_empty() != settings.relay().is_none() || !value.is_empty() {
            state.access.set(&viewer.name, "mta.relay", &value, state.clock.now_us()).await?;
        }
    }
    if form.get("do") != "test" {
        return Ok(After::Next);
    }
    let to = form.get("test_to");
    if address::parse(to).is_err() {
        return Err(Fault(Problem::invalid("test_to", texts::text("setup-test-address"))));
    }
    let from = test_sender(state, to).await?;
    let sent = tokio::time::timeout(TEST_TIME_MAX, state.engine.send_test(&from, to)).await;
    match sent {
        Ok(Ok(reply)) => Ok(After::Stay(texts::text_s("setup-test-sent", &reply))),
        Ok(Err(why)) => Err(Fault(Problem::invalid("test_to", texts::text_s("setup-test-refused", &why)))),
        Err(_) => Err(Fault(Problem::unavailable(texts::text("setup-test-slow")))),
    }
}

/// The sender of the test: the default one, else one of the first domain, else the reader.
async fn test_sender(state: &AppState, to: &str) -> Result<String, Fault> {
    if let Some(address) = state.settings().from_address() {
        return Ok(address.to_owned());
    }
    let first = state.routes.domains().await?.into_iter().next();
    Ok(first.map_or_else(|| to.to_owned(), |domain| format!("test@{}", domain.domain)))
}

async fn list(state: &AppState, form: &Form) -> Result<After, Fault> {
    if form.has("list") {
        match state.audience.create_list(form.get("list"), state.clock.now_us()).await {
            Ok(_) | Err(audience::Error::Exists { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        return Ok(After::Go("/imports/new".to_owned()));
    }
    Ok(After::Next)
}
