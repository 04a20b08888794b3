//! Signing in, tokens, settings and the audit log, on both databases.
// Set-up functions outside #[test] may fail the test too.
#![allow(clippy::unwrap_used)]

use access::{
    Access, AuditFilter, Browser, Caller, Deed, Error, Fixed, LinkKind, MIGRATIONS, OneTime, Origin, Profile,
    Right, Rights, SignIn, SignedIn, app_code, limits,
};
use std::net::{IpAddr, Ipv4Addr};
use store::testing::each;
use store::{Store, Vault};

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const SECOND: i64 = 1_000_000;
const NOW: i64 = 1_800_000_000 * SECOND;

async fn open(store: &Store, dir: &tempfile::TempDir, fixed: Fixed) -> (Access, Option<OneTime>) {
    store.migrate(&[MIGRATIONS]).await.unwrap();
    Access::open(store.clone(), Vault::open(dir.path()).unwrap(), fixed, NOW).await.unwrap()
}

fn browser(peer: IpAddr) -> Browser {
    Browser { peer, agent: "test".into() }
}

/// Signs in where there is no second factor.
async fn sign_in(
    access: &Access,
    name: &str,
    password: &str,
    peer: IpAddr,
    now: i64,
) -> Result<SignedIn, Error> {
    match access.sign_in(name, password, &browser(peer), now).await? {
        SignIn::Done(signed) => Ok(signed),
        SignIn::Code(_) => panic!("a second factor"),
    }
}

async fn signed_in(access: &Access, first: &OneTime) -> (String, Caller) {
    let signed = sign_in(access, &first.name, &first.password, PEER, NOW).await.unwrap();
    (signed.cookie, signed.caller)
}

