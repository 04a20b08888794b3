//! Link tables: where the links of a delivery lead, read once from its snapshot and kept in memory within bounds, so that
//! redirects cost no query and go on while the database is away.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use message::{Link, LinkMode, MirrorMode, Snapshot};

use crate::event::EventKind;
use crate::limits::{LINK_TABLE_AGE_MAX_US, LINK_TABLES_MAX, LINK_TABLES_SIZE_MAX};
use crate::redirect::{Parameters, fill};

/// Where a link leads, and what following it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// Absolute URL in ASCII, fit for a Location header; none: the message's own mirror page.
    pub location: Option<String>,
    /// Click, or unsubscribe for an opt-out link of the author's, or mirror.
    pub kind: EventKind,
}

/// What is known of a link of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource<T> {
    /// It is there.
    There(T),
    /// The resource validity of its delivery is over.
    Expired,
    /// No such delivery, or not confirmed, or no such thing in it.
    Unknown,
}

impl<T> Resource<T> {
    /// The same with what is there changed, or unknown after all.
    pub fn and_then<U>(self, change: impl FnOnce(T) -> Option<U>) -> Resource<U> {
        match self {
            Resource::There(found) => change(found).map_or(Resource::Unknown, Resource::There),
            Resource::Expired => Resource::Expired,
            Resource::Unknown => Resource::Unknown,
        }
    }
}

/// The links of one delivery.
#[derive(Debug, PartialEq, Eq)]
pub struct LinkTable {
    links: Vec<Link>,
    /// Hash of the snapshot that it is from.
    pub snapshot: String,
    /// When messages of the delivery have a mirror page.
    pub mirror: MirrorMode,
    /// End of the resource validity (UTC microseconds).
    pub until: i64,
}

impl LinkTable {
    pub(crate) fn new(snapshot: Snapshot, hash: String, until: i64) -> LinkTable {
        LinkTable { links: snapshot.links, snapshot: hash, mirror: snapshot.mirror, until }
    }

    /// Where link `number` leads with the values of a request's query.
    #[must_use]
    pub fn destination(&self, number: u16, query: &str) -> Option<Destination> {
        let link = self.links.get(usize::from(number))?;
        let kind = match link.kind {
            LinkMode::Tracked | LinkMode::Untracked => EventKind::Click,
            LinkMode::OptOut => EventKind::Unsubscribe,
            LinkMode::Mirror => EventKind::Mirror,
        };
        let location = fill(&link.url, &Parameters::from_query(query));
        // The author's address of a mirror link may be a placeholder.
        (location.is_some() || kind == EventKind::Mirror).then_some(Destination { location, kind })
    }

    /// The links themselves, by number.
    #[must_use]
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    fn size(&self) -> usize {
        let texts = |link: &Link| link.url.len() + link.label.len() + link.category.len();
        256 + self.links.iter().map(|link| texts(link) + size_of::<Link>()).sum::<usize>()
    }
}

/// The links of one delivery: one table, or one for each stretch of messages that have a content of their own.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct DeliveryLinks(Vec<Stretch>);

#[derive(Debug, PartialEq, Eq)]
struct Stretch {
    first_id: i64,
    last_id: i64,
    table: Arc<LinkTable>,
}

impl DeliveryLinks {
    /// One content for all.
    pub(crate) fn whole(delivery: i64, table: LinkTable) -> DeliveryLinks {
        let (first_id, last_id) = queue::id_range(delivery);
        DeliveryLinks(vec![Stretch { first_id, last_id, table: Arc::new(table) }])
    }

    /// A content for each stretch; they rise and do not overlap.
    pub(crate) fn by_stretch(stretches: impl Iterator<Item = (i64, i64, Arc<LinkTable>)>) -> DeliveryLinks {
        let stretch = |(first_id, last_id, table)| Stretch { first_id, last_id, table };
        DeliveryLinks(stretches.map(stretch).collect())
    }

    /// The links of a message; none: nothing is known of its content (yet).
    pub(crate) fn of(&self, message: i64) -> Option<Arc<LinkTable>> {
        let behind = self.0.partition_point(|stretch| stretch.first_id <= message);
        let stretch = self.0.get(behind.checked_sub(1)?)?;
        (message <= stretch.last_id).then(|| Arc::clone(&stretch.table))
    }

    fn size(&self) -> usize {
        let mut size = self.0.len() * size_of::<Stretch>();
        let mut seen: Vec<&str> = Vec::new();
        for stretch in &self.0 {
            if !seen.contains(&stretch.table.snapshot.as_str()) {
                seen.push(&stretch.table.snapshot);
                size += stretch.table.size();
            }
        }
        size
    }
}

/// The tables kept in memory, by delivery. Those not used for longest go first.
#[derive(Debug, Default)]
pub(crate) struct Cache(Mutex<Tables>);

#[derive(Debug, Default)]
struct Tables {
    entries: HashMap<i64, Entry>,
    size: usize,
    uses: u64,
}

#[derive(Debug)]
struct Entry {
    used: u64,
    read_at: i64,
    links: Arc<DeliveryLinks>,
}

