//! The Parameters tab: name, format and encoding, headers, mirror page, validity, retries, bounces, priority, archive.

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};
use delivery::{Definition, Delivery, Edit};

use super::{
    super::{
        fault::Fault,
        filters,
        form::Form,
        formats::{Choice, encodings},
        page::{Desk, Page, Place, show},
        texts,
        typologies::pool_names,
    },
    frame::{Frame, answer},
    sheet::based_on,
};
use crate::{problem::Problem, state::AppState};

/// Headers of a delivery that the text area can hold, as the definition limits them anyway.
const HEADER_LINES_MAX: usize = 200;

#[derive(Template)]
#[template(path = "delivery_parameters.html")]
struct ParametersPage {
    page: Page,
    frame: Frame,
    label: String,
    code: String,
    validity: String,
    valid_until: String,
    retries: u32,
    retry_period: String,
    tries: String,
    priority: String,
    part_size: u64,
    /// The delivery's own choice of a pool.
    pool: String,
    pools: Vec<String>,
    /// What the choice of none means: the typology's pool, or `default`.
    pool_otherwise: String,
    error_address: String,
    unqualified: String,
    format: String,
    encodings: Vec<Choice>,
    personalise: bool,
    inline_css: bool,
    headers: String,
    precedence: String,
    mirror_page: String,
    resource_validity: String,
    bcc: bool,
    test_smtp: bool,
    personalization_time: String,
}

/// `GET /deliveries/{id}/parameters`.
pub async fn view(desk: Desk, State(state): State<AppState>, Path(id): Path<i64>) -> Result<Response, Fault> {
    let found = state.deliveries.get(id).await?;
    let frame = Frame::of(&state, &found, "parameters").await?;
    let otherwise = pool_otherwise(&state, &found).await;
    show(&build(&desk, &state, &found, (frame, otherwise), header_lines(&found.definition)))
}

/// What a delivery goes from that chooses no pool, in words.
async fn pool_otherwise(state: &AppState, found: &Delivery) -> String {
    let mut undecided = found.definition.clone();
    routes::DEFAULT_POOL.clone_into(&mut undecided.parameters.pool);
    match state.deliveries.pool_of(&undecided).await {
        Ok(chosen) if chosen.by == typology::PoolChoice::Typology => {
            texts::text_s("parameters-pool-typology", &chosen.name)
        }
        // A typology that is gone is said where it is chosen.
        _ => texts::text("parameters-pool-default"),
    }
}

fn build(
    desk: &Desk,
    state: &AppState,
    found: &Delivery,
    (frame, pool_otherwise): (Frame, String),
    headers: String,
) -> ParametersPage {
    let definition = &found.definition;
    let parameters = &definition.parameters;
    ParametersPage {
        page: desk.page(if found.is_template { Place::Templates } else { Place::Deliveries }),
        frame,
        label: definition.label.clone(),
        code: definition.code.clone(),
        validity: parameters.validity.clone(),
        valid_until: parameters.valid_until.clone(),
        retries: parameters.retries,
        retry_period: parameters.retry_period.clone(),
        tries: tries(definition, state.clock.now_us()),
        priority: parameters.priority.clone(),
        part_size: parameters.part_size,
        pools: pool_names(state, &parameters.pool),
        pool: parameters.pool.clone(),
        pool_otherwise,
        error_address: definition.sender.error_address.clone(),
        unqualified: definition.sender.unqualified_bounces_to.clone(),
        format: parameters.format.clone(),
        encodings: encodings(&parameters.encoding),
        personalise: definition.content.personalise,
        inline_css: definition.content.inline_css,
        headers,
        precedence: parameters.precedence.clone(),
        mirror_page: parameters.mirror_page.clone(),
        resource_validity: parameters.resource_validity.clone(),
        bcc: parameters.bcc,
        test_smtp: parameters.test_smtp,
        personalization_time: parameters.personalization_time.clone(),
    }
}

