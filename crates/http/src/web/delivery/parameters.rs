//! The Parameters tab: name, validity, retries, priority.

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
        page::{Desk, Page, Place, done, show, show_as},
        texts,
    },
    frame::Frame,
};
use crate::{problem::Problem, state::AppState};

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
    error_address: String,
}

/// `GET /deliveries/{id}/parameters`.
pub async fn view(desk: Desk, State(state): State<AppState>, Path(id): Path<i64>) -> Result<Response, Fault> {
    let found = state.deliveries.get(id).await?;
    show(&build(&desk, &state, &found).await?)
}

async fn build(desk: &Desk, state: &AppState, found: &Delivery) -> Result<ParametersPage, Fault> {
    let definition = &found.definition;
    let parameters = &definition.parameters;
    Ok(ParametersPage {
        page: desk.page(Place::Deliveries),
        frame: Frame::of(state, found, "parameters").await?,
        label: definition.label.clone(),
        code: definition.code.clone(),
        validity: parameters.validity.clone(),
        valid_until: parameters.valid_until.clone(),
        retries: parameters.retries,
        retry_period: parameters.retry_period.clone(),
        tries: tries(definition, state.clock.now_us()),
        priority: parameters.priority.clone(),
        part_size: parameters.part_size,
        error_address: definition.sender.error_address.clone(),
    })
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
    let parameters = &mut definition.parameters;
    parameters.validity = form.get("validity").to_owned();
    parameters.valid_until = form.get("valid_until").to_owned();
    parameters.retry_period = form.get("retry_period").to_owned();
    parameters.priority = form.get("priority").to_owned();
    parameters.retries = form.number("retries", &texts::text("parameters-retry-count"))?;
    parameters.part_size = form.number("part_size", &texts::text("parameters-part-size"))?;
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
    let mut definition = found.definition.clone();
    let outcome = match apply(&mut definition, &form) {
        Err(problem) => Err(Fault(Problem::invalid("parameters", problem))),
        Ok(()) => {
            let based_on = form.get("revision").parse().ok();
            let edit = Edit { definition: Some(definition.clone()), based_on, ..Edit::default() };
            state.deliveries.edit(id, edit).await.map_err(Fault::from)
        }
    };
    let fault = match outcome {
        Ok(_) => return Ok(done(&format!("/deliveries/{id}/parameters"), "saved")),
        Err(fault) if fault.is_callers() => fault,
        Err(fault) => return Err(fault),
    };
    found.definition = definition;
    let mut page = build(&desk, &state, &found).await?;
    page.frame = page.frame.refused(fault.text());
    show_as(fault.0.status, &page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_tries_are_those_of_the_manual() {
        assert_eq!(tries(&Definition::new("x"), 0), "0, 1, 2, 3, 4, 5, 29, 53, 77, 101");
    }
}
