//! Numbers and reasons in the journal's sentences.

/// A number with its thousands grouped: 20,000.
pub(crate) fn number(n: i64) -> String {
    let digits = n.unsigned_abs().to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if n < 0 {
        text.push('-');
    }
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 message`, `20,000 messages`.
pub(crate) fn counted(n: i64, one: &str, many: &str) -> String {
    format!("{} {}", number(n), if n == 1 { one } else { many })
}

/// An exclusion's reason in words.
pub(crate) fn exclusion(reason: &str) -> &str {
    match reason {
        "invalid_address" => "the address is not valid",
        "denylisted" => "on the denylist",
        "quarantined" => "the address is in quarantine",
        "suppressed" => "on the suppression list",
        "rule" => "a filtering rule",
        "pressure" => "had enough messages already",
        "capacity" => "over the capacity",
        "limit" => "over the limit",
        "control" => "in the control group",
        "duplicate" => "the address is in the target already",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        assert_eq!(number(0), "0");
        assert_eq!(number(999), "999");
        assert_eq!(number(20_000), "20,000");
        assert_eq!(number(-1_234_567), "-1,234,567");
        assert_eq!(counted(1, "message", "messages"), "1 message");
    }
}
