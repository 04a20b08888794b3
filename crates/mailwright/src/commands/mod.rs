//! One file per family of commands; each is a client of the REST API unless it says otherwise.

pub mod approval;
pub mod archive;
pub mod content;
pub mod domain;
pub mod import;
pub mod life;
pub mod log;
pub mod proof;
pub mod push;
pub mod reply;
pub mod restore;
pub mod show;
pub mod status;
pub mod upkeep;
pub mod user;

use crate::{
    cli::{
        ArchiveCommand, BlockCommand, Cli, Command, DeliveryCommand, DnsCommand, DomainCommand, ReplyCommand,
        TemplateCommand,
    },
    client::Client,
    output::{Done, Failure, Output},
};

/// Runs a command that talks to a server, or that needs none.
pub async fn run(cli: Cli, out: &mut Output) -> Done {
    let client = || Client::new(&cli.common);
    match cli.command {
        Command::Import(args) => import::run(&client()?, &args, out).await,
        Command::Domain(DomainCommand::Add { domain }) => domain::add(&client()?, &domain, out).await,
        Command::Domain(DomainCommand::Rotate { domain, cancel: false }) => {
            domain::rotate(&client()?, &domain, out).await
        }
        Command::Domain(DomainCommand::Rotate { domain, cancel: true }) => {
            domain::keep_keys(&client()?, &domain, out).await
        }
        Command::Domain(DomainCommand::Records { domain }) => domain::records(&client()?, &domain, out).await,
        Command::Dns(DnsCommand::Check { domain }) => domain::check(&client()?, &domain, out).await,
        Command::Delivery(command) => delivery(&client()?, command, out).await,
        Command::Block(BlockCommand::Push { files }) => content::push_blocks(&client()?, &files, out).await,
        Command::Block(BlockCommand::List) => content::list_blocks(&client()?, out).await,
        Command::Template(TemplateCommand::List) => content::list_templates(&client()?, out).await,
        Command::Template(TemplateCommand::Save { id, name }) => {
            content::save_template(&client()?, &id, &name, out).await
        }
        Command::Archive(ArchiveCommand::Status) => archive::status(&client()?, out).await,
        Command::Archive(ArchiveCommand::TryAgain) => archive::try_again(&client()?, out).await,
        Command::Archive(ArchiveCommand::Verify { folder }) => archive::verify(&folder, out),
        Command::Verify { id } => upkeep::verify(&client()?, &id, out).await,
        Command::User(command) => user::run(&client()?, command, out).await,
        Command::Backup { file } => upkeep::backup(&client()?, &file, out).await,
        Command::Bounce(_) => Err(Failure::not_supported("bounce explain")),
        Command::Reply(ReplyCommand::Explain { text, provider }) => {
            reply::explain(&text, provider.as_deref(), out)
        }
        Command::Version => upkeep::version(out),
        Command::Restore(args) => restore::run(&cli.common, &args, out).await,
        Command::Serve(_) | Command::Bench { .. } | Command::Demo(_) => {
            Err(Failure::Usage("this command does not talk to a server".to_owned()))
        }
    }
}

async fn delivery(client: &Client, command: DeliveryCommand, out: &mut Output) -> Done {
    match command {
        DeliveryCommand::Push { dir } => push::run(client, &dir, out).await,
        DeliveryCommand::Preview { id, recipient, format, part } => {
            show::preview(client, &id, recipient.as_deref(), format.as_deref(), part, out).await
        }
        DeliveryCommand::Links { id } => show::links(client, &id, out).await,
        DeliveryCommand::Proof { id, to, as_recipient, wait } => {
            proof::proof(client, &id, &to, as_recipient.as_deref(), wait, out).await
        }
        DeliveryCommand::Analyze { id, wait, explain } => {
            proof::analyze(client, &id, (wait, explain), out).await
        }
        DeliveryCommand::Confirm { id, yes, snapshot } => {
            life::confirm(client, &id, yes, snapshot.as_deref(), out).await
        }
        DeliveryCommand::Approve(args) => approval::decide(client, &args, "approve", out).await,
        DeliveryCommand::Reject(args) => approval::decide(client, &args, "reject", out).await,
        DeliveryCommand::Status { id, follow } => status::run(client, &id, follow, out).await,
        DeliveryCommand::Log { id, state, format } => {
            log::run(client, &id, state.as_deref(), format, out).await
        }
        DeliveryCommand::Source { id, email } => show::source(client, &id, &email, out).await,
        DeliveryCommand::Pause { id } => life::control(client, &id, "pause", out).await,
        DeliveryCommand::Resume { id } => life::control(client, &id, "resume", out).await,
        DeliveryCommand::Stop { id } => life::stop(client, &id, out).await,
    }
}
