//! What people decide before anything goes out, and what must hold whatever happens: an approval is for what was seen, who
//! is a control or a seed counts in no figure, and an analysis that is killed in any of its steps is as if nothing was.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use mail_parser::MessageParser;
use reqwest::{Client, Method, StatusCode, redirect::Policy};
use serde_json::{Value, json};
use stories::campaign::{HTML, addresses, toml};
use stories::{Database, Server, ServerOptions};
use testkit::{Behaviour, Internet, InternetOptions, Place, World};

const DOMAINS: [&str; 2] = ["north.example", "south.example"];
const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

async fn start(database: Database) -> (Internet, Server) {
    let places = DOMAINS.iter().zip(1u8..).map(|(domain, n)| {
        let behaviour = Behaviour::accepting(domain.trim_end_matches(".example"), &format!("mx.{domain}"));
        let host = behaviour.host.clone();
        Place::new(behaviour, Ipv4Addr::new(127, 0, 68, n)).domain(domain, &[&host])
    });
    let world = World { places: places.collect() };
    let internet = Internet::start(&world, InternetOptions::default()).await.unwrap();
    let options = ServerOptions { config: internet.settings(), ..ServerOptions::default() };
    (internet, Server::start(database, options).await)
}

async fn get(server: &Server, path: &str) -> Value {
    let answer = server.request(Method::GET, path).send().await.unwrap();
    assert!(answer.status().is_success(), "{path}: {}", answer.status());
    answer.json().await.unwrap()
}

async fn post(server: &Server, path: &str, body: Value) -> Value {
    let answer = server.request(Method::POST, path).json(&body).send().await.unwrap();
    assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap());
    answer.json().await.unwrap_or_default()
}

