//! The starting templates that come with the program, made for this project: each in English and Japanese, a folder
//! in the form that `mailwright delivery push` takes, without address and target.

/// One starting template in one language.
pub(crate) struct Starter {
    /// What it is, in a word; the same in each language.
    pub slug: &'static str,
    /// `en` or `ja`.
    pub language: &'static str,
    /// Its files by their path in the folder.
    pub files: &'static [(&'static str, &'static [u8])],
}

/// Reads the files of one folder into the program.
macro_rules! starter {
    ($slug:literal, $language:literal, $($file:literal),+) => {
        Starter {
            slug: $slug,
            language: $language,
            files: &[$(($file, include_bytes!(concat!($slug, "/", $language, "/", $file)))),+],
        }
    };
}

/// All of them, in the order in which a list shows them.
pub(crate) const STARTERS: &[Starter] = &[
    starter!("newsletter", "en", "delivery.toml", "content.mjml", "content.txt", "assets/hero.png"),
    starter!("newsletter", "ja", "delivery.toml", "content.mjml", "content.txt", "assets/hero.png"),
    starter!("announcement", "en", "delivery.toml", "content.mjml", "content.txt", "assets/hero.png"),
    starter!("announcement", "ja", "delivery.toml", "content.mjml", "content.txt", "assets/hero.png"),
    starter!("invitation", "en", "delivery.toml", "content.mjml", "content.txt", "assets/hero.png"),
    starter!("invitation", "ja", "delivery.toml", "content.mjml", "content.txt", "assets/hero.png"),
    starter!("welcome", "en", "delivery.toml", "content.html", "content.txt", "assets/hero.png"),
    starter!("welcome", "ja", "delivery.toml", "content.html", "content.txt", "assets/hero.png"),
    starter!("offer", "en", "delivery.toml", "content.mjml", "content.txt", "assets/hero.png"),
    starter!("offer", "ja", "delivery.toml", "content.mjml", "content.txt", "assets/hero.png"),
    starter!("letter", "en", "delivery.toml", "content.html", "content.txt"),
    starter!("letter", "ja", "delivery.toml", "content.html", "content.txt"),
];
