//! What dates, numbers and a few phrases look like in a language. Small on purpose: the languages that mail is
//! written in most, others are written as English. Values follow the Unicode CLDR's usual forms.

/// How one language writes.
pub(crate) struct Language {
    /// ISO 639, with a region where it differs from the language's own.
    pub code: &'static str,
    /// Between thousands; empty where a number below 10,000 has none is told by `grouped_from`.
    pub group: &'static str,
    /// Before the fraction.
    pub decimal: &'static str,
    /// Digits of the whole part from which on it is grouped.
    pub grouped_from: usize,
    /// `¤` is the symbol, `#` the number: `# ¤` or `¤#`.
    pub money: &'static str,
    /// As written in a date, from January.
    pub months: [&'static str; 12],
    /// Short forms; empty: the first three letters will not do, so the long ones are used.
    pub short_months: [&'static str; 12],
    /// From Sunday.
    pub days: [&'static str; 7],
    /// `short`, `medium`, `long`, `full`, in strftime's words.
    pub dates: [&'static str; 4],
    /// Greeting with a name (`#`), and without.
    pub greeting: [&'static str; 2],
    /// What a link to the mirror page shows.
    pub mirror: &'static str,
    /// What an unsubscribe link shows.
    pub unsubscribe: &'static str,
    /// What a link shows that sends the page on by mail.
    pub by_email: &'static str,
}

/// A blank that does not break a line: French, Czech and others put one into numbers.
const NBSP: &str = "\u{a0}";
/// The narrow one.
const NNBSP: &str = "\u{202f}";

const EMPTY: [&str; 12] = [""; 12];
const EN_MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const EN_SHORT: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const EN_DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

const EN: Language = Language {
    code: "en",
    group: ",",
    decimal: ".",
    grouped_from: 4,
    money: "¤#",
    months: EN_MONTHS,
    short_months: EN_SHORT,
    days: EN_DAYS,
    dates: ["%-m/%-d/%y", "%b %-d, %Y", "%B %-d, %Y", "%A, %B %-d, %Y"],
    greeting: ["Dear #,", "Hello,"],
    mirror: "View this message in your browser",
    unsubscribe: "Unsubscribe",
    by_email: "Email",
};

const DE: Language = Language {
    code: "de",
    group: ".",
    decimal: ",",
    grouped_from: 4,
    money: "#\u{a0}¤",
    months: [
        "Januar",
        "Februar",
        "März",
        "April",
        "Mai",
        "Juni",
        "Juli",
        "August",
        "September",
        "Oktober",
        "November",
        "Dezember",
    ],
    short_months: [
        "Jan.", "Feb.", "März", "Apr.", "Mai", "Juni", "Juli", "Aug.", "Sept.", "Okt.", "Nov.", "Dez.",
    ],
    days: ["Sonntag", "Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag"],
    dates: ["%d.%m.%y", "%d.%m.%Y", "%-d. %B %Y", "%A, %-d. %B %Y"],
    greeting: ["Guten Tag #,", "Guten Tag,"],
    mirror: "Diese Nachricht im Browser ansehen",
    unsubscribe: "Abmelden",
    by_email: "E-Mail",
};

const FR: Language = Language {
    code: "fr",
    group: NNBSP,
    decimal: ",",
    grouped_from: 4,
    money: "#\u{a0}¤",
    months: [
        "janvier",
        "février",
        "mars",
        "avril",
        "mai",
        "juin",
        "juillet",
        "août",
        "septembre",
        "octobre",
        "novembre",
        "décembre",
    ],
    short_months: [
        "janv.", "févr.", "mars", "avr.", "mai", "juin", "juil.", "août", "sept.", "oct.", "nov.", "déc.",
    ],
    days: ["dimanche", "lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi"],
    dates: ["%d/%m/%Y", "%-d %b %Y", "%-d %B %Y", "%A %-d %B %Y"],
    greeting: ["Bonjour #,", "Bonjour,"],
    mirror: "Voir ce message dans votre navigateur",
    unsubscribe: "Se désabonner",
    by_email: "E-mail",
};

const ES: Language = Language {
    code: "es",
    group: ".",
    decimal: ",",
    grouped_from: 5,
    money: "#\u{a0}¤",
    months: [
        "enero",
        "febrero",
        "marzo",
        "abril",
        "mayo",
        "junio",
        "julio",
        "agosto",
        "septiembre",
        "octubre",
        "noviembre",
        "diciembre",
    ],
    short_months: ["ene", "feb", "mar", "abr", "may", "jun", "jul", "ago", "sept", "oct", "nov", "dic"],
    days: ["domingo", "lunes", "martes", "miércoles", "jueves", "viernes", "sábado"],
    dates: ["%-d/%-m/%y", "%-d %b %Y", "%-d de %B de %Y", "%A, %-d de %B de %Y"],
    greeting: ["Hola, #:", "Hola:"],
    mirror: "Ver este mensaje en el navegador",
    unsubscribe: "Darse de baja",
    by_email: "Correo",
};

const IT: Language = Language {
    code: "it",
    group: ".",
    decimal: ",",
    grouped_from: 4,
    money: "#\u{a0}¤",
    months: [
        "gennaio",
        "febbraio",
        "marzo",
        "aprile",
        "maggio",
        "giugno",
        "luglio",
        "agosto",
        "settembre",
        "ottobre",
        "novembre",
        "dicembre",
    ],
    short_months: ["gen", "feb", "mar", "apr", "mag", "giu", "lug", "ago", "set", "ott", "nov", "dic"],
    days: ["domenica", "lunedì", "martedì", "mercoledì", "giovedì", "venerdì", "sabato"],
    dates: ["%d/%m/%y", "%-d %b %Y", "%-d %B %Y", "%A %-d %B %Y"],
    greeting: ["Buongiorno #,", "Buongiorno,"],
    mirror: "Visualizza questo messaggio nel browser",
    unsubscribe: "Annulla l'iscrizione",
    by_email: "E-mail",
};

const PT: Language = Language {
    code: "pt",
    group: ".",
    decimal: ",",
    grouped_from: 4,
    money: "¤\u{a0}#",
    months: [
        "janeiro",
        "fevereiro",
        "março",
        "abril",
        "maio",
        "junho",
        "julho",
        "agosto",
        "setembro",
        "outubro",
        "novembro",
        "dezembro",
    ],
    short_months: [
        "jan.", "fev.", "mar.", "abr.", "mai.", "jun.", "jul.", "ago.", "set.", "out.", "nov.", "dez.",
    ],
    days: [
        "domingo",
        "segunda-feira",
        "terça-feira",
        "quarta-feira",
        "quinta-feira",
        "sexta-feira",
        "sábado",
    ],
    dates: ["%d/%m/%Y", "%-d de %b de %Y", "%-d de %B de %Y", "%A, %-d de %B de %Y"],
    greeting: ["Olá, #,", "Olá,"],
    mirror: "Ver esta mensagem no navegador",
    unsubscribe: "Cancelar a inscrição",
    by_email: "E-mail",
};

const NL: Language = Language {
    code: "nl",
    group: ".",
    decimal: ",",
    grouped_from: 4,
    money: "¤\u{a0}#",
    months: [
        "januari",
        "februari",
        "maart",
        "april",
        "mei",
        "juni",
        "juli",
        "augustus",
        "september",
        "oktober",
        "november",
        "december",
    ],
    short_months: ["jan", "feb", "mrt", "apr", "mei", "jun", "jul", "aug", "sep", "okt", "nov", "dec"],
    days: ["zondag", "maandag", "dinsdag", "woensdag", "donderdag", "vrijdag", "zaterdag"],
    dates: ["%d-%m-%Y", "%-d %b %Y", "%-d %B %Y", "%A %-d %B %Y"],
    greeting: ["Beste #,", "Hallo,"],
    mirror: "Bekijk dit bericht in uw browser",
    unsubscribe: "Afmelden",
    by_email: "E-mail",
};

const SV: Language = Language {
    code: "sv",
    group: NBSP,
    decimal: ",",
    grouped_from: 4,
    money: "#\u{a0}¤",
    months: [
        "januari",
        "februari",
        "mars",
        "april",
        "maj",
        "juni",
        "juli",
        "augusti",
        "september",
        "oktober",
        "november",
        "december",
    ],
    short_months: [
        "jan.", "feb.", "mars", "apr.", "maj", "juni", "juli", "aug.", "sep.", "okt.", "nov.", "dec.",
    ],
    days: ["söndag", "måndag", "tisdag", "onsdag", "torsdag", "fredag", "lördag"],
    dates: ["%Y-%m-%d", "%-d %b %Y", "%-d %B %Y", "%A %-d %B %Y"],
    greeting: ["Hej #!", "Hej!"],
    mirror: "Visa meddelandet i webbläsaren",
    unsubscribe: "Avsluta prenumerationen",
    by_email: "E-post",
};

const PL: Language = Language {
    code: "pl",
    group: NBSP,
    decimal: ",",
    grouped_from: 5,
    money: "#\u{a0}¤",
    months: [
        "stycznia",
        "lutego",
        "marca",
        "kwietnia",
        "maja",
        "czerwca",
        "lipca",
        "sierpnia",
        "września",
        "października",
        "listopada",
        "grudnia",
    ],
    short_months: ["sty", "lut", "mar", "kwi", "maj", "cze", "lip", "sie", "wrz", "paź", "lis", "gru"],
    days: ["niedziela", "poniedziałek", "wtorek", "środa", "czwartek", "piątek", "sobota"],
    dates: ["%-d.%m.%Y", "%-d %b %Y", "%-d %B %Y", "%A, %-d %B %Y"],
    greeting: ["Dzień dobry, #!", "Dzień dobry!"],
    mirror: "Zobacz wiadomość w przeglądarce",
    unsubscribe: "Wypisz się",
    by_email: "E-mail",
};

const RU: Language = Language {
    code: "ru",
    group: NBSP,
    decimal: ",",
    grouped_from: 4,
    money: "#\u{a0}¤",
    months: [
        "января",
        "февраля",
        "марта",
        "апреля",
        "мая",
        "июня",
        "июля",
        "августа",
        "сентября",
        "октября",
        "ноября",
        "декабря",
    ],
    short_months: [
        "янв.",
        "февр.",
        "мар.",
        "апр.",
        "мая",
        "июн.",
        "июл.",
        "авг.",
        "сент.",
        "окт.",
        "нояб.",
        "дек.",
    ],
    days: ["воскресенье", "понедельник", "вторник", "среда", "четверг", "пятница", "суббота"],
    dates: ["%d.%m.%Y", "%-d %b %Y г.", "%-d %B %Y г.", "%A, %-d %B %Y г."],
    greeting: ["Здравствуйте, #!", "Здравствуйте!"],
    mirror: "Открыть письмо в браузере",
    unsubscribe: "Отписаться",
    by_email: "Эл. почта",
};

const TR: Language = Language {
    code: "tr",
    group: ".",
    decimal: ",",
    grouped_from: 4,
    money: "¤#",
    months: [
        "Ocak", "Şubat", "Mart", "Nisan", "Mayıs", "Haziran", "Temmuz", "Ağustos", "Eylül", "Ekim", "Kasım",
        "Aralık",
    ],
    short_months: ["Oca", "Şub", "Mar", "Nis", "May", "Haz", "Tem", "Ağu", "Eyl", "Eki", "Kas", "Ara"],
    days: ["Pazar", "Pazartesi", "Salı", "Çarşamba", "Perşembe", "Cuma", "Cumartesi"],
    dates: ["%-d.%m.%Y", "%-d %b %Y", "%-d %B %Y", "%-d %B %Y %A"],
    greeting: ["Merhaba #,", "Merhaba,"],
    mirror: "Bu iletiyi tarayıcıda görüntüle",
    unsubscribe: "Abonelikten çık",
    by_email: "E-posta",
};

const JA: Language = Language {
    code: "ja",
    group: ",",
    decimal: ".",
    grouped_from: 4,
    money: "¤#",
    months: ["1月", "2月", "3月", "4月", "5月", "6月", "7月", "8月", "9月", "10月", "11月", "12月"],
    short_months: EMPTY,
    days: ["日曜日", "月曜日", "火曜日", "水曜日", "木曜日", "金曜日", "土曜日"],
    dates: ["%Y/%m/%d", "%Y/%m/%d", "%Y年%-m月%-d日", "%Y年%-m月%-d日%A"],
    greeting: ["#様", "お客様"],
    mirror: "ブラウザーで表示",
    unsubscribe: "配信停止",
    by_email: "メール",
};

const ZH: Language = Language {
    code: "zh",
    group: ",",
    decimal: ".",
    grouped_from: 4,
    money: "¤#",
    months: JA.months,
    short_months: EMPTY,
    days: ["星期日", "星期一", "星期二", "星期三", "星期四", "星期五", "星期六"],
    dates: ["%Y/%-m/%-d", "%Y年%-m月%-d日", "%Y年%-m月%-d日", "%Y年%-m月%-d日%A"],
    greeting: ["#，您好：", "您好："],
    mirror: "在浏览器中查看",
    unsubscribe: "退订",
    by_email: "电子邮件",
};

const KO: Language = Language {
    code: "ko",
    group: ",",
    decimal: ".",
    grouped_from: 4,
    money: "¤#",
    months: ["1월", "2월", "3월", "4월", "5월", "6월", "7월", "8월", "9월", "10월", "11월", "12월"],
    short_months: EMPTY,
    days: ["일요일", "월요일", "화요일", "수요일", "목요일", "금요일", "토요일"],
    dates: ["%y. %-m. %-d.", "%Y. %-m. %-d.", "%Y년 %-m월 %-d일", "%Y년 %-m월 %-d일 %A"],
    greeting: ["# 님, 안녕하세요.", "안녕하세요."],
    mirror: "브라우저에서 보기",
    unsubscribe: "수신 거부",
    by_email: "이메일",
};

/// Regions that differ from their language come before it.
static LANGUAGES: [Language; 19] = [
    Language { code: "en-gb", dates: ["%d/%m/%Y", "%-d %b %Y", "%-d %B %Y", "%A %-d %B %Y"], ..EN },
    Language { code: "en-au", dates: ["%-d/%-m/%y", "%-d %b %Y", "%-d %B %Y", "%A %-d %B %Y"], ..EN },
    Language { code: "de-ch", group: "’", decimal: ".", money: "¤\u{a0}#", ..DE },
    Language { code: "de-at", group: NBSP, money: "¤\u{a0}#", ..DE },
    Language { code: "pt-pt", group: NBSP, grouped_from: 5, money: "#\u{a0}¤", ..PT },
    EN,
    DE,
    FR,
    ES,
    IT,
    PT,
    NL,
    SV,
    PL,
    RU,
    TR,
    JA,
    ZH,
    KO,
];

/// The language of a tag (`de`, `de-CH`, `pt_BR`, `ja-JP`), or English.
pub(crate) fn language(tag: &str) -> &'static Language {
    let tag = tag.trim().to_ascii_lowercase().replace('_', "-");
    let first = tag.split('-').next().unwrap_or_default();
    let find = |code: &str| LANGUAGES.iter().find(|language| language.code == code);
    find(&tag).or_else(|| find(first)).unwrap_or(&EN)
}

/// Symbol of a currency where it is understood everywhere, else its code, and its digits after the point.
pub(crate) fn currency(code: &str) -> Option<(&'static str, usize)> {
    const CURRENCIES: [(&str, &str, usize); 34] = [
        ("AED", "AED", 2),
        ("AUD", "A$", 2),
        ("BGN", "BGN", 2),
        ("BHD", "BHD", 3),
        ("BRL", "R$", 2),
        ("CAD", "CA$", 2),
        ("CHF", "CHF", 2),
        ("CLP", "CLP", 0),
        ("CNY", "CN¥", 2),
        ("CZK", "Kč", 2),
        ("DKK", "kr.", 2),
        ("EUR", "€", 2),
        ("GBP", "£", 2),
        ("HKD", "HK$", 2),
        ("HUF", "Ft", 2),
        ("IDR", "Rp", 0),
        ("ILS", "₪", 2),
        ("INR", "₹", 2),
        ("ISK", "ISK", 0),
        ("JPY", "¥", 0),
        ("KRW", "₩", 0),
        ("KWD", "KWD", 3),
        ("MXN", "MX$", 2),
        ("NOK", "kr", 2),
        ("NZD", "NZ$", 2),
        ("PLN", "zł", 2),
        ("RON", "RON", 2),
        ("RUB", "₽", 2),
        ("SEK", "kr", 2),
        ("SGD", "SGD", 2),
        ("TND", "TND", 3),
        ("TRY", "₺", 2),
        ("USD", "$", 2),
        ("VND", "₫", 0),
    ];
    let code = code.trim().to_ascii_uppercase();
    let found = CURRENCIES.iter().find(|(known, ..)| *known == code);
    found.map(|(_, symbol, digits)| (*symbol, *digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_falls_back_to_its_language_and_anything_else_to_english() {
        assert_eq!(language("de-CH").group, "’");
        assert_eq!(language("de_DE").group, ".");
        assert_eq!(language("JA-jp").code, "ja");
        assert_eq!(language("tlh").code, "en");
        assert_eq!(language("").code, "en");
        assert_eq!(currency(" jpy"), Some(("¥", 0)));
        assert_eq!(currency("XYZ"), None);
    }

    #[test]
    fn every_language_is_whole() {
        for language in &LANGUAGES {
            assert!(language.money.contains('¤') && language.money.contains('#'), "{}", language.code);
            assert!(language.greeting[0].contains('#') && !language.greeting[1].contains('#'));
            assert!(
                !language.mirror.is_empty()
                    && !language.unsubscribe.is_empty()
                    && !language.by_email.is_empty()
            );
        }
    }
}
