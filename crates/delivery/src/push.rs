//! `delivery push`: a folder becomes a draft, or changes the draft that was pushed from it before.

use std::collections::{BTreeMap, BTreeSet};

use crate::definition::Definition;
use crate::folder::{self, Refusal, TOML_NAME};
use crate::records;
use crate::types::{Delivery, DeliveryId, Edit, Result, Sources};
use crate::{Deliveries, New, templates};

/// The folder whose files the content may name.
const ASSETS: &str = "assets/";
/// What stands in for `content.html` when a folder has this instead.
const MJML_NAME: &str = "content.mjml";

/// What a push brings.
#[derive(Debug, Clone, Default)]
pub struct Push {
    /// Where the folder is on the author's machine: the same place is the same draft.
    pub origin: String,
    /// Bytes by relative name.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Files that were not sent because the server has their bytes: blake3 in hex by relative name.
    pub known: BTreeMap<String, String>,
    /// Who pushes.
    pub by: String,
}

/// What a push did.
#[derive(Debug, Clone)]
pub struct Pushed {
    /// The draft.
    pub delivery: Delivery,
    /// Files of the folder that nothing uses.
    pub unused: Vec<String>,
}

/// Files of a folder that were not looked at yet.
pub(crate) struct Folder {
    files: BTreeMap<String, Vec<u8>>,
}

impl Folder {
    pub(crate) fn new(files: BTreeMap<String, Vec<u8>>) -> Folder {
        Folder { files }
    }

    /// `delivery.toml`.
    pub(crate) fn toml(&mut self) -> Result<String, Refusal> {
        self.text(TOML_NAME)?.ok_or_else(|| Refusal::new(TOML_NAME, "the folder holds no delivery.toml"))
    }

    fn text(&mut self, name: &str) -> Result<Option<String>, Refusal> {
        let Some(bytes) = self.files.remove(name) else { return Ok(None) };
        let text = String::from_utf8(bytes).map_err(|error| {
            let good = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
            let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
            let last = good.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
            let column = String::from_utf8_lossy(last).chars().count() + 1;
            Refusal {
                file: name.to_owned(),
                line: u32::try_from(line).ok(),
                column: u32::try_from(column).ok(),
                ..Refusal::new(name, "is not UTF-8; save it as UTF-8")
            }
        })?;
        // A byte order mark is an editor's, not the author's.
        Ok(Some(text.strip_prefix('\u{feff}').map_or_else(|| text.clone(), str::to_owned)))
    }

    /// The texts that the definition names. A folder with `content.mjml` and no HTML need not name it.
    pub(crate) fn sources(&mut self, definition: &mut Definition) -> Result<Sources, Refusal> {
        let content = &mut definition.content;
        if content.mjml.is_empty()
            && !self.files.contains_key(&content.html)
            && self.files.contains_key(MJML_NAME)
        {
            content.mjml = MJML_NAME.to_owned();
        }
        let mut sources = Sources::default();
        if content.mjml.is_empty() {
            sources.html = self.text(&content.html)?;
        } else {
            sources.mjml = Some(self.needed("content.mjml", &content.mjml)?);
        }
        sources.text = self.text(&content.text)?;
        if !content.amp.is_empty() {
            sources.amp = Some(self.needed("content.amp", &content.amp)?);
        }
        self.variants(definition)?;
        Ok(sources)
    }

    /// Variants of an A/B test name files of the folder; what is no file's name is the text itself. A file may stand in
    /// several variants.
    fn variants(&mut self, definition: &mut Definition) -> Result<(), Refusal> {
        let variants = definition.ab.iter_mut().flat_map(|test| &mut test.variants);
        let mut texts: Vec<&mut String> =
            variants.flat_map(|variant| [&mut variant.html, &mut variant.text]).collect();
        let names: BTreeSet<String> =
            texts.iter().filter(|text| is_file_name(text)).map(|text| (**text).clone()).collect();
        for name in names {
            let text = self.needed("ab.variants", &name)?;
            texts.iter_mut().filter(|known| ***known == name).for_each(|known| text.clone_into(known));
        }
        Ok(())
    }

    fn needed(&mut self, field: &str, name: &str) -> Result<String, Refusal> {
        self.text(name)?
            .ok_or_else(|| Refusal::new(field, format!("names {name}, which the folder does not have")))
    }

    /// What is left.
    pub(crate) fn rest(self) -> BTreeMap<String, Vec<u8>> {
        self.files
    }
}

/// `b.html` and `variants/b.txt` are names; `<p>Hi` and two words are not.
fn is_file_name(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let ends = [".html", ".htm", ".txt"].iter().any(|end| lower.ends_with(end));
    ends && !text.contains(|c: char| c.is_whitespace() || matches!(c, '<' | '>' | '{'))
}

/// A file of a folder: its bytes, or the hash of bytes that are here.
enum File {
    Bytes(Vec<u8>),
    Known(String),
}

impl File {
    fn hash(&self) -> String {
        match self {
            File::Bytes(bytes) => blake3::hash(bytes).to_hex().to_string(),
            File::Known(hash) => hash.clone(),
        }
    }
}

