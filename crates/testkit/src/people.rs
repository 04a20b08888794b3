//! Recipients of the demo: invented people in several scripts, at the providers of [`World::demo`](crate::World::demo).
//! The same seed and number give the same people. Nobody is meant.

use std::io;

/// One invented recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Address; unique within one run.
    pub email: String,
    /// Given name, in the person's script; one in fifty has none.
    pub first_name: String,
    /// Family name.
    pub last_name: String,
    /// Language, ISO 639-1.
    pub language: &'static str,
    /// IANA zone.
    pub time_zone: &'static str,
    /// Country, ISO 3166-1.
    pub country: &'static str,
    /// City, in the person's script.
    pub city: &'static str,
    /// `gold`, `silver`, `bronze`, or none.
    pub tier: &'static str,
    /// Points, 0 to 49,999.
    pub points: u32,
    /// Date of the last order, `YYYY-MM-DD`; none for one in ten.
    pub last_order: String,
    /// `html`, `text`, or as the delivery says.
    pub email_format: &'static str,
}

/// The columns of [`write_csv`].
pub const COLUMNS: [&str; 11] = [
    "email",
    "first_name",
    "last_name",
    "language",
    "timezone",
    "country",
    "city",
    "loyalty_tier",
    "points",
    "last_order",
    "email_format",
];

struct Place {
    language: &'static str,
    time_zone: &'static str,
    country: &'static str,
    cities: &'static [&'static str],
    first: &'static [&'static str],
    last: &'static [&'static str],
    /// Of a hundred people, where their mailboxes are; the rest is at a small domain.
    mailboxes: &'static [(&'static str, u32)],
    weight: u32,
}

const EUROPEAN: &[(&str, u32)] =
    &[("gmail.com", 44), ("outlook.com", 10), ("hotmail.com", 10), ("yahoo.com", 12), ("icloud.com", 10)];
const GERMAN: &[(&str, u32)] =
    &[("gmail.com", 26), ("web.de", 24), ("gmx.de", 24), ("outlook.com", 6), ("icloud.com", 6)];
const FRENCH: &[(&str, u32)] =
    &[("gmail.com", 40), ("orange.fr", 22), ("hotmail.com", 12), ("yahoo.com", 8), ("icloud.com", 5)];
const AMERICAN: &[(&str, u32)] =
    &[("gmail.com", 46), ("yahoo.com", 18), ("hotmail.com", 8), ("icloud.com", 10), ("comcast.net", 6)];
const JAPANESE: &[(&str, u32)] = &[
    ("gmail.com", 28),
    ("yahoo.co.jp", 20),
    ("docomo.ne.jp", 15),
    ("ezweb.ne.jp", 8),
    ("au.com", 4),
    ("softbank.ne.jp", 8),
    ("i.softbank.jp", 5),
    ("icloud.com", 7),
];
const CHINESE: &[(&str, u32)] = &[("qq.com", 60), ("gmail.com", 12), ("outlook.com", 10), ("icloud.com", 8)];

