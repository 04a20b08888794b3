//! Links: found once per delivery, and rewritten to the redirect where clicks are counted.
//!
//! The author's source is edited, not written anew: besides the addresses and our own attributes, every byte stays.
//! A link is tracked unless the author says not to: by an attribute (`data-mailwright-track="off"`), by the delivery's
//! list of choices, or by showing an address itself, since a redirect behind an address looks like phishing.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use message::{LINK_URL_LEN_MAX, Link, LinkMode};
use serde::{Deserialize, Serialize};

use crate::anchors::{Anchor, anchors};
use crate::draft::{Draft, LinkChoice};
use crate::marks;
use crate::problem::Problem;
use crate::source::{Bit, Edit, Source};
use crate::tags::{Hidden, TagKind, inner, scan};
use crate::urls::{self, Item, Target, decode, redirect, target};

/// Different tracked links of one delivery.
pub const TRACKED_LINKS_MAX: usize = 5_000;
/// Links listed for the author.
pub const FOUND_LINKS_MAX: usize = 1_000;
/// Characters of a link's label and category.
pub const LINK_LABEL_LEN_MAX: usize = 120;
/// UTM parameters.
pub const UTM_MAX: usize = 10;

/// A link of the content, for the author to see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundLink {
    /// As the author wrote it, template tags and all.
    pub url: String,
    /// Name in reports.
    pub label: String,
    /// Category in reports; may be empty.
    pub category: String,
    /// What becomes of it.
    pub mode: LinkMode,
    /// It has values of the recipient.
    pub personalised: bool,
    /// Places where it stands.
    pub count: u32,
}

/// What the author says about a link.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Wish {
    mode: Option<LinkMode>,
    label: String,
    category: String,
}

/// All links of a compile.
pub(crate) struct LinkTable<'a> {
    tracks: bool,
    choices: HashMap<String, &'a LinkChoice>,
    utm: Vec<(String, Vec<Item>)>,
    /// The snapshot's table.
    pub links: Vec<Link>,
    numbers: HashMap<(String, String, String, LinkMode), u16>,
    /// Wishes that attributes of the HTML told, by URL as written: they hold for the text part, too.
    told: HashMap<String, Wish>,
    /// What the author sees.
    pub found: Vec<FoundLink>,
    found_at: HashMap<(String, LinkMode), usize>,
    pub problems: Vec<Problem>,
    pub warnings: Vec<Problem>,
    /// Links that show an address: the first, and how many.
    pub shown: Option<(Problem, u32)>,
    untracked: Option<(Problem, u32)>,
}

impl<'a> LinkTable<'a> {
    pub fn new(draft: &'a Draft) -> LinkTable<'a> {
        let choices = draft.link_choices.iter().map(|choice| (as_written(&choice.url), choice)).collect();
        let mut table = LinkTable {
            tracks: draft.track_clicks,
            choices,
            utm: Vec::new(),
            links: Vec::new(),
            numbers: HashMap::new(),
            told: HashMap::new(),
            found: Vec::new(),
            found_at: HashMap::new(),
            problems: Vec::new(),
            warnings: Vec::new(),
            shown: None,
            untracked: None,
        };
        table.read_utm(&draft.utm);
        table
    }

    fn read_utm(&mut self, utm: &BTreeMap<String, String>) {
        if utm.len() > UTM_MAX {
            self.problems.push(Problem::new("utm", format!("more than {UTM_MAX} parameters")));
        }
        for (name, value) in utm.iter().filter(|(_, value)| !value.trim().is_empty()) {
            let is_name = !name.is_empty()
                && name.len() <= 64
                && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"_-.".contains(&octet));
            if !is_name {
                let text = format!("`{}` cannot be a parameter's name", name.escape_debug());
                self.problems.push(Problem::new("utm", text));
                continue;
            }
            let value = marks::without_marks(value.trim());
            let mut items = Vec::new();
            let mut at = 0;
            for tag in scan(&value) {
                items.push(Item::Text(crate::filters::percent_encoded(&value[at..tag.range.start])));
                match tag.kind {
                    TagKind::Expression => items.push(Item::Own(inner(&value[tag.range.clone()]).to_owned())),
                    _ => self
                        .problems
                        .push(Problem::new("utm", format!("{name}: only {{{{ … }}}} can stand here"))),
                }
                at = tag.range.end;
            }
            items.push(Item::Text(crate::filters::percent_encoded(&value[at..])));
            self.utm.push((name.clone(), items));
        }
    }

