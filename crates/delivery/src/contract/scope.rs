//! Who is suppressed while a delivery is analysed, or waits for its confirmation.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;

use super::{START_US, World, definition, each, errors, html};
use crate::By;
use crate::definition::TargetItem;

/// A web server that says when it is asked for an image, and answers when it is told to.
async fn slow_host() -> (SocketAddr, oneshot::Receiver<()>, oneshot::Sender<()>) {
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let ((asked, is_asked), (answer, answered)) = (oneshot::channel(), oneshot::channel::<()>());
    tokio::spawn(async move {
        let (mut line, _) = socket.accept().await.unwrap();
        let _ = line.read(&mut [0; 2_048]).await;
        asked.send(()).unwrap();
        answered.await.unwrap();
        let _ =
            line.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
    });
    (address, is_asked, answer)
}

impl World {
    async fn unsubscribed(&self, email: &str, service: Option<i64>) {
        self.left(email, service, Vec::new()).await;
    }

    async fn left(&self, email: &str, service: Option<i64>, still: Vec<i64>) {
        let entry = queue::Suppression {
            address_key: email.to_owned(),
            service,
            still,
            reason: "unsubscribed".to_owned(),
            at: START_US,
        };
        self.queue.suppress(vec![entry]).await.unwrap();
    }

    /// Confirms, and answers who of the delivery is held back at the gate.
    async fn held_back(&self, id: i64) -> Vec<String> {
        self.deliveries.confirm(id, None, &By::system()).await.unwrap();
        let runs = self.queue.active_runs().await.unwrap();
        let run = runs.into_iter().find(|run| run.spec.delivery == id).unwrap();
        let mut found = Vec::new();
        for work in self.queue.lanes(id).await.unwrap() {
            for (_, messages) in self.queue.claim(&run, &work.lane, 1_000, START_US * 2).await.unwrap() {
                found.extend(messages.into_iter().filter(|m| self.queue.is_suppressed(m, &run.spec)));
            }
        }
        let mut found: Vec<_> = found.into_iter().map(|message| message.address).collect();
        found.sort_unstable();
        found
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_unsubscribes_while_an_analysis_runs_gets_nothing() {
    each(|world| async move {
        world.recipients(8).await;
        world.unsubscribed("r0@gmail.com", None).await;
        let (host, asked, answer) = slow_host().await;
        let mut inline = definition();
        inline.content.images = "inline".into();
        let body = format!("<img src=\"http://{host}/a.gif\" alt=\"\">{}", html());
        let id = world.deliveries.create(inline, Some(body), None).await.unwrap().id;
        let analysis = world.deliveries.start_analysis(id, &By::system()).await.unwrap();
        // The target is taken, the verdict is not written.
        asked.await.unwrap();
        world.unsubscribed("r1@yahoo.com", None).await;
        world.clock.advance(std::time::Duration::from_secs(5));
        answer.send(()).unwrap();
        let analysis = analysis.wait().await.unwrap();
        assert_eq!((errors(&analysis), analysis.to_deliver), (vec![], 8));
        world.unsubscribed("r2@tail1.example", None).await;
        assert_eq!(world.held_back(id).await, ["r1@yahoo.com", "r2@tail1.example"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_a_service_gets_nothing_that_goes_to_its_subscribers_alone() {
    each(|world| async move {
        world.recipients(4).await;
        let ann = world.audience.recipient_by_address("r1@yahoo.com").await.unwrap().unwrap().id;
        let bob = world.audience.recipient_by_address("r2@tail1.example").await.unwrap().unwrap().id;
        let mut services = Vec::new();
        for name in ["weekly", "daily"] {
            let service = world.audience.create_service(name, START_US).await.unwrap();
            world.audience.subscribe(service, vec![ann, bob], START_US).await.unwrap();
            services.push(service);
        }
        let of = |name: &str| TargetItem { service: Some(name.into()), ..TargetItem::default() };
        let (both, bob_alone): (&[&str], &[&str]) =
            (&["r1@yahoo.com", "r2@tail1.example"], &["r2@tail1.example"]);
        let targets = [
            (vec![of("weekly")], both),
            (vec![of(" weekly"), of("weekly")], both),
            (vec![of("weekly"), TargetItem::list("newsletter")], &[]),
            (vec![of("daily")], &[]),
            // The other service keeps ann, and nothing keeps bob.
            (vec![of("weekly"), of("daily")], bob_alone),
            (vec![of("weekly"), of("daily"), TargetItem::list("newsletter")], &[]),
            (vec![TargetItem { not: Some(true), ..of("weekly") }], &[]),
        ];
        let mut ids = Vec::new();
        for (include, held) in targets {
            let mut target = definition();
            target.target.include = include;
            let id = world.deliveries.create(target, Some(html()), None).await.unwrap().id;
            assert_eq!(errors(&world.analyse(id).await), [""; 0]);
            ids.push((id, held));
        }
        world.left("r1@yahoo.com", Some(services[0]), vec![services[1]]).await;
        world.unsubscribed("r2@tail1.example", Some(services[0])).await;
        for (n, (id, held)) in ids.into_iter().enumerate() {
            assert_eq!(world.held_back(id).await, held, "target {n}");
        }
    })
    .await;
}
