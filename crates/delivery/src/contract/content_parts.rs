//! Files, templates, editors: what an author has beside the texts.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{START_US, World, definition, each, errors, html};
use crate::definition::Attachment;
use crate::{
    By, Closed, Edit, Editor, Error, ListFilter, New, ProofFreshness, ProofTarget, Push, Sources, State,
};

/// The smallest GIF: one pixel.
const GIF: &[u8] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";
const PDF: &[u8] = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n";

impl World {
    async fn push(
        &self,
        toml: &str,
        files: &[(&str, &[u8])],
        known: &[(&str, &str)],
    ) -> crate::Result<crate::Pushed> {
        let mut all: BTreeMap<String, Vec<u8>> =
            files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect();
        all.insert("delivery.toml".into(), toml.into());
        all.insert(
            "content.html".into(),
            html().replace("<p>Dear", "<img src=\"assets/dot.gif\" alt=\"\"><p>Dear").into(),
        );
        let known = known.iter().map(|(name, hash)| ((*name).to_owned(), (*hash).to_owned())).collect();
        let push = Push { origin: "/folder".into(), files: all, known, by: "ann".into() };
        self.deliveries.push(push).await
    }
}

const TOML: &str = "label = \"Oct\"\nsubject = \"Hi\"\n[sender]\naddress = \"n@shop.example\"\n[target]\n\
                    include = [{ list = \"newsletter\" }]\n[content]\n\
                    attachments = [{ file = \"terms.pdf\", name = \"Terms {{ tier }}.pdf\", when = \"tier == 'gold'\" }]\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_brings_its_files_and_only_what_changed_is_sent() {
    each(|world| async move {
        world.recipients(4).await;
        let files: &[(&str, &[u8])] = &[("assets/dot.gif", GIF), ("terms.pdf", PDF), ("notes.md", b"x")];
        let first = world.push(TOML, files, &[]).await.unwrap();
        assert_eq!((first.unused, first.delivery.edited_by.as_str()), (vec!["notes.md".to_owned()], ""));
        let id = first.delivery.id;
        let names = async || {
            let files = world.deliveries.assets(id).await.unwrap();
            files.into_iter().map(|file| file.name).collect::<Vec<_>>()
        };
        assert_eq!(names().await, ["dot.gif", "terms.pdf"]);
        // The same again, with hashes instead of bytes, changes nothing.
        let hash = |bytes: &[u8]| blake3::hash(bytes).to_hex().to_string();
        let (gif, pdf) = (hash(GIF), hash(PDF));
        let here = world.deliveries.known_hashes(vec![gif.clone(), "00".repeat(32)]).await.unwrap();
        assert!(here.len() == 1 && here.contains(&gif));
        let before = world.deliveries.get(id).await.unwrap();
        let again = world.push(TOML, &[], &[("assets/dot.gif", &gif), ("terms.pdf", &pdf)]).await.unwrap();
        assert_eq!((again.delivery.id, again.delivery.revision), (id, before.revision));
        // A hash that nobody has is no file.
        let unknown = "ab".repeat(32);
        assert!(world.push(TOML, &[], &[("assets/dot.gif", &unknown), ("terms.pdf", &pdf)]).await.is_err());
        // Without the image it is an edit, and the file goes.
        let fewer = world.push(TOML, &[], &[("terms.pdf", &pdf)]).await.unwrap();
        assert!(fewer.delivery.revision > before.revision);
        assert_eq!(names().await, ["terms.pdf"]);
        let files: &[(&str, &[u8])] = &[("content.txt", b"ok\n\xff"), ("terms.pdf", PDF)];
        let Err(Error::Refused(broken)) = world.push(TOML, files, &[]).await else { panic!() };
        assert_eq!((broken.file.as_str(), broken.line), ("content.txt", Some(2)));
        let Err(Error::Refused(missing)) = world.push(TOML, &[], &[]).await else { panic!() };
        assert_eq!((missing.field.as_str(), missing.line), ("content.attachments", Some(8)));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_the_files_is_an_edit_and_a_copy_has_them_too() {
    each(|world| async move {
        world.recipients(4).await;
        let id = world.draft().await;
        world.deliveries.put_asset(id, "assets/dot.gif", GIF.to_vec(), "ann").await.unwrap();
        let analysis = world.analyse(id).await;
        assert_eq!(errors(&analysis), [""; 0]);
        let target = ProofTarget::Recipients(vec!["r1@yahoo.com".into()]);
        world.deliveries.proof(id, target, &By::system()).await.unwrap().analysed().await.unwrap();
        assert_eq!(world.deliveries.get(id).await.unwrap().proof, ProofFreshness::Current);

        world.deliveries.put_asset(id, "terms.pdf", PDF.to_vec(), "bob").await.unwrap();
        let edited = world.deliveries.get(id).await.unwrap();
        assert_eq!((edited.edited_by.as_str(), edited.proof), ("bob", ProofFreshness::Outdated));
        assert_eq!(world.deliveries.confirm_plan(id).await.unwrap().closed, Some(Closed::EditedSince));
        // A picture is a picture.
        let lie = world.deliveries.put_asset(id, "logo.png", b"<script>".to_vec(), "bob").await;
        assert!(lie.is_err());

        let copy = world.deliveries.duplicate(id, &By::system()).await.unwrap().id;
        let names: Vec<_> =
            world.deliveries.assets(copy).await.unwrap().into_iter().map(|f| f.name).collect();
        assert_eq!(names, ["dot.gif", "terms.pdf"]);
        world.deliveries.remove_asset(copy, "terms.pdf", "ann").await.unwrap();
        assert_eq!(world.deliveries.assets(id).await.unwrap().len(), 2);
        assert!(world.deliveries.remove_asset(copy, "terms.pdf", "ann").await.is_err());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_a_confirmed_delivery_live_as_long_as_its_resources() {
    each(|world| async move {
        world.recipients(2).await;
        let mut brief = definition();
        brief.parameters.resource_validity = "40d".into();
        brief.content.attachments = vec![Attachment { file: "terms.pdf".into(), ..Attachment::default() }];
        let id = world.deliveries.create(brief, Some(html()), None).await.unwrap().id;
        let missing = world.analyse(id).await;
        assert!(errors(&missing)[0].contains("terms.pdf"), "{:?}", errors(&missing));
        world.deliveries.put_asset(id, "terms.pdf", PDF.to_vec(), "ann").await.unwrap();
        let analysis = world.analyse(id).await;
        assert_eq!(errors(&analysis), [""; 0]);
        world.deliveries.confirm(id, None, &By::system()).await.unwrap();
        let day = 86_400_000_000;
        assert_eq!(world.deliveries.get(id).await.unwrap().resources_until, Some(START_US + 40 * day));
        let refused = world.deliveries.put_asset(id, "dot.gif", GIF.to_vec(), "ann").await;
        assert!(matches!(refused, Err(Error::State { .. })));
        assert_eq!(world.content.purge_assets(START_US + 39 * day).await.unwrap(), 0);
        let copy = world.deliveries.duplicate(id, &By::system()).await.unwrap().id;
        assert_eq!(
            world.content.purge_assets(START_US + 41 * day).await.unwrap(),
            0,
            "the copy has it still"
        );
        world.deliveries.delete(copy, &By::system()).await.unwrap();
        assert_eq!(world.content.purge_assets(START_US + 41 * day).await.unwrap(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_template_carries_everything_and_is_never_sent() {
    each(|world| async move {
        world.recipients(3).await;
        let mut full = definition();
        full.parameters.retries = 7;
        full.parameters.headers.insert("X-Season".into(), "autumn".into());
        full.tracking.opens = false;
        let id = world.deliveries.create(full, Some(html()), None).await.unwrap().id;
        world.deliveries.put_asset(id, "dot.gif", GIF.to_vec(), "ann").await.unwrap();
        let template = world.deliveries.save_as_template(id, "Autumn", "ann").await.unwrap();
        assert!(template.is_template);
        let twice = world.deliveries.save_as_template(id, "Autumn", "ann").await.unwrap_err();
        assert!(twice.to_string().contains("already"), "{twice}");
        assert_eq!(world.deliveries.list(ListFilter::default()).await.unwrap().len(), 1);
        assert_eq!(world.deliveries.templates(ListFilter::default()).await.unwrap()[0].label, "Autumn");
        assert!(matches!(
            world.deliveries.start_analysis(template.id, &By::system()).await,
            Err(Error::State { .. })
        ));
        let target = ProofTarget::Recipients(vec!["r1@yahoo.com".into()]);
        assert!(matches!(
            world.deliveries.proof(template.id, target, &By::system()).await,
            Err(Error::State { .. })
        ));
        assert_eq!(world.deliveries.confirm_plan(template.id).await.unwrap().closed, Some(Closed::Template));

        let made = world.deliveries.create_from_template("Autumn", "November", "bob").await.unwrap();
        assert_eq!((made.label.as_str(), made.html), ("November", Some(html())));
        assert_eq!((made.definition.parameters.retries, made.definition.tracking.opens), (7, false));
        assert_eq!(made.definition.template, "Autumn");
        assert_eq!(world.deliveries.assets(made.id).await.unwrap().len(), 1);
        assert_eq!(world.analyse(made.id).await.state, State::Ready);

        let own = serde_json::json!({ "label": "Own", "template": "Autumn", "parameters": { "retries": 2 } });
        let given = Sources { text: Some("Hello {{ unsubscribe_url }}".into()), ..Sources::default() };
        let over = world.deliveries.create_over(own, given, "bob").await.unwrap();
        assert_eq!((over.definition.parameters.retries, over.definition.tracking.opens), (2, false));
        assert!(over.html.is_some() && over.text.is_some());
        let Err(Error::Refused(refusal)) = world.deliveries.create_from_template("None", "x", "").await
        else {
            panic!()
        };
        assert_eq!(refusal.field, "template");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_includes_a_block_is_found() {
    each(|world| async move {
        let id = world.draft().await;
        let body = |include: &str| Some(Some(format!("<p>{include}</p>{}", html())));
        let edit = |include: &str| Edit { html: body(include), ..Edit::default() };
        world.deliveries.edit(id, edit("{% include \"foot_er\" %}")).await.unwrap();
        assert_eq!(world.deliveries.with_block("foot_er").await.unwrap()[0].id, id);
        assert!(world.deliveries.with_block("footxer").await.unwrap().is_empty(), "a wildcard is none");
        world.deliveries.edit(id, edit("{{ block('other') }}")).await.unwrap();
        assert!(world.deliveries.with_block("foot_er").await.unwrap().is_empty());
        assert_eq!(world.deliveries.with_block("other").await.unwrap().len(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pushed_folder_stands_over_its_template() {
    each(|world| async move {
        world.recipients(2).await;
        let mut base = definition();
        base.label = "Base".into();
        base.subject = "From the template".into();
        let sources = Sources { mjml: Some("<mjml></mjml>".into()), ..Sources::default() };
        let new = New { definition: base, sources, is_template: true, ..New::default() };
        let template = world.deliveries.create_new(new).await.unwrap();
        world.deliveries.put_asset(template.id, "logo.gif", GIF.to_vec(), "").await.unwrap();
        let toml = "label = \"Own\"\ntemplate = \"Base\"\n";
        let pushed = world.push(toml, &[("assets/dot.gif", GIF)], &[]).await.unwrap().delivery;
        assert_eq!((pushed.label.as_str(), pushed.definition.subject.as_str()), ("Own", "From the template"));
        // The folder's HTML replaces the template's MJML.
        assert_eq!((pushed.html.is_some(), pushed.mjml), (true, None));
        let names: Vec<_> =
            world.deliveries.assets(pushed.id).await.unwrap().into_iter().map(|f| f.name).collect();
        assert_eq!(names, ["dot.gif", "logo.gif"]);
        let Err(Error::Refused(refusal)) = world.push("label = \"x\"\ntemplate = \"No\"\n", &[], &[]).await
        else {
            panic!()
        };
        assert_eq!((refusal.field.as_str(), refusal.line), ("template", Some(2)));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn starting_templates_are_put_in_once() {
    each(|world| async move {
        assert_eq!(world.draft().await, 1, "without templates an instance begins with its own deliveries");
        let first = world.deliveries.templates(ListFilter::default()).await.unwrap();
        assert_eq!(first.len(), 12);
        world.deliveries.delete(first[0].id, &By::system()).await.unwrap();
        world.deliveries.load_starters().await.unwrap();
        assert_eq!(world.deliveries.templates(ListFilter::default()).await.unwrap().len(), 11);
        let newsletter = world.deliveries.template("Newsletter").await.unwrap().unwrap();
        assert!(newsletter.mjml.is_some());
        assert_eq!(world.deliveries.assets(newsletter.id).await.unwrap()[0].name, "hero.png");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_edit_is_told_whose_came_first() {
    each(|world| async move {
        let id = world.draft().await;
        let seen = world.deliveries.get(id).await.unwrap().revision;
        let edit = |html: &str, by: &str| Edit {
            html: Some(Some(html.into())),
            based_on: Some(seen),
            by: by.into(),
            ..Edit::default()
        };
        let saved = world.deliveries.edit(id, edit("<p>one</p>", "ann")).await.unwrap();
        assert_eq!((saved.revision, saved.edited_by.as_str()), (seen + 1, "ann"));
        let Err(Error::Conflict { current, by, at, .. }) =
            world.deliveries.edit(id, edit("<p>two</p>", "bob")).await
        else {
            panic!()
        };
        assert_eq!((current, by.as_str(), at), (seen + 1, "ann", START_US));
        // Saving what is there already is no edit.
        let same = Edit { html: Some(Some("<p>one</p>".into())), by: "bob".into(), ..Edit::default() };
        assert_eq!(world.deliveries.edit(id, same).await.unwrap().revision, seen + 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn editors_of_one_draft_know_of_each_other() {
    each(|world| async move {
        let id = world.draft().await;
        let editor =
            |name: &str, tab: &str| Editor { name: name.into(), tab: tab.into(), part: "html".into() };
        assert_eq!(world.deliveries.present(id, editor("ann", "t1")).await.unwrap(), []);
        let others = world.deliveries.present(id, editor("bob", "t2")).await.unwrap();
        assert_eq!((others.len(), others[0].name.as_str(), others[0].since), (1, "ann", START_US));
        world.clock.advance(Duration::from_secs(20));
        assert_eq!(world.deliveries.present(id, editor("ann", "t1")).await.unwrap()[0].name, "bob");
        world.clock.advance(Duration::from_secs(20));
        // Bob was silent for 40 s.
        assert_eq!(world.deliveries.present(id, editor("ann", "t1")).await.unwrap(), []);
        world.deliveries.gone(id, "t1").await.unwrap();
        assert_eq!(world.deliveries.present(id, editor("bob", "t2")).await.unwrap(), []);
        assert!(matches!(
            world.deliveries.present(99_999, editor("bob", "t2")).await,
            Err(Error::NotFound(_))
        ));
    })
    .await;
}

/// A web server that gives every path the same image.
async fn image_host() -> std::net::SocketAddr {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut line, _)) = socket.accept().await {
            let _ = line.read(&mut [0; 2_048]).await;
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: image/gif\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                GIF.len()
            );
            let _ = line.write_all(&[head.as_bytes(), GIF].concat()).await;
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn images_of_others_travel_with_the_message_or_stay_with_a_warning() {
    each(|world| async move {
        world.recipients(2).await;
        let host = image_host().await;
        let mut inline = definition();
        inline.content.images = "inline".into();
        let images = format!(
            "<img src=\"http://{host}/a.gif\" alt=\"\">\n<img src=\"http://10.0.0.1/b.gif\" alt=\"\">"
        );
        let body = format!("{images}{}", html());
        let id = world.deliveries.create(inline, Some(body), None).await.unwrap().id;
        let before = world.deliveries.get(id).await.unwrap();
        let analysis = world.analyse(id).await;
        assert_eq!(errors(&analysis), [""; 0]);
        let told: Vec<_> = analysis.findings.iter().filter(|f| f.rule == "remote_image").collect();
        assert_eq!(told.len(), 1, "{:?}", analysis.findings);
        assert!(told[0].text.contains("10.0.0.1") && told[0].line == Some(2), "{:?}", told[0]);
        let hash = analysis.snapshot.unwrap();
        let snapshot = world.queue.snapshot(&hash).await.unwrap().unwrap();
        let snapshot = message::Snapshot::from_bytes(&snapshot).unwrap();
        assert_eq!(snapshot.images.len(), 1);
        assert!(snapshot.images[0].inline);
        // The author did not edit anything, and has no file more.
        let after = world.deliveries.get(id).await.unwrap();
        assert_eq!((after.revision, world.deliveries.assets(id).await.unwrap().len()), (before.revision, 0));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_profile_that_names_a_carrier_takes_the_images_of_others_along() {
    each(|world| async move {
        let host = image_host().await;
        let list = world.audience.create_list("newsletter", START_US).await.unwrap();
        let body = format!("<img src=\"http://{host}/a.gif\" alt=\"\">{}", html());
        let images = async || {
            let id = world.deliveries.create(definition(), Some(body.clone()), None).await.unwrap().id;
            let analysis = world.analyse(id).await;
            assert_eq!(errors(&analysis), [""; 0]);
            let bytes = world.queue.snapshot(&analysis.snapshot.unwrap()).await.unwrap().unwrap();
            (id, message::Snapshot::from_bytes(&bytes).unwrap().images.len())
        };
        let join = async |email: &str, format: &str| {
            let new = audience::NewRecipient {
                email: email.into(),
                email_format: format.into(),
                attributes: [("tier".to_owned(), "gold".to_owned())].into(),
                ..Default::default()
            };
            let id = world.audience.create_recipient(new, START_US).await.unwrap().id;
            world.audience.add_to_list(list, vec![id]).await.unwrap();
        };
        join("ann@x.example", "html").await;
        assert_eq!(images().await.1, 0, "nobody takes it along");
        join("taro@x.example", "softbank").await;
        let (id, along) = images().await;
        assert_eq!(along, 1);
        let found = world.queue.message_of(id, None, "taro@x.example").await.unwrap().unwrap();
        let flags = world.queue.message(found).await.unwrap().unwrap().flags;
        assert!(flags & message::FLAGS_VARIANT > i64::from(message::VARIANT_HTML));
        // So does a proof with this recipient's profile, and with another's does not.
        let proof = async |email: &str| {
            let id = world.deliveries.create(definition(), Some(body.clone()), None).await.unwrap().id;
            let target = ProofTarget::Recipients(vec![email.into()]);
            let proof = world.deliveries.proof(id, target, &By::system()).await.unwrap();
            let analysis = proof.analysed().await.unwrap();
            let bytes = world.queue.snapshot(&analysis.snapshot.unwrap()).await.unwrap().unwrap();
            message::Snapshot::from_bytes(&bytes).unwrap().images.len()
        };
        assert_eq!((proof("ann@x.example").await, proof("taro@x.example").await), (0, 1));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_author_means_is_told_at_its_place() {
    each(|world| async move {
        world.recipients(2).await;
        let analysed = async |body: String| {
            let id = world.deliveries.create(definition(), Some(body), None).await.unwrap().id;
            world.analyse(id).await
        };
        let at = |analysis: &crate::Analysis, words: &str| {
            let found = analysis.findings.iter().find(|finding| finding.text.contains(words));
            let found = found.unwrap_or_else(|| panic!("{words}: {:?}", analysis.findings));
            (found.line.unwrap_or_default(), found.column.unwrap_or_default())
        };
        let odd = format!(
            "<p>x</p>\n<script>x()</script>\n<a href=\"javascript:x()\">a</a>\n \
             <a href=\"https://shop.example/a b\">b</a>\n<p dir=\"rtl\">\u{5e9}\u{5dc}\u{5d5}\u{5dd}</p>{}",
            html()
        );
        let odd = analysed(odd).await;
        assert_eq!(errors(&odd), [""; 0]);
        // Conditions may close what they open, so a source that has some is not judged.
        let open = "<p>\n<div><b>x</div><a href=\"{{ unsubscribe_url }}\">Unsubscribe</a></p>";
        assert_eq!(at(&analysed(open.to_owned()).await, "<b> is not closed"), (2, 6));
        assert_eq!(at(&odd, "a script stays"), (2, 1));
        assert_eq!(at(&odd, "javascript:x()"), (3, 1));
        assert_eq!(at(&odd, "contains a blank"), (4, 2));
        let nul = world.deliveries.create(definition(), Some(format!("{}\n<p>\0</p>", html())), None).await;
        let Err(Error::Refused(nul)) = nul else { panic!() };
        assert_eq!((nul.field.as_str(), nul.line, nul.column), ("html", Some(2), Some(4)), "{nul:?}");
        let unknown = analysed(format!("{}\n<p style=\"color:{{{{ nobody }}}}\">x</p>", html())).await;
        assert_eq!((errors(&unknown).len(), at(&unknown, "`nobody`")), (1, (2, 20)));
        let links: String =
            (0..10_000).map(|n| format!("<a href=\"https://x.example/{n}\">x</a>\n")).collect();
        let many = analysed(format!("{links}{}", html())).await;
        assert_eq!(at(&many, "more than 5000 different links"), (5_001, 1));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_has_the_format_of_its_profile_or_of_its_domain_and_what_is_lost_is_told() {
    each(|world| async move {
        let list = world.audience.create_list("newsletter", START_US).await.unwrap();
        let mut ids = Vec::new();
        for (email, format) in
            [("t@x.example", "text"), ("n@x.example", ""), ("h@x.example", "html"), ("d@docomo.ne.jp", "")]
        {
            let new = audience::NewRecipient {
                email: email.into(),
                email_format: format.into(),
                attributes: [("tier".to_owned(), "gold".to_owned())].into(),
                ..Default::default()
            };
            ids.push(world.audience.create_recipient(new, START_US).await.unwrap().id);
        }
        world.audience.add_to_list(list, ids).await.unwrap();
        let text = "Gr\u{20BB7} {{ first_name }}\n{{ unsubscribe_url }}".to_owned();
        let mut plain = definition();
        plain.parameters.encoding = "utf-8".into();
        let id = world.deliveries.create(plain, Some(html()), Some(text)).await.unwrap().id;
        let analysis = world.analyse(id).await;
        assert_eq!(errors(&analysis), [""; 0]);
        let told = analysis.findings.iter().find(|f| f.text.contains("U+20BB7"));
        let told = told.unwrap_or_else(|| panic!("{:?}", analysis.findings));
        assert!(told.text.contains("d@docomo.ne.jp") && !told.text.contains("x.example"), "{}", told.text);
        let variant = async |email: &str| {
            let found = world.queue.message_of(id, None, email).await.unwrap().unwrap();
            world.queue.message(found).await.unwrap().unwrap().flags & message::FLAGS_VARIANT
        };
        assert_eq!(variant("n@x.example").await, i64::from(message::VARIANT_ALTERNATIVE));
        assert_eq!(variant("t@x.example").await, i64::from(message::VARIANT_TEXT));
        assert_eq!(variant("h@x.example").await, i64::from(message::VARIANT_HTML));
        assert!(variant("d@docomo.ne.jp").await > i64::from(message::VARIANT_HTML));
        let shown = world.deliveries.preview(id, Some("n@x.example"), "docomo").await.unwrap();
        assert_eq!(shown.format, "docomo");
        let Err(Error::Refused(refusal)) = world.deliveries.preview(id, None, "telex").await else {
            panic!()
        };
        assert_eq!(refusal.field, "format");
    })
    .await;
}