/// What the cache has.
pub(crate) enum Found {
    /// As good as asked now.
    Fresh(Arc<DeliveryLinks>),
    /// Ask again; this one serves where nobody answers.
    Old(Arc<DeliveryLinks>),
    Nothing,
}

impl Cache {
    fn lock(&self) -> std::sync::MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, delivery: i64, now: i64) -> Found {
        let mut tables = self.lock();
        tables.uses += 1;
        let uses = tables.uses;
        let Some(entry) = tables.entries.get_mut(&delivery) else { return Found::Nothing };
        entry.used = uses;
        let links = Arc::clone(&entry.links);
        if (0..LINK_TABLE_AGE_MAX_US).contains(&(now - entry.read_at)) {
            Found::Fresh(links)
        } else {
            Found::Old(links)
        }
    }

    pub(crate) fn put(&self, delivery: i64, links: Arc<DeliveryLinks>, now: i64) {
        let mut tables = self.lock();
        tables.uses += 1;
        let entry = Entry { used: tables.uses, read_at: now, links };
        tables.size += entry.links.size();
        if let Some(before) = tables.entries.insert(delivery, entry) {
            tables.size -= before.links.size();
        }
        while tables.entries.len() > 1
            && (tables.entries.len() > LINK_TABLES_MAX || tables.size > LINK_TABLES_SIZE_MAX)
        {
            let oldest = tables.entries.iter().min_by_key(|(_, entry)| entry.used).map(|(id, _)| *id);
            if let Some(gone) = oldest.and_then(|oldest| tables.entries.remove(&oldest)) {
                tables.size -= gone.links.size();
            }
        }
    }

    /// Forgets a delivery that is no longer there.
    pub(crate) fn forget(&self, delivery: i64) {
        let mut tables = self.lock();
        if let Some(gone) = tables.entries.remove(&delivery) {
            tables.size -= gone.links.size();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(links: usize, url: &str) -> Arc<LinkTable> {
        let link = |_| Link {
            url: url.to_owned(),
            label: String::new(),
            category: String::new(),
            kind: LinkMode::Tracked,
        };
        let links = (0..links).map(link).collect();
        Arc::new(LinkTable { links, snapshot: String::new(), mirror: MirrorMode::Always, until: 9 })
    }

    fn whole(table: Arc<LinkTable>) -> Arc<DeliveryLinks> {
        Arc::new(DeliveryLinks::by_stretch([(0, i64::MAX, table)].into_iter()))
    }

    #[test]
    fn a_message_has_the_links_of_its_stretch() {
        let (a, b) = (table(1, "https://a.example/"), table(1, "https://b.example/"));
        let links = DeliveryLinks::by_stretch([(10, 19, a), (20, 29, b)].into_iter());
        let host = |message| links.of(message).map(|table| table.links[0].url.clone());
        for (message, url) in
            [(10, "https://a.example/"), (19, "https://a.example/"), (20, "https://b.example/")]
        {
            assert_eq!(host(message).as_deref(), Some(url));
        }
        assert_eq!((host(9), host(30)), (None, None));
    }

    #[test]
    fn the_least_used_goes_first_and_the_size_is_bounded() {
        let cache = Cache::default();
        for delivery in 0..=LINK_TABLES_MAX as i64 {
            assert!(matches!(cache.get(0, 5), Found::Fresh(_)) || delivery == 0);
            cache.put(delivery, whole(table(1, "https://shop.example/")), 5);
        }
        assert!(matches!(cache.get(1, 5), Found::Nothing));
        assert!(matches!(cache.get(0, 5), Found::Fresh(_)));
        assert_eq!(cache.lock().entries.len(), LINK_TABLES_MAX);
        let long = "x".repeat(1_000);
        for delivery in 1_000..1_020 {
            cache.put(delivery, whole(table(10_000, &long)), 5);
        }
        assert!(cache.lock().size <= LINK_TABLES_SIZE_MAX);
        let counted: usize = cache.lock().entries.values().map(|entry| entry.links.size()).sum();
        assert_eq!(cache.lock().size, counted);
    }

    #[test]
    fn an_old_table_is_asked_for_again() {
        let cache = Cache::default();
        cache.put(7, whole(table(1, "https://shop.example/")), 5);
        assert!(matches!(cache.get(7, 5 + LINK_TABLE_AGE_MAX_US), Found::Old(_)));
        assert!(matches!(cache.get(7, 4), Found::Old(_)), "a clock that went back");
        cache.forget(7);
        assert!(matches!(cache.get(7, 5), Found::Nothing));
        assert_eq!(cache.lock().size, 0);
    }

    #[test]
    fn a_number_beyond_the_table_leads_nowhere() {
        let table = table(2, "https://shop.example/{p1}");
        let there = table.destination(1, "p1=a").unwrap();
        assert_eq!(
            (there.location.as_deref(), there.kind),
            (Some("https://shop.example/a"), EventKind::Click)
        );
        assert_eq!(table.destination(2, ""), None);
    }
}
