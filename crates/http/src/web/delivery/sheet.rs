//! A delivery's content as a form holds it: read from the delivery, changed by the form, then saved or only shown.

use delivery::{Definition, Delivery, Edit, Sources};

use super::super::form::Form;

/// Definition and sources.
#[derive(Clone)]
pub struct Sheet {
    /// What the author said.
    pub definition: Definition,
    /// What the author wrote.
    pub sources: Sources,
}

impl Sheet {
    /// What is saved.
    pub fn of(found: &Delivery) -> Sheet {
        Sheet { definition: found.definition.clone(), sources: found.sources() }
    }

    /// Whether there is anything to show.
    pub fn is_empty(&self) -> bool {
        let Sources { html, text, mjml, amp } = &self.sources;
        [html, text, mjml, amp]
            .into_iter()
            .all(|source| source.as_ref().is_none_or(|text| text.trim().is_empty()))
    }

    /// Puts what the content form sent in place. Of HTML and MJML, only the chosen one is kept: a message is made of one.
    pub fn apply(&mut self, form: &Form) {
        let definition = &mut self.definition;
        definition.sender.name = form.get("from_name").to_owned();
        definition.sender.address = form.get("from_address").to_owned();
        definition.sender.reply_to = form.get("reply_to").to_owned();
        definition.subject = form.get("subject").to_owned();
        definition.preheader = form.get("preheader").to_owned();
        let source = |name| Some(form.raw(name)).filter(|text| !text.trim().is_empty()).map(str::to_owned);
        let is_mjml = form.get("kind") == "mjml";
        self.sources = Sources {
            html: if is_mjml { None } else { source("html") },
            mjml: if is_mjml { source("mjml") } else { None },
            text: source("text"),
            amp: source("amp"),
        };
    }

    /// The edit that saves it.
    pub fn edit(&self, based_on: Option<i64>, by: &str) -> Edit {
        let Sources { html, text, mjml, amp } = self.sources.clone();
        Edit {
            definition: Some(self.definition.clone()),
            html: Some(html),
            text: Some(text),
            mjml: Some(mjml),
            amp: Some(amp),
            based_on,
            by: by.to_owned(),
        }
    }
}

/// The revision that a form is based on.
pub fn based_on(form: &Form) -> Option<i64> {
    form.get("revision").parse().ok()
}
