//! The second factor of one's own account: switching it on with a QR code, recovery codes, switching it off.

use access::NewSecret;
use askama::Template;
use axum::{extract::State, response::Response};
use qrcode::{Color, EcLevel, QrCode};

use super::{
    fault::Fault,
    filters,
    form::Form,
    page::{Desk, Page, Place, done, show, show_as},
};
use crate::state::AppState;

#[derive(Template)]
#[template(path = "account_second_factor.html")]
struct SecondFactorPage {
    page: Page,
    on: bool,
    codes_left: i64,
    /// While it is off: what the app is to be given.
    secret: String,
    qr: Qr,
    problem: String,
    /// New recovery codes, shown once.
    codes: Vec<String>,
}

async fn build(desk: &Desk, state: &AppState, secret: &str) -> Result<SecondFactorPage, Fault> {
    let caller = &desk.viewer.caller;
    let on = state.access.user(&caller.name).await?.totp;
    let new = match state.access.same_second_factor(caller, secret) {
        Ok(same) => same,
        Err(_) => state.access.new_second_factor(caller)?,
    };
    Ok(SecondFactorPage {
        page: desk.page(Place::Account),
        on,
        codes_left: state.access.recovery_codes_left(caller.user).await?,
        qr: Qr::of(&new)?,
        secret: new.text,
        problem: String::new(),
        codes: Vec::new(),
    })
}

/// `GET /account/second-factor`.
pub async fn view(desk: Desk, State(state): State<AppState>) -> Result<Response, Fault> {
    show(&build(&desk, &state, "").await?)
}

/// `POST /account/second-factor`: `do` says what. Each wants the password: an open browser is not enough.
pub async fn act(desk: Desk, State(state): State<AppState>, form: Form) -> Result<Response, Fault> {
    let (caller, password, now_us) = (&desk.viewer.caller, form.raw("password"), state.clock.now_us());
    let secret = form.get("secret");
    let outcome = match form.get("do") {
        "off" => match state.access.drop_second_factor(caller, password, now_us).await {
            Ok(()) => return Ok(done("/account", "second-factor-off")),
            Err(error) => Err(error),
        },
        "codes" => state.access.renew_recovery_codes(caller, password, now_us).await,
        _ => state.access.set_second_factor(caller, password, secret, form.get("code"), now_us).await,
    };
    let mut page = build(&desk, &state, secret).await?;
    match outcome {
        // The answer itself, not a redirect: the codes are shown once.
        Ok(codes) => {
            page.codes = codes;
            show(&page)
        }
        Err(error) => {
            let fault = Fault::from(error);
            if !fault.is_callers() {
                return Err(fault);
            }
            page.problem = fault.text();
            show_as(fault.0.status, &page)
        }
    }
}

/// A QR code as one SVG path: a unit square for each dark module, with the quiet zone of four (ISO/IEC 18004 6.3.8).
struct Qr {
    side: usize,
    path: String,
}

impl Qr {
    fn of(new: &NewSecret) -> Result<Qr, Fault> {
        const QUIET: usize = 4;
        let code = QrCode::with_error_correction_level(new.url.as_bytes(), EcLevel::M)
            .map_err(|error| Fault::internal(&error))?;
        let width = code.width();
        let dark = code.to_colors().into_iter().enumerate().filter(|(_, color)| *color == Color::Dark);
        let squares = dark.map(|(at, _)| format!("M{} {}h1v1h-1z", at % width + QUIET, at / width + QUIET));
        Ok(Qr { side: width + 2 * QUIET, path: squares.collect() })
    }
}