    /// The links of an HTML or AMP source.
    pub fn html(&mut self, source: &Source) -> Source {
        let Some(hidden) = Hidden::new(&source.text) else {
            self.warnings
                .push(Problem::new(source.part, "there are too many template tags to find the links"));
            return source.clone();
        };
        let mut edits = Vec::new();
        for anchor in anchors(&hidden.text) {
            for range in &anchor.removals {
                edits.push(Edit::text(in_source(&hidden, range), ""));
            }
            let place = hidden.source_offset(anchor.at);
            let wish = self.attribute_wish(source, &hidden, &anchor, place);
            let label = if anchor.text.trim().is_empty() { &anchor.alt } else { &anchor.text };
            let label = if label.trim().is_empty() { &anchor.title } else { label };
            let found = Place {
                source,
                hidden: &hidden,
                place,
                is_text: false,
                label: shown(label, &hidden, &source.text),
                shown: shown(&anchor.text, &hidden, &source.text),
            };
            self.link(&found, &anchor.href, &wish, &mut edits);
        }
        source.edited(edits)
    }

    /// The links of a text source.
    pub fn text(&mut self, source: &Source) -> Source {
        let Some(hidden) = Hidden::new(&source.text) else { return source.clone() };
        let mut edits = Vec::new();
        for range in urls::find(&hidden.text) {
            let place = hidden.source_offset(range.start);
            let (label, shown) = (String::new(), String::new());
            let found = Place { source, hidden: &hidden, place, is_text: true, label, shown };
            self.link(&found, &range, &Wish::default(), &mut edits);
        }
        source.edited(edits)
    }

    /// What is to be said of all of them together.
    pub fn finish(&mut self) -> Vec<Problem> {
        let several = |found: Option<(Problem, u32)>, one: &str, many: &str| {
            found.map(|(mut problem, count)| {
                problem.message =
                    if count == 1 { one.to_owned() } else { many.replace('#', &count.to_string()) };
                problem
            })
        };
        if let Some(problem) = several(
            self.untracked.take(),
            "a link has conditions or too many values in its address, so its clicks are not counted",
            "# links have conditions or too many values in their addresses, so their clicks are not counted",
        ) {
            self.warnings.push(problem.hint("put the condition around the whole link"));
        }
        let shown = several(
            self.shown.take(),
            "a link shows its address and is not tracked: a redirect behind an address looks like phishing",
            "# links show their addresses and are not tracked: a redirect behind an address looks like phishing",
        );
        shown
            .map(|problem| problem.hint("give the link words, or data-mailwright-track=\"on\""))
            .into_iter()
            .collect()
    }

    fn attribute_wish(&mut self, source: &Source, hidden: &Hidden, anchor: &Anchor, place: usize) -> Wish {
        let text = |value: &Option<String>| value.as_deref().map(|value| shown(value, hidden, &source.text));
        let mode = match anchor.track.as_deref().map(|word| word.trim().to_ascii_lowercase()) {
            None => None,
            Some(word) => match word.as_str() {
                "off" | "no" | "false" | "untracked" => Some(LinkMode::Untracked),
                "on" | "yes" | "true" | "tracked" | "" => Some(LinkMode::Tracked),
                "opt_out" | "opt-out" => Some(LinkMode::OptOut),
                "mirror" => Some(LinkMode::Mirror),
                other => {
                    let message = format!("data-mailwright-track=\"{}\" is not known", other.escape_debug());
                    let hint = "write on, off, opt_out or mirror";
                    self.warnings.push(source.problem(place, message).hint(hint));
                    None
                }
            },
        };
        Wish {
            mode,
            label: text(&anchor.label).unwrap_or_default(),
            category: text(&anchor.category).unwrap_or_default(),
        }
    }

    /// One link, whose address stands in `range` of the hidden text.
    fn link(&mut self, at: &Place<'_>, range: &Range<usize>, wish: &Wish, edits: &mut Vec<Edit>) {
        let raw = &at.hidden.text[range.clone()];
        let decoded = at.decoded(raw);
        match target(&decoded, at.hidden, &at.source.text) {
            Target::Other => {}
            Target::Web(items) => edits.extend(self.web(at, range, &items, wish)),
            Target::PersonalHost => {
                let written = at.written(&decoded);
                let wish = self.wish(&written, wish);
                if self.tracks && wish.mode != Some(LinkMode::Untracked) {
                    self.personal_host(at, &written);
                } else {
                    self.list(&written, &at.label, &wish, LinkMode::Untracked, true);
                }
            }
            Target::Conditions => {
                let runs = runs(at.hidden, range);
                let read = |run: &Range<usize>| {
                    let decoded = at.decoded(&at.hidden.text[run.clone()]);
                    target(&decoded, at.hidden, &at.source.text)
                };
                let targets: Vec<Target> = runs.iter().map(read).collect();
                // Several whole addresses, one for each case.
                if targets.iter().all(|target| matches!(target, Target::Web(_))) {
                    for (run, target) in runs.iter().zip(&targets) {
                        if let Target::Web(items) = target {
                            edits.extend(self.web(at, run, items, wish));
                        }
                    }
                } else {
                    self.cannot_track(at, &decoded, wish);
                }
            }
        }
    }

