//! The command line, declared once; help and usage errors (exit 2) come from it.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Mailwright: send email campaigns the way a careful team does.
#[derive(Debug, Parser)]
#[command(name = "mailwright", version, about, propagate_version = true, max_term_width = 110)]
pub struct Cli {
    /// How to reach the server, and how to print.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options that every command takes.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// The server to talk to
    #[arg(
        long,
        global = true,
        env = "MAILWRIGHT_URL",
        default_value = "http://127.0.0.1:8025",
        value_name = "URL"
    )]
    pub url: String,
    /// The server's data directory; its local-token signs commands in when MAILWRIGHT_TOKEN is unset
    #[arg(long, global = true, env = "MAILWRIGHT_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Print one JSON document on standard output, and nothing else there
    #[arg(long, global = true)]
    pub json: bool,
}

/// All commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server
    Serve(ServeArgs),
    /// Import recipients from a CSV file
    Import(ImportArgs),
    /// Sending domains and their DNS records
    #[command(subcommand)]
    Domain(DomainCommand),
    /// What DNS says about a sending domain
    #[command(subcommand)]
    Dns(DnsCommand),
    /// Everything about deliveries
    #[command(subcommand)]
    Delivery(DeliveryCommand),
    /// Reusable blocks of content
    #[command(subcommand)]
    Block(BlockCommand),
    /// Delivery templates
    #[command(subcommand)]
    Template(TemplateCommand),
    /// Copies of sent messages
    #[command(subcommand)]
    Archive(ArchiveCommand),
    /// Recount a delivery's outcomes against its totals
    Verify {
        /// The delivery
        id: String,
    },
    /// People who may sign in
    #[command(subcommand)]
    User(UserCommand),
    /// Write a backup of the running server into a file
    Backup {
        /// The file to write (it holds secrets: keep it like a password)
        file: PathBuf,
    },
    /// Restore a backup into an empty data directory (the server must not run)
    Restore(RestoreArgs),
    /// Bounces
    #[command(subcommand)]
    Bounce(BounceCommand),
    /// SMTP replies
    #[command(subcommand)]
    Reply(ReplyCommand),
    /// Measure this machine
    Bench {
        /// One measurement; without it: all
        name: Option<String>,
    },
    /// A complete demonstration: a simulated internet, 20,000 invented recipients and a draft ready to go
    Demo(DemoArgs),
    /// Print the version
    Version,
}

/// `serve`.
#[derive(Clone, Debug, Args)]
pub struct ServeArgs {
    /// Database: postgres://… (default: SQLite inside the data directory)
    #[arg(long, value_name = "URL")]
    pub database: Option<String>,
    /// Address to listen on
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<String>,
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// `import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The CSV file; - reads standard input
    pub file: PathBuf,
    /// The list the recipients join; made when absent
    #[arg(long, value_name = "NAME")]
    pub list: String,
    /// Read COLUMN into FIELD (may be repeated); further columns are kept as attributes
    #[arg(long, value_name = "COLUMN=FIELD")]
    pub map: Vec<String>,
    /// Encoding of the file: utf-8, shift_jis, latin1 … (default: found out)
    #[arg(long, value_name = "NAME")]
    pub encoding: Option<String>,
    /// Check every row, change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Write each rejected row and why into this file
    #[arg(long, value_name = "FILE")]
    pub rejects: Option<PathBuf>,
}

/// `archive …`.
#[derive(Debug, Subcommand)]
pub enum ArchiveCommand {
    /// Where copies go, how many are owed, and the last error
    Status,
    /// Try everything that is owed now
    TryAgain,
    /// Check every file of an archive folder against its manifests (needs no server)
    Verify {
        /// The archive folder
        folder: PathBuf,
    },
}

/// `domain …`.
#[derive(Debug, Subcommand)]
pub enum DomainCommand {
    /// Add a sending domain: makes DKIM keys and prints the DNS records to publish
    Add {
        /// The domain of the sender's address
        domain: String,
    },
    /// Make new signing keys, which sign once their records are seen in DNS; prints these records
    Rotate {
        /// The domain
        domain: String,
        /// Give new keys up that were made before
        #[arg(long)]
        cancel: bool,
    },
    /// Print the DNS records of a domain
    Records {
        /// The domain
        domain: String,
    },
}

