//! Real newsletters in MJML. The corpus is not in the repository: without it the test has nothing to do. Its folder
//! is named by MAILWRIGHT_MJML_CORPUS, or stands beside the repository as shared/corpus/newsletters/mjml.

use std::path::PathBuf;

use content::{CompileOptions, Draft, compile};
use message::PartName;

fn corpus() -> Vec<PathBuf> {
    let beside =
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpus/newsletters/mjml"));
    let folder = std::env::var_os("MAILWRIGHT_MJML_CORPUS").map_or_else(beside, PathBuf::from);
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "mjml"))
        .collect()
}

#[test]
fn newsletters_render_with_and_without_inlined_css() {
    for path in corpus() {
        let mjml = std::fs::read_to_string(&path).expect("the corpus can be read");
        for inline_css in [false, true] {
            let draft = Draft {
                from_address: "news@shop.example".into(),
                subject: "x".into(),
                mjml: Some(mjml.clone()),
                inline_css,
                personalise: false,
                ..Draft::default()
            };
            let compiled = compile(&draft, &CompileOptions::default());
            let compiled = compiled.unwrap_or_else(|problems| panic!("{}: {problems:?}", path.display()));
            let html = compiled.snapshot.part(PartName::Html).expect("an HTML part").segments.concat();
            assert!(html.contains("<table") && html.contains("</html>"), "{}", path.display());
            assert!(!html.contains("<mj-"), "{}", path.display());
            let words = html.split(['<', '>']).skip(2).step_by(2).map(str::len).sum::<usize>();
            assert!(words > 200, "{}: {words}", path.display());
            // Media queries make the columns of a phone: inlining must leave them.
            assert!(html.contains("@media"), "{}", path.display());
        }
    }
}
