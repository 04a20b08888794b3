//! Blocks put into a source: `{% include "footer" %}` and `{{ block('footer') }}` become the block's own source before
//! anything else looks at it, so that its links and images count, and it is the same for all recipients.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use message::PART_SIZE_MAX;

use crate::assets::NamedAsset;
use crate::blocks::Block;
use crate::problem::Problem;
use crate::source::{Bit, Edit, Source};
use crate::tags::{TagKind, inner, scan, word};
use crate::template::{Escape, PartTemplate, Setting};
use crate::text_part;

/// Blocks inside each other.
pub const BLOCK_DEPTH_MAX: usize = 10;

/// Which form of a block is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Form {
    /// For HTML and AMP parts.
    Html,
    /// For text parts and headers.
    Text,
}

/// Names of the native blocks, for menus. A block of the same name of one's own comes before.
pub const NATIVE_BLOCKS: [&str; 5] = ["greeting", "mirror_link", "unsubscribe_link", "social_share", "logo"];

/// Elements that begin on a line of their own.
const APART: [&str; 16] = [
    "p", "div", "table", "tr", "td", "center", "ul", "ol", "li", "h1", "h2", "h3", "h4", "hr", "section",
    "footer",
];

/// The blocks of one compile.
pub(crate) struct Blocks<'a> {
    own: &'a BTreeMap<String, Block>,
    logo: Option<&'a NamedAsset>,
    setting: Setting,
    /// Expanded and checked sources.
    known: RefCell<HashMap<(String, Form), Expanded>>,
}

/// A block's source with its blocks in it, or what is wrong with it.
type Expanded = Result<Arc<str>, String>;