#[tokio::test]
async fn the_first_start_makes_one_administrator() {
    each(|store| async move {
        let dir = tempfile::tempdir().unwrap();
        let (access, first) = open(&store, &dir, Fixed::default()).await;
        let first = first.unwrap();
        assert_eq!(first.name, "admin");
        let (_, again) = open(&store, &dir, Fixed::default()).await;
        assert!(again.is_none(), "only the first start");
        let (cookie, caller) = signed_in(&access, &first).await;
        assert!(caller.must_change_password);
        let weak = access.change_password(&caller, &first.password, "short", Some(&cookie), NOW).await;
        assert!(matches!(weak, Err(Error::WeakPassword(_))));
        let wrong = access.change_password(&caller, "wrong", "a much better one", Some(&cookie), NOW).await;
        assert!(matches!(wrong, Err(Error::WrongPassword)));
        access
            .change_password(&caller, &first.password, "a much better one", Some(&cookie), NOW)
            .await
            .unwrap();
        let caller = access.session(&cookie, NOW).await.unwrap().unwrap();
        assert!(!caller.must_change_password);
        let old = sign_in(&access, "admin", &first.password, PEER, NOW).await;
        assert!(matches!(old, Err(Error::WrongPassword)), "the one-time password is gone");
        sign_in(&access, "admin", "a much better one", PEER, NOW).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn sessions_end_by_idleness_age_reset_and_sign_out() {
    each(|store| async move {
        let dir = tempfile::tempdir().unwrap();
        let (access, first) = open(&store, &dir, Fixed::default()).await;
        let first = first.unwrap();
        let (cookie, _) = signed_in(&access, &first).await;
        assert!(access.session("nonsense", NOW).await.unwrap().is_none());
        let idle = limits::SESSION_IDLE_US;
        assert!(access.session(&cookie, NOW + idle).await.unwrap().is_some());
        assert!(access.session(&cookie, NOW + 2 * idle).await.unwrap().is_some(), "use keeps it open");
        assert!(access.session(&cookie, NOW + 3 * idle + 1).await.unwrap().is_none());
        let (cookie, _) = signed_in(&access, &first).await;
        let mut at = NOW;
        while at < NOW + limits::SESSION_AGE_MAX_US {
            assert!(access.session(&cookie, at).await.unwrap().is_some());
            at += idle;
        }
        assert!(access.session(&cookie, at + 1).await.unwrap().is_none(), "age ends it in any case");
        let (cookie, _) = signed_in(&access, &first).await;
        access.sign_out(&cookie).await.unwrap();
        assert!(access.session(&cookie, NOW).await.unwrap().is_none());
        let (cookie, _) = signed_in(&access, &first).await;
        let reset = access.reset_user("local", "admin", NOW).await.unwrap();
        assert!(access.session(&cookie, NOW).await.unwrap().is_none());
        sign_in(&access, "admin", &reset.password, PEER, NOW).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn guessing_is_slow_for_the_account_and_for_the_peer() {
    each(|store| async move {
        let dir = tempfile::tempdir().unwrap();
        let (access, first) = open(&store, &dir, Fixed::default()).await;
        let first = first.unwrap();
        for _ in 0..limits::FAILURES_FREE {
            let wrong = sign_in(&access, "admin", "guess", PEER, NOW).await;
            assert!(matches!(wrong, Err(Error::WrongPassword)));
        }
        let locked = sign_in(&access, "admin", &first.password, PEER, NOW).await;
        assert!(matches!(locked, Err(Error::Locked { wait_s: 15 })), "{locked:?}");
        let later = NOW + limits::LOCK_FIRST_US + 1;
        sign_in(&access, "admin", &first.password, PEER, later).await.unwrap();
        let elsewhere: IpAddr = "192.0.2.1".parse().unwrap();
        for _ in 0..limits::PEER_FAILURES_MAX {
            let wrong = sign_in(&access, "nobody", "guess", elsewhere, NOW).await;
            assert!(matches!(wrong, Err(Error::WrongPassword)));
        }
        let stopped = sign_in(&access, "nobody", "guess", elsewhere, NOW + SECOND).await;
        assert!(matches!(stopped, Err(Error::Locked { .. })));
        sign_in(&access, "admin", &first.password, PEER, later).await.unwrap();
        let after = sign_in(&access, "nobody", "guess", elsewhere, NOW + limits::PEER_WINDOW_US).await;
        assert!(matches!(after, Err(Error::WrongPassword)));
        let lines = access.audit(None, 10).await.unwrap();
        assert!(lines.iter().any(|line| line.action == "user.locked" && line.subject == "admin"));
    })
    .await;
}

#[tokio::test]
async fn accounts_and_tokens() {
    each(|store| async move {
        let dir = tempfile::tempdir().unwrap();
        let (access, _) = open(&store, &dir, Fixed::default()).await;
        let last = access.delete_user("local", "admin", NOW).await;
        assert!(matches!(last, Err(Error::LastAdministrator)));
        access.add_user("local", "anna", Rights::DAILY, NOW).await.unwrap();
        assert!(matches!(access.add_user("local", "anna", Rights::DAILY, NOW).await, Err(Error::Name(_))));
        assert!(matches!(access.add_user("local", "a b", Rights::DAILY, NOW).await, Err(Error::Name(_))));
        assert!(matches!(access.reset_user("local", "bob", NOW).await, Err(Error::NotFound(_))));
        let users = access.users().await.unwrap();
        assert_eq!(users.iter().map(|u| u.name.as_str()).collect::<Vec<_>>(), ["admin", "anna"]);
        assert_eq!((users[0].rights, users[1].rights), (Rights::ALL, Rights::DAILY));
        let anna =
            Caller { user: users[1].id, name: "anna".into(), rights: Rights::DAILY, ..Caller::local() };
        let (id, token) = access.create_token(&anna, "nightly", NOW).await.unwrap();
        assert!(token.starts_with("mw_"));
        assert_eq!(access.verify_token(&token, NOW).await.unwrap().unwrap(), anna);
        assert_eq!(access.tokens(anna.user).await.unwrap()[0].used, Some(NOW));
        assert!(access.verify_token("mw_nonsense", NOW).await.unwrap().is_none());
        let other = Caller { user: users[0].id, ..anna.clone() };
        assert!(matches!(access.revoke_token(&other, id, NOW).await, Err(Error::NotFound(_))));
        assert!(matches!(access.create_token(&Caller::local(), "x", NOW).await, Err(Error::NotFound(_))));
        access.revoke_token(&anna, id, NOW).await.unwrap();
        assert!(access.verify_token(&token, NOW).await.unwrap().is_none());
        let (_, token) = access.create_token(&anna, "again", NOW).await.unwrap();
        access.delete_user("admin", "anna", NOW).await.unwrap();
        assert!(access.verify_token(&token, NOW).await.unwrap().is_none());
        let actions: Vec<String> =
            access.audit(None, 100).await.unwrap().into_iter().map(|line| line.action).collect();
        assert_eq!(
            actions,
            ["user.delete", "token.create", "token.revoke", "token.create", "user.add", "user.add"]
        );
    })
    .await;
}

#[tokio::test]
async fn rights_are_given_and_one_administrator_stays() {
    each(|store| async move {
        let dir = tempfile::tempdir().unwrap();
        let (access, first) = open(&store, &dir, Fixed::default()).await;
        let (cookie, caller) = signed_in(&access, &first.unwrap()).await;
        assert!(Right::ALL.into_iter().all(|right| caller.may(right)), "the first account may everything");
        let none = access.set_rights("local", "admin", Rights::DAILY, NOW).await;
        assert!(matches!(none, Err(Error::LastAdministrator)));
        access.add_user("local", "anna", Rights::of([Right::Prepare]), NOW).await.unwrap();
        access.set_rights("admin", "anna", Rights::of([Right::Administer]), NOW).await.unwrap();
        access.set_rights("anna", "admin", Rights::of([Right::Prepare]), NOW).await.unwrap();
        let caller = access.session(&cookie, NOW).await.unwrap().unwrap();
        assert!(
            caller.may(Right::Prepare) && !caller.may(Right::Administer),
            "an open session has them at once"
        );
        let last = access.delete_user("local", "anna", NOW).await;
        assert!(matches!(last, Err(Error::LastAdministrator)));
        let line = access.audit(None, 1).await.unwrap().remove(0);
        assert_eq!(
            (line.action.as_str(), line.subject.as_str(), line.detail.as_str()),
            ("user.rights", "admin", "prepare")
        );
    })
    .await;
}

#[tokio::test]
async fn settings_are_stored_sealed_and_watched() {
    each(|store| async move {
        let dir = tempfile::tempdir().unwrap();
        let fixed = Fixed::read(Some("mta.port = 2525"), []).unwrap();
        let (access, _) = open(&store, &dir, fixed.clone()).await;
        let mut watch = access.watch();
        access.set("admin", "mta.retry.period", "2h", NOW).await.unwrap();
        assert!(watch.has_changed().unwrap());
        assert_eq!(watch.borrow_and_update().retry_period().seconds(), 7_200);
        assert_eq!(access.settings().origin("mta.retry.period"), Origin::Database);
        for (key, value) in [
            ("mta.port", "26"),
            ("listen", "1.2.3.4:5"),
            ("mta.retry.period", "soon"),
            ("feedback.listen", "0.0.0.0:25"),
        ] {
            let refused = access.set("admin", key, value, NOW).await;
            assert!(matches!(refused, Err(Error::Setting(_))), "{key}: {refused:?}");
        }
        assert!(matches!(access.set("admin", "no.such", "", NOW).await, Err(Error::NotFound(_))));
        access.set("admin", "mta.relay", "smtp://u:hush@relay.example", NOW).await.unwrap();
        let leaked = store
            .read(|tx| {
                let sql = "SELECT count(*) FROM setting WHERE value LIKE '%hush%'";
                let plain = tx.query_one(sql, &[], |row| row.int(0))?;
                let sql = "SELECT count(*) FROM audit WHERE detail LIKE '%hush%'";
                Ok::<_, store::Error>(plain + tx.query_one(sql, &[], |row| row.int(0))?)
            })
            .await
            .unwrap();
        assert_eq!(leaked, 0);
        let (again, _) = open(&store, &dir, fixed).await;
        assert_eq!(again.settings().relay().unwrap().login.as_ref().unwrap().1, "hush");
        assert_eq!((again.settings().smtp_port(), again.settings().origin("mta.port")), (2525, Origin::File));
        access.set("admin", "mta.relay", "", NOW).await.unwrap();
        assert!(access.settings().relay().is_none());
    })
    .await;
}

#[tokio::test]
async fn the_local_token_is_private_and_new_each_time() {
    store::testing::sqlite(|store| async move {
        let dir = tempfile::tempdir().unwrap();
        let (access, _) = open(&store, &dir, Fixed::default()).await;
        assert!(!access.is_local_token("mwlocal_"));
        access.write_local_token(dir.path()).unwrap();
        let path = dir.path().join(access::LOCAL_TOKEN_FILE);
        let first = std::fs::read_to_string(&path).unwrap();
        assert!(access.is_local_token(&first));
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        access.write_local_token(dir.path()).unwrap();
        assert!(!access.is_local_token(&first));
        assert!(access.verify_token(&first, NOW).await.unwrap().is_none());
    })
    .await;
}

/// An account with a password of its own, signed in.
async fn anna(access: &Access) -> (String, Caller) {
    let made = access.add_user("local", "anna", Rights::DAILY, NOW).await.unwrap();
    let (cookie, caller) = signed_in(access, &made).await;
    access.change_password(&caller, &made.password, PASSWORD, Some(&cookie), NOW).await.unwrap();
    (cookie.clone(), access.session(&cookie, NOW).await.unwrap().unwrap())
}

const PASSWORD: &str = "a much better one";

#[tokio::test]
async fn an_invitation_works_once_and_for_a_week() {
    each(|store| async move {
        let dir = tempfile::tempdir().unwrap();
        let (access, _) = open(&store, &dir, Fixed::default()).await;
        let rights = Rights::of([Right::Prepare]);
        let bad = access.invite("admin", "anna", "no address", rights, NOW).await;
        assert!(matches!(bad, Err(Error::Preference(_))));
        let link = access.invite("admin", "anna", "anna@x.example", rights, NOW).await.unwrap();
        assert_eq!((link.kind, link.expires), (LinkKind::Invitation, NOW + limits::INVITATION_AGE_MAX_US));
        let user = access.user("anna").await.unwrap();
        assert!(user.invited && user.link_until == Some(link.expires) && user.rights == rights);
        for guess in ["", "*", "anna"] {
            let early = sign_in(&access, "anna", guess, PEER, NOW).await;
            assert!(matches!(early, Err(Error::WrongPassword)), "no password lets in yet");
        }
        assert!(matches!(access.look_at_link("nonsense", NOW).await, Err(Error::Link)));
        assert_eq!(access.look_at_link(&link.token, NOW).await.unwrap().name, "anna");
        let late = access.use_link(&link.token, PASSWORD, &browser(PEER), link.expires).await;
        assert!(matches!(late, Err(Error::Link)));
        let again = access.password_link("admin", "anna", NOW).await.unwrap();
        assert_eq!(again.kind, LinkKind::Invitation);
        let old = access.use_link(&link.token, PASSWORD, &browser(PEER), NOW).await;
        assert!(matches!(old, Err(Error::Link)), "the newer link replaces it");
        let weak = access.use_link(&again.token, "short", &browser(PEER), NOW).await;
        assert!(matches!(weak, Err(Error::WeakPassword(_))), "and the link stays");
        let entry = access.use_link(&again.token, PASSWORD, &browser(PEER), NOW).await.unwrap();
        let SignIn::Done(signed) = entry else { panic!("no second factor is on") };
        assert!(signed.caller.may(Right::Prepare) && !signed.caller.must_change_password);
        let twice = access.use_link(&again.token, "something else", &browser(PEER), NOW).await;
        assert!(matches!(twice, Err(Error::Link)));
        assert!(!access.user("anna").await.unwrap().invited);
        sign_in(&access, "anna", PASSWORD, PEER, NOW).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_reset_link_ends_sessions_and_a_changed_password_ends_the_link() {
    each(|store| async move {
        let dir = tempfile::tempdir().unwrap();
        let (access, _) = open(&store, &dir, Fixed::default()).await;
        let (cookie, caller) = anna(&access).await;
        let link = access.password_link("anna", "anna", NOW).await.unwrap();
        assert_eq!((link.kind, link.expires), (LinkKind::Reset, NOW + limits::RESET_AGE_MAX_US));
        sign_in(&access, "anna", PASSWORD, PEER, NOW).await.unwrap();
        access.change_password(&caller, PASSWORD, "yet another one", Some(&cookie), NOW).await.unwrap();
        let dead = access.use_link(&link.token, "from an old mail", &browser(PEER), NOW).await;
        assert!(matches!(dead, Err(Error::Link)));
        let link = access.password_link("anna", "anna", NOW).await.unwrap();
        access.use_link(&link.token, "from a new mail", &browser(PEER), NOW).await.unwrap();
        assert!(access.session(&cookie, NOW).await.unwrap().is_none());
        let none = access.password_link("anna", "nobody", NOW).await;
        assert!(matches!(none, Err(Error::NotFound(_))));
    })
    .await;
}

#[tokio::test]
async fn the_second_factor_is_asked_for_and_each_code_works_once() {
    each(|store| async move {
        let dir = tempfile::tempdir().unwrap();
        let (access, _) = open(&store, &dir, Fixed::default()).await;
        let (_, caller) = anna(&access).await;
        let new = access.new_second_factor(&caller).unwrap();
        let code = |at: i64| app_code(&new.text, at).unwrap();
        let wrong = access.set_second_factor(&caller, PASSWORD, &new.text, "000000", NOW).await;
        assert!(matches!(wrong, Err(Error::Code)));
        let wrong = access.set_second_factor(&caller, "guess", &new.text, &code(NOW), NOW).await;
        assert!(matches!(wrong, Err(Error::WrongPassword)));
        let spare = access.set_second_factor(&caller, PASSWORD, &new.text, &code(NOW), NOW).await.unwrap();
        assert_eq!(spare.len(), limits::RECOVERY_CODES);
        assert!(access.user("anna").await.unwrap().totp);

        let ticket =
            async |now: i64| match access.sign_in("anna", PASSWORD, &browser(PEER), now).await.unwrap() {
                SignIn::Code(ticket) => ticket,
                SignIn::Done(_) => panic!("the password alone let in"),
            };
        let first = ticket(NOW).await;
        assert!(access.session(&first.0, NOW).await.unwrap().is_none(), "the ticket is no session");
        let used = access.second_factor(&first, &code(NOW), &browser(PEER), NOW).await;
        assert!(matches!(used, Err(Error::Code)), "the code that switched it on");
        let later = NOW + 60 * SECOND;
        access.second_factor(&first, &code(later), &browser(PEER), later).await.unwrap();
        let again = access.second_factor(&first, &code(later + 60 * SECOND), &browser(PEER), later).await;
        assert!(matches!(again, Err(Error::Link)), "a ticket is for one sign-in");
        let late = ticket(later).await;
        let at = later + limits::SECOND_FACTOR_WAIT_US + 1;
        let too_late = access.second_factor(&late, &code(at), &browser(PEER), at).await;
        assert!(matches!(too_late, Err(Error::Link)));

        let two = (ticket(later).await, ticket(later).await);
        access.second_factor(&two.0, &spare[0].to_string(), &browser(PEER), later).await.unwrap();
        assert_eq!(access.recovery_codes_left(caller.user).await.unwrap(), 9);
        let third = ticket(later).await;
        let spent = access.second_factor(&third, &spare[0], &browser(PEER), later).await;
        assert!(matches!(spent, Err(Error::Code)));
        let fresh = access.renew_recovery_codes(&caller, PASSWORD, later).await.unwrap();
        let old = access.second_factor(&third, &spare[1], &browser(PEER), later).await;
        assert!(matches!(old, Err(Error::Code)), "new codes replace the old ones");
        access.second_factor(&third, &fresh[1].replace('-', " "), &browser(PEER), later).await.unwrap();
        access.drop_second_factor(&caller, PASSWORD, later).await.unwrap();
        sign_in(&access, "anna", PASSWORD, PEER, later).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn codes_cannot_be_guessed_and_a_link_does_not_go_round_them() {
    each(|store| async move {
        let dir = tempfile::tempdir().unwrap();
        let (access, _) = open(&store, &dir, Fixed::default()).await;
        let (_, caller) = anna(&access).await;
        let new = access.new_second_factor(&caller).unwrap();
        let code = app_code(&new.text, NOW).unwrap();
        access.set_second_factor(&caller, PASSWORD, &new.text, &code, NOW).await.unwrap();
        let sealed = store
            .read(|tx| {
                tx.query_one("SELECT totp FROM account WHERE totp IS NOT NULL", &[], |row| row.blob(0))
            })
            .await
            .unwrap();
        assert!(!sealed.windows(8).any(|octets| new.text.as_bytes().windows(8).any(|text| text == octets)));
        let link = access.password_link("admin", "anna", NOW).await.unwrap();
        let entry = access.use_link(&link.token, "from a stolen mail", &browser(PEER), NOW).await.unwrap();
        let SignIn::Code(ticket) = entry else { panic!("a mailbox alone let in") };
        for _ in 0..limits::FAILURES_FREE {
            let wrong = access.second_factor(&ticket, "123456", &browser(PEER), NOW).await;
            assert!(matches!(wrong, Err(Error::Code)), "{wrong:?}");
        }
        let locked = access.second_factor(&ticket, "123456", &browser(PEER), NOW).await;
        assert!(matches!(locked, Err(Error::Locked { .. })), "{locked:?}");
        let locked = access.sign_in("anna", "from a stolen mail", &browser(PEER), NOW).await;
        assert!(matches!(locked, Err(Error::Locked { .. })), "the password does not lift it");
        access.clear_second_factor("local", "anna", NOW).await.unwrap();
        assert!(!access.user("anna").await.unwrap().totp);
        assert_eq!(access.recovery_codes_left(caller.user).await.unwrap(), 0);
    })
    .await;
}

#[tokio::test]
async fn sessions_are_listed_and_ended_by_their_owner_only() {
    each(|store| async move {
        let dir = tempfile::tempdir().unwrap();
        let (access, first) = open(&store, &dir, Fixed::default()).await;
        let (admins, admin) = signed_in(&access, &first.unwrap()).await;
        let (cookie, caller) = anna(&access).await;
        let elsewhere: IpAddr = "192.0.2.1".parse().unwrap();
        let other = sign_in(&access, "anna", PASSWORD, elsewhere, NOW + SECOND).await.unwrap();
        let list = access.sessions(caller.user, Some(&cookie), NOW + SECOND).await.unwrap();
        assert_eq!(list.len(), 2);
        assert_eq!(
            (list[0].peer.as_str(), list[0].agent.as_str(), list[0].own),
            ("192.0.2.1", "test", false)
        );
        assert!(list[1].own);
        let foreign = access.end_session(&admin, &list[0].id, NOW).await;
        assert!(matches!(foreign, Err(Error::NotFound(_))));
        for nonsense in ["", "zz", "é1", "abc"] {
            assert!(matches!(access.end_session(&caller, nonsense, NOW).await, Err(Error::NotFound(_))));
        }
        access.end_session(&caller, &list[0].id, NOW).await.unwrap();
        assert!(access.session(&other.cookie, NOW).await.unwrap().is_none());
        sign_in(&access, "anna", PASSWORD, elsewhere, NOW).await.unwrap();
        assert_eq!(access.end_other_sessions(&caller, Some(&cookie), NOW).await.unwrap(), 1);
        assert!(access.session(&cookie, NOW).await.unwrap().is_some());
        assert!(access.session(&admins, NOW).await.unwrap().is_some(), "another person's stays");
    })
    .await;
}

#[tokio::test]
async fn a_profile_is_part_of_the_caller() {
    each(|store| async move {
        let dir = tempfile::tempdir().unwrap();
        let (access, _) = open(&store, &dir, Fixed::default()).await;
        let (cookie, caller) = anna(&access).await;
        let profile = |language: &str, zone: &str, email: &str| Profile {
            language: language.into(),
            time_zone: zone.into(),
            email: email.into(),
        };
        for bad in [
            profile("a b", "", ""),
            profile("", "Mars/Base", ""),
            profile("", "", "a@b.example, c@d.example"),
        ] {
            let refused = access.set_profile(&caller, bad.clone(), NOW).await;
            assert!(matches!(refused, Err(Error::Preference(_))), "{bad:?}");
        }
        access.set_profile(&caller, profile("ja", "Asia/Tokyo", "anna@x.example"), NOW).await.unwrap();
        let caller = access.session(&cookie, NOW).await.unwrap().unwrap();
        assert_eq!((caller.language.as_str(), caller.time_zone.as_str()), ("ja", "Asia/Tokyo"));
        assert_eq!(access.user("anna").await.unwrap().email, "anna@x.example");
    })
    .await;
}

#[tokio::test]
async fn the_audit_log_filters_merges_and_forgets_after_180_days() {
    each(|store| async move {
        let dir = tempfile::tempdir().unwrap();
        let (access, _) = open(&store, &dir, Fixed::default()).await;
        let deed = |actor: &str, action: &str, subject: &str| Deed {
            actor: actor.into(),
            action: action.into(),
            subject: subject.into(),
            detail: String::new(),
        };
        access.note(deed("anna", "delivery.confirm", "7"), NOW + 1).await.unwrap();
        access.note(deed("bob", "delivery.pause", "7"), NOW + 2).await.unwrap();
        access.note(deed("bob", "deliveryx.y", "7"), NOW + 3).await.unwrap();
        for second in 0..3 {
            access.note_once(deed("bob", "delivery.edit", "8"), NOW + second * SECOND).await.unwrap();
        }
        access.note_once(deed("bob", "delivery.edit", "8"), NOW + limits::AUDIT_MERGE_US).await.unwrap();
        let found = async |filter: AuditFilter| {
            let lines = access.audit_lines(&filter, None, 100).await.unwrap();
            lines.into_iter().map(|line| format!("{} {}", line.actor, line.action)).collect::<Vec<_>>()
        };
        let all = AuditFilter::default;
        assert_eq!(
            found(AuditFilter { action: "delivery.confirm".into(), ..all() }).await,
            ["anna delivery.confirm"]
        );
        let of_room = found(AuditFilter { action: "delivery.".into(), ..all() }).await;
        assert_eq!(of_room.len(), 4, "two edits stand ten minutes apart: {of_room:?}");
        let bobs = AuditFilter { actor: "bob".into(), subject: "7".into(), ..all() };
        assert_eq!(found(bobs).await, ["bob deliveryx.y", "bob delivery.pause"]);
        let span = AuditFilter { from: Some(NOW + 1), until: Some(NOW + 3), ..all() };
        assert_eq!(found(span).await, ["bob delivery.pause", "anna delivery.confirm"]);
        let (actors, actions) = access.audit_words().await.unwrap();
        assert!(actors.contains(&"bob".to_string()) && actions.contains(&"user.add".to_string()));
        let page = access.audit_lines(&all(), None, 2).await.unwrap();
        let next = access.audit_lines(&all(), Some(page[1].id), 100).await.unwrap();
        assert!(next.iter().all(|line| line.id < page[1].id) && next.len() == 4);

        let edge = NOW + 2 + limits::AUDIT_KEPT_US;
        assert_eq!(access.purge(edge).await.unwrap(), 3, "older than 180 days, and not those at the edge");
        assert_eq!(access.audit(None, 100).await.unwrap().len(), 3);
    })
    .await;
}

#[tokio::test]
async fn the_purge_takes_dead_links_and_sessions() {
    each(|store| async move {
        let dir = tempfile::tempdir().unwrap();
        let (access, _) = open(&store, &dir, Fixed::default()).await;
        anna(&access).await;
        access.password_link("admin", "anna", NOW).await.unwrap();
        access.purge(NOW + 1).await.unwrap();
        assert!(access.user("anna").await.unwrap().link_until.is_some());
        access.purge(NOW + limits::RESET_AGE_MAX_US).await.unwrap();
        assert!(access.user("anna").await.unwrap().link_until.is_none());
        let left = store
            .read(|tx| tx.query_one("SELECT count(*) FROM session", &[], |row| row.int(0)))
            .await
            .unwrap();
        assert_eq!(left, 0);
    })
    .await;
}