/// `dns …`.
#[derive(Debug, Subcommand)]
pub enum DnsCommand {
    /// Compare what DNS answers with what should be published
    Check {
        /// The domain
        domain: String,
    },
}

/// `delivery …`.
#[derive(Debug, Subcommand)]
pub enum DeliveryCommand {
    /// Create a delivery from a folder, or update the draft pushed from it before
    Push {
        /// The folder that holds delivery.toml
        dir: PathBuf,
    },
    /// Show the message as one recipient, or one format, would get it
    Preview {
        /// The delivery
        id: String,
        /// The recipient to personalise for (default: one of the target)
        #[arg(long, value_name = "EMAIL", required_unless_present = "format")]
        recipient: Option<String>,
        /// Build it in this format: alternative, text, html, docomo, softbank, au (default: both parts)
        #[arg(long, value_name = "FORMAT")]
        format: Option<String>,
        /// Which part
        #[arg(long, value_enum, default_value_t = Part::Html)]
        part: Part,
    },
    /// List the links of the content, and what becomes of each
    Links {
        /// The delivery
        id: String,
    },
    /// Send a proof
    Proof {
        /// The delivery
        id: String,
        /// Addresses that get the proof
        #[arg(long, required = true, num_args = 1.., value_name = "EMAIL")]
        to: Vec<String>,
        /// Personalise as this recipient, or as a random one of the target
        #[arg(long = "as", value_name = "EMAIL|random")]
        as_recipient: Option<String>,
        /// Wait until the proof is sent
        #[arg(long)]
        wait: bool,
    },
    /// Analyse: compute the target, evaluate every message, run the rules
    Analyze {
        /// The delivery
        id: String,
        /// Wait for the verdict
        #[arg(long)]
        wait: bool,
        /// List the statements that it runs, with rows and time, in the journal
        #[arg(long)]
        explain: bool,
    },
    /// Confirm: start sending what was analysed
    Confirm {
        /// The delivery
        id: String,
        /// Really send
        #[arg(long)]
        yes: bool,
        /// Refuse when this is no longer what was analysed
        #[arg(long, value_name = "HASH")]
        snapshot: Option<String>,
    },
    /// Approve a snapshot
    Approve(ApprovalArgs),
    /// Reject a snapshot
    Reject(ApprovalArgs),
    /// Show how far it is
    Status {
        /// The delivery
        id: String,
        /// Keep showing until it is over
        #[arg(long)]
        follow: bool,
    },
    /// The delivery log, one line a recipient
    Log {
        /// The delivery
        id: String,
        /// Only messages in this state: pending, sent, failed, cancelled, excluded
        #[arg(long, value_name = "STATE")]
        state: Option<String>,
        /// How to print
        #[arg(long, value_enum, default_value_t = LogFormat::Csv)]
        format: LogFormat,
    },
    /// The exact bytes of one recipient's message
    Source {
        /// The delivery
        id: String,
        /// The recipient
        email: String,
    },
    /// Pause sending
    Pause {
        /// The delivery
        id: String,
    },
    /// Go on after a pause
    Resume {
        /// The delivery
        id: String,
    },
    /// Stop for good: what is not sent is cancelled
    Stop {
        /// The delivery
        id: String,
    },
}

/// `block …`.
#[derive(Debug, Subcommand)]
pub enum BlockCommand {
    /// Make or change blocks from files: NAME.html is the HTML form of the block NAME, NAME.txt its text form
    Push {
        /// The files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Print the names of all blocks
    List,
}

/// `template …`.
#[derive(Debug, Subcommand)]
pub enum TemplateCommand {
    /// Print the names of all delivery templates
    List,
    /// Keep a delivery as a template
    Save {
        /// The delivery
        id: String,
        /// The template's name
        name: String,
    },
}

/// `delivery approve|reject`.
#[derive(Debug, Args)]
pub struct ApprovalArgs {
    /// The delivery
    pub id: String,
    /// The snapshot that was looked at
    #[arg(long, value_name = "HASH")]
    pub snapshot: String,
    /// Why
    #[arg(long, value_name = "TEXT")]
    pub comment: Option<String>,
}

/// What `preview` shows.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Part {
    /// The HTML part
    Html,
    /// The text part
    Text,
    /// The whole message
    Source,
}