impl Deliveries {
    /// Creates a draft from a folder, or updates the one that was pushed from `origin` before and is not confirmed yet.
    pub async fn push(&self, push: Push) -> Result<Pushed> {
        let mut folder = Folder::new(push.files);
        let toml = folder.toml()?;
        let template = match folder::template_name(&toml)? {
            name if name.is_empty() => None,
            name => Some(self.needed_template(&name).await.map_err(|error| located(&toml, error))?),
        };
        let under = template.as_ref().map(templates::started_from);
        let mut definition = folder::parse_over(&toml, under.as_ref())?;
        let mut sources = own_sources(&mut folder, &mut definition, &toml, template.as_ref())?;
        if let Some(template) = &template {
            sources = templates::sources_over(template, sources);
        }
        if sources.html.is_none() && sources.mjml.is_none() && sources.text.is_none() {
            let content = &definition.content;
            let text = format!("the folder has neither {} nor {}", content.html, content.text);
            return Err(Refusal::new("content", text).into());
        }
        let (files, unused) = used_files(folder.rest(), push.known, &definition, &toml)?;
        let new = New {
            definition,
            sources,
            origin: Some(push.origin),
            by: push.by,
            files_of: template.map(|template| template.id),
            is_template: false,
        };
        Ok(Pushed { delivery: self.apply_push(new, files).await?, unused })
    }

    async fn apply_push(&self, new: New, files: BTreeMap<String, File>) -> Result<Delivery> {
        let (key, template) = (new.origin.clone().unwrap_or_default(), new.files_of);
        let existing = self.store.read(move |tx| records::by_origin(tx, &key)).await?;
        let id = match existing {
            None => self.create_new(new).await?.id,
            Some(delivery) => {
                let edit = Edit {
                    definition: Some(new.definition),
                    html: Some(new.sources.html),
                    text: Some(new.sources.text),
                    mjml: Some(new.sources.mjml),
                    amp: Some(new.sources.amp),
                    by: new.by,
                    based_on: None,
                };
                // Without a change in the texts nothing is saved, and the analysis stays good.
                self.edit(delivery.id, edit).await?.id
            }
        };
        self.replace_files(id, files, template).await?;
        self.get(id).await
    }

    /// Makes the delivery's files those of the folder and of its template. An unchanged set is left alone.
    async fn replace_files(
        &self,
        id: DeliveryId,
        files: BTreeMap<String, File>,
        template: Option<DeliveryId>,
    ) -> Result<()> {
        let have: BTreeMap<String, String> =
            self.assets(id).await?.into_iter().map(|file| (file.name, file.hash)).collect();
        let mut keep: BTreeMap<String, String> = match template {
            None => BTreeMap::new(),
            Some(template) => {
                self.assets(template).await?.into_iter().map(|file| (file.name, file.hash)).collect()
            }
        };
        for (name, file) in &files {
            keep.insert(plain(name).to_owned(), file.hash());
        }
        if have == keep {
            return Ok(());
        }
        for name in have.keys().filter(|name| !keep.contains_key(*name)) {
            self.drop_file(id, name).await?;
        }
        for (name, file) in files {
            if have.get(plain(&name)) == Some(&file.hash()) {
                continue;
            }
            match file {
                File::Bytes(bytes) => self.keep_file(id, &name, bytes).await?,
                File::Known(hash) => self.keep_known_file(id, &name, &hash).await?,
            }
        }
        self.touch(id, "").await
    }
}

fn plain(name: &str) -> &str {
    name.strip_prefix(ASSETS).unwrap_or(name)
}

fn located(toml: &str, error: crate::Error) -> crate::Error {
    match error {
        crate::Error::Refused(refusal) => folder::located(toml, refusal).into(),
        other => other,
    }
}

/// The folder's texts. Where a template lies under it, the files that its definition names need not be here.
fn own_sources(
    folder: &mut Folder,
    definition: &mut Definition,
    toml: &str,
    template: Option<&Delivery>,
) -> Result<Sources, Refusal> {
    let Some(template) = template else {
        return folder.sources(definition).map_err(|refusal| folder::located(toml, refusal));
    };
    let names = definition.content.clone();
    for (name, inherited) in [(&names.mjml, template.mjml.is_some()), (&names.amp, template.amp.is_some())] {
        if inherited && !folder.files.contains_key(name) {
            if *name == names.mjml {
                definition.content.mjml = String::new();
            } else {
                definition.content.amp = String::new();
            }
        }
    }
    let sources = folder.sources(definition).map_err(|refusal| folder::located(toml, refusal))?;
    if sources.mjml.is_none() && sources.html.is_none() {
        definition.content.mjml = names.mjml;
    }
    if sources.amp.is_none() {
        definition.content.amp = names.amp;
    }
    Ok(sources)
}