impl<'a> Blocks<'a> {
    pub fn new(own: &'a BTreeMap<String, Block>, assets: &'a [NamedAsset], setting: Setting) -> Blocks<'a> {
        let is_logo = |asset: &&NamedAsset| {
            let file = asset.name.rsplit('/').next().unwrap_or_default();
            file.split('.').next().is_some_and(|stem| stem.eq_ignore_ascii_case("logo"))
        };
        Blocks { own, logo: assets.iter().find(is_logo), setting, known: RefCell::default() }
    }

    /// The source with its blocks in their places.
    pub fn expand(&self, source: &Source, form: Form) -> Result<Source, Vec<Problem>> {
        let (mut edits, mut problems) = (Vec::new(), Vec::new());
        for tag in scan(&source.text) {
            let text = &source.text[tag.range.clone()];
            let found = match named(text, tag.kind) {
                None => continue,
                Some(Ok(name)) => self.source(name, form, &mut Vec::new()).map(|block| (name, block)),
                Some(Err(message)) => Err(message),
            };
            match found {
                Ok((name, block)) => {
                    let bit = Bit::Block(Arc::from(name), trimming(text, &block));
                    edits.push(Edit { range: tag.range, with: vec![bit] });
                }
                Err(message) => problems.push(source.problem(tag.range.start, message)),
            }
        }
        if problems.is_empty() {
            let expanded = source.edited(edits);
            if expanded.text.len() <= PART_SIZE_MAX {
                return Ok(expanded);
            }
            problems.push(Problem::new(
                source.part,
                format!("with its blocks larger than {} MB", PART_SIZE_MAX >> 20),
            ));
        }
        Err(problems)
    }

    /// An HTML whose blocks that begin with an element of their own stand in one: in a text made from it, they begin
    /// on a line of their own.
    pub fn set_apart(&self, html: &Source) -> Source {
        let is_apart = |name: &str| {
            let block = self.written(name, Form::Html).unwrap_or_default();
            let element = block.trim_start().strip_prefix('<').unwrap_or_default().to_ascii_lowercase();
            APART.iter().any(|apart| {
                element
                    .strip_prefix(apart)
                    .is_some_and(|rest| rest.starts_with(|c: char| !c.is_ascii_alphanumeric()))
            })
        };
        let mut edits = Vec::new();
        for tag in scan(&html.text) {
            let named = named(&html.text[tag.range.clone()], tag.kind);
            if let Some(Ok(name)) = named
                && is_apart(name)
            {
                edits.push(Edit::text(tag.range.start..tag.range.start, "<div>"));
                edits.push(Edit::text(tag.range.end..tag.range.end, "</div>"));
            }
        }
        html.edited(edits)
    }

    /// A block's source with the blocks in it; `above` are the blocks around it.
    fn source(&self, name: &str, form: Form, above: &mut Vec<String>) -> Expanded {
        if above.iter().any(|outer| outer == name) {
            let path: Vec<&str> = above.iter().map(String::as_str).chain([name]).collect();
            return Err(format!("the blocks include each other: {}", path.join(" → ")));
        }
        if above.len() >= BLOCK_DEPTH_MAX {
            return Err(format!("more than {BLOCK_DEPTH_MAX} blocks inside each other"));
        }
        let key = (name.to_owned(), form);
        if let Some(known) = self.known.borrow().get(&key) {
            return known.clone();
        }
        above.push(name.to_owned());
        let result = self.expanded(name, form, above);
        above.pop();
        // What was refused for the blocks around it may be right elsewhere.
        if result.is_ok() || above.is_empty() {
            self.known.borrow_mut().insert(key, result.clone());
        }
        result
    }

    fn expanded(&self, name: &str, form: Form, above: &mut Vec<String>) -> Expanded {
        let written = self.written(name, form)?;
        let mut out = String::with_capacity(written.len());
        let mut at = 0;
        for tag in scan(&written) {
            let text = &written[tag.range.clone()];
            let Some(found) = named(text, tag.kind) else { continue };
            let block = self.source(found?, form, above)?;
            out.push_str(&written[at..tag.range.start]);
            out.push_str(&trimming(text, &block));
            at = tag.range.end;
            // Each level could double what is below it.
            if out.len() > PART_SIZE_MAX {
                return Err(format!("the block `{name}` is larger than {} MB", PART_SIZE_MAX >> 20));
            }
        }
        out.push_str(&written[at..]);
        let (part, escape) = match form {
            Form::Html => ("html", Escape::Html),
            Form::Text => ("text", Escape::Text),
        };
        match PartTemplate::new(Source::new(part, out.clone()), escape, &self.setting) {
            Ok(_) => Ok(Arc::from(out)),
            Err(problem) => Err(format!(
                "in the block `{name}`, line {}, column {}: {}",
                problem.line, problem.column, problem.message
            )),
        }
    }

    /// A block as its author wrote it, without the line end that an editor leaves.
    fn written(&self, name: &str, form: Form) -> Result<String, String> {
        let source = match self.own.get(name) {
            Some(block) if form == Form::Html => block.html.clone(),
            Some(block) if !block.text.trim().is_empty() || block.html.trim().is_empty() => {
                block.text.clone()
            }
            Some(block) => text_part::generate(&block.html).unwrap_or_default(),
            None => self.native(name, form).ok_or_else(|| self.unknown(name))?,
        };
        let source = crate::marks::without_marks(&source).replace("\r\n", "\n");
        Ok(source.strip_suffix('\n').unwrap_or(&source).to_owned())
    }

    fn native(&self, name: &str, form: Form) -> Option<String> {
        let pick = |html: &str, text: &str| Some(if form == Form::Html { html } else { text }.to_owned());
        match name {
            "greeting" => pick("{{ _greeting() }}", "{{ _greeting() }}"),
            "mirror_link" => pick(
                "<a href=\"{{ mirror_url }}\">{{ _phrase('mirror') }}</a>",
                "{{ _phrase('mirror') }}: {{ mirror_url }}",
            ),
            "unsubscribe_link" => pick(
                "<a href=\"{{ unsubscribe_url }}\">{{ _phrase('unsubscribe') }}</a>",
                "{{ _phrase('unsubscribe') }}: {{ unsubscribe_url }}",
            ),
            "social_share" => Some(if form == Form::Html { share_html() } else { share_text() }),
            "logo" => {
                let logo = self.logo?;
                let width = if logo.width > 0 { format!(" width=\"{}\"", logo.width) } else { String::new() };
                pick(&format!("<img src=\"{}\" alt=\"Logo\"{width} border=\"0\">", logo.name), "")
            }
            _ => None,
        }
    }

    fn unknown(&self, name: &str) -> String {
        if name == "logo" {
            return "the block `logo` needs an uploaded image of that name, such as assets/logo.png"
                .to_owned();
        }
        let own = self.own.keys().map(String::as_str);
        let names: Vec<&str> = own.chain(NATIVE_BLOCKS).take(20).collect();
        format!("there is no block `{name}`; there are {}", names.join(", "))
    }
}

