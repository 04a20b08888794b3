//! Who reads: the language and the time zone in which a page is written.
//!
//! Both belong to a request, and every text and every time of a page asks for them, a hundred times a page and deep
//! inside templates. They stand in a task-local that the layer around all pages sets, so that no function in between
//! carries them and none can forget to. Outside of a request it is English and UTC.

use access::Caller;
use axum::{
    body::Body,
    http::{HeaderMap, header},
    response::Response,
};
use futures_util::stream::poll_fn;
use jiff::tz::TimeZone;

/// The languages of the pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// `en`.
    #[default]
    English,
    /// `ja`.
    Japanese,
}

impl Language {
    /// All of them, in the order of the choice.
    pub const ALL: [Language; 2] = [Language::English, Language::Japanese];

    /// The tag, as in `lang="…"` and in the account.
    pub fn tag(self) -> &'static str {
        match self {
            Language::English => "en",
            Language::Japanese => "ja",
        }
    }

    /// What it calls itself.
    pub fn own_name(self) -> &'static str {
        match self {
            Language::English => "English",
            Language::Japanese => "日本語",
        }
    }

    /// The language of a tag (RFC 5646): its first part counts.
    pub fn of_tag(tag: &str) -> Option<Language> {
        let first = tag.split(['-', '_']).next().unwrap_or(tag);
        Language::ALL.into_iter().find(|language| first.eq_ignore_ascii_case(language.tag()))
    }

    /// The best of `Accept-Language` (RFC 9110 12.5.4); English where none is known.
    fn of_header(headers: &HeaderMap) -> Language {
        let said = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or("");
        let wanted = said.split(',').take(20).filter_map(|part| {
            let (tag, weight) = part.split_once(";q=").unwrap_or((part, "1"));
            Some((Language::of_tag(tag.trim())?, weight.trim().parse::<f32>().ok()?))
        });
        // Of equal weights the first one; `max_by` would give the last.
        let best = wanted.fold(None, |best: Option<(Language, f32)>, (language, weight)| match best {
            Some((_, held)) if held >= weight => best,
            _ if weight > 0.0 => Some((language, weight)),
            _ => best,
        });
        best.map(|(language, _)| language).unwrap_or_default()
    }
}

/// The reader of a page.
#[derive(Clone, Debug)]
pub struct Reader {
    language: Language,
    /// None: the browser's, which only the page's script knows.
    zone: Option<TimeZone>,
}

tokio::task_local! {
    static READER: Reader;
}

impl Reader {
    /// The reader that asks: what the account says, else what the browser says.
    pub fn of(caller: Option<&Caller>, headers: &HeaderMap) -> Reader {
        let chosen = caller.and_then(|caller| Language::of_tag(&caller.language));
        let zone = caller.filter(|caller| !caller.time_zone.is_empty());
        Reader {
            language: chosen.unwrap_or_else(|| Language::of_header(headers)),
            zone: zone.and_then(|caller| TimeZone::get(&caller.time_zone).ok()),
        }
    }

    /// Runs work whose pages this reader reads.
    pub async fn reads<F: Future>(self, work: F) -> F::Output {
        READER.scope(self, work).await
    }

    /// As [`Reader::reads`], for work that does not wait.
    pub fn reads_now<T>(self, work: impl FnOnce() -> T) -> T {
        READER.sync_scope(self, work)
    }

    /// A stream of events is written long after its handler has returned; it reads on for the same reader.
    pub fn keeps_reading(self, response: Response) -> Response {
        let kind = response.headers().get(header::CONTENT_TYPE).map(|value| value.as_bytes().to_vec());
        if !kind.is_some_and(|kind| kind.starts_with(b"text/event-stream")) {
            return response;
        }
        response.map(|body| {
            let mut frames = Box::pin(body.into_data_stream());
            Body::from_stream(poll_fn(move |context| {
                READER.sync_scope(self.clone(), || futures_util::Stream::poll_next(frames.as_mut(), context))
            }))
        })
    }
}

/// The language of the page that is being written.
pub fn language() -> Language {
    READER.try_with(|reader| reader.language).unwrap_or_default()
}

/// The reader's zone, where one was chosen.
pub fn chosen_zone() -> Option<TimeZone> {
    READER.try_with(|reader| reader.zone.clone()).ok().flatten()
}

/// The zone in which times are written and read: the reader's, else UTC.
pub fn zone() -> TimeZone {
    chosen_zone().unwrap_or(TimeZone::UTC)
}

/// The IANA name of [`chosen_zone`]; empty where none was chosen.
pub fn zone_name() -> String {
    chosen_zone().and_then(|zone| zone.iana_name().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(text: &str) -> Language {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_LANGUAGE, text.parse().unwrap());
        Language::of_header(&headers)
    }

    #[test]
    fn the_browsers_wish_counts_in_its_order() {
        for (said, language) in [
            ("", Language::English),
            ("ja", Language::Japanese),
            ("ja-JP,en;q=0.5", Language::Japanese),
            ("en-GB,ja;q=0.9", Language::English),
            ("de,ja;q=0.4,en;q=0.3", Language::Japanese),
            ("ja;q=0,en;q=0", Language::English),
            ("de,fr;q=x", Language::English),
            ("en,ja", Language::English),
        ] {
            assert_eq!(header(said), language, "{said}");
        }
    }

    #[tokio::test]
    async fn an_account_has_the_last_word_and_a_stream_keeps_it() {
        let caller = Caller { language: "ja".into(), time_zone: "Asia/Tokyo".into(), ..Caller::local() };
        let reader = Reader::of(Some(&caller), &HeaderMap::new());
        assert_eq!((language(), zone_name()), (Language::English, String::new()));
        let seen = reader.clone().reads(async { (language(), zone_name()) }).await;
        assert_eq!(seen, (Language::Japanese, "Asia/Tokyo".to_owned()));
        let mut ticks = 0;
        let events = futures_util::stream::poll_fn(move |_| {
            ticks += 1;
            std::task::Poll::Ready((ticks < 2).then(|| Ok::<_, std::convert::Infallible>(language().tag())))
        });
        let stream = Response::builder().header("content-type", "text/event-stream");
        let response = reader.keeps_reading(stream.body(Body::from_stream(events)).unwrap());
        let body = axum::body::to_bytes(response.into_body(), 10).await.unwrap();
        assert_eq!(&body[..], b"ja");
    }
}
