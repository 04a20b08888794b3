//! `/a/HASH.EXT`: an uploaded picture by the hash of its bytes; `/c/….png`: a QR or bar code, drawn from its signed
//! address. Both are the same for ever, so caches may keep them; a picture goes with the resource validity of the last
//! delivery that shows it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::page;
use crate::state::AppState;

/// Octets of pictures kept in memory: those of the deliveries that are read now.
const CACHE_SIZE_MAX: usize = 64 << 20;
/// A picture larger than this is read from the database each time.
const CACHED_PICTURE_MAX: usize = 4 << 20;
/// After so long a kept picture is looked up again, because its validity can end or move, in microseconds.
const CACHE_AGE_MAX_US: i64 = 60 * 1_000_000;
/// How long a browser may keep what never changes: a year, the longest that caches honour.
const FOREVER_S: i64 = 365 * 24 * 3_600;

/// Pictures kept in memory.
#[derive(Default)]
pub struct Cache {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    pictures: HashMap<String, (u64, Picture)>,
    size: usize,
    uses: u64,
}

#[derive(Clone)]
struct Picture {
    content_type: String,
    bytes: Arc<[u8]>,
    until_us: Option<i64>,
    read_at: i64,
}

impl Cache {
    fn get(&self, file: &str) -> Option<Picture> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.uses += 1;
        let uses = kept.uses;
        let (used, picture) = kept.pictures.get_mut(file)?;
        *used = uses;
        Some(picture.clone())
    }

    fn put(&self, file: &str, picture: Picture) {
        if picture.bytes.len() > CACHED_PICTURE_MAX {
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.uses += 1;
        kept.size += picture.bytes.len();
        let entry = (kept.uses, picture);
        if let Some((_, before)) = kept.pictures.insert(file.to_owned(), entry) {
            kept.size -= before.bytes.len();
        }
        while kept.size > CACHE_SIZE_MAX {
            let oldest = kept.pictures.iter().min_by_key(|(_, (used, _))| *used);
            let Some(oldest) = oldest.map(|(file, _)| file.clone()) else { break };
            kept.forget(&oldest);
        }
    }

    fn forget(&self, file: &str) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).forget(file);
    }
}

impl Kept {
    fn forget(&mut self, file: &str) {
        if let Some((_, gone)) = self.pictures.remove(file) {
            self.size -= gone.bytes.len();
        }
    }
}

/// `GET /a/HASH.EXT`.
pub async fn show(State(state): State<AppState>, Path(file): Path<String>, headers: HeaderMap) -> Response {
    let now = state.clock.now_us();
    let kept = state.door.pictures.get(&file);
    let fresh = kept.clone().filter(|kept| (0..CACHE_AGE_MAX_US).contains(&(now - kept.read_at)));
    let picture = match fresh {
        Some(picture) => picture,
        None => match state.content.public_image(&file).await {
            Ok(Some(found)) => {
                let (content_type, bytes, until_us) = (found.content_type, found.bytes, found.until_us);
                let picture = Picture { content_type, bytes, until_us, read_at: now };
                state.door.pictures.put(&file, picture.clone());
                picture
            }
            Ok(None) => {
                state.door.pictures.forget(&file);
                return page::plain(
                    StatusCode::NOT_FOUND,
                    "No picture",
                    "There is no picture at this address.",
                );
            }
            Err(error) => match kept {
                // Not every request waits for a database that is away.
                Some(picture) => {
                    state.door.pictures.put(&file, Picture { read_at: now, ..picture.clone() });
                    picture
                }
                None => {
                    tracing::warn!(%error, "a picture could not be looked up");
                    return page::try_again("The picture cannot be shown just now.");
                }
            },
        },
    };
    if picture.until_us.is_some_and(|until| until <= now) {
        return page::expired();
    }
    let rest_s = picture.until_us.map_or(FOREVER_S, |until| ((until - now) / 1_000_000).min(FOREVER_S));
    let tag = format!("\"{file}\"");
    if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        return image(StatusCode::NOT_MODIFIED, &picture.content_type, &tag, rest_s, Bytes::new());
    }
    image(StatusCode::OK, &picture.content_type, &tag, rest_s, Bytes::from_owner(picture.bytes))
}

/// `GET /c/PAYLOAD.png`.
pub async fn code(State(state): State<AppState>, Path(file): Path<String>, headers: HeaderMap) -> Response {
    let tag = format!("\"{file}\"");
    let drawn = {
        let (state, file) = (state.clone(), file.clone());
        tokio::task::spawn_blocking(move || content::codes::code_png(&file, &state.door.code_key)).await
    };
    match drawn {
        Ok(Some(_))
            if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes()) =>
        {
            image(StatusCode::NOT_MODIFIED, "image/png", &tag, FOREVER_S, Bytes::new())
        }
        Ok(Some(png)) => image(StatusCode::OK, "image/png", &tag, FOREVER_S, Bytes::from(png)),
        _ => page::plain(StatusCode::NOT_FOUND, "No picture", "There is no picture at this address."),
    }
}

fn image(status: StatusCode, content_type: &str, tag: &str, age_s: i64, bytes: Bytes) -> Response {
    let kind = HeaderValue::from_str(content_type)
        .unwrap_or_else(|_| HeaderValue::from_static("application/octet-stream"));
    let mut response = (status, [(header::CONTENT_TYPE, kind)], bytes).into_response();
    let headers = response.headers_mut();
    if let Ok(age) = HeaderValue::from_str(&format!("public, max-age={age_s}, immutable")) {
        headers.insert(header::CACHE_CONTROL, age);
    }
    if let Ok(tag) = HeaderValue::from_str(tag) {
        headers.insert(header::ETAG, tag);
    }
    // A picture that a browser would take for a document (SVG) runs nothing as one.
    let policy = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; sandbox");
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    // Webmail pages that isolate themselves load it only with this.
    let everywhere = HeaderValue::from_static("cross-origin");
    headers.insert(HeaderName::from_static("cross-origin-resource-policy"), everywhere);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(size: usize) -> Picture {
        Picture {
            content_type: "image/png".to_owned(),
            bytes: vec![0; size].into(),
            until_us: None,
            read_at: 0,
        }
    }

    #[test]
    fn memory_is_bounded_and_the_least_used_goes_first() {
        let cache = Cache::default();
        for n in 0..=16 {
            cache.put(&n.to_string(), picture(CACHED_PICTURE_MAX));
            assert!(cache.get("0").is_some());
        }
        assert!(cache.get("1").is_none() && cache.get("16").is_some());
        cache.put("0", picture(1));
        assert_eq!(cache.kept.lock().unwrap().size, 15 * CACHED_PICTURE_MAX + 1);
        cache.put("large", picture(CACHED_PICTURE_MAX + 1));
        assert!(cache.get("large").is_none());
        cache.forget("0");
        assert!(cache.get("0").is_none());
    }
}
