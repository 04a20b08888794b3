//! What an author can put into a source without knowing its name by heart: fields, blocks, links, emoticons.

use serde_json::json;

use super::{fault::Fault, texts};
use crate::state::AppState;

/// Links that every message has.
const LINKS: [&str; 2] = ["unsubscribe_url", "mirror_url"];
/// Attributes that the menu shows; completion in the editor knows the same.
const ATTRIBUTES_MAX: usize = 200;
/// Emoticons of the menu: nine rows of nine, the usual ones of newsletters.
const EMOTICONS: [&str; 81] = [
    "😀", "😃", "😄", "😊", "🙂", "😉", "😍", "🥰", "😎", "🤩", "🥳", "😂", "🤗", "🤔", "😮", "😢", "😴",
    "🙃", "👋", "👍", "👏", "🙌", "🙏", "💪", "🤝", "👉", "👀", "❤️", "🧡", "💛", "💚", "💙", "💜", "🖤",
    "💔", "💯", "⭐", "🌟", "✨", "🔥", "⚡", "🎉", "🎊", "🎁", "🎂", "🎈", "🏆", "🥇", "🎯", "🚀", "✈️",
    "🚗", "🚚", "📦", "🛒", "🛍️", "💳", "💰", "🏷️", "📅", "⏰", "⏳", "📣", "📢", "🔔", "📧", "✉️", "📱",
    "💻", "📷", "🎵", "📚", "✅", "❌", "❗", "❓", "➡️", "☀️", "❄️", "🌈", "🌸",
];

/// The menus' entries.
pub struct Picks {
    /// Fields of every recipient.
    pub fields: Vec<&'static str>,
    /// Attributes that some recipient has.
    pub attributes: Vec<String>,
    /// Blocks, as name and label.
    pub blocks: Vec<(String, String)>,
    /// Blocks that are always there, as name and what they are.
    pub natives: Vec<(&'static str, String)>,
    /// Emoticons.
    pub emoticons: &'static [&'static str],
    /// Whether images can be uploaded here.
    pub images: bool,
}

impl Picks {
    /// What there is now.
    pub async fn load(state: &AppState, images: bool) -> Result<Picks, Fault> {
        let mut attributes = state.audience.attribute_names().await?;
        attributes.truncate(ATTRIBUTES_MAX);
        let blocks = state.content.blocks().await?;
        let shown = blocks.into_iter().filter(|block| block.visible).map(|block| (block.name, block.label));
        Ok(Picks {
            fields: std::iter::once("email").chain(audience::FIELDS).collect(),
            attributes,
            blocks: shown.collect(),
            natives: natives(),
            emoticons: &EMOTICONS,
            images,
        })
    }

    /// The names, as the editor's completion wants them.
    pub fn known(&self) -> String {
        let fields: Vec<&str> =
            self.fields.iter().copied().chain(self.attributes.iter().map(String::as_str)).collect();
        let natives = self.natives.iter().map(|(name, _)| *name);
        let blocks: Vec<&str> = self.blocks.iter().map(|(name, _)| name.as_str()).chain(natives).collect();
        json!({ "fields": fields, "blocks": blocks, "links": LINKS }).to_string()
    }
}

/// The blocks that the program brings, with what each is.
pub fn natives() -> Vec<(&'static str, String)> {
    content::NATIVE_BLOCKS.iter().map(|name| (*name, texts::pick("native-block", name))).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn emoticons_differ() {
        assert_eq!(EMOTICONS.iter().collect::<BTreeSet<_>>().len(), EMOTICONS.len());
    }
}
