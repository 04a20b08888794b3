//! The Japanese mobile carriers' mail domains. Until 2009 the carriers let people choose local parts with dots first,
//! last or doubled; such addresses still receive mail. The list serves the acceptance of those forms, and the choice
//! of a mobile format.

use serde::{Deserialize, Serialize};

/// A mobile carrier (by its present name) that gave out addresses outside RFC 5321.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Carrier {
    /// NTT docomo.
    Docomo,
    /// KDDI au, with IDO, Tu-Ka and UQ mobile, which it absorbed.
    Au,
    /// SoftBank, with J-PHONE, Vodafone K.K. and Disney Mobile, which it absorbed or runs.
    Softbank,
    /// Y!mobile, with Willcom (DDI Pocket) and eMobile, which it absorbed.
    Ymobile,
}

/// How an entry of the table covers host names.
#[derive(Clone, Copy, PartialEq)]
enum Reach {
    /// The name itself only.
    Exact,
    /// The name itself and every name under it: regional and plan sub-domains.
    Below,
}

use Carrier::{Au, Docomo, Softbank, Ymobile};
use Reach::{Below, Exact};

/// Names in their ASCII form. `vodafone.ne.jp` and `jp-?.ne.jp` had one sub-domain or domain per region
/// (d, h, t, c, k, r, n, s, q), still in use.
const TABLE: &[(&str, Reach, Carrier)] = &[
    ("docomo.ne.jp", Exact, Docomo),
    ("mopera.net", Exact, Docomo),
    ("docomo-camera.ne.jp", Exact, Docomo),
    ("au.com", Exact, Au),
    ("ezweb.ne.jp", Below, Au),
    ("ido.ne.jp", Below, Au),
    ("sky.tkk.ne.jp", Exact, Au),
    ("sky.tkc.ne.jp", Exact, Au),
    ("sky.tu-ka.ne.jp", Exact, Au),
    ("uqmobile.jp", Exact, Au),
    ("biz.ezweb.ne.jp", Exact, Au),
    ("softbank.ne.jp", Below, Softbank),
    ("i.softbank.jp", Exact, Softbank),
    ("vodafone.ne.jp", Below, Softbank),
    ("jp-d.ne.jp", Exact, Softbank),
    ("jp-h.ne.jp", Exact, Softbank),
    ("jp-t.ne.jp", Exact, Softbank),
    ("jp-c.ne.jp", Exact, Softbank),
    ("jp-k.ne.jp", Exact, Softbank),
    ("jp-r.ne.jp", Exact, Softbank),
    ("jp-n.ne.jp", Exact, Softbank),
    ("jp-s.ne.jp", Exact, Softbank),
    ("jp-q.ne.jp", Exact, Softbank),
    ("disney.ne.jp", Exact, Softbank),
    ("disneymobile.ne.jp", Exact, Softbank),
    ("ymobile.ne.jp", Exact, Ymobile),
    ("ymobile1.ne.jp", Exact, Ymobile),
    ("y-mobile.ne.jp", Exact, Ymobile),
    ("willcom.com", Exact, Ymobile),
    ("pdx.ne.jp", Below, Ymobile),
    ("emnet.ne.jp", Exact, Ymobile),
    ("emobile.ne.jp", Exact, Ymobile),
    ("emobile-s.ne.jp", Exact, Ymobile),
];

/// The carrier that gives out addresses at this domain. `domain_ascii` is the lower-case IDNA form
/// ([`crate::Domain::ascii`]).
pub fn carrier(domain_ascii: &str) -> Option<Carrier> {
    TABLE.iter().find(|(name, reach, _)| covers(name, *reach, domain_ascii)).map(|(_, _, carrier)| *carrier)
}

fn covers(name: &str, reach: Reach, domain: &str) -> bool {
    match domain.strip_suffix(name) {
        Some("") => true,
        Some(rest) => reach == Below && rest.ends_with('.'),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carriers_are_found_by_name_and_by_the_names_below_where_there_are_any() {
        assert_eq!(carrier("docomo.ne.jp"), Some(Docomo));
        assert_eq!(carrier("ezweb.ne.jp"), Some(Au));
        assert_eq!(carrier("a2.ezweb.ne.jp"), Some(Au));
        assert_eq!(carrier("au.com"), Some(Au));
        assert_eq!(carrier("softbank.ne.jp"), Some(Softbank));
        for region in ["d", "h", "t", "c", "k", "r", "n", "s", "q"] {
            assert_eq!(carrier(&format!("{region}.vodafone.ne.jp")), Some(Softbank));
            assert_eq!(carrier(&format!("jp-{region}.ne.jp")), Some(Softbank));
        }
        assert_eq!(carrier("disney.ne.jp"), Some(Softbank));
        assert_eq!(carrier("dk.pdx.ne.jp"), Some(Ymobile));
    }

    #[test]
    fn a_name_that_only_ends_alike_is_no_carrier() {
        for other in
            ["notdocomo.ne.jp", "x.docomo.ne.jp", "xezweb.ne.jp", "eau.com", "docomo.ne.jp.example", ""]
        {
            assert_eq!(carrier(other), None, "{other}");
        }
    }

    #[test]
    fn the_table_is_written_in_the_form_it_is_compared_in() {
        for (name, _, _) in TABLE {
            assert_eq!(
                crate::Domain::parse(name).map(|domain| domain.ascii().to_owned()),
                Ok((*name).to_owned())
            );
        }
    }
}