    fn web(&mut self, at: &Place<'_>, range: &Range<usize>, items: &[Item], wish: &Wish) -> Option<Edit> {
        let decoded = at.decoded(&at.hidden.text[range.clone()]);
        let written = at.written(&decoded);
        let wish = self.wish(&written, wish);
        let shows_address = urls::shows_address(&at.shown, &urls::host(items));
        let mode = match wish.mode {
            _ if !self.tracks => LinkMode::Untracked,
            Some(mode) => mode,
            None if shows_address => {
                let (_, count) = self.shown.get_or_insert_with(|| (at.source.problem(at.place, ""), 0));
                *count += 1;
                LinkMode::Untracked
            }
            None => LinkMode::Tracked,
        };
        let added = if mode == LinkMode::OptOut { Vec::new() } else { urls::additions(items, &self.utm) };
        let label = [&wish.label, &at.label, &written].into_iter().find(|label| !label.is_empty());
        let label = clipped(label.map_or("", String::as_str));
        let personalised = items.iter().any(|item| matches!(item, Item::Tag(_)));
        if mode == LinkMode::Untracked {
            self.list(&written, &label, &wish, mode, personalised);
            return (!added.is_empty()).then(|| at.with_query(range, &added));
        }
        let items = urls::with_query(items, added);
        match redirect(&items).filter(|(url, _)| url.len() <= LINK_URL_LEN_MAX) {
            None => {
                self.cannot_track(at, &decoded, &wish);
                None
            }
            Some((url, values)) => {
                self.list(&written, &label, &wish, mode, personalised);
                let number = self.number(at, url, label, &wish, mode)?;
                Some(at.rewritten(range, number, &values))
            }
        }
    }

    /// The number in the table: a link that stands in several places has one.
    fn number(
        &mut self,
        at: &Place<'_>,
        url: String,
        label: String,
        wish: &Wish,
        mode: LinkMode,
    ) -> Option<u16> {
        let key = (url.clone(), wish.label.clone(), wish.category.clone(), mode);
        if let Some(number) = self.numbers.get(&key) {
            return Some(*number);
        }
        if self.links.len() >= TRACKED_LINKS_MAX {
            if self.links.len() == TRACKED_LINKS_MAX
                && !self.problems.iter().any(|problem| problem.message.contains("different links"))
            {
                let message = format!(
                    "there are more than {TRACKED_LINKS_MAX} different links; this is the first too many"
                );
                self.problems.push(at.source.problem(at.place, message));
            }
            return None;
        }
        let number = self.links.len() as u16;
        self.links.push(Link { url, label, category: clipped(&wish.category), kind: mode });
        self.numbers.insert(key, number);
        Some(number)
    }

    /// The wish for a link: of its attributes, else of the delivery's choices, else of the same link in the HTML.
    fn wish(&mut self, written: &str, attributes: &Wish) -> Wish {
        let mut wish = attributes.clone();
        let told = wish.mode.is_some() || !wish.label.is_empty() || !wish.category.is_empty();
        if let Some(choice) = self.choices.get(written) {
            wish.mode = wish.mode.or(Some(choice.mode));
            fill(&mut wish.label, &choice.label);
            fill(&mut wish.category, &choice.category);
        }
        if told {
            self.told.insert(written.to_owned(), attributes.clone());
        } else if let Some(told) = self.told.get(written) {
            wish.mode = told.mode.or(wish.mode);
            fill(&mut wish.label, &told.label);
            fill(&mut wish.category, &told.category);
        }
        wish
    }

    fn list(&mut self, written: &str, label: &str, wish: &Wish, mode: LinkMode, personalised: bool) {
        let key = (written.to_owned(), mode);
        if let Some(at) = self.found_at.get(&key) {
            let found = &mut self.found[*at];
            found.count += 1;
            if found.label == found.url && !label.is_empty() {
                found.label = label.to_owned();
            }
            return;
        }
        if self.found.len() >= FOUND_LINKS_MAX {
            return;
        }
        self.found_at.insert(key, self.found.len());
        self.found.push(FoundLink {
            url: written.to_owned(),
            label: if wish.label.is_empty() { label.to_owned() } else { clipped(&wish.label) },
            category: clipped(&wish.category),
            mode,
            personalised,
            count: 1,
        });
    }

    fn personal_host(&mut self, at: &Place<'_>, written: &str) {
        let message = format!("the host of the link {} is a recipient's value", short(written));
        let hint = "write the host itself, so that the redirect leads nowhere else, or do not track this link: data-mailwright-track=\"off\"";
        self.problems.push(at.source.problem(at.place, message).hint(hint));
    }

