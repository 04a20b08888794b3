//! `demo`: everything on one machine, nothing leaving it. A simulated internet that receives, 20,000 invented recipients,
//! a sending domain whose records are published there, and a draft ready to go.

use std::{
    io::{Seek, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use audience::ImportOptions;
use http::state::{AppState, DemoMailbox, DemoMessage};
use mail_parser::MessageParser;
use testkit::{Internet, InternetOptions, Mail, Mailboxes, World, newsletter, people};
use tokio::runtime::Runtime;

use crate::{
    cli::{Common, DemoArgs, ServeArgs},
    output::{Done, Failure, Output},
    server::{prepare, rules::RULE_FILE, serve, wiring::House},
};

/// Invented recipients.
const RECIPIENTS: usize = 20_000;
/// Their list.
const LIST: &str = "Newsletter";
/// The same people each time.
const SEED: u64 = 1;
/// Where the draft is said to come from, so that a second start finds it again.
const ORIGIN: &str = "demo";
/// A greylisted message comes again while somebody still watches; a real server waits an hour.
const RETRY_PERIOD: &str = "15s";
/// Invented receivers in no table need no gentle start, and those with great names here have no certificates.
const RULES: &str = "# Written by `mailwright demo` at each start.\n\n\
    [unknown]\nconnections = 10\nmessages_per_connection = 100\nmessage_rates = []\n\n\
    [default]\nmessage_rates = []\nconnection_rates = []\n\n\
    [site]\ngoogle.tls = \"opportunistic\"\ncomcast.tls = \"opportunistic\"\ngmx.tls = \"opportunistic\"\n\
    orange.tls = \"opportunistic\"\nqq.tls = \"opportunistic\"\n";

/// Runs `demo`.
pub fn run(common: &Common, args: &DemoArgs, out: &mut Output) -> Done {
    serve::log_to_stderr();
    let folder = match &common.data {
        Some(data) => Folder::Given(data.clone()),
        None => Folder::Temporary(tempfile::tempdir()?),
    };
    let data = prepare::make_dir(folder.path())?;
    // The internet has a runtime of its own: it plays the rest of the world.
    let world = Runtime::new()?;
    let internet = world.block_on(Internet::start(&World::demo(), InternetOptions::default()));
    let internet =
        Arc::new(internet.map_err(|error| Failure::refused(format!("no simulated internet: {error}")))?);
    let serve_args = ServeArgs {
        database: None,
        listen: Some(args.listen.to_string()),
        config: Some(write_settings(&data, &internet)?),
    };
    let demo: Arc<dyn DemoMailbox> = Arc::new(DemoMail { mailboxes: Arc::clone(internet.mailboxes()) });
    let world_of_seed = Arc::clone(&internet);
    let shown = format!("Data       {}", data.display());
    let done = serve::serve(&data, &serve_args, Some(demo), out, async move |house, out| {
        out.progress("inventing recipients …");
        seed(&house.state, &world_of_seed).await?;
        let sign_in = sign_in(house).await?;
        out.line("Everything below is invented, and nothing leaves this machine.")?;
        out.line(format_args!("Open       http://{}", house.state.listen))?;
        out.line(sign_in)?;
        out.line(shown)
    });
    drop(internet);
    world.shutdown_background();
    done
}

enum Folder {
    Given(PathBuf),
    Temporary(tempfile::TempDir),
}

impl Folder {
    fn path(&self) -> &Path {
        match self {
            Self::Given(path) => path,
            Self::Temporary(dir) => dir.path(),
        }
    }
}

/// The settings that point the server at this internet; its ports are new at each start.
fn write_settings(data: &Path, internet: &Internet) -> Result<PathBuf, Failure> {
    let file = data.join("demo.toml");
    let servers = [internet.nameserver().to_string()];
    let settings = format!(
        "[mta]\nnameservers = {servers:?}\nport = {}\nehlo = \"out.{}\"\nretry = {{ period = \"{RETRY_PERIOD}\" }}\n\n\
         [net]\nallow = {:?}\n",
        internet.port(),
        newsletter::SENDER_DOMAIN,
        internet.allow(),
    );
    std::fs::write(&file, settings)?;
    std::fs::write(data.join(RULE_FILE), RULES)?;
    Ok(file)
}

fn refused(error: impl std::fmt::Display) -> Failure {
    Failure::refused(error.to_string())
}

/// What receivers look up of a sender beside the records of Domains: the names of its server and of its web site, and
/// where its own mail goes. All of it is on this machine.
fn publish_host(internet: &Internet) {
    let domain = newsletter::SENDER_DOMAIN;
    let host = format!("out.{domain}");
    for name in [host.as_str(), domain] {
        internet.publish(name, "A", "127.0.0.1");
    }
    internet.publish(domain, "MX", &format!("10 {host}"));
    internet.change_zone(|zone| zone.node("1.0.0.127.in-addr.arpa").ptr.push(host.clone()));
}

/// Fills a fresh data directory; on a second start only the records are published again.
async fn seed(state: &AppState, internet: &Internet) -> Done {
    let now_us = state.clock.now_us();
    state.routes.add_domain(newsletter::SENDER_DOMAIN, now_us).await.map_err(refused)?;
    let records =
        state.routes.records(newsletter::SENDER_DOMAIN, &state.domain_facts()).await.map_err(refused)?;
    for record in &records.records {
        internet.publish(&record.name, record.kind, &record.value);
    }
    publish_host(internet);
    if state.audience.list_by_name(LIST).await.map_err(refused)?.is_some() {
        return Ok(());
    }
    import(state, now_us).await?;
    let toml = newsletter::definition(LIST);
    let files = [
        ("delivery.toml", toml.as_str()),
        ("content.html", newsletter::HTML),
        ("content.txt", newsletter::TEXT),
    ];
    let push = delivery::Push {
        origin: ORIGIN.to_owned(),
        files: files.map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec())).into(),
        known: std::collections::BTreeMap::new(),
        by: String::new(),
    };
    state.deliveries.push(push).await.map_err(refused)?;
    Ok(())
}

