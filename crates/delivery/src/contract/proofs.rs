//! Proofs: modes, formats, rounds, and what readers say.

use message::{Envelope, Prepared, Signer, Slots, Snapshot, Stamp, compose};
use store::binds;

use super::{START_US, World, each, html};
use crate::definition::Substitution;
use crate::rounds::Word;
use crate::{By, Edit, Error, NoticeKind, ProofTarget, State};

impl World {
    /// Sends a proof and returns the number of its delivery.
    async fn proofed(&self, id: i64, target: ProofTarget) -> i64 {
        let started = self.deliveries.proof(id, target, &By::named("ann")).await.unwrap();
        let proof = started.proof.id;
        let analysis = started.analysed().await.unwrap();
        assert_eq!(super::errors(&analysis), [""; 0]);
        proof
    }

    /// Addresses, recipients and flags of a delivery's messages.
    pub(super) async fn messages(&self, delivery: i64) -> Vec<(String, i64, i64)> {
        let (first, last) = queue::id_range(delivery);
        self.deliveries
            .store
            .read(move |tx| {
                let sql =
                    "SELECT address, recipient, flags FROM message WHERE id BETWEEN $1 AND $2 ORDER BY id";
                tx.query(sql, &binds![first, last], |row| {
                    Ok::<_, Error>((row.text(0)?, row.int(1)?, row.int(2)?))
                })
            })
            .await
            .unwrap()
    }

    /// The first message of a delivery, as it would be sent.
    async fn source(&self, delivery: i64) -> String {
        let hash = self.deliveries.get(delivery).await.unwrap().snapshot.unwrap();
        let bytes = self.queue.snapshot(&hash).await.unwrap().unwrap();
        let prepared = Prepared::new(Snapshot::from_bytes(&bytes).unwrap(), |_| None).unwrap();
        let (id, _) = queue::id_range(delivery);
        let (address, flags, slots) = self
            .deliveries
            .store
            .read(move |tx| {
                let sql = "SELECT address, flags, slots FROM message WHERE id = $1";
                tx.query_one(sql, &binds![id], |row| {
                    Ok::<_, Error>((row.text(0)?, row.int(1)?, row.blob(2)?.to_vec()))
                })
            })
            .await
            .unwrap();
        let envelope = Envelope { id, address: &address, flags };
        let slots = Slots::from_bytes(&slots).unwrap();
        let stamp = Stamp { time_us: START_US };
        let composed = compose::<Signer>(&prepared, &slots, &envelope, &stamp, &[], &self.tokens).unwrap();
        String::from_utf8(composed.bytes.to_vec()).unwrap()
    }

    /// A group `ours` with two seeds.
    pub(super) async fn seeds(&self) {
        let group = self.audience.create_seed_group("ours", None, START_US).await.unwrap();
        let mut ids = Vec::new();
        for email in ["seed1@gmail.com", "seed2@house.example"] {
            let new = audience::NewRecipient { email: email.into(), ..audience::NewRecipient::default() };
            ids.push(self.audience.create_seed(new, START_US).await.unwrap().id);
        }
        self.audience.add_to_seed_group(group, ids).await.unwrap();
    }
}