    fn cannot_track(&mut self, at: &Place<'_>, decoded: &str, wish: &Wish) {
        let written = at.written(decoded);
        let wish = self.wish(&written, wish);
        self.list(&written, &at.label, &wish, LinkMode::Untracked, true);
        if self.tracks && wish.mode != Some(LinkMode::Untracked) {
            let (_, count) = self.untracked.get_or_insert_with(|| (at.source.problem(at.place, ""), 0));
            *count += 1;
        }
    }
}

/// Where a link stands, and what it shows.
struct Place<'a> {
    source: &'a Source,
    hidden: &'a Hidden,
    /// In the source.
    place: usize,
    is_text: bool,
    label: String,
    /// Its own words alone, without the text of images.
    shown: String,
}

impl Place<'_> {
    /// The URL as the author wrote it.
    fn written(&self, decoded: &str) -> String {
        marks::readable(self.hidden.restore(decoded, &self.source.text).trim())
    }

    fn and(&self) -> &'static str {
        if self.is_text { "&" } else { "&amp;" }
    }

    fn decoded(&self, raw: &str) -> String {
        if self.is_text { raw.to_owned() } else { decode(raw) }
    }

    /// The redirect in the place of the address, with the recipient's values.
    fn rewritten(&self, range: &Range<usize>, number: u16, values: &[&Item]) -> Edit {
        let mut with = Vec::with_capacity(1 + 3 * values.len());
        with.push(Bit::Ours(marks::tracked(number)));
        for (at, value) in values.iter().enumerate() {
            let separator = if at == 0 { "?" } else { self.and() };
            with.push(Bit::Ours(format!("{separator}p{}={{{{ (", at + 1)));
            match value {
                Item::Tag(c) => {
                    if let Some(tag) = self.hidden.tag(*c) {
                        let text = &self.source.text[tag.range.clone()];
                        let expression = inner(text);
                        let start = tag.range.start + text.find(expression).unwrap_or(0);
                        with.push(Bit::Moved(start..start + expression.len()));
                    }
                }
                Item::Own(expression) => with.push(Bit::Ours(expression.clone())),
                Item::Text(_) => {}
            }
            with.push(Bit::Ours(") | urlencode }}".to_owned()));
        }
        Edit { range: in_source(self.hidden, range), with }
    }

    /// Query parameters in an address that is not tracked.
    fn with_query(&self, range: &Range<usize>, added: &[Item]) -> Edit {
        let raw = &self.hidden.text[range.clone()];
        // A `#` that is no part of an entity begins the fragment.
        let fragment = raw.char_indices().find(|(at, c)| *c == '#' && !raw[..*at].ends_with('&'));
        let end = range.start + fragment.map_or(raw.trim_end().len(), |(at, _)| at);
        let written = |item: &Item| match item {
            Item::Text(text) => text.replace('&', self.and()),
            Item::Own(expression) => format!("{{{{ ({expression}) | urlencode }}}}"),
            Item::Tag(_) => String::new(),
        };
        let text: String = added.iter().map(written).collect();
        Edit::text(in_source(self.hidden, &(end..end)), text)
    }
}

fn fill(text: &mut String, other: &str) {
    if text.is_empty() {
        other.trim().clone_into(text);
    }
}

fn clipped(text: &str) -> String {
    text.chars().take(LINK_LABEL_LEN_MAX).collect()
}

fn short(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// A URL of the delivery's choices, as the content has it.
fn as_written(url: &str) -> String {
    decode(url.trim())
}

/// Words as people see them: blanks joined, tags as their author wrote them.
fn shown(text: &str, hidden: &Hidden, source: &str) -> String {
    let decoded = decode(text);
    let joined = decoded.split_whitespace().collect::<Vec<_>>().join(" ");
    marks::readable(&hidden.restore(&joined, source))
}

/// The range of the source that a range of the hidden text stands for.
fn in_source(hidden: &Hidden, range: &Range<usize>) -> Range<usize> {
    hidden.source_offset(range.start)..hidden.source_offset(range.end)
}

/// The stretches between the statements of an address, without the empty ones.
fn runs(hidden: &Hidden, range: &Range<usize>) -> Vec<Range<usize>> {
    let raw = &hidden.text[range.clone()];
    let mut runs = Vec::new();
    let mut start = 0;
    let is_statement = |c: char| {
        hidden.tag(c).is_some_and(|tag| !matches!(tag.kind, TagKind::Expression | TagKind::Comment))
    };
    let ends = raw.char_indices().filter(|(_, c)| is_statement(*c)).map(|(at, c)| (at, at + c.len_utf8()));
    for (end, next) in ends.chain([(raw.len(), raw.len())]) {
        let run = &raw[start..end];
        let trimmed = run.trim();
        if !trimmed.is_empty() {
            let from = start + (run.len() - run.trim_start().len());
            runs.push(range.start + from..range.start + from + trimmed.len());
        }
        start = next;
    }
    runs
}