/// Subject and HTML of the first mail of an address.
async fn mail_of(internet: &Internet, address: &str) -> (String, String) {
    let end = Instant::now() + stories::WAIT;
    loop {
        if let Some(mail) = internet.mailboxes().of(address).first() {
            let message = MessageParser::default().parse(&*mail.octets).unwrap();
            return (message.subject().unwrap().to_owned(), message.body_html(0).unwrap().into_owned());
        }
        assert!(Instant::now() < end, "no mail for {address}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What was approved is not what would be sent any more: it must be looked at again.
async fn an_edit_takes_the_approval_back(database: Database) {
    let (internet, server) = start(database).await;
    let targets = addresses(20, &DOMAINS);
    server.import("news", &targets).await;
    let wanted = toml("news", "news", "[validation]\napprovers = [\"local\"]\n");
    let id = server.push("news", &wanted, HTML).await;
    let seen = server.analyze(&id).await["snapshot"].as_str().unwrap().to_owned();
    let approve =
        async |snapshot: &str| server.cli(&["delivery", "approve", &id, "--snapshot", snapshot]).await;
    assert_eq!(server.cli(&["delivery", "confirm", &id, "--yes"]).await.status, 1, "nobody approved yet");
    approve(&seen).await.done();
    let edited = HTML.replace("Dear", "Dearest");
    assert_eq!(server.push("news", &wanted, &edited).await, id);

    let approvals = get(&server, &format!("/deliveries/{id}/approvals")).await;
    assert_eq!(approvals["complete"], false, "{approvals}");
    assert!(approvals["withdrawn"].to_string().contains("edited"), "{approvals}");
    let refused = server.cli(&["delivery", "confirm", &id, "--yes", "--snapshot", &seen]).await;
    assert_eq!(refused.status, 1, "{}", refused.stdout);
    assert_eq!(approve(&seen).await.status, 1, "what is not there any more cannot be approved");

    let new = server.analyze(&id).await["snapshot"].as_str().unwrap().to_owned();
    assert_ne!(new, seen);
    let waiting = server.cli(&["delivery", "confirm", &id, "--yes"]).await;
    assert_eq!(waiting.status, 1, "the new snapshot has nobody's word yet: {}", waiting.stdout);
    assert_eq!(internet.log().accepted(), 0);
    approve(&new).await.done();
    server.cli(&["delivery", "confirm", &id, "--yes", "--snapshot", &new]).await.done();
    let status = server.wait_for(&id, &["finished"], stories::WAIT).await;
    assert_eq!(status["messages"]["sent"], 20, "{status}");
    let (_, html) = mail_of(&internet, &targets[0]).await;
    assert!(html.contains("Dearest"), "what was approved last is what arrived: {html}");
    server.verify(&id).await;
}

fn url(html: &str, path: &str) -> String {
    let found = html.split('"').find(|text| text.starts_with("http://") && text.contains(path));
    found.unwrap_or_else(|| panic!("no {path} in {html}")).replace("&amp;", "&")
}

/// Somebody who signs in, for pages.
async fn signed_in(server: &Server) -> (Client, String) {
    let link = post(server, "/invitations", json!({"name": "anna", "email": "anna@shop.example"})).await;
    let token = link["link"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    let client = Client::builder().redirect(Policy::none()).user_agent(BROWSER).build().unwrap();
    let fields = "new=correct+horse+battery+staple&again=correct+horse+battery+staple";
    let chosen = client
        .post(format!("{}/password/{token}", server.url()))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(fields)
        .send()
        .await
        .unwrap();
    let cookie = chosen.headers().get("set-cookie").map(|value| value.to_str().unwrap().to_owned());
    let cookie = cookie.unwrap_or_else(|| panic!("no session: {}", chosen.status()));
    (client, cookie.split(';').next().unwrap().to_owned())
}

/// The text of a page, tags taken out.
async fn page(server: &Server, (client, cookie): &(Client, String), path: &str) -> String {
    let answer = client.get(format!("{}{path}", server.url())).header("cookie", cookie).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "{path}");
    let html = answer.text().await.unwrap();
    let texts = html.split('<').filter_map(|rest| rest.split_once('>').map(|(_, text)| text));
    texts.collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// How many a delivery is for. What people did is written in groups: on a slow machine the last of it comes now, so it is
/// asked again while it is not `count`.
async fn target_of(server: &Server, id: &str, count: u64) -> u64 {
    let end = Instant::now() + stories::WAIT;
    loop {
        let target = server.analyze(id).await["target"].as_u64().unwrap();
        if target == count || Instant::now() > end {
            return target;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// A hundred recipients, ten of them controls, and two seeds, who read everything.
async fn nobody_is_counted_who_is_none(database: Database) {
    let (internet, server) = start(database).await;
    let targets = addresses(100, &DOMAINS);
    server.import("news", &targets).await;
    let group = post(&server, "/seed-groups", json!({"name": "house"})).await;
    let mut seeds = Vec::new();
    for n in 0..2 {
        let address = format!("seed{n}@north.example");
        let seed = post(&server, "/seeds", json!({"email": address})).await;
        seeds.push((address, seed["id"].as_str().unwrap().to_owned()));
    }
    let ids: Vec<&str> = seeds.iter().map(|(_, id)| id.as_str()).collect();
    let add = format!("/seed-groups/{}/add", group["id"].as_str().unwrap());
    post(&server, &add, json!({"seeds": ids})).await;
    let wanted = toml("news", "news", "")
        .replace("[target]\n", "[target]\nseeds = [\"house\"]\ncontrol_group = { size = \"10%\" }\n");
    let html = format!("{HTML}<a href=\"{{{{ mirror_url }}}}\">Web</a>");
    let id = server.push("news", &wanted, &html).await;
    let analysis = server.analyze(&id).await;
    assert_eq!((&analysis["to_deliver"], &analysis["excluded"]), (&json!(90), &json!({"control": 10})));
    server.confirm(&id).await;
    server.wait_for(&id, &["finished"], stories::WAIT).await;

    // The seeds read it, as the house does; one recipient does too.
    let log = server.log(&id).await;
    let sent: Vec<&String> = targets.iter().filter(|to| log[*to].state == "sent").collect();
    let controls: Vec<_> = log.values().filter(|row| row.reason == "control").collect();
    assert_eq!((log.len(), sent.len(), controls.len()), (100, 90, 10), "seeds stand in no line of the log");
    assert!(controls.iter().all(|row| row.state == "excluded" && row.attempts == 0));
    for row in &controls {
        assert!(internet.mailboxes().of(&row.recipient).is_empty(), "a control gets nothing");
    }
    let client = Client::builder().redirect(Policy::none()).user_agent(BROWSER).build().unwrap();
    for address in [&seeds[0].0, &seeds[1].0, sent[0]] {
        let (_, html) = mail_of(&internet, address).await;
        assert_eq!(client.get(url(&html, "/l/")).send().await.unwrap().status(), StatusCode::FOUND);
        client.get(url(&html, "/o/")).send().await.unwrap();
    }
    // A complaint about a seed's message is nobody's either.
    let seed_log = server.request(Method::GET, &format!("/deliveries/{id}/log?seeds=true&format=json"));
    let seed_log: Value = seed_log.send().await.unwrap().json().await.unwrap();
    assert_eq!(seed_log.as_array().map(Vec::len), Some(2), "{seed_log}");
    let message = seed_log[0]["message_id"].as_str().unwrap();
    let events = json!({"events": [{"kind": "complaint", "message_id": message}]});
    let told = server.request(Method::POST, "/events").json(&events).send().await.unwrap();
    assert!(told.status().is_success(), "{}", told.text().await.unwrap());
    tokio::time::sleep(Duration::from_secs(3)).await;

    let status = server.status(&id).await;
    assert_eq!((&status["target"], &status["messages"]["sent"]), (&json!(100), &json!(90)), "{status}");
    assert_eq!((&status["seeds"]["sent"], &status["complaints"]), (&json!(2), &json!(0)), "{status}");
    let by_provider: i64 =
        status["providers"].as_array().unwrap().iter().map(|one| one["sent"].as_i64().unwrap()).sum();
    assert_eq!(by_provider, 90, "{status}");
    server.verify(&id).await;
    // Whoever read it is the recipient alone, and whoever got it are the ninety, for the next delivery too.
    for (who, count) in [("clicked", 1), ("opened", 1), ("sent", 90), ("not_clicked", 89)] {
        let next = toml(who, "news", "").replace(
            "include = [{ list = \"news\" }]",
            &format!("include = [{{ recipients_of = \"{id}\", who = \"{who}\" }}]"),
        );
        let next = server.push(who, &next, HTML).await;
        assert_eq!(target_of(&server, &next, count).await, count, "{who}");
    }

    let reader = signed_in(&server).await;
    let watch = page(&server, &reader, &format!("/deliveries/{id}/watch")).await;
    assert!(watch.contains("Seed addresses reached: 2"), "{watch}");
    let list = page(&server, &reader, &format!("/deliveries/{id}/log")).await;
    assert!(!list.contains("seed0@north.example"), "{list}");
}

/// All steps in order. Those in [`LONG`] must be hit; the others last a few milliseconds, and are hit by luck.
const STEPS: [&str; 6] = ["content", "target", "domains", "personalisation", "index", "rules"];
const LONG: [&str; 2] = ["target", "personalisation"];
const PEOPLE: usize = 30_000;
/// Kills for one step, until one hits it.
const TRIES: u64 = 6;

/// Begins an analysis and kills the server as soon as it is seen in this step, or behind it. The last steps are shorter than a
/// look: for them the kill comes so many ms after the last message was personalised. The step that was seen last.
async fn killed_in(server: &mut Server, id: &str, step: &str, after_ms: u64) -> Option<String> {
    let path = format!("/deliveries/{id}/analysis");
    post(server, &path, json!({})).await;
    let place = |name: &str| STEPS.iter().position(|known| *known == name);
    let progress = server.request(Method::GET, &path).build().unwrap();
    let client = Client::new();
    let end = Instant::now() + stories::WAIT;
    let mut seen = None;
    loop {
        assert!(Instant::now() < end, "the step {step} never came: {}", server.stderr());
        let answer: Value =
            client.execute(progress.try_clone().unwrap()).await.unwrap().json().await.unwrap();
        let progress = &answer["progress"];
        let Some(now) = progress["phase"].as_str() else {
            if answer["state"] != "analysing" {
                break;
            }
            continue;
        };
        seen = Some(now.to_owned());
        if place(now) >= place(step) {
            break;
        }
        let all_written = now == "personalisation" && progress["done"] == progress["of"];
        if all_written && place(step) > place(now) {
            tokio::time::sleep(Duration::from_millis(after_ms)).await;
            break;
        }
    }
    server.kill().await;
    server.run().await;
    seen
}

/// Killed in each step, the analysis begins again by itself, and what it finds is what it would have found.
async fn killed_in_each_step(database: Database) {
    let (internet, mut server) = start(database).await;
    let targets = addresses(PEOPLE, &DOMAINS);
    server.import("many", &targets).await;
    let more = "[waves]\nsize = \"50%\"\nperiod = \"1s\"\n";
    let wanted = toml("many", "many", more)
        .replace("[target]\n", "[target]\nlimit = 200\nseed = 7\ncontrol_group = { size = \"50%\" }\n");
    let id = server.push("many", &wanted, HTML).await;
    let first = server.analyze(&id).await;
    let mut hit = Vec::new();
    let mut began_by_itself = false;
    // Every message is personalised: the short target is only what is sent at the end.
    let whole = toml("whole", "many", "");
    let whole = server.push("whole", &whole, HTML).await;
    for step in STEPS {
        for again in 0..TRIES {
            let at = killed_in(&mut server, &whole, step, again * 40).await;
            let status = server.wait_for(&whole, &["ready"], stories::WAIT).await;
            assert_eq!(status["messages"]["pending"].as_u64(), Some(PEOPLE as u64), "after {step}: {status}");
            // A kill behind the last step hits nothing, and the journal is of the last analysis only: so it is read each time.
            let journal = get(&server, &format!("/deliveries/{whole}/journal")).await.to_string();
            began_by_itself |= journal.contains("began by itself");
            let there = at.as_deref() == Some(step);
            hit.extend(at);
            if there {
                break;
            }
        }
    }
    println!("killed in {hit:?}");
    for step in LONG {
        assert!(hit.iter().any(|at| at == step), "no kill came in {step}: {hit:?}");
    }
    assert!(began_by_itself, "no journal says that an analysis began again: {hit:?}");
    let rows = server.log(&whole).await;
    assert_eq!(rows.len(), PEOPLE, "everybody once");
    assert!(rows.values().all(|row| row.state == "pending"));

    // The same target as before all kills, to the letter, and it is sent.
    let again = killed_in(&mut server, &id, "target", 0).await;
    assert!(again.is_some());
    server.wait_for(&id, &["ready"], stories::WAIT).await;
    let last = server.analyze(&id).await;
    assert_eq!(last["snapshot"], first["snapshot"], "what is sent has the same hash");
    assert_eq!((&last["target"], &last["excluded"]), (&first["target"], &first["excluded"]));
    server.confirm(&id).await;
    let status = server.wait_for(&id, &["finished"], stories::WAIT).await;
    assert_eq!(status["messages"]["sent"], 100, "{status}");
    assert_eq!(internet.log().accepted(), 100, "nothing of any other analysis went out");
    server.verify(&id).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn approval_withdrawn_by_an_edit() {
    an_edit_takes_the_approval_back(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn controls_and_seeds_in_no_figure_on_sqlite() {
    nobody_is_counted_who_is_none(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn controls_and_seeds_in_no_figure_on_postgres() {
    nobody_is_counted_who_is_none(Database::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_in_each_step_of_analysis_on_sqlite() {
    killed_in_each_step(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_in_each_step_of_analysis_on_postgres() {
    killed_in_each_step(Database::Postgres).await;
}