async fn import(state: &AppState, now_us: i64) -> Done {
    let mut file = tempfile::tempfile_in(&state.work_dir)?;
    let mut csv = std::io::BufWriter::new(&file);
    people::write_csv(&mut csv, RECIPIENTS, SEED)?;
    csv.flush()?;
    drop(csv);
    let bytes = file.metadata()?.len();
    file.rewind()?;
    let options = ImportOptions {
        list: LIST.to_owned(),
        file_name: "invented-people.csv".to_owned(),
        encoding: None,
        mapping: Vec::new(),
        dry_run: false,
        bytes_total: Some(bytes),
        work_dir: state.work_dir.clone(),
    };
    state.audience.import(Box::new(file), options, now_us).await.map_err(refused)?;
    Ok(())
}

/// On the first start, a name and a password that need not be changed first.
async fn sign_in(house: &House) -> Result<String, Failure> {
    let Some(first) = &house.first else {
        return Ok("Sign in    with the password of the first start".to_owned());
    };
    let access = &house.state.access;
    let now_us = house.state.clock.now_us();
    let password = format!("demo-{:08x}", rand::random::<u32>());
    let peer = std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    let browser = access::Browser { peer, agent: "mailwright demo".to_owned() };
    let signed_in = access.sign_in(&first.name, &first.password, &browser, now_us).await.map_err(refused)?;
    let access::SignIn::Done(signed_in) = signed_in else {
        return Err(Failure::refused("a first password wants no second step".to_owned()));
    };
    access
        .change_password(&signed_in.caller, &first.password, &password, None, now_us)
        .await
        .map_err(refused)?;
    Ok(format!("Sign in    {}   password {password}", first.name))
}

/// The receivers' mailboxes for the page.
struct DemoMail {
    mailboxes: Arc<Mailboxes>,
}

impl DemoMailbox for DemoMail {
    fn count(&self) -> u64 {
        self.mailboxes.arrived()
    }

    fn list(&self, before: Option<u64>, limit: usize, search: &str) -> Vec<DemoMessage> {
        self.mailboxes.list(search, before, limit).iter().map(|mail| message(mail)).collect()
    }

    fn source(&self, number: u64) -> Option<Vec<u8>> {
        self.mailboxes.get(number).map(|mail| mail.octets.to_vec())
    }
}

fn message(mail: &Mail) -> DemoMessage {
    let headers = MessageParser::default().parse_headers(&*mail.octets);
    DemoMessage {
        number: mail.id,
        at_us: mail.at_us,
        provider: mail.provider.to_string(),
        from: mail.sender.clone(),
        to: mail.recipient.clone(),
        subject: headers.as_ref().and_then(|headers| headers.subject()).unwrap_or_default().to_owned(),
        size: mail.octets.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_of_the_demo_can_be_read() {
        let table = routes::Table::parse(RULES).unwrap();
        assert_eq!(table.site["qq"].tls, Some(routes::TlsPolicy::Opportunistic));
    }
}
