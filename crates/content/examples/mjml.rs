//! Renders an MJML file as a delivery would, and prints the HTML: `cargo run -p content --example mjml FILE`.
//! `scripts/mjml-report` compares it with what the JavaScript implementation makes.

use std::io::Write;
use std::process::ExitCode;

use content::{CompileOptions, Draft, compile};
use message::PartName;

fn main() -> ExitCode {
    let Some(file) = std::env::args().nth(1) else { return said("usage: mjml FILE") };
    let mjml = match std::fs::read_to_string(&file) {
        Ok(mjml) => mjml,
        Err(error) => return said(&format!("{file}: {error}")),
    };
    let draft = Draft {
        from_address: "news@shop.example".to_owned(),
        subject: "MJML".to_owned(),
        mjml: Some(mjml),
        personalise: false,
        ..Draft::default()
    };
    match compile(&draft, &CompileOptions::default()) {
        Ok(compiled) => {
            let html = compiled.snapshot.part(PartName::Html).map(|part| part.segments.concat());
            match std::io::stdout().write_all(html.unwrap_or_default().as_bytes()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => said(&error.to_string()),
            }
        }
        Err(problems) => {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            said(&problems.join("\n"))
        }
    }
}

fn said(text: &str) -> ExitCode {
    // Nothing is left to do when standard error is shut.
    let _ = writeln!(std::io::stderr(), "{text}");
    ExitCode::FAILURE
}