/// Pages that share what a link names. The mirror page is what is shared.
const SHARES: [(&str, &str); 3] = [
    ("Facebook", "https://www.facebook.com/sharer/sharer.php?u="),
    ("X", "https://x.com/intent/post?url="),
    ("LinkedIn", "https://www.linkedin.com/sharing/share-offsite/?url="),
];

fn share_html() -> String {
    let link = |(name, url): &(&str, &str)| format!("<a href=\"{url}{{{{ mirror_url }}}}\">{name}</a>");
    let links: Vec<String> = SHARES.iter().map(link).collect();
    format!(
        "{} · <a href=\"mailto:?body={{{{ mirror_url }}}}\">{{{{ _phrase('email') }}}}</a>",
        links.join(" · ")
    )
}

fn share_text() -> String {
    let lines: Vec<String> =
        SHARES.iter().map(|(name, url)| format!("{name}: {url}{{{{ mirror_url }}}}")).collect();
    lines.join("\n")
}

/// The block that a tag names, if it is one that includes.
fn named(tag_source: &str, kind: TagKind) -> Option<Result<&str, String>> {
    let inside = inner(tag_source);
    let argument = match kind {
        TagKind::Statement if word(tag_source) == "include" => {
            let rest = inside["include".len()..].trim();
            let end = ["without context", "with context"].iter().find_map(|words| rest.strip_suffix(words));
            end.unwrap_or(rest).trim()
        }
        TagKind::Expression => {
            let rest = inside.strip_prefix("block")?.trim_start().strip_prefix('(')?;
            rest.strip_suffix(')')?.trim()
        }
        _ => return None,
    };
    let quoted = ['"', '\''].iter().find_map(|quote| argument.strip_prefix(*quote)?.strip_suffix(*quote));
    Some(match quoted {
        Some(name) if !name.contains(['"', '\'', '\\']) => Ok(name),
        _ => Err("a block is named in quotes: {% include \"footer\" %}".to_owned()),
    })
}

