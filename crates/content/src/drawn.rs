//! Codes of one message: by address, or drawn and going along with it.
//!
//! The function in the template (`codes.rs`) knows neither the message's format nor how many codes came before, so it
//! leaves a mark that says what to draw; here, once the part is evaluated, the mark becomes an address or a piece. What
//! a mark says is signed like an address, so that a filter which changes it is found out.

use message::{CODES_MAX, ImageMode, LinkKind, PartName, Piece, Snapshot, Structure, Variant, code_data};

use crate::codes::{self, Code, CodeKey};
use crate::marks::{CODE, CODE_END};

/// How an author wants a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// `inline=true`: in the message.
    Along,
    /// Nothing said: as the delivery's images.
    AsImages,
    /// `inline=false`: by address.
    ByAddress,
}

impl Wish {
    pub fn of(inline: Option<bool>) -> Wish {
        match inline {
            Some(true) => Wish::Along,
            None => Wish::AsImages,
            Some(false) => Wish::ByAddress,
        }
    }

    fn letter(self) -> char {
        match self {
            Wish::Along => 'i',
            Wish::AsImages => 'a',
            Wish::ByAddress => 'u',
        }
    }

    /// What stands for a code until its message is known.
    pub fn mark(self, code: &Code, key: Option<&CodeKey>) -> String {
        format!("{CODE}{}{}{CODE_END}", self.letter(), code.file_name(key.unwrap_or(&unsigned())))
    }

    /// The wish and the file name of a mark.
    fn read(mark: &str) -> Option<(Wish, &str)> {
        let wish = [Wish::Along, Wish::AsImages, Wish::ByAddress];
        let wish = wish.into_iter().find(|wish| mark.starts_with(wish.letter()))?;
        Some((wish, &mark[1..]))
    }
}

/// Guards marks against filters where nothing has an address.
fn unsigned() -> CodeKey {
    CodeKey::new([0; 32])
}

/// What all messages of a delivery share.
#[derive(Debug)]
pub(crate) struct Codes {
    base: String,
    key: Option<CodeKey>,
    /// The delivery's images go along.
    along: bool,
}

/// What is wrong with a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Its mark is not as it was made.
    Changed,
    /// More than [`CODES_MAX`] go along.
    TooMany,
}

/// The codes of one message.
pub(crate) struct Drawn<'a> {
    codes: &'a Codes,
    variant: &'a Variant,
    /// The message has HTML; in one without, codes stand on its pages alone.
    has_html: bool,
    /// File names and images of those that go along.
    along: Vec<(String, String)>,
}

impl Codes {
    pub fn new(public_url: &str, key: Option<&CodeKey>, along: bool) -> Codes {
        Codes { base: codes::base(public_url), key: key.cloned(), along }
    }

    /// For a message of this variant.
    pub fn of<'a>(&'a self, snapshot: &Snapshot, variant: &'a Variant) -> Drawn<'a> {
        let has_html = variant.structure != Structure::Text || snapshot.part(PartName::Text).is_none();
        Drawn { codes: self, variant, has_html, along: Vec::new() }
    }
}

impl Drawn<'_> {
    /// Puts addresses and pieces in the place of marks; an error with the number of its mark.
    pub fn place(&mut self, pieces: Vec<Piece>) -> Result<Vec<Piece>, (usize, Fault)> {
        let mut placed = Vec::with_capacity(pieces.len() + 4);
        let mut count = 0;
        for piece in pieces {
            match piece {
                Piece::Literal(text) if text.contains(CODE) => {
                    self.literal(&mut placed, &text, &mut count).map_err(|fault| (count, fault))?;
                }
                other => placed.push(other),
            }
        }
        Ok(placed)
    }

    fn literal(&mut self, placed: &mut Vec<Piece>, text: &str, count: &mut usize) -> Result<(), Fault> {
        let mut open = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once(CODE) {
            open.push_str(before);
            let (mark, after) = after.split_once(CODE_END).ok_or(Fault::Changed)?;
            rest = after;
            let (wish, name) = Wish::read(mark).ok_or(Fault::Changed)?;
            match self.number(wish, name)? {
                None => open.extend([self.codes.base.as_str(), name]),
                Some(number) => {
                    placed.push(Piece::Literal(std::mem::take(&mut open)));
                    placed.push(Piece::Link(LinkKind::Code(number)));
                }
            }
            *count += 1;
        }
        open.push_str(rest);
        if !open.is_empty() {
            placed.push(Piece::Literal(open));
        }
        Ok(())
    }

    /// The number of a code that goes along, drawn now when it is the first of its kind; nothing for one by address.
    fn number(&mut self, wish: Wish, name: &str) -> Result<Option<u8>, Fault> {
        let key = self.codes.key.clone();
        let code = Code::from_file_name(name, key.as_ref().unwrap_or(&unsigned())).ok_or(Fault::Changed)?;
        if !self.goes_along(wish) {
            return Ok(None);
        }
        if let Some(known) = self.along.iter().position(|(known, _)| known == name) {
            return Ok(Some(known as u8));
        }
        if self.along.len() >= usize::from(CODES_MAX) {
            return Err(Fault::TooMany);
        }
        let image = code.picture(self.variant.carrier.is_some()).ok_or(Fault::Changed)?;
        let data = code_data(&image).ok_or(Fault::Changed)?;
        self.along.push((name.to_owned(), data));
        Ok(Some((self.along.len() - 1) as u8))
    }

    fn goes_along(&self, wish: Wish) -> bool {
        if self.codes.key.is_none() {
            return true;
        }
        let wished = match wish {
            Wish::Along => true,
            Wish::AsImages => self.codes.along,
            Wish::ByAddress => false,
        };
        self.has_html && (wished || self.variant.images == ImageMode::Inline)
    }

    /// Their parts of the slots.
    pub fn parts(self) -> impl Iterator<Item = (PartName, Vec<Piece>)> {
        let numbered = self.along.into_iter().zip(0..CODES_MAX);
        numbered.map(|((_, data), number)| (PartName::Code(number), vec![Piece::Literal(data)]))
    }
}
