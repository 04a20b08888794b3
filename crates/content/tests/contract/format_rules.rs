//! Format rules: the carriers' own, and the house's.

use content::{Error, FormatRule, rule_for};

use crate::room;

#[tokio::test]
async fn carriers_rules_are_there_from_the_start() {
    store::testing::each(|store| async move {
        let rules = room(store).await.format_rules().await.unwrap();
        let carrier = |domain: &str| rule_for(&rules, domain).map(|rule| rule.carrier.clone());
        assert_eq!(carrier("docomo.ne.jp").as_deref(), Some("docomo"));
        assert_eq!(carrier("ezweb.ne.jp").as_deref(), Some("au"));
        assert_eq!(carrier("softbank.ne.jp").as_deref(), Some("softbank"));
        assert_eq!(carrier("t.vodafone.ne.jp").as_deref(), Some("softbank"));
        assert_eq!(carrier("i.softbank.jp"), None);
        let docomo = rule_for(&rules, "docomo.ne.jp").unwrap();
        assert!(docomo.related && docomo.inline_images && !docomo.amp);
        assert_eq!((docomo.html_charset.as_str(), docomo.html_transfer.as_str()), ("Shift_JIS", "8bit"));
        assert_eq!((docomo.text_charset.as_str(), docomo.text_transfer.as_str()), ("ISO-2022-JP", "7bit"));
        assert_eq!(docomo.structure, "alternative");
    })
    .await;
}

#[tokio::test]
async fn a_rule_is_added_before_others_changed_and_removed() {
    store::testing::each(|store| async move {
        let content = room(store).await;
        let mine = FormatRule { mask: "*.ne.jp".into(), position: 1, ..FormatRule::default() };
        let mut saved = content.save_format_rule(mine).await.unwrap();
        assert!(saved.id > 0);
        let rules = content.format_rules().await.unwrap();
        assert_eq!(rule_for(&rules, "docomo.ne.jp").unwrap().id, saved.id);
        saved.structure = "text".into();
        assert_eq!(content.save_format_rule(saved.clone()).await.unwrap(), saved);
        assert_eq!(content.format_rules().await.unwrap()[0], saved);
        assert!(content.delete_format_rule(saved.id).await.unwrap());
        assert!(!content.delete_format_rule(saved.id).await.unwrap());
        assert!(matches!(content.save_format_rule(saved).await, Err(Error::NotFound(_))));
        let wrong = FormatRule { mask: "a b".into(), ..FormatRule::default() };
        assert!(matches!(content.save_format_rule(wrong).await, Err(Error::Refused(_))));
    })
    .await;
}