/// Keeps what `{%-` and `-%}` of the tag say about blanks around it.
fn trimming(tag_source: &str, block: &str) -> String {
    let before = if tag_source.as_bytes().get(2) == Some(&b'-') { "{#- #}" } else { "" };
    let after = if tag_source.len() > 4 && tag_source.as_bytes()[tag_source.len() - 3] == b'-' {
        "{# -#}"
    } else {
        ""
    };
    format!("{before}{block}{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(pairs: &[(&str, &str, &str)]) -> BTreeMap<String, Block> {
        let block = |html: &str, text: &str| Block { html: html.into(), text: text.into() };
        pairs.iter().map(|(name, html, text)| ((*name).to_owned(), block(html, text))).collect()
    }

    fn expand(own: &BTreeMap<String, Block>, source: &str, form: Form) -> Result<String, String> {
        let blocks = Blocks::new(own, &[], Setting::default());
        let source = Source::new("html", source.to_owned());
        blocks.expand(&source, form).map(|source| source.text).map_err(|problems| problems[0].to_string())
    }

    #[test]
    fn blocks_stand_in_their_places_in_both_forms() {
        let own = blocks(&[
            ("footer", "<p>{% include 'address' %}</p>\n", ""),
            ("address", "<b>{{ city }}</b>", "-- {{ city }}"),
        ]);
        let source = "a {% include \"footer\" %} b {{ block('address') }} {%- include 'address' -%} c";
        assert_eq!(
            expand(&own, source, Form::Html).unwrap(),
            "a <p><b>{{ city }}</b></p> b <b>{{ city }}</b> {#- #}<b>{{ city }}</b>{# -#} c"
        );
        assert_eq!(expand(&own, "{% include 'address' %}", Form::Text).unwrap(), "-- {{ city }}");
        assert_eq!(expand(&own, "{% include 'footer' %}", Form::Text).unwrap(), "-- {{ city }}");
        assert_eq!(expand(&own, "{% raw %}{% include 'x' %}{% endraw %}", Form::Text).unwrap().len(), 38);
    }

    #[test]
    fn what_cannot_be_included_is_named_at_its_place() {
        let mut own = blocks(&[
            ("a", "{% include 'b' %}", ""),
            ("b", "x {% include 'a' %}", ""),
            ("broken", "<p>\n{% if x %}</p>", ""),
        ]);
        let cases = [
            ("\n {% include 'a' %}", "line 2, column 2: the blocks include each other: a → b → a"),
            ("{% include name %}", "column 1: a block is named in quotes"),
            ("{{ block(name) }}", "column 1: a block is named in quotes"),
            ("{% include 'nothing' %}", "there is no block `nothing`; there are a, b, broken, greeting"),
            ("{% include 'broken' %}", "in the block `broken`, line 2, column 1"),
            ("{% include 'logo' %}", "needs an uploaded image"),
        ];
        for (source, expected) in cases {
            let problem = expand(&own, source, Form::Html).unwrap_err();
            assert!(problem.contains(expected), "{problem}");
        }
        for depth in 0..20 {
            let html = format!("{{% include 'deep{}' %}}", depth + 1);
            own.insert(format!("deep{depth}"), Block { html, text: String::new() });
        }
        assert!(
            expand(&own, "{% include 'deep0' %}", Form::Html).unwrap_err().contains("more than 10 blocks")
        );
    }

    #[test]
    fn blocks_that_multiply_are_bounded() {
        let twice = |name: &str| format!("{{% include '{name}' %}}").repeat(20);
        let own = blocks(&[
            ("z0", &"x".repeat(200), ""),
            ("z1", &twice("z0"), ""),
            ("z2", &twice("z1"), ""),
            ("z3", &twice("z2"), ""),
            ("z4", &twice("z3"), ""),
        ]);
        assert!(expand(&own, "{% include 'z4' %}", Form::Html).unwrap_err().contains("larger than"));
    }

    #[test]
    fn native_blocks_are_there() {
        let own = BTreeMap::new();
        let html = expand(&own, "{% include 'unsubscribe_link' %} {% include 'social_share' %}", Form::Html)
            .unwrap();
        assert!(
            html.contains("href=\"{{ unsubscribe_url }}\"") && html.contains("sharer.php?u={{ mirror_url }}")
        );
        let text = expand(&own, "{% include 'greeting' %}\n{% include 'mirror_link' %}", Form::Text).unwrap();
        assert_eq!(text, "{{ _greeting() }}\n{{ _phrase('mirror') }}: {{ mirror_url }}");
        let logo = NamedAsset { name: "assets/logo.png".into(), width: 120, ..NamedAsset::default() };
        let assets = [logo];
        let blocks = Blocks::new(&own, &assets, Setting::default());
        let source = Source::new("html", "{% include 'logo' %}".to_owned());
        assert!(blocks.expand(&source, Form::Html).unwrap().text.contains("src=\"assets/logo.png\""));
    }
}
