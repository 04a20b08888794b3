//! The demo's draft: a newsletter of a shop that does not exist, written for this project.

/// Label of the delivery.
pub const LABEL: &str = "November newsletter";
/// Subject, a template.
pub const SUBJECT: &str = "{{ first_name | default('Hello') }}, the first frost is here{% if loyalty_tier | default('') == 'gold' %} - with a gift for you{% endif %}";
/// Preheader.
pub const PREHEADER: &str = "Wool that lasts, a soup for cold evenings, and what your points are worth.";
/// Sender's name.
pub const SENDER_NAME: &str = "Fern & Kettle";
/// Sender's domain; the demo adds it and publishes its records.
pub const SENDER_DOMAIN: &str = "fernkettle.example";
/// Sender's address.
pub const SENDER_ADDRESS: &str = "hello@fernkettle.example";
/// HTML part, a template: tables for old clients, one column on narrow screens, light and dark.
pub const HTML: &str = include_str!("../data/newsletter.html");
/// Text part, a template.
pub const TEXT: &str = include_str!("../data/newsletter.txt");

/// `delivery.toml` of the demo's draft, sent to `list`.
#[must_use]
pub fn definition(list: &str) -> String {
    format!(
        "label = \"{LABEL}\"\nsubject = \"{SUBJECT}\"\npreheader = \"{PREHEADER}\"\n\n[sender]\n\
         name = \"{SENDER_NAME}\"\naddress = \"{SENDER_ADDRESS}\"\n\n[target]\n\
         include = [{{ list = \"{list}\" }}]\n\n[content]\nhtml = \"content.html\"\ntext = \"content.txt\"\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_parts_can_be_left_and_name_the_reader() {
        for part in [HTML, TEXT] {
            assert!(part.contains("{{ unsubscribe_url }}"));
            assert!(part.contains("first_name") && part.contains("{% if"));
        }
        assert!(HTML.len() < 20_000, "{}", HTML.len());
    }

    #[test]
    fn the_definition_is_toml() {
        let text = definition("Demo");
        assert!(text.contains("list = \"Demo\""), "{text}");
        assert!(!text.contains("\"\"\""));
    }
}
