//! Blocks: kept, changed, refused, removed.

use content::{Error, StoredBlock};

use crate::{NOW, room};

fn block(name: &str, html: &str) -> StoredBlock {
    StoredBlock { name: name.into(), html: html.into(), visible: true, ..StoredBlock::default() }
}

#[tokio::test]
async fn a_block_is_saved_changed_and_removed() {
    store::testing::each(|store| async move {
        let content = room(store).await;
        let saved = content.save_block(block(" footer ", "<p>{{ city }}</p>"), NOW).await.unwrap();
        assert_eq!((saved.name.as_str(), saved.label.as_str(), saved.updated_at), ("footer", "footer", NOW));
        content.save_block(block("Address", "x"), NOW).await.unwrap();
        let changed = StoredBlock { text: "T".into(), visible: false, ..block("footer", "H") };
        content.save_block(changed, NOW + 1).await.unwrap();
        let found = content.block("footer").await.unwrap().unwrap();
        assert_eq!((found.text.as_str(), found.visible, found.updated_at), ("T", false, NOW + 1));
        assert_eq!(content.blocks().await.unwrap().len(), 2);
        assert_eq!(content.block_sources().await.unwrap()["footer"].html, "H");
        assert!(content.delete_block("footer").await.unwrap());
        assert!(!content.delete_block("footer").await.unwrap());
        assert_eq!(content.block("footer").await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn a_broken_block_is_refused_at_its_place() {
    store::testing::sqlite(|store| async move {
        let content = room(store).await;
        match content.save_block(block("a", "x\n{% if %}"), NOW).await {
            Err(Error::Refused(problem)) => assert_eq!((problem.part.as_str(), problem.line), ("html", 2)),
            other => panic!("{other:?}"),
        }
        for name in ["", "a/b", "a\"b"] {
            assert!(matches!(content.save_block(block(name, "x"), NOW).await, Err(Error::Refused(_))));
        }
        let large = block("a", &"x".repeat(content::limits::BLOCK_SIZE_MAX + 1));
        assert!(matches!(content.save_block(large, NOW).await, Err(Error::Refused(_))));
    })
    .await;
}