const PLACES: &[Place] = &[
    Place {
        language: "en",
        time_zone: "Europe/London",
        country: "GB",
        weight: 16,
        mailboxes: EUROPEAN,
        cities: &["London", "Leeds", "Cardiff", "Glasgow", "Bristol"],
        first: &["Imogen", "Rhys", "Saoirse", "Callum", "Niamh", "Tobias", "Priya", "Gwen"],
        last: &["Ashdown", "O'Rourke", "Fairweather", "McTavish", "Llewellyn", "Bramley-Hale", "Okafor"],
    },
    Place {
        language: "en",
        time_zone: "America/Chicago",
        country: "US",
        weight: 18,
        mailboxes: AMERICAN,
        cities: &["Chicago", "Austin", "Madison", "St. Paul"],
        first: &["Harper", "Mateo", "Delilah", "Wyatt", "Keisha", "Omar", "Juniper", "Theo"],
        last: &["Whitlock", "Delgado", "Abernathy", "Nakamura", "St. Clair", "Van Buren", "Boone"],
    },
    Place {
        language: "fr",
        time_zone: "Europe/Paris",
        country: "FR",
        weight: 10,
        mailboxes: FRENCH,
        cities: &["Besançon", "Nîmes", "Lyon", "Saint-Étienne"],
        first: &["Héloïse", "Gaël", "Maëva", "Aurélien", "Zoé", "Loïc", "Inès"],
        last: &["Château", "Le Goff", "D'Aubigny", "Brûlé", "Lemaître", "Noël"],
    },
    Place {
        language: "de",
        time_zone: "Europe/Berlin",
        country: "DE",
        weight: 12,
        mailboxes: GERMAN,
        cities: &["Köln", "Würzburg", "Görlitz", "München", "Lübeck"],
        first: &["Jörg", "Käthe", "Björn", "Annelie", "Matthäus", "Ronja"],
        last: &["Größle", "Schäfer", "Weißenbach", "Kühn", "von der Aue", "Böttcher"],
    },
    Place {
        language: "es",
        time_zone: "Europe/Madrid",
        country: "ES",
        weight: 8,
        mailboxes: EUROPEAN,
        cities: &["Cádiz", "León", "A Coruña", "Logroño"],
        first: &["Begoña", "Íñigo", "Macarena", "Andrés", "Lucía"],
        last: &["Ibáñez", "Muñoz", "Peñalver", "Güell", "Fernández de la Vega"],
    },
    Place {
        language: "ja",
        time_zone: "Asia/Tokyo",
        country: "JP",
        weight: 20,
        mailboxes: JAPANESE,
        cities: &["東京", "大阪", "札幌", "福岡", "那覇"],
        first: &["陽菜", "蓮", "結衣", "大翔", "さくら", "悠真", "葵", "凛"],
        last: &["髙橋", "渡邉", "齋藤", "﨑本", "中村", "小林", "吉田", "五十嵐"],
    },
    Place {
        language: "zh",
        time_zone: "Asia/Shanghai",
        country: "CN",
        weight: 6,
        mailboxes: CHINESE,
        cities: &["上海", "成都", "广州"],
        first: &["思雨", "浩然", "静怡", "子轩"],
        last: &["陈", "刘", "欧阳", "赵"],
    },
    Place {
        language: "ar",
        time_zone: "Africa/Cairo",
        country: "EG",
        weight: 4,
        mailboxes: EUROPEAN,
        cities: &["القاهرة", "الإسكندرية"],
        first: &["ليلى", "يوسف", "مريم", "عمر"],
        last: &["الشريف", "منصور", "عبد الله"],
    },
    Place {
        language: "el",
        time_zone: "Europe/Athens",
        country: "GR",
        weight: 3,
        mailboxes: EUROPEAN,
        cities: &["Αθήνα", "Θεσσαλονίκη"],
        first: &["Ελένη", "Νίκος", "Δήμητρα"],
        last: &["Παπαδάκη", "Γεωργίου"],
    },
    Place {
        language: "uk",
        time_zone: "Europe/Kyiv",
        country: "UA",
        weight: 3,
        mailboxes: EUROPEAN,
        cities: &["Київ", "Львів", "Одеса"],
        first: &["Соломія", "Тарас", "Оксана"],
        last: &["Ковальчук", "Мельник", "Дем'яненко"],
    },
];

const TIERS: [&str; 8] = ["", "", "", "bronze", "bronze", "silver", "silver", "gold"];
const FORMATS: [&str; 10] = ["", "", "", "", "", "", "", "", "html", "text"];

/// SplitMix64 (Steele, Lea and Flood 2014). Own, because the demo's people must not change with a library.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// 0 to `end - 1`; the bias of the remainder does not matter here.
    fn below(&mut self, end: u32) -> u32 {
        (self.next() % u64::from(end.max(1))) as u32
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u32) as usize]
    }
}

/// Invents people without end.
pub struct People {
    random: Random,
    number: u32,
}

impl People {
    /// People of this seed, from the first one on.
    #[must_use]
    pub fn new(seed: u64) -> People {
        People { random: Random(seed), number: 0 }
    }

