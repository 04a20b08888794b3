//! Files: by hash, under names, until they expire.

use content::limits::{FILES_MAX, IMAGE_SIDE_MAX, IMAGE_SIZE_MAX, UNUSED_KEPT_US};
use content::{Content, Error, Owner, hold_assets};
use store::{Lane, Store};

use crate::{NOW, room};

/// Enough of a PNG for its type and size; `tail` makes it another file.
fn png(width: u32, tail: &str) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
    bytes.extend(width.to_be_bytes());
    bytes.extend(20u32.to_be_bytes());
    bytes.extend(tail.as_bytes());
    bytes
}

const ONE: Owner = Owner::Delivery(1);
const TWO: Owner = Owner::Delivery(2);

#[tokio::test]
async fn bytes_are_kept_once_and_found_by_hash() {
    store::testing::each(|store| async move {
        let content = room(store).await;
        let asset = content.upload(ONE, "assets/img/logo.png", png(600, "a"), NOW).await.unwrap();
        assert_eq!((asset.name.as_str(), asset.content_type.as_str()), ("img/logo.png", "image/png"));
        assert_eq!((asset.width, asset.height, asset.size, asset.inline), (600, 20, 25, false));
        let same = content.upload(TWO, "other.png", png(600, "a"), NOW).await.unwrap();
        assert_eq!(same.hash, asset.hash);
        let found = content.asset(&asset.hash).await.unwrap().unwrap();
        assert_eq!((found.content_type.as_str(), &*found.bytes), ("image/png", &png(600, "a")[..]));
        assert_eq!(content.asset("../etc").await.unwrap(), None);
        assert_eq!(content.asset(&"0".repeat(64)).await.unwrap(), None);
        // A file under a name is replaced, and the choice to inline it stays.
        assert!(content.set_inline(ONE, "img/logo.png", true).await.unwrap());
        let replaced = content.upload(ONE, "img/logo.png", png(600, "b"), NOW).await.unwrap();
        assert!(replaced.hash != asset.hash && replaced.inline);
        assert_eq!(content.assets(ONE).await.unwrap(), [replaced]);
        assert!(content.remove_asset(ONE, "./assets/img/logo.png").await.unwrap());
        assert!(!content.remove_asset(ONE, "img/logo.png").await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn known_bytes_get_a_name_without_being_sent_again() {
    store::testing::each(|store| async move {
        let content = room(store.clone()).await;
        let asset = content.upload(ONE, "a.png", png(1, "a"), NOW).await.unwrap();
        let hashes = vec![asset.hash.clone(), "0".repeat(64)];
        assert_eq!(content.known_hashes(hashes).await.unwrap(), std::slice::from_ref(&asset.hash));
        let used = content.use_asset(TWO, "assets/b.png", &asset.hash).await.unwrap();
        assert_eq!((used.name.as_str(), used.width), ("b.png", 1));
        assert!(matches!(content.use_asset(TWO, "c.png", &"0".repeat(64)).await, Err(Error::NotFound(_))));
        // Some use has no end; then all have, and the last one counts.
        assert_eq!(content.asset(&asset.hash).await.unwrap().unwrap().until_us, None);
        content.expire_assets(ONE, NOW + 5).await.unwrap();
        assert_eq!(content.asset(&asset.hash).await.unwrap().unwrap().until_us, None);
        content.expire_assets(TWO, NOW + 9).await.unwrap();
        assert_eq!(content.asset(&asset.hash).await.unwrap().unwrap().until_us, Some(NOW + 9));
    })
    .await;
}

#[tokio::test]
async fn only_images_are_public() {
    store::testing::sqlite(|store| async move {
        let content = room(store).await;
        let image = content.upload(ONE, "a.png", png(1, ""), NOW).await.unwrap();
        let terms = content.upload(ONE, "terms.pdf", b"%PDF-1.7".to_vec(), NOW).await.unwrap();
        assert!(content.public_image(&image.file_name()).await.unwrap().is_some());
        assert!(content.public_image(&image.hash).await.unwrap().is_none());
        assert!(content.public_image(&format!("{}.html", image.hash)).await.unwrap().is_none());
        assert!(terms.file_name().ends_with(".pdf"));
        assert!(content.public_image(&terms.file_name()).await.unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn the_library_is_for_all_and_own_files_come_first() {
    store::testing::each(|store| async move {
        let content = room(store).await;
        let shared = content.upload(Owner::Library, "logo.png", png(1, ""), NOW).await.unwrap();
        content.upload(Owner::Library, "a.png", png(2, ""), NOW).await.unwrap();
        let own = content.upload(ONE, "a.png", png(3, ""), NOW).await.unwrap();
        assert_eq!(content.assets_for(ONE).await.unwrap(), [own.clone(), shared]);
        assert_eq!(content.assets_for(TWO).await.unwrap().len(), 2);
        content.copy_assets(ONE, Owner::Template(7)).await.unwrap();
        assert_eq!(content.assets(Owner::Template(7)).await.unwrap(), [own]);
    })
    .await;
}

#[tokio::test]
async fn what_does_not_fit_is_refused() {
    store::testing::sqlite(|store| async move {
        let content = room(store).await;
        let refused = |name: &'static str, bytes: Vec<u8>| {
            let content = content.clone();
            async move {
                match content.upload(ONE, name, bytes, NOW).await {
                    Err(Error::Refused(problem)) => problem.to_string(),
                    other => panic!("{name}: {other:?}"),
                }
            }
        };
        assert!(refused("a.png", b"<html>".to_vec()).await.contains("is no image"));
        let mut large = png(1, "");
        large.resize(IMAGE_SIZE_MAX + 1, 0);
        assert!(refused("a.png", large).await.contains("an image may have 5120 KB"));
        assert!(refused("a.png", png(IMAGE_SIDE_MAX + 1, "")).await.contains("pixels"));
        for name in ["", "/a.png", "../a.png", "a/../b.png", "a\nb.png", "a//b.png", "{{ a }}.png"] {
            assert!(refused(name, png(1, "")).await.contains("cannot be a file's name"), "{name}");
        }
        for number in 0..FILES_MAX {
            content.upload(ONE, &format!("{number}.png"), png(1, ""), NOW).await.unwrap();
        }
        assert!(refused("one-more.png", png(1, "")).await.contains("500 files already"));
        content.upload(ONE, "0.png", png(2, ""), NOW).await.unwrap();
    })
    .await;
}

async fn hold(store: &Store, hash: &str, until: i64) {
    let hashes = vec![hash.to_owned()];
    store.write(Lane::Urgent, move |tx| hold_assets(tx, 1, &hashes, until)).await.unwrap();
}

async fn is_kept(content: &Content, hash: &str) -> bool {
    content.asset(hash).await.unwrap().is_some()
}

#[tokio::test]
async fn files_go_when_no_unexpired_delivery_uses_them() {
    store::testing::each(|store| async move {
        let content = room(store.clone()).await;
        let later = NOW + 2 * UNUSED_KEPT_US;
        let asset = content.upload(ONE, "a.png", png(1, "a"), NOW).await.unwrap();
        let unused = content.upload(TWO, "b.png", png(1, "b"), NOW).await.unwrap();
        content.release_assets(TWO).await.unwrap();
        // A day passes first: the upload comes before the save that names the file.
        assert_eq!(content.purge_assets(NOW + 1).await.unwrap(), 0);
        assert_eq!(content.purge_assets(later).await.unwrap(), 1);
        assert!(is_kept(&content, &asset.hash).await && !is_kept(&content, &unused.hash).await);
        // A snapshot holds what it froze, also when the name is taken away.
        hold(&store, &asset.hash, later + 10).await;
        content.remove_asset(ONE, "a.png").await.unwrap();
        assert_eq!(content.purge_assets(later).await.unwrap(), 0);
        assert_eq!(content.purge_assets(later + 11).await.unwrap(), 1);
        let again = content.upload(ONE, "a.png", png(1, "a"), later).await.unwrap();
        content.expire_assets(ONE, later + 10).await.unwrap();
        assert_eq!(content.purge_assets(later + 2 * UNUSED_KEPT_US).await.unwrap(), 1);
        assert!(!is_kept(&content, &again.hash).await);
    })
    .await;
}
