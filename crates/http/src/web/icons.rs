//! Line icons on a 24 x 24 grid, drawn for these pages.

/// The icon as SVG; an unknown name draws nothing.
pub fn svg(name: &str, tone: &str) -> String {
    format!(
        "<svg class=\"icon {tone}\" viewBox=\"0 0 24 24\" aria-hidden=\"true\"><path d=\"{}\"/></svg>",
        path(name)
    )
}

fn path(name: &str) -> &'static str {
    match name {
        "home" => "M4 11.5 12 4l8 7.5M6 10v9h4.5v-5h3v5H18v-9",
        "deliveries" => "M3 6h18v12H3zM3.5 6.5 12 13l8.5-6.5",
        "templates" => "M5 3.5h14v17H5zM5 8.5h14M9.5 8.5v12",
        "blocks" => "M4 4h7v7H4zM13 4h7v7h-7zM4 13h7v7H4zM13 16.5h7M16.5 13v7",
        "image" => "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M15.5 9.5h.01",
        "clip" => "M8 12.5 14 6.5a3 3 0 0 1 4.3 4.3L10.5 18.5a5 5 0 0 1-7-7L11 4",
        "link" => {
            "M10 14a4 4 0 0 0 5.7 0l3-3a4 4 0 0 0-5.7-5.7l-1.5 1.5M14 10a4 4 0 0 0-5.7 0l-3 3a4 4 0 0 0 5.7 5.7l1.5-1.5"
        }
        "recipients" => "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4.5 20c.6-4 3.6-6 7.5-6s6.9 2 7.5 6",
        "lists" => "M8 6h12M8 12h12M8 18h12M4 6h.01M4 12h.01M4 18h.01",
        "segments" => "M4 5h16l-6 7.5V19l-4-2v-4.5z",
        "services" => "M5 5h14v10H10l-4 4v-4H5zM8.5 8.5h7M8.5 11.5h4",
        "seeds" => "M12 20v-8M12 12c0-4 2.5-6.5 7-6.5 0 4.5-2.5 6.5-7 6.5zM12 15c0-3-2-5-6-5 0 3.5 2 5 6 5z",
        "suppression" => "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM5.8 5.8l12.4 12.4",
        "imports" => "M12 4v11m-4.5-4.5L12 15l4.5-4.5M4 19h16",
        "quarantine" => {
            "M12 3.5 19.5 6v6c0 4.5-3.2 7.5-7.5 8.5C7.7 19.5 4.5 16.5 4.5 12V6zM9.5 9.5l5 5m0-5-5 5"
        }
        "paths" => "M4 12h4c5 0 4-7 9-7h3M8 12c5 0 4 7 9 7h3M17.5 2.5 20 5l-2.5 2.5M17.5 16.5 20 19l-2.5 2.5",
        "sources" => "M4 5h16v5H4zM4 14h16v5H4zM7.5 7.5h.01M7.5 16.5h.01M12 7.5h5M12 16.5h5",
        "limits" => "M4 18a8 8 0 1 1 16 0M12 18l4-6.5M12 18h.01M6 13.5l1.2.7M12 10V8.5",
        "tls" => "M6 11h12v9H6zM8.5 11V8a3.5 3.5 0 0 1 7 0v3M12 14.5v2",
        "domains" => {
            "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM3.5 12h17M12 3c3 3 3.5 6 3.5 9s-.5 6-3.5 9c-3-3-3.5-6-3.5-9S9 6 12 3z"
        }
        "settings" => {
            "M4 7h9m5 0h2M4 17h2m5 0h9M15.5 9.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5zM8.5 19.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5z"
        }
        "audit" => "M6 3.5h9l4 4V20.5H6zM14.5 3.5v4.5H19M9 12h7M9 15.5h7M9 8.5h2.5",
        "account" => {
            "M12 11.5a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM5.5 19.5c.5-3.6 3.1-5.5 6.5-5.5s6 1.9 6.5 5.5z"
        }
        "calendar" => {
            "M4 5.5h16v15H4zM4 10h16M8.5 3v4.5M15.5 3v4.5M8 14h.01M12 14h.01M16 14h.01M8 17h.01M12 17h.01"
        }
        "notices" => "M6 16.5V11a6 6 0 0 1 12 0v5.5l1.5 2h-15zM10 18.5a2 2 0 0 0 4 0",
        "typologies" => "M4 6h9M4 12h6M4 18h9M15.5 12.5l2 2 4-4.5M16.5 5.5h4M16.5 18.5h4",
        "help" => {
            "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM9.3 9.5c.2-1.6 1.3-2.5 2.8-2.5s2.7 1 2.7 2.4c0 2-2.8 2.2-2.8 4.3M12 17h.01"
        }
        "mailbox" => "M4 13 6.5 5h11L20 13v6H4zM4 13h5l1.5 2.5h3L15 13h5",
        "ok" => "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM8 12.3l2.8 2.7L16 9.5",
        "warning" => "M12 4 2.8 19.5h18.4zM12 10v4.5M12 17h.01",
        "error" => "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM9 9l6 6m0-6-6 6",
        "info" => "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM12 11v5.5M12 7.5h.01",
        "todo" => "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18z",
        "check" => "M5 12.5 10 17.5 19 7",
        "lock" => "M6 11h12v9H6zM8.5 11V8a3.5 3.5 0 0 1 7 0v3",
        "plus" => "M12 5v14M5 12h14",
        "more" => "M6 12h.01M12 12h.01M18 12h.01",
        "menu" => "M4 7h16M4 12h16M4 17h16",
        "pause" => "M8 5v14M16 5v14",
        "play" => "M7 4.5 19 12 7 19.5z",
        "stop" => "M6 6h12v12H6z",
        "download" => "M12 4v11m-4.5-4.5L12 15l4.5-4.5M5 20h14",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_place_of_the_navigation_has_its_icon() {
        for place in crate::web::page::Place::ALL {
            assert!(!super::path(place.name()).is_empty(), "{}", place.name());
        }
    }
}