    fn place(&mut self) -> &'static Place {
        let total: u32 = PLACES.iter().map(|place| place.weight).sum();
        let mut at = self.random.below(total);
        for place in PLACES {
            if at < place.weight {
                return place;
            }
            at -= place.weight;
        }
        &PLACES[0]
    }

    fn domain(&mut self, place: &Place) -> String {
        let mut at = self.random.below(100);
        for (domain, share) in place.mailboxes {
            if at < *share {
                return (*domain).to_owned();
            }
            at -= share;
        }
        // A long tail: small numbers come often, most of 2,000 come once or never.
        let wide = self.random.below(2_000);
        format!("tail{}.example", wide.min(self.random.below(2_000)).min(self.random.below(2_000)))
    }

    /// Unique, and in some of the shapes that addresses have.
    fn address(&mut self, place: &Place) -> String {
        self.number += 1;
        let number = self.number;
        let domain = self.domain(place);
        let local = match self.random.below(100) {
            0 => format!("nouser{number}"),
            // The carriers' old addresses, which other systems refuse.
            1..=4 if domain == "docomo.ne.jp" || domain == "ezweb.ne.jp" => format!("demo{number}..x"),
            5..=24 => format!("demo.{number}"),
            25..=34 => format!("demo+news{number}"),
            35..=39 => format!("Demo_{number}"),
            _ => format!("demo{number}"),
        };
        format!("{local}@{domain}")
    }
}

impl Iterator for People {
    type Item = Person;

    fn next(&mut self) -> Option<Person> {
        let place = self.place();
        let email = self.address(place);
        let has_name = self.random.below(50) > 0;
        let ordered = self.random.below(10) > 0;
        Some(Person {
            email,
            first_name: if has_name { self.random.pick(place.first).to_owned() } else { String::new() },
            last_name: self.random.pick(place.last).to_owned(),
            language: place.language,
            time_zone: place.time_zone,
            country: place.country,
            city: self.random.pick(place.cities),
            tier: self.random.pick(&TIERS),
            points: self.random.below(50_000),
            last_order: if ordered {
                format!("2026-{:02}-{:02}", 1 + self.random.below(10), 1 + self.random.below(28))
            } else {
                String::new()
            },
            email_format: self.random.pick(&FORMATS),
        })
    }
}

/// Writes `count` people as CSV with a header line, UTF-8 without BOM.
///
/// # Errors
/// When it cannot be written.
pub fn write_csv(out: impl io::Write, count: usize, seed: u64) -> io::Result<()> {
    write_people(out, People::new(seed).take(count))
}

/// The same for given people.
///
/// # Errors
/// When it cannot be written.
pub fn write_people(out: impl io::Write, people: impl IntoIterator<Item = Person>) -> io::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record(COLUMNS)?;
    for person in people {
        let points = person.points.to_string();
        csv.write_record([
            person.email.as_str(),
            &person.first_name,
            &person.last_name,
            person.language,
            person.time_zone,
            person.country,
            person.city,
            person.tier,
            &points,
            &person.last_order,
            person.email_format,
        ])?;
    }
    csv.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{HashMap, HashSet};

    #[test]
    fn the_same_seed_gives_the_same_people_and_addresses_are_unique() {
        let people: Vec<Person> = People::new(7).take(20_000).collect();
        assert!(people.iter().eq(People::new(7).take(20_000).collect::<Vec<_>>().iter()));
        assert!(people.iter().ne(People::new(8).take(20_000).collect::<Vec<_>>().iter()));
        let addresses: HashSet<String> = people.iter().map(|p| p.email.to_lowercase()).collect();
        assert_eq!(addresses.len(), 20_000);
    }

    #[test]
    fn everybody_has_a_mailbox_in_the_demo_world() {
        let zone = crate::World::demo().zone();
        let mut domains: HashMap<String, u32> = HashMap::new();
        for person in People::new(1).take(5_000) {
            *domains.entry(person.email.split('@').nth(1).expect("domain").to_owned()).or_default() += 1;
        }
        for domain in domains.keys() {
            assert!(!zone.answer(domain, crate::wire::kind::MX).answers.is_empty(), "{domain}");
        }
        assert!(domains.len() > 200 && domains["gmail.com"] > 1_000, "{}", domains.len());
    }

    #[test]
    fn shares_leave_room_for_the_tail() {
        for place in PLACES {
            let sum: u32 = place.mailboxes.iter().map(|(_, share)| share).sum();
            assert!(sum < 100, "{}", place.country);
        }
    }

    #[test]
    fn the_csv_has_a_line_per_person() {
        let mut out = Vec::new();
        write_csv(&mut out, 100, 1).expect("writes");
        let text = String::from_utf8(out).expect("UTF-8");
        assert!(text.starts_with("email,first_name,last_name,language,timezone,"));
        assert_eq!(csv::Reader::from_reader(text.as_bytes()).records().flatten().count(), 100);
    }
}
