//! Whose words a reply has, where nobody says to whom the message went: for explanations, and for replies quoted in
//! bounces. While sending, the path knows its receiver better.

use super::phrases::folded;
use crate::reply::Reply;

/// Words that only one receiver says, by the site whose rules they belong to.
const SIGNS: &[(&str, &[&str])] = &[
    ("google", &["gsmtp", "gcdp", "gmail has detected", "support.google.com"]),
    ("yahoo_jp", &["yahoo.co.jp", "yahoo-help.jp", "vs98-ip"]),
    (
        "yahoo",
        &[
            "[tss0",
            "[ts0",
            "[ipts0",
            "[bl2",
            "[ph0",
            "yahoo.com",
            "yahooinc.com",
            "yahoodns.net",
            "verizonmedia.com",
        ],
    ),
    (
        "outlook",
        &[
            "olc.protection.outlook.com",
            "postmaster.live.com",
            "mail.live.com",
            "(s3140)",
            "(s3150)",
            "hotmail",
        ],
    ),
    ("office365", &["protection.outlook.com", "prod.outlook.com", "sender.office.com"]),
    ("apple", &["icloud.com", "me.com esmtp", "support.apple.com", "[hme1]", "[hcm1]", "[cs01]", "[bs02]"]),
    ("gmx", &["postmaster.gmx", "postmaster.web.de", "nemesis esmtp"]),
    ("tonline", &["rx.t-online"]),
    ("orange", &["ofr_", "ofr0"]),
    ("laposte.net", &["lpn0", "lpn1", "lpn_"]),
    ("comcast", &["comcast"]),
    ("qq", &["service.mail.qq.com"]),
    ("netease", &["mail.163.com", "126.com", "netease"]),
    ("mimecast", &["mimecast"]),
    ("proofpoint", &["proofpoint"]),
    ("secureserver.net", &["x.co/rlbounce", "x.co/srbounce"]),
    ("facebook.com", &["postmaster.facebook.com"]),
    ("mail.ru", &["help.mail.ru"]),
    ("yandex.ru", &["feedback.yandex", "ya.cc"]),
    ("docomo", &["docomo.ne.jp"]),
    ("au", &["ezweb.ne.jp", "@au.com"]),
    ("softbank", &["softbank.ne.jp", "softbank.jp"]),
];

/// The site that says such things, for [`super::classify_for`]; None where the words are anybody's.
pub fn speaker(reply: &Reply) -> Option<&'static str> {
    let text = reply.text().to_lowercase();
    // Addresses are hidden for most signs: a recipient at yahoo.com may be quoted by anybody.
    let hidden = folded(&text);
    let says = |sign: &str| if sign.starts_with('@') { text.contains(sign) } else { hidden.contains(sign) };
    SIGNS.iter().find(|(_, signs)| signs.iter().any(|sign| says(sign))).map(|(site, _)| *site)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_their_own() {
        let speaks = |text: &str| speaker(&Reply::from_text(text).expect(text));
        assert_eq!(speaks("421 4.7.28 unusual rate of mail - gsmtp"), Some("google"));
        assert_eq!(speaks("421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred"), Some("yahoo"));
        assert_eq!(
            speaks("451 4.7.650 rate limited. see https://postmaster.live.com (S775)"),
            Some("outlook")
        );
        assert_eq!(
            speaks("550 5.4.1 Access denied [X.eop-nam02.prod.protection.outlook.com]"),
            Some("office365")
        );
        assert_eq!(speaks("550 Invalid recipient. OFR_416 [416]"), Some("orange"));
        assert_eq!(speaks("550 5.1.1 <user@yahoo.com>: user unknown"), None);
        assert_eq!(speaks("550 no"), None);
    }
}
