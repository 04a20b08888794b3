//! Answers that a wildcard of a signed zone gave (RFC 4592): proven when their signatures are right, and when it is proven too
//! that no name closer to the one that was asked about is there (RFC 4035 section 5.3.4).
//!
//! The library judges the second with NSEC3; with NSEC it wants a record that covers the wildcard's own name, which a zone
//! that has the wildcard cannot show, and so takes the ordinary case, a name right below the wildcard's parent, for a
//! forgery. It is judged here then, from the records whose signatures the library has checked.

use hickory_resolver::proto::dnssec::rdata::{DNSSECRData, NSEC, RRSIG};
use hickory_resolver::proto::dnssec::{DnssecSummary, Proof};
use hickory_resolver::proto::op::DnsResponse;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

/// Whether an answer holds, although the library found the proof of absence beside it wanting: all of it is signed
/// rightly, some of it stands for a wildcard, and for each such name there is no closer one.
pub(super) fn hold(response: &DnsResponse) -> bool {
    let answers = &response.answers;
    // Of several signatures only the one that was checked carries a proof.
    if DnssecSummary::from_records(answers.iter()) != DnssecSummary::Secure {
        return false;
    }
    let mut expanded = answers.iter().filter_map(expanded).peekable();
    expanded.peek().is_some()
        && expanded.all(|(name, signature)| {
            let parent_labels = signature.input().num_labels;
            let proofs = response.authorities.iter().filter_map(|record| nsec(record, response, signature));
            proofs.into_iter().any(|(owner, nsec)| is_closest(name, parent_labels, owner, nsec))
        })
}

/// The signature of records that a wildcard stands for: made over fewer labels than their name has.
fn expanded(record: &Record) -> Option<(&Name, &RRSIG)> {
    match &record.data {
        RData::DNSSEC(DNSSECRData::RRSIG(signature))
            if record.proof == Proof::Secure && signature.input().num_labels < record.name.num_labels() =>
        {
            Some((&record.name, signature))
        }
        _ => None,
    }
}

/// A proof of absence that is signed rightly, by the zone that signed the answer.
fn nsec<'a>(record: &'a Record, response: &DnsResponse, signature: &RRSIG) -> Option<(&'a Name, &'a NSEC)> {
    let RData::DNSSEC(DNSSECRData::NSEC(nsec)) = &record.data else { return None };
    let of_zone = response.authorities.iter().any(|other| match &other.data {
        RData::DNSSEC(DNSSECRData::RRSIG(own)) => {
            other.name == record.name
                && own.input().type_covered == RecordType::NSEC
                && own.input().signer_name == signature.input().signer_name
        }
        _ => false,
    });
    (of_zone && record.proof == Proof::Secure).then_some((&record.name, nsec))
}

/// Whether this record proves that the name is not there, and that nothing between it and the wildcard's parent (of so many
/// labels) is.
fn is_closest(name: &Name, parent_labels: u8, owner: &Name, nsec: &NSEC) -> bool {
    // RFC 6840 section 4.1: at a delegation the parent's record says nothing about what lies below.
    if nsec.is_ancestor_delegation() && owner.zone_of(name) {
        return false;
    }
    let next = nsec.next_domain_name();
    let covers = name > owner && (name < next || (next <= owner && next.zone_of(name)));
    // The neighbours of a name that is not there show its closest encloser: the longest end that it shares with them.
    covers && shared_labels(name, owner).max(shared_labels(name, next)) == usize::from(parent_labels)
}

fn shared_labels(one: &Name, other: &Name) -> usize {
    one.iter().rev().zip(other.iter().rev()).take_while(|(a, b)| a.eq_ignore_ascii_case(b)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).expect(text)
    }

    fn says(asked: &str, parent_labels: u8, owner: &str, next: &str, kinds: &[RecordType]) -> bool {
        let nsec = NSEC::new(name(next), kinds.iter().copied());
        is_closest(&name(asked), parent_labels, &name(owner), &nsec)
    }

    #[test]
    fn rfc_4035_5_3_4_a_wildcard_stands_where_nothing_closer_is() {
        let mx = &[RecordType::MX];
        // `*.w.example` with `taken.w.example` behind it.
        assert!(says("any.w.example.", 2, "*.w.example.", "taken.w.example.", mx));
        assert!(says("ANY.W.example.", 2, "*.w.example.", "taken.w.example.", mx));
        assert!(says("a.b.w.example.", 2, "*.w.example.", "taken.w.example.", mx));
        // The last of the zone.
        assert!(says("zoo.w.example.", 2, "taken.w.example.", "example.", mx));
        // Something closer is there: below it the wildcard does not stand.
        assert!(!says("a.taken.w.example.", 2, "taken.w.example.", "z.w.example.", mx));
        assert!(!says("a.b.w.example.", 2, "*.w.example.", "c.b.w.example.", mx));
        // It covers another name, or is the name itself.
        assert!(!says("zoo.w.example.", 2, "*.w.example.", "taken.w.example.", mx));
        assert!(!says("taken.w.example.", 2, "taken.w.example.", "z.w.example.", mx));
        // The wildcard that signed is further up than the closest encloser.
        assert!(!says("any.w.example.", 1, "*.w.example.", "taken.w.example.", mx));
        // A delegation says nothing about what lies below it.
        assert!(!says("any.w.example.", 2, "w.example.", "x.example.", &[RecordType::NS]));
    }
}
