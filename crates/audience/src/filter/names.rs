//! The lists and segments that a filter names.

use super::Filter;

/// Something that a filter names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named<'f> {
    /// A list.
    List(&'f str),
    /// A saved segment.
    Segment(&'f str),
}

impl Named<'_> {
    /// In a sentence: `the list "competitors"`.
    pub fn words(&self) -> String {
        match self {
            Named::List(name) => format!("the list {name:?}"),
            Named::Segment(name) => format!("the segment {name:?}"),
        }
    }
}

impl Filter {
    /// Everything it names, in the order of the tree; a name that stands twice comes twice.
    pub fn names(&self) -> impl Iterator<Item = Named<'_>> {
        let mut names = Vec::new();
        collect(self, &mut names);
        names.into_iter()
    }

    /// The same filter with another name for one list or segment; `None`: it does not name it.
    pub(crate) fn renamed(&self, old: Named<'_>, new: &str) -> Option<Filter> {
        if !self.names().any(|named| named == old) {
            return None;
        }
        Some(rename(self, old, new))
    }
}

fn collect<'f>(filter: &'f Filter, names: &mut Vec<Named<'f>>) {
    match filter {
        Filter::And(parts) | Filter::Or(parts) => parts.iter().for_each(|part| collect(part, names)),
        Filter::Not(part) => collect(part, names),
        Filter::InList(name) => names.push(Named::List(name)),
        Filter::InSegment(name) => names.push(Named::Segment(name)),
        Filter::Condition(_) => {}
    }
}

fn rename(filter: &Filter, old: Named<'_>, new: &str) -> Filter {
    let all = |parts: &[Filter]| parts.iter().map(|part| rename(part, old, new)).collect();
    match filter {
        Filter::And(parts) => Filter::And(all(parts)),
        Filter::Or(parts) => Filter::Or(all(parts)),
        Filter::Not(part) => Filter::Not(Box::new(rename(part, old, new))),
        Filter::InList(name) if old == Named::List(name) => Filter::InList(new.to_owned()),
        Filter::InSegment(name) if old == Named::Segment(name) => Filter::InSegment(new.to_owned()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_name_changes_and_its_namesake_of_the_other_kind_stays() {
        let filter =
            Filter::parse(&json!({"and": [{"in_list": "a"}, {"not": {"or": [{"in_segment": "a"}]}}]}))
                .unwrap();
        let names: Vec<Named> = filter.names().collect();
        assert_eq!(names, [Named::List("a"), Named::Segment("a")]);
        let renamed = filter.renamed(Named::Segment("a"), "b").unwrap();
        assert_eq!(
            renamed.to_json(),
            json!({"and": [{"in_list": "a"}, {"not": {"or": [{"in_segment": "b"}]}}]})
        );
        assert_eq!(filter.renamed(Named::List("b"), "c"), None);
    }
}
