//! Signing in, tokens, settings and the audit log, on both databases.
// Set-up functions outside #[test] may fail the test too.
#![allow(clippy::unwrap_used)]

use access::{Access, Caller, Error, Fixed, MIGRATIONS, OneTime, Origin, Right, Rights, limits};
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

async fn signed_in(access: &Access, first: &OneTime) -> (String, Caller) {
    let signed = access.sign_in(&first.name, &first.password, PEER, NOW).await.unwrap();
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
        let old = access.sign_in("admin", &first.password, PEER, NOW).await;
        assert!(matches!(old, Err(Error::WrongPassword)), "the one-time password is gone");
        access.sign_in("admin", "a much better one", PEER, NOW).await.unwrap();
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
        access.sign_in("admin", &reset.password, PEER, NOW).await.unwrap();
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
            let wrong = access.sign_in("admin", "guess", PEER, NOW).await;
            assert!(matches!(wrong, Err(Error::WrongPassword)));
        }
        let locked = access.sign_in("admin", &first.password, PEER, NOW).await;
        assert!(matches!(locked, Err(Error::Locked { wait_s: 15 })), "{locked:?}");
        let later = NOW + limits::LOCK_FIRST_US + 1;
        access.sign_in("admin", &first.password, PEER, later).await.unwrap();
        let elsewhere: IpAddr = "192.0.2.1".parse().unwrap();
        for _ in 0..limits::PEER_FAILURES_MAX {
            let wrong = access.sign_in("nobody", "guess", elsewhere, NOW).await;
            assert!(matches!(wrong, Err(Error::WrongPassword)));
        }
        let stopped = access.sign_in("nobody", "guess", elsewhere, NOW + SECOND).await;
        assert!(matches!(stopped, Err(Error::Locked { .. })));
        access.sign_in("admin", &first.password, PEER, later).await.unwrap();
        let after = access.sign_in("nobody", "guess", elsewhere, NOW + limits::PEER_WINDOW_US).await;
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
