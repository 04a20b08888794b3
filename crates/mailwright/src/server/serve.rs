//! `serve`: prepares, wires, listens, prints `ready`, and ends in order on SIGTERM.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use http::state::DemoMailbox;
use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use super::{Prepared, configure, wiring};
use crate::{
    cli::{Common, ServeArgs},
    output::{Done, Failure, Output},
};

/// How long open pages may take to finish at the end; streams of progress never do by themselves.
const DOORS_DRAIN_MAX: Duration = Duration::from_secs(5);

/// The runtimes: sockets of the mta apart from pages, so that neither waits for the other.
pub struct Runtimes {
    /// The mta's.
    pub io: Runtime,
    /// The pages'.
    pub http: Runtime,
}

impl Runtimes {
    /// Half the cores for sockets (the other half composes and signs), one worker for pages.
    pub fn new() -> std::io::Result<Self> {
        let io = Builder::new_multi_thread()
            .worker_threads((configure::cores() / 2).max(1))
            .thread_name("mta-io")
            .on_thread_park(|| mta::gather(configure::cores()))
            .enable_all()
            .build()?;
        let http = Builder::new_multi_thread().worker_threads(1).thread_name("http").enable_all().build()?;
        Ok(Self { io, http })
    }
}

/// Runs `serve`.
pub fn run(common: &Common, args: &ServeArgs, out: &mut Output) -> Done {
    let data = common.data.as_deref().ok_or_else(|| Failure::Usage("serve needs --data DIR".to_owned()))?;
    log_to_stderr();
    serve(data, args, None, out, async |_, _| Ok(()))
}

/// Structured lines on standard error; `MAILWRIGHT_LOG` filters them (`info` by default).
pub fn log_to_stderr() {
    use std::io::IsTerminal;
    let filter = tracing_subscriber::EnvFilter::try_from_env("MAILWRIGHT_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    // Fails only when a log is there already, which is as good.
    let _ = subscriber.try_init();
}

/// Serves until SIGTERM or SIGINT. `announce` is called once everything runs, before `ready`.
pub fn serve(
    data: &Path,
    args: &ServeArgs,
    demo: Option<Arc<dyn DemoMailbox>>,
    out: &mut Output,
    announce: impl AsyncFnOnce(&wiring::House, &mut Output) -> Done,
) -> Done {
    let prepared = Prepared::new(data, args)?;
    let runtimes = Runtimes::new()?;
    let io = runtimes.io.handle().clone();
    let done = runtimes.http.block_on(async {
        let doors = Doors::bind(&prepared).await?;
        let house = wiring::build(&prepared, doors.listen, demo, io).await?;
        if let (Some(first), None) = (&house.first, &house.state.demo) {
            out.line(format_args!("administrator: {}   one-time password: {}", first.name, first.password))?;
        }
        announce(&house, out).await?;
        let ended = doors.open(&house, out).await;
        house.tasks.iter().for_each(tokio::task::AbortHandle::abort);
        ended?;
        house.state.tracking.close().await;
        house.store.close().await;
        Ok(())
    });
    runtimes.io.shutdown_background();
    runtimes.http.shutdown_background();
    done
}

/// The bound sockets.
struct Doors {
    listen: SocketAddr,
    admin: TcpListener,
    public: Option<TcpListener>,
}

impl Doors {
    async fn bind(prepared: &Prepared) -> Result<Self, Failure> {
        let settings = &prepared.settings;
        let wanted = settings.listen().ok_or_else(|| Failure::refused("the setting listen is empty"))?;
        let admin = bind(wanted).await?;
        let listen = admin.local_addr()?;
        let public = match settings.public_listen() {
            Some(address) => Some(bind(address).await?),
            None => None,
        };
        Ok(Self { listen, admin, public })
    }

    /// Serves until a signal; answers once the doors are shut and the engine has ended in order.
    async fn open(self, house: &wiring::House, out: &mut Output) -> Done {
        let (closing, closed) = watch::channel(false);
        let admin = http::admin_router(&house.state, self.public.is_none());
        let mut tasks = vec![tokio::spawn(door(self.admin, admin, closed.clone()))];
        if let Some(public) = self.public {
            tasks.push(tokio::spawn(door(public, http::public_router(&house.state), closed)));
        }
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        out.line(format_args!("ready http://{}", self.listen))?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("ending: messages under way get their answers");
        closing.send_replace(true);
        let ended =
            async { tokio::join!(shut(tasks), house.engine.shutdown(), house.state.archive.shutdown()) };
        tokio::select! {
            _ = ended => Ok(()),
            _ = terminate.recv() => Err(at_once()),
            _ = interrupt.recv() => Err(at_once()),
        }
    }
}

/// What is unfinished then is found again at the next start, as after a crash.
fn at_once() -> Failure {
    Failure::refused("a second signal ended the server at once")
}

/// Waits until the doors are shut, but not longer than [`DOORS_DRAIN_MAX`].
async fn shut(mut tasks: Vec<tokio::task::JoinHandle<()>>) {
    let all = async {
        for task in &mut tasks {
            // A door that panicked is shut as well.
            let _ = task.await;
        }
    };
    if tokio::time::timeout(DOORS_DRAIN_MAX, all).await.is_err() {
        tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address)
        .await
        .map_err(|error| Failure::refused(format!("cannot listen on {address}: {error}")))
}

async fn door(socket: TcpListener, router: http::Router, mut closed: watch::Receiver<bool>) {
    let served = http::listener::serve(socket, router, async move {
        // An error means that the sender is gone, which is the end too.
        let _ = closed.wait_for(|closed| *closed).await;
    });
    if let Err(error) = served.await {
        tracing::error!(%error, "a listener failed");
    }
}
