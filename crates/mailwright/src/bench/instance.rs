//! An instance of its own for a measurement: rooms over a fresh database in a temporary folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use audience::{Audience, ImportOptions};
use message::TokenKeys;
use net::{Clock, SystemClock};
use routes::{Providers, Routes};
use store::{Dialect, Options, Store, Vault};

use crate::output::Failure;
use crate::server::ROOMS;

/// The rooms that measurements use.
pub struct Instance {
    pub store: Store,
    pub audience: Audience,
    pub routes: Routes,
    pub queue: queue::Queue,
    pub deliveries: delivery::Deliveries,
    pub clock: Arc<dyn Clock>,
    pub tokens: Arc<TokenKeys>,
    pub dir: Folder,
    url: String,
}

/// Where an instance lives.
pub enum Folder {
    /// Gone at the end.
    Temporary(tempfile::TempDir),
    /// Kept for another run, see [`Instance::kept`].
    Kept(PathBuf),
}

impl Folder {
    pub fn path(&self) -> &Path {
        match self {
            Folder::Temporary(dir) => dir.path(),
            Folder::Kept(path) => path,
        }
    }
}

/// Where the URL of a kept instance's database is written once it is filled.
const FILLED: &str = "filled";

pub fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::refused(error.to_string())
}

/// A fresh database: SQLite in `dir`, or a new one on the PostgreSQL server of the measurements.
async fn database(dir: &Path, dialect: Dialect) -> String {
    match dialect {
        Dialect::Sqlite => format!("sqlite:{}", dir.join("bench.db").display()),
        Dialect::Postgres => store::testing::postgres_url().await,
    }
}

/// An open, empty store, for the bare side.
pub async fn bare_store(dialect: Dialect) -> Result<(Store, tempfile::TempDir), Failure> {
    let dir = tempfile::tempdir().map_err(failed)?;
    let store =
        Store::open(&database(dir.path(), dialect).await, Options::default()).await.map_err(failed)?;
    Ok((store, dir))
}

impl Instance {
    pub async fn new(dialect: Dialect) -> Result<Instance, Failure> {
        Self::over(tempfile::tempdir()?, dialect).await
    }

    /// The same with its folder in `parent`.
    pub async fn new_in(dialect: Dialect, parent: &str) -> Result<Instance, Failure> {
        Self::over(tempfile::tempdir_in(parent)?, dialect).await
    }

    async fn over(dir: tempfile::TempDir, dialect: Dialect) -> Result<Instance, Failure> {
        let url = database(dir.path(), dialect).await;
        Closed { dir: Folder::Temporary(dir), url }.open().await
    }

    /// The instance of an earlier run that is kept in `dir`, if that run came to [`Instance::filled`]. A PostgreSQL database is
    /// found again as long as its server runs.
    pub async fn kept(dir: &Path) -> Result<Option<Instance>, Failure> {
        let Ok(url) = std::fs::read_to_string(dir.join(FILLED)) else { return Ok(None) };
        Closed { dir: Folder::Kept(dir.to_owned()), url }.open().await.map(Some)
    }

    /// An empty instance whose folder stays.
    pub async fn keeping(dialect: Dialect, dir: &Path) -> Result<Instance, Failure> {
        std::fs::create_dir_all(dir)?;
        let url = database(dir, dialect).await;
        Closed { dir: Folder::Kept(dir.to_owned()), url }.open().await
    }

    /// Says that it holds all that it should: a later run may take it.
    pub fn filled(&self) -> Result<(), Failure> {
        match &self.dir {
            Folder::Kept(dir) => Ok(std::fs::write(dir.join(FILLED), &self.url)?),
            Folder::Temporary(_) => Ok(()),
        }
    }

    /// Closes the database and leaves its folder as it is.
    pub async fn close(self) -> Result<Closed, Failure> {
        self.store.close().await;
        Ok(Closed { dir: self.dir, url: self.url })
    }
}

/// An instance that nobody has open.
pub struct Closed {
    dir: Folder,
    url: String,
}

