//! What every page carries: where it stands in the navigation, who looks at it, and the word about what was just done.

use askama::Template;
use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::{Html, IntoResponse, Redirect, Response},
};

use super::{assets, fault::Fault, session::Viewer, texts};
use crate::state::AppState;

/// The places of the navigation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Place {
    Home,
    Deliveries,
    Templates,
    Blocks,
    Recipients,
    Lists,
    Segments,
    Imports,
    Quarantine,
    Domains,
    Settings,
    Help,
    Mailbox,
}

impl Place {
    /// All of them.
    #[cfg(test)]
    pub const ALL: [Place; 13] = [
        Place::Home,
        Place::Deliveries,
        Place::Templates,
        Place::Blocks,
        Place::Recipients,
        Place::Lists,
        Place::Segments,
        Place::Imports,
        Place::Quarantine,
        Place::Domains,
        Place::Settings,
        Place::Help,
        Place::Mailbox,
    ];

    /// The name, as in the icon and in the text key.
    pub fn name(self) -> &'static str {
        match self {
            Place::Home => "home",
            Place::Deliveries => "deliveries",
            Place::Templates => "templates",
            Place::Blocks => "blocks",
            Place::Recipients => "recipients",
            Place::Lists => "lists",
            Place::Segments => "segments",
            Place::Imports => "imports",
            Place::Quarantine => "quarantine",
            Place::Domains => "domains",
            Place::Settings => "settings",
            Place::Help => "help",
            Place::Mailbox => "mailbox",
        }
    }

    /// The address of its page.
    pub fn href(self) -> &'static str {
        match self {
            Place::Home => "/",
            Place::Deliveries => "/deliveries",
            Place::Templates => "/templates",
            Place::Blocks => "/blocks",
            Place::Recipients => "/recipients",
            Place::Lists => "/lists",
            Place::Segments => "/segments",
            Place::Imports => "/imports",
            Place::Quarantine => "/quarantine",
            Place::Domains => "/domains",
            Place::Settings => "/settings",
            Place::Help => "/help",
            Place::Mailbox => "/mailbox",
        }
    }
}

/// What the frame around a page shows.
pub struct Page {
    place: Place,
    viewer: String,
    demo: bool,
    done: String,
}

/// One group of the navigation.
pub struct Group {
    /// Key of its heading; empty: none.
    pub heading: &'static str,
    /// Its places.
    pub places: Vec<Place>,
}

impl Page {
    /// Name of the user.
    pub fn viewer(&self) -> &str {
        &self.viewer
    }

    /// Whether this is the demo, where nothing leaves the machine.
    pub fn demo(&self) -> bool {
        self.demo
    }

    /// What was just done, as a sentence; empty: nothing.
    pub fn done(&self) -> &str {
        &self.done
    }

    /// The navigation.
    pub fn groups(&self) -> Vec<Group> {
        use Place::*;
        let mut groups = vec![
            Group { heading: "", places: vec![Home, Deliveries] },
            Group { heading: "content", places: vec![Templates, Blocks] },
            Group { heading: "audience", places: vec![Recipients, Lists, Segments, Imports, Quarantine] },
            Group { heading: "system", places: vec![Domains, Settings, Help] },
        ];
        if self.demo {
            groups.insert(0, Group { heading: "demo", places: vec![Mailbox] });
            groups.swap(0, 1);
        }
        groups
    }

    /// Whether the place is the page's own.
    pub fn is_here(&self, place: &Place) -> bool {
        self.place == *place
    }

    /// URL of an asset.
    pub fn asset(&self, name: &str) -> String {
        assets::url(name)
    }
}

/// A signed-in request for a page: gives the frame and the state.
pub struct Desk {
    /// Who looks.
    pub viewer: Viewer,
    /// Whether htmx asks for a fragment, not for the page.
    pub fragment: bool,
    demo: bool,
    done: String,
}

impl Desk {
    /// The frame of a page at a place.
    pub fn page(&self, place: Place) -> Page {
        Page { place, viewer: self.viewer.name.clone(), demo: self.demo, done: self.done.clone() }
    }
}

impl FromRequestParts<AppState> for Desk {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Desk, Response> {
        let viewer = Viewer::from_request_parts(parts, state).await?;
        if viewer.caller.must_change_password {
            return Err(Redirect::to("/setup").into_response());
        }
        Ok(Desk {
            viewer,
            fragment: is_fragment(&parts.headers),
            demo: state.demo.is_some(),
            done: done_text(parts.uri.query().unwrap_or("")),
        })
    }
}

/// htmx says so in a header. History restores ask for the whole page.
pub fn is_fragment(headers: &HeaderMap) -> bool {
    headers.contains_key("hx-request") && !headers.contains_key("hx-history-restore-request")
}

/// `?done=saved` of a redirect becomes the sentence of that key; unknown words say nothing.
fn done_text(query: &str) -> String {
    let word = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "done");
    let Some((_, word)) = word else { return String::new() };
    if texts::exists(&format!("done-{word}")) { texts::pick("done", &word) } else { String::new() }
}

/// Renders a template as an answer that is not kept: pages show people's addresses.
pub fn show(template: &impl Template) -> Result<Response, Fault> {
    let body = template.render().map_err(|error| Fault::internal(&error))?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Html(body)).into_response())
}

/// As [`show`], with a status.
pub fn show_as(status: StatusCode, template: &impl Template) -> Result<Response, Fault> {
    let mut response = show(template)?;
    *response.status_mut() = status;
    Ok(response)
}

/// After a form was done: go to a page, which says `done`.
pub fn done(path: &str, word: &str) -> Response {
    let joint = if path.contains('?') { '&' } else { '?' };
    Redirect::to(&format!("{path}{joint}done={word}")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_words_are_said() {
        assert_eq!(done_text("done=saved"), texts::pick("done", "saved"));
        assert_eq!(done_text("done=%3Cscript%3E"), "");
        assert_eq!(done_text(""), "");
    }
}
