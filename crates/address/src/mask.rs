//! Masks of addresses and domains, as settings and format rules have them.

/// Whether a mask fits the whole text: `*` is any run of octets, `?` any one; ASCII letters fit in either case. A text with
/// other letters is compared as it is: lower-case both sides first.
///
/// Linear in mask times text, whatever the mask: there is one point to come back to, the last `*`.
pub fn matches_mask(mask: &str, text: &str) -> bool {
    let (mask, text) = (mask.as_bytes(), text.as_bytes());
    let (mut at, mut in_mask) = (0, 0);
    // Where the last `*` stood, and how far its run went.
    let mut star: Option<(usize, usize)> = None;
    while at < text.len() {
        match mask.get(in_mask) {
            Some(b'*') => {
                star = Some((in_mask, at));
                in_mask += 1;
            }
            Some(octet) if *octet == b'?' || octet.eq_ignore_ascii_case(&text[at]) => {
                at += 1;
                in_mask += 1;
            }
            _ => match star {
                Some((star_at, run_end)) => {
                    star = Some((star_at, run_end + 1));
                    at = run_end + 1;
                    in_mask = star_at + 1;
                }
                None => return false,
            },
        }
    }
    mask[in_mask..].iter().all(|octet| *octet == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_match_whole_texts() {
        let cases = [
            ("docomo.ne.jp", "docomo.ne.jp", true),
            ("docomo.ne.jp", "xdocomo.ne.jp", false),
            ("*.ezweb.ne.jp", "ezweb.ne.jp", false),
            ("*.ezweb.ne.jp", "a.b.ezweb.ne.jp", true),
            ("?.vodafone.ne.jp", "t.vodafone.ne.jp", true),
            ("?.vodafone.ne.jp", "tt.vodafone.ne.jp", false),
            ("*@Shop.example", "News@SHOP.example", true),
            ("*@shop.example", "a@shop.example.evil", false),
            ("*@*.shop.example", "a@eu.shop.example", true),
            ("*@*.shop.example", "a@evilshop.example", false),
            ("news-*@*.example", "news-1@a.b.example", true),
            ("*", "", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("a*a", "a", false),
            ("", "a", false),
            ("", "", true),
        ];
        for (mask, text, expected) in cases {
            assert_eq!(matches_mask(mask, text), expected, "{mask} {text}");
        }
    }
}
