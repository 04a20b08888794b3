//! What every page carries: where it stands in the navigation, who looks at it, and the word about what was just done.

use access::{Right, Rights};
use askama::Template;
use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::{Html, IntoResponse, Redirect, Response},
};

use super::{assets, fault::Fault, reader, session::Viewer, texts};
use crate::state::AppState;

/// The places of the navigation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Place {
    Home,
    Deliveries,
    Calendar,
    Templates,
    Blocks,
    Recipients,
    Lists,
    Segments,
    Services,
    Seeds,
    Imports,
    Quarantine,
    Suppression,
    Paths,
    Sources,
    Limits,
    Tls,
    Domains,
    Typologies,
    Settings,
    Audit,
    Account,
    Notices,
    Help,
    Mailbox,
}

impl Place {
    /// All of them.
    #[cfg(test)]
    pub const ALL: [Place; 25] = [
        Place::Home,
        Place::Deliveries,
        Place::Calendar,
        Place::Templates,
        Place::Blocks,
        Place::Recipients,
        Place::Lists,
        Place::Segments,
        Place::Services,
        Place::Seeds,
        Place::Imports,
        Place::Quarantine,
        Place::Suppression,
        Place::Paths,
        Place::Sources,
        Place::Limits,
        Place::Tls,
        Place::Domains,
        Place::Typologies,
        Place::Settings,
        Place::Audit,
        Place::Account,
        Place::Notices,
        Place::Help,
        Place::Mailbox,
    ];

    /// The name, as in the icon and in the text key.
    pub fn name(self) -> &'static str {
        match self {
            Place::Home => "home",
            Place::Deliveries => "deliveries",
            Place::Calendar => "calendar",
            Place::Templates => "templates",
            Place::Blocks => "blocks",
            Place::Recipients => "recipients",
            Place::Lists => "lists",
            Place::Segments => "segments",
            Place::Services => "services",
            Place::Seeds => "seeds",
            Place::Imports => "imports",
            Place::Quarantine => "quarantine",
            Place::Suppression => "suppression",
            Place::Paths => "paths",
            Place::Sources => "sources",
            Place::Limits => "limits",
            Place::Tls => "tls",
            Place::Domains => "domains",
            Place::Typologies => "typologies",
            Place::Settings => "settings",
            Place::Audit => "audit",
            Place::Account => "account",
            Place::Notices => "notices",
            Place::Help => "help",
            Place::Mailbox => "mailbox",
        }
    }

    /// The address of its page.
    pub fn href(self) -> &'static str {
        match self {
            Place::Home => "/",
            Place::Deliveries => "/deliveries",
            Place::Calendar => "/calendar",
            Place::Templates => "/templates",
            Place::Blocks => "/blocks",
            Place::Recipients => "/recipients",
            Place::Lists => "/lists",
            Place::Segments => "/segments",
            Place::Services => "/services",
            Place::Seeds => "/seeds",
            Place::Imports => "/imports",
            Place::Quarantine => "/quarantine",
            Place::Suppression => "/suppression",
            Place::Paths => "/sending/paths",
            Place::Sources => "/sending/sources",
            Place::Limits => "/sending/limits",
            Place::Tls => "/sending/tls",
            Place::Domains => "/domains",
            Place::Typologies => "/typologies",
            Place::Settings => "/settings",
            Place::Audit => "/audit",
            Place::Account => "/account",
            Place::Notices => "/notices",
            Place::Help => "/help",
            Place::Mailbox => "/mailbox",
        }
    }
}

/// What the frame around a page shows.
pub struct Page {
    place: Place,
    viewer: String,
    rights: Rights,
    demo: bool,
    done: String,
    unread: i64,
}

/// What pages without the navigation carry.
pub struct Bare {
    /// URL of the style sheet.
    pub css: String,
    /// URL of the mark.
    pub mark: String,
    /// Tag of the language.
    pub lang: &'static str,
}

