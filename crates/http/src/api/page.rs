//! Keyset paging. A page ends with `next`, an opaque token that names the last row's key; it carries a version and
//! the kind of list, so that a token of one list is refused by another. A list that changes meanwhile neither
//! repeats nor skips the rows that stay.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    limits::{PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX, SEARCH_CHARS_MAX},
    problem::{Answer, Problem},
};

/// The query parameters of every list.
#[derive(Debug, Default, Deserialize)]
pub struct PageParams {
    /// Rows of a page.
    pub limit: Option<u32>,
    /// The `next` of the page before.
    pub cursor: Option<String>,
    /// Text to look for.
    #[serde(default)]
    pub search: String,
}

impl PageParams {
    /// Rows wanted, within the limits.
    pub fn rows(&self) -> Answer<usize> {
        match self.limit.unwrap_or(PAGE_ROWS_DEFAULT) {
            0 => Err(Problem::invalid("limit", "limit must be 1 or more.")),
            more if more > PAGE_ROWS_MAX => {
                Err(Problem::invalid("limit", format!("limit must be at most {PAGE_ROWS_MAX}.")))
            }
            rows => Ok(rows as usize),
        }
    }

    /// The text to look for, within the limits.
    pub fn search(&self) -> Answer<&str> {
        let text = self.search.trim();
        if text.chars().count() > SEARCH_CHARS_MAX {
            return Err(Problem::invalid(
                "search",
                format!("search must be at most {SEARCH_CHARS_MAX} characters."),
            ));
        }
        Ok(text)
    }

    /// The key after which this page starts.
    pub fn after(&self, kind: &str) -> Answer<Option<String>> {
        self.cursor.as_deref().map(|cursor| decode(kind, cursor)).transpose()
    }

    /// The page of a list that goes by name.
    pub fn by_name<'a>(&self, kind: &'a str) -> Answer<ByName<'a>> {
        let (after, rows) = (self.after(kind)?, self.rows()?);
        Ok(ByName { kind, after, rows, search: self.search()?.to_lowercase() })
    }

    /// The id before or after which this page starts.
    pub fn after_id(&self, kind: &str) -> Answer<Option<i64>> {
        self.after(kind)?.map(|key| key.parse().map_err(|_| refused())).transpose()
    }
}

/// What a page wants of things that are few enough to be held whole and stand in the order of their unique names.
pub struct ByName<'a> {
    kind: &'a str,
    after: Option<String>,
    rows: usize,
    search: String,
}

impl ByName<'_> {
    /// The page as JSON. `texts` are what is searched; the first is the name.
    pub fn page<T, const N: usize>(
        &self,
        all: &[T],
        texts: impl Fn(&T) -> [&str; N],
        json: impl Fn(&T) -> Value,
    ) -> Value {
        let name = |one: &T| texts(one).first().copied().unwrap_or_default().to_owned();
        let fits = |one: &T| texts(one).iter().any(|text| text.to_lowercase().contains(&self.search));
        let mut chosen = all
            .iter()
            .filter(|one| self.search.is_empty() || fits(one))
            .skip_while(|one| self.after.as_ref().is_some_and(|after| name(one) <= *after));
        let items: Vec<&T> = chosen.by_ref().take(self.rows).collect();
        let next = chosen.next().and(items.last()).map(|last| name(last));
        page(self.kind, items.into_iter().map(json).collect(), next)
    }
}

/// A page as JSON: `{"items": […], "next": token or null}`.
pub fn page(kind: &str, items: Vec<Value>, next_key: Option<String>) -> Value {
    json!({"items": items, "next": next_key.map(|key| encode(kind, &key))})
}

fn encode(kind: &str, key: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("1\n{kind}\n{key}"))
}

fn decode(kind: &str, cursor: &str) -> Answer<String> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| refused())?;
    let text = String::from_utf8(bytes).map_err(|_| refused())?;
    let key = text
        .strip_prefix("1\n")
        .and_then(|rest| rest.strip_prefix(kind))
        .and_then(|rest| rest.strip_prefix('\n'));
    key.map(str::to_owned).ok_or_else(refused)
}

fn refused() -> Problem {
    Problem::invalid("cursor", "This cursor is not one of this list; start again without it.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_belongs_to_its_list() {
        let document = page("recipients", vec![], Some("42".to_owned()));
        let cursor = document["next"].as_str().unwrap().to_owned();
        let params = PageParams { cursor: Some(cursor), ..PageParams::default() };
        assert_eq!(params.after_id("recipients").unwrap(), Some(42));
        assert_eq!(params.after("lists").unwrap_err().field.as_deref(), Some("cursor"));
        let broken = PageParams { cursor: Some("%%%".to_owned()), ..PageParams::default() };
        assert!(broken.after("recipients").is_err());
    }

    #[test]
    fn limits_hold_at_their_edge() {
        let rows = |limit| PageParams { limit, ..PageParams::default() }.rows();
        assert_eq!(rows(None).unwrap(), 50);
        assert_eq!(rows(Some(PAGE_ROWS_MAX)).unwrap(), PAGE_ROWS_MAX as usize);
        assert!(rows(Some(PAGE_ROWS_MAX + 1)).is_err());
        assert!(rows(Some(0)).is_err());
    }
}
