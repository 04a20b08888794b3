//! Invitation and reset links: their address, and the mail that carries one.

use access::{LinkKind, PasswordLink};

use crate::state::AppState;

/// The address of a link. It leads to the pages: they answer under the public name, unless recipients have a listener of
/// their own, which knows no pages.
pub fn url(state: &AppState, link: &PasswordLink) -> String {
    let base = match state.settings().public_listen() {
        Some(_) => format!("http://{}", state.listen),
        None => state.public_url(),
    };
    format!("{base}/password/{}", link.token)
}

/// Sends a link to its account's address; says whether that was done. The link is shown to whoever made it in any case,
/// so a mail that cannot be sent now (no sender yet, say) is no failure of the invitation.
pub async fn mail(state: &AppState, link: &PasswordLink) -> bool {
    if link.email.is_empty() {
        return false;
    }
    let (subject, text) = words(&url(state, link), link);
    match state.deliveries.send_notice(&link.email, &subject, &text).await {
        Ok(_) => true,
        Err(error) => {
            tracing::warn!(%error, kind = link.kind.name(), "a link could not be mailed");
            false
        }
    }
}

/// Subject and text. In English: the reader's language is not known before they come.
fn words(url: &str, link: &PasswordLink) -> (String, String) {
    let (subject, first, until) = match link.kind {
        LinkKind::Invitation => (
            "Your invitation to Mailwright",
            format!("You have been invited to Mailwright as {}. Choose a password here:", link.name),
            "7 days",
        ),
        LinkKind::Reset => (
            "A new password for Mailwright",
            format!("A new password can be chosen for the user {} here:", link.name),
            "24 hours",
        ),
    };
    let text = format!(
        "{first}\n\n{url}\n\nThe link works once, within {until}. If you did not expect it, leave it unused: nothing \
         changes then.\n"
    );
    (subject.to_owned(), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mail_says_who_what_and_until_when() {
        let mut link = PasswordLink {
            kind: LinkKind::Invitation,
            name: "anna".into(),
            email: "anna@x.example".into(),
            token: "t".into(),
            expires: 0,
        };
        let (_, text) = words("https://m.example/password/t", &link);
        assert!(text.contains("as anna") && text.contains("\nhttps://m.example/password/t\n"), "{text}");
        assert!(text.contains("7 days"), "as long as access lets it live");
        assert_eq!(access::limits::INVITATION_AGE_MAX_US, 7 * 86_400_000_000);
        link.kind = LinkKind::Reset;
        assert!(words("u", &link).1.contains("24 hours"));
        assert_eq!(access::limits::RESET_AGE_MAX_US, 24 * 3_600_000_000);
    }
}