/// How `log` prints.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LogFormat {
    /// Comma separated, with a header line
    Csv,
    /// One JSON object a line
    Ndjson,
}

/// `user …`.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Add a user and print a one-time password, or a link to choose one
    Add {
        /// The name to sign in with
        name: String,
        /// What the user may do: import, prepare, approve, start, administer, or "" (default: all but administer)
        #[arg(long, value_delimiter = ',', value_name = "RIGHT,…")]
        rights: Option<Vec<String>>,
        /// Print a link by which the user chooses a password
        #[arg(long)]
        invite: bool,
        /// Mail that link to this address
        #[arg(long, value_name = "EMAIL")]
        email: Option<String>,
    },
    /// Give a user a new one-time password and end their sessions
    Reset {
        /// The user
        name: String,
        /// Make a link to a new password instead; the present one works until then
        #[arg(long)]
        link: bool,
        /// Switch the second step of signing in off, for somebody who lost it
        #[arg(long)]
        second_factor: bool,
    },
    /// Change what a user may do
    Rights {
        /// The user
        name: String,
        /// All rights that the user has from now on: import, prepare, approve, start, administer, or ""
        #[arg(value_delimiter = ',', required = true, value_name = "RIGHT,…")]
        rights: Vec<String>,
    },
}

/// `restore`.
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// The backup
    pub file: PathBuf,
    /// Database: postgres://… (default: SQLite inside the data directory)
    #[arg(long, value_name = "URL")]
    pub database: Option<String>,
}

/// `bounce …`.
#[derive(Debug, Subcommand)]
pub enum BounceCommand {
    /// What a bounce or feedback report says
    Explain {
        /// The messages
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}

/// `reply …`.
#[derive(Debug, Subcommand)]
pub enum ReplyCommand {
    /// What a receiver's reply means for the message, the address and the path
    Explain {
        /// The reply, for example "550 5.1.1 no such user"
        text: String,
        /// The provider that said it
        #[arg(long, value_name = "NAME")]
        provider: Option<String>,
    },
}

/// `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Address to listen on
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8025")]
    pub listen: SocketAddr,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_declaration_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn common_options_stand_before_or_after_the_command() {
        let after =
            Cli::try_parse_from(["mailwright", "delivery", "status", "7", "--json", "--url", "http://h:1"])
                .unwrap();
        let before =
            Cli::try_parse_from(["mailwright", "--json", "--url", "http://h:1", "delivery", "status", "7"])
                .unwrap();
        assert!(after.common.json && before.common.json);
        assert_eq!(after.common.url, before.common.url);
    }

    #[test]
    fn proofs_take_several_addresses() {
        let line =
            ["mailwright", "delivery", "proof", "3", "--to", "a@x.example", "b@x.example", "--as", "random"];
        let Command::Delivery(DeliveryCommand::Proof { to, as_recipient, .. }) =
            Cli::try_parse_from(line).unwrap().command
        else {
            panic!("not a proof")
        };
        assert_eq!(to.len(), 2);
        assert_eq!(as_recipient.as_deref(), Some("random"));
    }

    #[test]
    fn a_users_rights_are_a_list() {
        let rights = |line: &[&str]| match Cli::try_parse_from(line).unwrap().command {
            Command::User(UserCommand::Add { rights, .. }) => rights,
            Command::User(UserCommand::Rights { rights, .. }) => Some(rights),
            _ => panic!("another command"),
        };
        let list = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(rights(&["mailwright", "user", "add", "anna"]), None);
        let given = rights(&["mailwright", "user", "add", "anna", "--rights", "prepare,start"]);
        assert_eq!(given, list(&["prepare", "start"]));
        assert_eq!(rights(&["mailwright", "user", "rights", "anna", ""]), list(&[""]));
    }
}