impl Closed {
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Opens it as a new process would.
    pub async fn open(self) -> Result<Instance, Failure> {
        let Closed { dir, url } = self;
        let store = Store::open(&url, Options::default()).await.map_err(failed)?;
        store.migrate(ROOMS).await.map_err(failed)?;
        let vault = Arc::new(Vault::open(dir.path()).map_err(failed)?);
        let tokens = Arc::new(TokenKeys::derive(&vault.derive_key("tokens")));
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let audience = Audience::new(store.clone());
        let routes = Routes::new(store.clone(), vault, Providers::built_in().clone());
        let queue = queue::Queue::new(store.clone(), 1);
        let rooms = delivery::Rooms {
            audience: audience.clone(),
            content: content::Content::new(store.clone()),
            routes: routes.clone(),
            queue: queue.clone(),
            clock: Arc::clone(&clock),
            tokens: Arc::clone(&tokens),
            // Nothing is fetched here: the contents have no images of others.
            fetcher: Arc::new(net::Fetcher::new(
                Arc::new(net::StaticResolver::new()),
                net::Tls::new(&[]).map_err(failed)?,
                net::Guard::default(),
            )),
            code_key: content::CodeKey::new([0; 32]),
        };
        let settings = access::Settings::resolve(&access::Fixed::default(), &Default::default());
        let listen = std::net::SocketAddr::from(([127, 0, 0, 1], 8025));
        let config = crate::server::configure::delivery(&settings, listen);
        let deliveries = delivery::Deliveries::new(store.clone(), rooms, config);
        Ok(Instance { store, audience, routes, queue, deliveries, clock, tokens, dir, url })
    }
}

impl Instance {
    /// Writes `n` invented people as CSV into the instance's folder.
    pub fn write_people(&self, n: usize) -> Result<PathBuf, Failure> {
        let path = self.dir.path().join("people.csv");
        let file = std::io::BufWriter::new(std::fs::File::create(&path)?);
        testkit::people::write_csv(file, n, 1)?;
        Ok(path)
    }

    /// Imports a CSV file into the list `newsletter`.
    pub async fn import(&self, path: &PathBuf) -> Result<audience::ImportReport, Failure> {
        self.import_into("newsletter", path).await
    }

    /// The same into another list.
    pub async fn import_into(&self, list: &str, path: &PathBuf) -> Result<audience::ImportReport, Failure> {
        let options = ImportOptions {
            list: list.into(),
            file_name: "people.csv".into(),
            encoding: None,
            mapping: Vec::new(),
            dry_run: false,
            bytes_total: None,
            work_dir: self.dir.path().to_owned(),
        };
        let file = std::fs::File::open(path)?;
        self.audience.import(Box::new(file), options, self.clock.now_us()).await.map_err(failed)
    }

    /// A draft to everybody on `newsletter`, its HTML filled up to about `html_len` bytes.
    pub async fn draft(&self, html_len: usize) -> Result<i64, Failure> {
        let mut definition = delivery::Definition::new("bench");
        definition.subject = SUBJECT.into();
        definition.sender.address = "news@shop.example".into();
        definition.target.include = vec![delivery::definition::TargetItem::list("newsletter")];
        let delivery = self.deliveries.create(definition, Some(html(html_len)), Some(TEXT.into())).await;
        Ok(delivery.map_err(failed)?.id)
    }
}

/// The personalised templates of the measurements.
pub const SUBJECT: &str = "{{ first_name | default('Hello') }}, news from us";
pub const TEXT: &str =
    "Dear {{ first_name | default('friend') }} from {{ city }},\n\nnews from us.\n\n{{ unsubscribe_url }}\n";

/// A newsletter with a dozen personalised places and a condition, of about this length.
pub fn html(len: usize) -> String {
    let mut html = String::from(
        "<!doctype html><html><body><h1>Dear {{ first_name | default('friend') }} {{ last_name }}</h1>",
    );
    while html.len() < len {
        html.push_str(
            "<table><tr><td style=\"padding:12px\"><h2>Something new this month</h2><p>The shop around the corner has more of what you like, \
             and less of what you do not. Come in, look round, take your time; nobody will hurry you.</p></td></tr></table>\n",
        );
    }
    html.push_str(
        "{% if loyalty_tier == 'gold' %}<p>Gold members in {{ city }} come in first.</p>{% else %}<p>See you in {{ city }}.</p>{% endif %}\
         <p>{{ points | default('0') }} points, last order {{ last_order | default('never') }}.</p>\
         <p><a href=\"https://shop.example/\">Shop</a> <a href=\"{{ unsubscribe_url }}\">Unsubscribe</a></p></body></html>",
    );
    html
}