impl Bare {
    /// For the present reader.
    pub fn new() -> Bare {
        Bare { css: assets::url("app.css"), mark: assets::url("mark.svg"), lang: reader::language().tag() }
    }
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

    /// Whether the user may do what the right of that name allows; pages leave out what would be refused.
    pub fn may(&self, right: &str) -> bool {
        Right::named(right).is_some_and(|right| self.rights.may(right))
    }

    /// Tag of the language of the page.
    pub fn lang(&self) -> &'static str {
        reader::language().tag()
    }

    /// The user's time zone; empty: that of the browser.
    pub fn zone(&self) -> String {
        reader::zone_name()
    }

    /// Whether this is the demo, where nothing leaves the machine.
    pub fn demo(&self) -> bool {
        self.demo
    }

    /// What was just done, as a sentence; empty: nothing.
    pub fn done(&self) -> &str {
        &self.done
    }

    /// Notices that the user has not read.
    pub fn unread(&self) -> i64 {
        self.unread
    }

    /// Whether this is the page of notices.
    pub fn is_notices(&self) -> bool {
        self.place == Place::Notices
    }

    /// The navigation.
    pub fn groups(&self) -> Vec<Group> {
        use Place::*;
        let mut groups = vec![
            Group { heading: "", places: vec![Home, Deliveries, Calendar] },
            Group { heading: "content", places: vec![Templates, Blocks] },
            Group {
                heading: "audience",
                places: vec![Recipients, Lists, Segments, Services, Seeds, Imports, Quarantine, Suppression],
            },
            Group { heading: "sending", places: vec![Paths, Sources, Limits, Tls, Domains] },
            Group { heading: "system", places: vec![Typologies, Settings, Audit, Help] },
        ];
        for group in &mut groups {
            group.places.retain(|place| !matches!(place, Settings | Audit) || self.may("administer"));
        }
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

    /// Whether this is one of the user's own pages, which stand beside the navigation.
    pub fn is_account(&self) -> bool {
        self.place == Place::Account
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
    unread: i64,
}

impl Desk {
    /// The frame of a page at a place.
    pub fn page(&self, place: Place) -> Page {
        let Viewer { name, caller, .. } = &self.viewer;
        let (viewer, rights) = (name.clone(), caller.rights);
        Page { place, viewer, rights, demo: self.demo, done: self.done.clone(), unread: self.unread }
    }
}

impl FromRequestParts<AppState> for Desk {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Desk, Response> {
        let viewer = Viewer::from_request_parts(parts, state).await?;
        if viewer.caller.must_change_password {
            return Err(Redirect::to("/setup").into_response());
        }
        let fragment = is_fragment(&parts.headers);
        // A page without its bell is better than none.
        let unread =
            if fragment { 0 } else { state.deliveries.unread_notices(&viewer.name).await.unwrap_or(0) };
        Ok(Desk {
            viewer,
            fragment,
            unread,
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
/// With `n` it tells a number, with `held` how many messages were on the wire and could not be taken back.
fn done_text(query: &str) -> String {
    let value = |wanted: &str| {
        let found = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == wanted);
        found.map(|(_, value)| value)
    };
    let Some(word) = value("done") else { return String::new() };
    let key = format!("done-{word}");
    if !texts::exists(&key) {
        return String::new();
    }
    let number = |name| value(name).and_then(|number| number.parse::<i64>().ok());
    let told = match number("n") {
        Some(number) => texts::text_n(&key, number),
        None => texts::pick("done", &word),
    };
    match number("held").filter(|held| *held > 0) {
        Some(held) => format!("{told} {}", texts::text_n("held-on-the-wire", held)),
        None => told,
    }
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
        let dropped = done_text("n=2&held=1&done=path-dropped");
        assert!(dropped.starts_with(&texts::text_n("done-path-dropped", 2)), "{dropped}");
        assert!(dropped.ends_with(&texts::text_n("held-on-the-wire", 1)), "{dropped}");
        assert_eq!(done_text("n=2&held=0&done=path-dropped"), texts::text_n("done-path-dropped", 2));
    }
}