fn to(address: &str) -> ProofTarget {
    ProofTarget::Substitution(vec![Substitution { to: address.into(), profile: "random".into() }])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proof_goes_to_seeds_as_the_definition_says() {
    each(|world| async move {
        world.recipients(8).await;
        world.seeds().await;
        let id = world
            .drafted(|d| {
                d.proof.mode = "recipients_and_seeds".into();
                d.proof.recipients = vec!["r1@yahoo.com".into()];
                d.proof.seeds = vec!["ours".into()];
            })
            .await;
        let proof = world.proofed(id, ProofTarget::AsDefined).await;
        let mut addresses: Vec<_> = world.messages(proof).await.into_iter().map(|(to, ..)| to).collect();
        addresses.sort();
        assert_eq!(addresses, ["r1@yahoo.com", "seed1@gmail.com", "seed2@house.example"]);
        let unknown = world.deliveries.proof(id, ProofTarget::Seeds(vec!["no".into()]), &By::system()).await;
        assert!(unknown.err().unwrap().to_string().contains("\"no\""));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_and_three_variants_are_messages_in_fixed_formats() {
    each(|world| async move {
        world.recipients(8).await;
        for (variants, formats) in [(2, vec![1, 0]), (3, vec![1, 2, 0])] {
            let id = world.drafted(|d| d.proof.variants = variants).await;
            let proof = world.proofed(id, to("boss@shop.example")).await;
            let flags: Vec<_> =
                world.messages(proof).await.iter().map(|(_, _, flags)| flags & 0xff).collect();
            assert_eq!(flags, formats);
            let rounds = world.deliveries.rounds(id).await.unwrap();
            assert_eq!(rounds.rounds[0].readers.len(), variants as usize);
            assert_eq!(rounds.rounds[0].readers[0].format, "text");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_code_is_kept_by_choice() {
    each(|world| async move {
        world.recipients(4).await;
        for keep in [false, true] {
            let id = world
                .drafted(|d| {
                    d.code = "OCT26".into();
                    d.proof.keep_code = keep;
                })
                .await;
            let proof = world.proofed(id, to("boss@shop.example")).await;
            let code = world.deliveries.get(proof).await.unwrap().code;
            assert_eq!(code, if keep { "OCT26" } else { "" });
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_proof_carries_the_link_and_only_a_word_decides() {
    each(|world| async move {
        world.recipients(4).await;
        let id = world.drafted(|_| {}).await;
        let analysis = world.analyse(id).await;
        assert!(!analysis.findings.iter().any(|finding| finding.text.contains("review")));
        let real = world.deliveries.preview(id, Some("r1@yahoo.com"), "").await.unwrap();
        let real = String::from_utf8_lossy(&real.source).into_owned();
        assert!(!real.contains(crate::rounds::REVIEW_HEADER));

        let proof = world.proofed(id, to("boss@shop.example")).await;
        let source = world.source(proof).await;
        let header = source.lines().find(|line| line.starts_with("X-Mailwright-Review:")).unwrap();
        let link = header.split(": ").nth(1).unwrap().trim();
        assert!(link.starts_with("https://mail.shop.example/p/"), "{link}");
        let flat = source.replace("=\r\n", "").replace("=3D", "=");
        assert!(flat.contains(&format!("Accept or reject it:\r\n{link}")), "{flat}");
        assert!(flat.contains(&format!("href=\"{link}\"")), "{flat}");

        let message =
            world.tokens.verify_link(message::Purpose::Review, link.rsplit('/').next().unwrap()).unwrap();
        assert!(message.inert);
        let review = world.deliveries.review(message.message).await.unwrap().unwrap();
        assert_eq!((review.number, review.word, review.is_open), (1, None, true));
        let said = world.deliveries.say_of_proof(message.message, Word::Rejected, "Too loud").await.unwrap();
        assert_eq!(said.unwrap().word, Some(Word::Rejected));
        let reader = &world.deliveries.rounds(id).await.unwrap().rounds[0].readers[0];
        assert_eq!((reader.word, reader.comment.as_str()), (Some(Word::Rejected), "Too loud"));
        let notices = world.deliveries.notices("ann", true, None).await.unwrap();
        assert!(notices.iter().any(|n| n.kind == NoticeKind::ProofDecided && n.text.contains("Too loud")));
        assert_eq!(
            world.deliveries.get(id).await.unwrap().state,
            State::Ready,
            "a word opens and closes nothing"
        );
        assert!(world.deliveries.review(message.message + 1).await.unwrap().is_none());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rounds_say_what_changed_between_them() {
    each(|world| async move {
        world.recipients(4).await;
        let id = world.drafted(|_| {}).await;
        world.proofed(id, to("boss@shop.example")).await;
        let changed = html().replace("Dear", "Hello");
        let edit = Edit { html: Some(Some(changed)), by: "ann".into(), ..Edit::default() };
        world.deliveries.edit(id, edit).await.unwrap();
        assert!(!world.deliveries.rounds(id).await.unwrap().since.unwrap().is_empty());
        world.proofed(id, to("boss@shop.example")).await;
        let rounds = world.deliveries.rounds(id).await.unwrap();
        assert!(rounds.since.unwrap().is_empty());
        assert_eq!(rounds.rounds.iter().map(|round| round.number).collect::<Vec<_>>(), [2, 1]);
        let change = rounds.rounds[0].changed.as_ref().unwrap();
        assert_eq!(change.parts.iter().map(|part| part.part).collect::<Vec<_>>(), ["html"]);
        assert!(change.parts[0].lines.iter().any(|line| line.added && line.text.contains("Hello")));
        assert_eq!(rounds.rounds[0].by, "ann");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seeds_get_the_real_delivery_and_are_in_no_figure() {
    each(|world| async move {
        world.recipients(8).await;
        world.seeds().await;
        let id = world.drafted(|d| d.target.seeds = vec!["ours".into()]).await;
        let analysis = world.analyse(id).await;
        assert_eq!((analysis.target, analysis.to_deliver), (8, 8));
        let messages = world.messages(id).await;
        assert_eq!(messages.len(), 10);
        let seeds: Vec<_> =
            messages[8..].iter().map(|(to, recipient, _)| (to.as_str(), *recipient < 0)).collect();
        assert_eq!(seeds, [("seed1@gmail.com", true), ("seed2@house.example", true)]);
        world.deliveries.confirm(id, analysis.snapshot.as_deref(), &By::system()).await.unwrap();
        let status = world.deliveries.status(id).await.unwrap();
        assert_eq!((status.target, status.pending, status.seeds.pending), (8, 8, 2));
        assert!(world.queue.verify(id, START_US).await.unwrap().agrees);

        let unknown = world.drafted(|d| d.target.seeds = vec!["no".into()]).await;
        let analysis = world.analyse(unknown).await;
        assert_eq!(analysis.state, State::Failed);
        assert!(super::errors(&analysis)[0].contains("\"no\""), "{:?}", analysis.findings);
    })
    .await;
}
