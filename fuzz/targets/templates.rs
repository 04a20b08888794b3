//! Any text as HTML, text and MJML: an answer in bounded time, with a place in each error.
#![no_main]

use content::{CompileOptions, Draft, Fields, compile};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (bool, &str)| {
    let (mjml, source) = input;
    let body = Some(source.to_owned());
    let draft = Draft {
        from_address: "news@shop.example".into(),
        subject: "News".into(),
        preheader: "New".into(),
        html: if mjml { None } else { body.clone() },
        mjml: if mjml { body.clone() } else { None },
        text: if mjml { None } else { body },
        inline_css: true,
        track_clicks: true,
        track_opens: true,
        ..Draft::default()
    };
    let options = CompileOptions {
        delivery: 1,
        public_url: "https://t.shop.example".into(),
        bounce_domain: "bounce.shop.example".into(),
        ..CompileOptions::default()
    };
    match compile(&draft, &options) {
        Ok(compiled) => {
            let fields = Fields::from_pairs([("first_name", "Ann & Bob"), ("last_name", "")]);
            let _ = compiled.evaluate(&fields, compiled.flags_for("", "example.org"));
        }
        Err(problems) => assert!(!problems.is_empty()),
    }
});
