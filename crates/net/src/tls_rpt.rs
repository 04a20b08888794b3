//! Who wants to hear of failed TLS (RFC 8460 section 3): the record under `_smtp._tls`.

/// Addresses taken of a record.
const ADDRESSES_MAX: usize = 5;

/// Where a report goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ReportTo {
    /// A mailbox.
    Mail(String),
    /// A web address (https).
    Web(String),
}

/// Where the record of a domain stands.
pub fn tls_rpt_name(domain: &str) -> String {
    format!("_smtp._tls.{domain}")
}

/// The addresses in the texts of [`tls_rpt_name`], in their order. Empty: no reports are wanted, also where several texts
/// claim to be the record (RFC 8460 section 3).
pub fn report_addresses(texts: &[String]) -> Vec<ReportTo> {
    let mut claiming = texts.iter().filter(|text| text.starts_with("v=TLSRPTv1;"));
    let (Some(text), None) = (claiming.next(), claiming.next()) else { return Vec::new() };
    let Some(list) = text.split(';').skip(1).find_map(|field| field.trim().strip_prefix("rua=")) else {
        return Vec::new();
    };
    let addresses = list.split(',').filter_map(|address| {
        let address = address.trim();
        let scheme = |name: &str| {
            let begin = address.get(..name.len())?;
            begin.eq_ignore_ascii_case(name).then(|| &address[name.len()..])
        };
        match (scheme("mailto:"), scheme("https:")) {
            (Some(mailbox), _) if mailbox.contains('@') => Some(ReportTo::Mail(mailbox.to_owned())),
            (_, Some(_)) => Some(ReportTo::Web(address.to_owned())),
            _ => None,
        }
    });
    addresses.take(ADDRESSES_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(texts: &[&str]) -> Vec<ReportTo> {
        report_addresses(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn rfc_8460_3_addresses_are_read_from_exactly_one_record() {
        let both = read(&["v=TLSRPTv1; rua=mailto:reports@example.com,https://reports.example.com/v1"]);
        let mail = ReportTo::Mail("reports@example.com".to_owned());
        assert_eq!(both, [mail.clone(), ReportTo::Web("https://reports.example.com/v1".to_owned())]);
        assert_eq!(read(&["v=spf1", "v=TLSRPTv1;rua=MAILTO:reports@example.com"]), [mail]);
        for texts in [
            &[][..],
            &["v=TLSRPTv1"],
            &["v=TLSRPTv1; rua=reports@example.com"],
            &["v=TLSRPTv1; rua=http://reports.example.com"],
            &["v=TLSRPTv1; rua=mailto:a@b.example", "v=TLSRPTv1; rua=mailto:c@d.example"],
        ] {
            assert_eq!(read(texts), [], "{texts:?}");
        }
    }
}