/// The additional headers, one `name: value` a line.
fn header_lines(definition: &Definition) -> String {
    let lines = definition.parameters.headers.iter().map(|(name, value)| format!("{name}: {value}"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Reads them back. A line without a colon is refused with its number.
fn headers_of(text: &str) -> Result<Vec<(String, String)>, String> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).take(HEADER_LINES_MAX);
    lines
        .map(|(index, line)| match line.split_once(':') {
            Some((name, value)) if !name.trim().is_empty() => {
                Ok((name.trim().to_owned(), value.trim().to_owned()))
            }
            _ => Err(texts::text_s("parameters-headers-line", &(index + 1).to_string())),
        })
        .collect()
}

/// The hours of the tries, as these parameters plan them: `0, 1, 2, 3, 4, 5, 29, 53, 77 and 101`.
fn tries(definition: &Definition, start_us: i64) -> String {
    const SHOWN_MAX: usize = 12;
    let Ok(sending) = delivery::parameters::Sending::of(&definition.parameters, start_us) else {
        return String::new();
    };
    let mut hours = vec!["0".to_owned()];
    let mut at = start_us;
    while let Some(next) = sending.retry.next(hours.len() as i64, at, sending.valid_until_us) {
        if hours.len() == SHOWN_MAX {
            hours.push("…".to_owned());
            break;
        }
        at = next;
        let passed = (at - start_us) as f64 / 3.6e9;
        hours.push(format!("{passed:.2}").trim_end_matches('0').trim_end_matches('.').to_owned());
    }
    hours.join(", ")
}

fn apply(definition: &mut Definition, form: &Form) -> Result<(), String> {
    definition.label = form.get("label").to_owned();
    definition.code = form.get("code").to_owned();
    definition.sender.error_address = form.get("error_address").to_owned();
    definition.sender.unqualified_bounces_to = form.get("unqualified_bounces_to").to_owned();
    definition.content.personalise = form.has("personalise");
    definition.content.inline_css = form.has("inline_css");
    let parameters = &mut definition.parameters;
    parameters.validity = form.get("validity").to_owned();
    parameters.valid_until = form.get("valid_until").to_owned();
    parameters.retry_period = form.get("retry_period").to_owned();
    parameters.priority = form.get("priority").to_owned();
    parameters.retries = form.number("retries", &texts::text("parameters-retry-count"))?;
    parameters.part_size = form.number("part_size", &texts::text("parameters-part-size"))?;
    if form.has("pool") {
        form.get("pool").clone_into(&mut parameters.pool);
    }
    parameters.format = form.get("format").to_owned();
    parameters.encoding = form.get("encoding").to_owned();
    parameters.precedence = form.get("precedence").to_owned();
    parameters.mirror_page = form.get("mirror_page").to_owned();
    parameters.resource_validity = form.get("resource_validity").to_owned();
    parameters.bcc = form.has("bcc");
    parameters.test_smtp = form.has("test_smtp");
    parameters.personalization_time = form.get("personalization_time").to_owned();
    let headers = headers_of(form.raw("headers"))?;
    for (index, (name, _)) in headers.iter().enumerate() {
        if headers[..index].iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
            return Err(texts::text_s("parameters-headers-twice", name));
        }
    }
    parameters.headers = headers.into_iter().collect();
    Ok(())
}

/// `POST /deliveries/{id}/parameters`.
pub async fn save(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
    form: Form,
) -> Result<Response, Fault> {
    let mut found = state.deliveries.get(id).await?;
    let outcome = match apply(&mut found.definition, &form) {
        Err(problem) => Err(Fault(Problem::invalid("parameters", problem))),
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
    let headers = form.raw("headers").to_owned();
    let otherwise = pool_otherwise(&state, &found).await;
    let page = async |frame| Ok(build(&desk, &state, &found, (frame, otherwise), headers));
    answer(outcome, &state, &found, ("parameters", "saved"), page).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_tries_are_those_of_the_manual() {
        assert_eq!(tries(&Definition::new("x"), 0), "0, 1, 2, 3, 4, 5, 29, 53, 77, 101");
    }

    #[test]
    fn headers_are_lines() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let read = headers_of("X-Season: autumn: late\n\n X-Customer :{{ no }}\n");
        assert_eq!(read, Ok(vec![pair("X-Season", "autumn: late"), pair("X-Customer", "{{ no }}")]));
        assert!(headers_of("X-A: 1\nno header\n").unwrap_err().contains('2'));
        assert!(headers_of(": x").is_err());
        let mut definition = Definition::new("x");
        definition.parameters.headers.insert("X-A".into(), "1".into());
        assert_eq!(headers_of(&header_lines(&definition)), Ok(vec![pair("X-A", "1")]));
    }
}
