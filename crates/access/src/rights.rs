//! What an account may do. Five rights, each independent of the others; `administer` holds all of them.

use crate::error::{Error, Result};

/// One right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Right {
    /// Bring recipients in and change them: imports, lists, recipients, quarantine, denylist.
    Import,
    /// Make and change deliveries, contents and segments; analyse; send proofs.
    Prepare,
    /// Approve or reject a delivery's content or target.
    Approve,
    /// Confirm, pause, resume and stop. Of others' deliveries only where they made one a start-reviewer.
    Start,
    /// Users, settings, domains, rules; and everything else.
    Administer,
}

impl Right {
    /// All rights, in the order in which they are shown.
    pub const ALL: [Right; 5] =
        [Right::Import, Right::Prepare, Right::Approve, Right::Start, Right::Administer];

    /// Its name on the command line, in JSON and in text keys.
    pub fn name(self) -> &'static str {
        match self {
            Right::Import => "import",
            Right::Prepare => "prepare",
            Right::Approve => "approve",
            Right::Start => "start",
            Right::Administer => "administer",
        }
    }

    /// The right of that name.
    pub fn named(name: &str) -> Option<Right> {
        Right::ALL.into_iter().find(|right| right.name() == name)
    }

    /// As stored; never change a number.
    fn bit(self) -> i64 {
        match self {
            Right::Import => 1,
            Right::Prepare => 2,
            Right::Approve => 4,
            Right::Start => 8,
            Right::Administer => 16,
        }
    }
}

/// A set of rights, as it was given. Ask [`Rights::may`] rather than a field: an administrator may everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Rights {
    /// [`Right::Import`] was given.
    pub import: bool,
    /// [`Right::Prepare`] was given.
    pub prepare: bool,
    /// [`Right::Approve`] was given.
    pub approve: bool,
    /// [`Right::Start`] was given.
    pub start: bool,
    /// [`Right::Administer`] was given.
    pub administer: bool,
}

impl Rights {
    /// Looks at everything, changes nothing.
    pub const NONE: Rights =
        Rights { import: false, prepare: false, approve: false, start: false, administer: false };
    /// Everything.
    pub const ALL: Rights =
        Rights { import: true, prepare: true, approve: true, start: true, administer: true };
    /// What a new user gets when nothing is said: all daily work, no administration.
    pub const DAILY: Rights = Rights { administer: false, ..Rights::ALL };

    /// Whether this is allowed.
    pub fn may(self, right: Right) -> bool {
        self.administer || self.holds(right)
    }

    /// Whether this very right was given.
    pub fn holds(self, right: Right) -> bool {
        match right {
            Right::Import => self.import,
            Right::Prepare => self.prepare,
            Right::Approve => self.approve,
            Right::Start => self.start,
            Right::Administer => self.administer,
        }
    }

    /// The set of these rights.
    pub fn of(rights: impl IntoIterator<Item = Right>) -> Rights {
        Rights::from_bits(rights.into_iter().fold(0, |bits, right| bits | right.bit()))
    }

    /// Reads names separated by commas; empty: none.
    ///
    /// # Errors
    /// [`Error::Rights`] with the word that is none.
    pub fn parse(text: &str) -> Result<Rights> {
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        let rights: Result<Vec<Right>> =
            names.map(|name| Right::named(name).ok_or_else(|| Error::Rights(name.to_string()))).collect();
        Ok(Rights::of(rights?))
    }

    /// The rights that were given.
    pub fn given(self) -> Vec<Right> {
        Right::ALL.into_iter().filter(|right| self.holds(*right)).collect()
    }

    /// Their names, in order.
    pub fn names(self) -> Vec<&'static str> {
        self.given().into_iter().map(Right::name).collect()
    }

    pub(crate) fn bits(self) -> i64 {
        self.given().into_iter().fold(0, |bits, right| bits | right.bit())
    }

    pub(crate) fn from_bits(bits: i64) -> Rights {
        let holds = |right: Right| bits & right.bit() != 0;
        Rights {
            import: holds(Right::Import),
            prepare: holds(Right::Prepare),
            approve: holds(Right::Approve),
            start: holds(Right::Start),
            administer: holds(Right::Administer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_right_is_its_own_except_administer() {
        for right in Right::ALL {
            let only = Rights::of([right]);
            assert_eq!(Rights::from_bits(only.bits()), only);
            assert_eq!(Rights::parse(right.name()).unwrap(), only);
            for other in Right::ALL {
                assert_eq!(
                    only.may(other),
                    right == other || right == Right::Administer,
                    "{right:?} {other:?}"
                );
                assert!(!Rights::NONE.may(other));
            }
        }
    }

    #[test]
    fn names_in_any_order_and_none_that_is_unknown() {
        let rights = Rights::parse(" start, prepare ").unwrap();
        assert_eq!(rights.names(), ["prepare", "start"]);
        assert_eq!(Rights::parse("").unwrap(), Rights::NONE);
        assert!(Rights::parse("prepare,everything").unwrap_err().to_string().contains("everything"));
    }
}