/// The files that the content may name and those that are attached; and the names of the others.
fn used_files(
    rest: BTreeMap<String, Vec<u8>>,
    known: BTreeMap<String, String>,
    definition: &Definition,
    toml: &str,
) -> Result<(BTreeMap<String, File>, Vec<String>), Refusal> {
    let all = rest
        .into_iter()
        .map(|(name, bytes)| (name, File::Bytes(bytes)))
        .chain(known.into_iter().map(|(name, hash)| (name, File::Known(hash))));
    let attached = |name: &str| definition.content.attachments.iter().any(|a| plain(&a.file) == plain(name));
    let target = definition.target.include.iter().chain(&definition.target.exclude);
    let targeted: Vec<&str> = target.filter_map(|item| item.file.as_deref()).map(plain).collect();
    let (mut used, mut unused) = (BTreeMap::new(), Vec::new());
    for (name, file) in all {
        if name.starts_with(ASSETS) || attached(&name) || targeted.contains(&plain(&name)) {
            used.insert(name, file);
        } else {
            unused.push(name);
        }
    }
    for attachment in &definition.content.attachments {
        let there = used.keys().any(|name| plain(name) == plain(&attachment.file));
        if !there && definition.template.is_empty() {
            let text = format!("names {}, which the folder does not have", attachment.file);
            return Err(folder::located(toml, Refusal::new("content.attachments", text)));
        }
    }
    Ok((used, unused))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOML: &str = "label = \"x\"\nsubject = \"y\"\n[sender]\naddress = \"a@b.example\"\n[target]\n\
                        include = [{ list = \"l\" }]\n";

    fn folder(files: &[(&str, &[u8])]) -> Folder {
        Folder::new(files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect())
    }

    #[test]
    fn named_files_are_read_and_the_others_told() {
        let mut pushed = folder(&[
            ("delivery.toml", TOML.as_bytes()),
            ("content.html", "\u{feff}<p>hi".as_bytes()),
            ("assets/logo.png", &[0xff]),
            ("notes.md", b"x"),
        ]);
        let toml = pushed.toml().unwrap();
        let mut definition = folder::parse(&toml).unwrap();
        let sources = pushed.sources(&mut definition).unwrap();
        assert_eq!(sources.html.as_deref(), Some("<p>hi"));
        assert_eq!(sources.text, None);
        let (used, unused) = used_files(pushed.rest(), BTreeMap::new(), &definition, &toml).unwrap();
        assert_eq!(used.keys().collect::<Vec<_>>(), ["assets/logo.png"]);
        assert_eq!(unused, ["notes.md"]);
    }

    #[test]
    fn variants_name_files_or_are_the_text_itself() {
        let toml = format!(
            "{TOML}[[ab.variants]]\nhtml = \"b.html\"\ntext = \"Hi there\"\n[[ab.variants]]\nhtml = \"b.html\"\n"
        );
        let mut definition = folder::parse(&toml).unwrap();
        let mut pushed = folder(&[("content.html", b"<p>a"), ("b.html", b"<p>b")]);
        pushed.sources(&mut definition).unwrap();
        let variants = definition.ab.clone().unwrap().variants;
        assert_eq!((variants[0].html.as_str(), variants[0].text.as_str()), ("<p>b", "Hi there"));
        assert_eq!(variants[1].html, "<p>b");
        assert!(pushed.rest().is_empty(), "they are used");
        let mut definition = folder::parse(&toml).unwrap();
        let refusal = folder(&[("content.html", b"<p>a")]).sources(&mut definition).unwrap_err();
        assert_eq!(refusal.field, "ab.variants");
    }

    #[test]
    fn a_file_that_is_not_utf8_is_named_with_its_line() {
        let mut pushed = folder(&[("content.html", b"one\n\xc3\xa4b\xff")]);
        let refusal = pushed.sources(&mut Definition::new("x")).unwrap_err();
        let place = (refusal.file.as_str(), refusal.line, refusal.column);
        assert_eq!(place, ("content.html", Some(2), Some(3)));
    }

    #[test]
    fn mjml_stands_in_for_html_and_a_missing_one_is_refused() {
        let mut definition = Definition::new("x");
        let sources = folder(&[("content.mjml", b"<mjml>")]).sources(&mut definition).unwrap();
        assert_eq!((sources.mjml.as_deref(), sources.html), (Some("<mjml>"), None));
        let mut definition = Definition::new("x");
        definition.content.mjml = "mail.mjml".into();
        let refusal = folder(&[("content.html", b"<p>")]).sources(&mut definition).unwrap_err();
        assert_eq!(refusal.field, "content.mjml");
    }

    #[test]
    fn an_attachment_that_is_not_there_is_refused_with_its_line() {
        let toml = format!("{TOML}\n[content]\nattachments = [{{ file = \"terms.pdf\" }}]\n");
        let definition = folder::parse(&toml).unwrap();
        let Err(refusal) = used_files(BTreeMap::new(), BTreeMap::new(), &definition, &toml) else { panic!() };
        assert_eq!((refusal.field.as_str(), refusal.line), ("content.attachments", Some(9)));
        let known = BTreeMap::from([("terms.pdf".to_owned(), "00".repeat(32))]);
        assert!(used_files(BTreeMap::new(), known, &definition, &toml).is_ok());
    }
}
