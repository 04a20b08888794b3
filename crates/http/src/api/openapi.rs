//! `/openapi.json`: what there is, for programs and for people who write them. One table; a test calls every line of it.

use axum::{Json, Router, routing::get};
use serde_json::{Map, Value, json};

use crate::state::AppState;

/// One operation of the API.
pub struct Operation {
    /// Method, in lower case as OpenAPI writes it.
    pub method: &'static str,
    /// Path below `/api/v1`.
    pub path: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// Query parameters.
    pub query: &'static [&'static str],
    /// Takes an `Idempotency-Key`.
    pub sends: bool,
}

const NONE: &[&str] = &[];
const PAGE: &[&str] = &["limit", "cursor"];
const SEARCH: &[&str] = &["limit", "cursor", "search"];

const fn get_(path: &'static str, summary: &'static str, query: &'static [&'static str]) -> Operation {
    Operation { method: "get", path, summary, query, sends: false }
}

const fn post(path: &'static str, summary: &'static str) -> Operation {
    Operation { method: "post", path, summary, query: NONE, sends: false }
}

const fn sends(path: &'static str, summary: &'static str) -> Operation {
    Operation { sends: true, ..post(path, summary) }
}

const fn other(method: &'static str, path: &'static str, summary: &'static str) -> Operation {
    Operation { method, path, summary, query: NONE, sends: false }
}

/// Every operation, by resource.
pub const OPERATIONS: &[Operation] = &[
    get_("/imports", "Imports, newest first.", PAGE),
    Operation {
        query: &["list", "file", "encoding", "map", "dry_run"],
        ..post(
            "/imports",
            "Upload a CSV file (the body) and import it into a list; map=COLUMN=FIELD may be repeated.",
        )
    },
    get_("/imports/{id}", "How far an import is, and what became of its rows.", NONE),
    other("delete", "/imports/{id}", "Stop an import that runs; forget one that is over."),
    get_("/imports/{id}/rejects", "The rejected rows and why, as CSV.", NONE),
    get_("/recipients", "Find recipients.", &["limit", "cursor", "search", "list", "service", "denylisted"]),
    post("/recipients", "Add a recipient."),
    get_("/recipients/{id}", "One recipient, by id or address.", NONE),
    other("patch", "/recipients/{id}", "Change what is named; an attribute that is null is removed."),
    other("delete", "/recipients/{id}", "Delete a recipient."),
    get_("/recipients/{id}/lists", "The lists a recipient is on.", NONE),
    get_("/recipients/{id}/services", "The services a recipient subscribes to.", NONE),
    get_("/lists", "Lists by name.", SEARCH),
    post("/lists", "Make a list."),
    get_("/lists/{id}", "One list.", NONE),
    other("patch", "/lists/{id}", "Rename a list."),
    other("delete", "/lists/{id}", "Delete a list; its members stay recipients."),
    post("/lists/{id}/add", "Put recipients (ids or addresses) on a list."),
    post("/lists/{id}/remove", "Take recipients off a list."),
    get_("/segments", "Segments by name.", SEARCH),
    post("/segments", "Make a segment."),
    post("/segments/count", "How many recipients a filter takes, with examples."),
    get_("/segments/{id}", "One segment.", NONE),
    other("put", "/segments/{id}", "Change a segment."),
    other("delete", "/segments/{id}", "Delete a segment."),
    get_("/services", "Services that people subscribe to, by name.", SEARCH),
    post("/services", "Make a service."),
    get_("/services/{id}", "One service.", NONE),
    other("patch", "/services/{id}", "Rename a service."),
    other("delete", "/services/{id}", "Delete a service with its subscriptions."),
    post("/services/{id}/subscribe", "Subscribe recipients (ids or addresses)."),
    post(
        "/services/{id}/unsubscribe",
        "End subscriptions, and cancel what the service's deliveries still have pending for these recipients.",
    ),
    get_("/seeds", "Seeds: addresses of our own that get the real delivery.", NONE),
    post("/seeds", "Add a seed."),
    get_("/seeds/{id}", "One seed.", NONE),
    other("patch", "/seeds/{id}", "Change what is named; an attribute that is null is removed."),
    other("delete", "/seeds/{id}", "Delete a seed."),
    get_("/seed-groups", "Groups of seeds by name.", NONE),
    post("/seed-groups", "Make a group; with `condition` it takes the seeds that fit."),
    get_("/seed-groups/{id}", "One group.", NONE),
    other("put", "/seed-groups/{id}", "Change a group's name and condition."),
    other("delete", "/seed-groups/{id}", "Delete a group; its seeds stay."),
    get_("/seed-groups/{id}/seeds", "The seeds of a group now.", NONE),
    post("/seed-groups/{id}/add", "Put seeds (ids) in a group."),
    post("/seed-groups/{id}/remove", "Take seeds out of a group."),
    get_("/suppression", "How many addresses and domains are on the suppression list.", NONE),
    post("/suppression", "Put addresses and domains (values) on it."),
    post("/suppression/import", "Put a file (the body) on it, one address or domain a line."),
    get_(
        "/suppression/entries",
        "Its entries, for administrators; search is how they begin.",
        &["limit", "cursor", "search", "kind"],
    ),
    other("delete", "/suppression/entries/{value}", "Take an address or a domain off it."),
    get_("/typologies", "Typologies: which rules deliveries must pass.", NONE),
    post("/typologies", "Make a typology."),
    get_("/typologies/{id}", "One typology with its rules.", NONE),
    other("put", "/typologies/{id}", "Change a typology."),
    other("delete", "/typologies/{id}", "Delete a typology; its rules stay."),
    get_("/typology-rules", "Rules that were made here, by kind and order.", &["typology", "kind"]),
    post("/typology-rules", "Make a rule: control, filtering, pressure or capacity."),
    post("/typology-rules/try", "What a control rule says of deliveries that were analysed before."),
    get_("/typology-rules/{id}", "One rule.", NONE),
    other("put", "/typology-rules/{id}", "Change a rule."),
    other("delete", "/typology-rules/{id}", "Delete a rule."),
    get_("/typology-rules/{id}/capacity", "The lines of a capacity rule, and what is left of each.", NONE),
    get_("/control-rules", "The control rules that are shipped.", NONE),
    get_("/control-rules/facts", "The facts that conditions of rules may name.", NONE),
    post(
        "/events",
        "Tell bounces and complaints that came after messages were accepted: by message_id, or delivery and address.",
    ),
    get_("/quarantine", "Addresses in quarantine; search is how they begin.", SEARCH),
    post("/quarantine", "Put an address in quarantine."),
    other("delete", "/quarantine/{email}", "Let an address out of quarantine."),
    get_(
        "/paths",
        "What goes where now: connections, limits and why, speed, replies, rests; of this node.",
        &["site", "source"],
    ),
    get_("/paths/{site}", "One site with its paths.", NONE),
    post(
        "/paths/{site}/suspend",
        "Send nothing there: from a source or from all, until a moment or until resumed.",
    ),
    post("/paths/{site}/resume", "End suspensions, drains and rests."),
    post("/paths/{site}/drain", "End what has begun, begin nothing new; what waits goes another way."),
    post("/paths/{site}/forget", "Forget what was learned of its limits."),
    post("/paths/{site}/retry-now", "Try at once what waits for a later try; of one delivery or of all."),
    post("/paths/{site}/drop", "Cancel for good what waits; of one delivery or of all."),
    get_(
        "/paths/{site}/trace",
        "What is said on the next connections, as NDJSON while it is said.",
        &["connections"],
    ),
    get_("/waiting", "What waits in the database, by delivery and lane, the longest first.", NONE),
    get_("/verdicts", "What is suspended or slowed now, by whom and why.", NONE),
    post(
        "/verdicts",
        "Suspend, slow or drain an identity (source:, domain:, url:, delivery:, site:) at a provider or everywhere.",
    ),
    Operation {
        query: &["provider"],
        ..other("delete", "/verdicts/{identity}", "Lift a verdict before its end.")
    },
    get_(
        "/shaping",
        "The rules of sites: what holds where nothing else is said, and what is wrong with shaping.toml.",
        NONE,
    ),
    get_(
        "/shaping/sites",
        "Providers in the order in which they are looked through, then other sites with rules.",
        NONE,
    ),
    get_(
        "/shaping/sites/{name}",
        "What holds at a site, and who set each field; also from one source.",
        &["source"],
    ),
    other(
        "patch",
        "/shaping/sites/{name}",
        "Change rules; a field that is null is put back. With mx or domains: a provider of one's own.",
    ),
    other("delete", "/shaping/sites/{name}", "Take back everything that was changed about a site."),
    get_("/shaping/changes", "Who changed which rule, source, warm-up or verdict, newest first.", PAGE),
    get_("/sources", "Addresses that mail leaves from.", NONE),
    post("/sources", "Add a source."),
    get_("/sources/{name}", "One source.", NONE),
    other("patch", "/sources/{name}", "Change what is named; a field that is null is put back."),
    other("delete", "/sources/{name}", "Remove a source."),
    get_("/warm-ups", "Warm-up plans with how far they are.", NONE),
    get_(
        "/warm-ups/{source}/{provider}",
        "One plan; with messages also the day on which the last would go.",
        &["messages"],
    ),
    other("put", "/warm-ups/{source}/{provider}", "Make a plan or replace it; what is absent is as usual."),
    other("delete", "/warm-ups/{source}/{provider}", "Remove a plan: the source counts as warm there."),
    get_("/tls/policies", "MTA-STS policies of receivers' domains, as they are kept, by domain.", PAGE),
    get_("/tls/reports", "The newest reports about TLS that were sent to receivers' domains.", NONE),
    get_("/domains", "Sending domains.", NONE),
    post("/domains", "Add a sending domain; answers the DNS records to publish."),
    get_("/domains/{domain}", "The DNS records of a domain.", NONE),
    get_("/domains/{domain}/records", "The DNS records of a domain.", NONE),
    other("delete", "/domains/{domain}", "Remove a domain; its keys are retired, not lost."),
    get_("/domains/{domain}/keys", "The signing keys of a domain, newest first.", NONE),
    post(
        "/domains/{domain}/rotation",
        "Make new signing keys; they sign once their records are seen in DNS.",
    ),
    other("delete", "/domains/{domain}/rotation", "Give the new keys up."),
    post("/domains/{domain}/rotation/check", "Look for the new keys in DNS now."),
    other("put", "/domains/{domain}/also", "Sign with another sending domain too; null: no more."),
    post("/domains/{domain}/check", "Compare what DNS answers with what should be published."),
    get_(
        "/deliveries",
        "Deliveries, newest first.",
        &["limit", "cursor", "search", "state", "archived", "proofs_of"],
    ),
    sends(
        "/deliveries",
        "Make a draft; definition has the keys of delivery.toml, and template names what gives the rest.",
    ),
    post("/deliveries/push", "Make or update a draft from a folder (multipart or JSON)."),
    post(
        "/deliveries/push/known",
        "Which files of a folder need not be sent: hashes of bytes that are here.",
    ),
    get_("/deliveries/{id}", "One delivery with its content.", NONE),
    other(
        "patch",
        "/deliveries/{id}",
        "Change a draft; revision refuses an edit of what somebody else changed.",
    ),
    other("delete", "/deliveries/{id}", "Delete a delivery."),
    sends("/deliveries/{id}/duplicate", "Make a draft like this delivery, with its files."),
    post("/deliveries/{id}/archive", "Take a delivery out of the list."),
    post("/deliveries/{id}/unarchive", "Put it back."),
    get_("/deliveries/{id}/journal", "What happened, line by line.", NONE),
    get_(
        "/deliveries/{id}/preview",
        "A part as one recipient, or one format, would get it.",
        &["recipient", "part", "format", "variant"],
    ),
    get_("/deliveries/{id}/links", "The links of the content, and what becomes of each.", NONE),
    get_("/deliveries/{id}/assets", "Images and attachments of a delivery.", NONE),
    post("/deliveries/{id}/assets", "Upload files (multipart); images are checked by their bytes."),
    get_("/deliveries/{id}/assets/{name}", "The bytes of a file.", NONE),
    other("put", "/deliveries/{id}/assets/{name}", "Upload one file (the body)."),
    other("patch", "/deliveries/{id}/assets/{name}", "Choose whether an image travels with the message."),
    other("delete", "/deliveries/{id}/assets/{name}", "Take a file away."),
    post("/deliveries/{id}/presence", "Say that somebody edits this draft; answers who else does."),
    Operation {
        query: &["tab"],
        ..other("delete", "/deliveries/{id}/presence", "Say that an editor was closed.")
    },
    get_("/deliveries/{id}/proofs", "Rounds of proofs, what changed between them, what readers said.", NONE),
    sends("/deliveries/{id}/proofs", "Send a proof: to, recipients, seeds, or as its definition says."),
    get_("/deliveries/{id}/analysis", "How far the analysis is, or what it found.", NONE),
    post("/deliveries/{id}/analysis", "Analyse; `?explain=true` lists the statements in the journal."),
    get_("/deliveries/{id}/analyses", "Analyses that are kept, with the time of each step.", NONE),
    get_("/deliveries/{id}/analyses/{before}/changes/{after}", "What changed between two.", NONE),
    other("delete", "/deliveries/{id}/analysis", "Stop the analysis."),
    get_("/deliveries/{id}/exclusions", "Whom the last analysis left out, by reason and rule.", NONE),
    get_("/deliveries/{id}/approvals", "Who must approve, until when, and what they said.", NONE),
    sends("/deliveries/{id}/approve", "Approve the snapshot that you looked at."),
    post("/deliveries/{id}/reject", "Reject it, with a comment."),
    sends("/deliveries/{id}/approvals/remind", "Remind the approvers who have said nothing yet."),
    get_("/deliveries/{id}/history", "Every change of state: who, when, why.", NONE),
    post("/deliveries/{id}/owner", "Give the delivery to another account."),
    post("/deliveries/{id}/cancel", "Give up a delivery that was not confirmed."),
    get_("/notices", "What you are told of deliveries, newest first.", &["limit", "cursor", "unread"]),
    post("/notices/read", "Mark notices as read, up to `up_to`."),
    get_("/deliveries/{id}/confirm", "What Confirm would do, and why it is closed.", NONE),
    sends("/deliveries/{id}/confirm", "Start sending what was analysed."),
    sends("/deliveries/{id}/pause", "Pause."),
    sends("/deliveries/{id}/resume", "Go on."),
    sends("/deliveries/{id}/stop", "Stop for good."),
    get_("/deliveries/{id}/ab", "How the A/B test stands: its variants, with figures, and the winner.", NONE),
    sends("/deliveries/{id}/ab/winner", "Choose the variant (A to D) that the rest of a test gets."),
    get_("/deliveries/{id}/status", "Live counts, by provider.", NONE),
    get_("/calendar", "What goes out when, and how much by the hour.", &["from", "to"]),
    post("/deliveries/{id}/pool", "Let what is not sent yet go out from another pool."),
    get_("/deliveries/{id}/waves", "The waves, as the last analysis planned them.", NONE),
    get_("/deliveries/{id}/clicks", "Clicks by link, the most clicked first.", NONE),
    get_("/deliveries/{id}/hours", "Messages and octets that receivers took, hour by hour.", NONE),
    get_("/deliveries/{id}/holds", "The providers that the brake holds, and why.", NONE),
    get_(
        "/deliveries/{id}/log",
        "The whole log, streamed.",
        &["state", "search", "deferred", "seeds", "format"],
    ),
    get_(
        "/deliveries/{id}/messages",
        "The log, page by page.",
        &["limit", "cursor", "search", "state", "deferred", "seeds"],
    ),
    get_("/deliveries/{id}/source", "The exact bytes of a recipient's message.", &["recipient", "format"]),
    post("/deliveries/{id}/verify", "Recount the outcomes against the totals."),
    get_("/templates", "Delivery templates, newest first.", SEARCH),
    sends("/templates", "Keep a delivery as a template; edit it under /deliveries/{id}."),
    get_("/blocks", "Reusable blocks by name.", SEARCH),
    get_("/blocks/{name}", "One block.", NONE),
    other("put", "/blocks/{name}", "Make or change a block; its templates are compiled first."),
    other("delete", "/blocks/{name}", "Delete a block."),
    get_("/assets", "Files that all contents find.", SEARCH),
    other("put", "/assets/{name}", "Upload a file for all contents (the body)."),
    other("delete", "/assets/{name}", "Take such a file away."),
    get_(
        "/format-rules",
        "How messages for some domains are built, in the order in which they are asked.",
        NONE,
    ),
    post("/format-rules", "Add a rule."),
    other("put", "/format-rules/{id}", "Change a rule."),
    other("delete", "/format-rules/{id}", "Delete a rule."),
    get_("/archive", "Where copies of sent messages go, how many are owed, and the last error.", NONE),
    get_("/archive/held", "Copies that wait for somebody, each with the reason.", PAGE),
    post("/archive/try-again", "Try everything that is owed now."),
    post("/archive/give-up", "Forget held copies (messages: their numbers) for good."),
    get_("/deliveries/{id}/copies", "The archived copies of one delivery.", NONE),
    sends("/test-mail", "Send one test mail outside any delivery."),
    get_("/users", "People who may sign in.", NONE),
    post("/users", "Add a user with rights (absent: all but administer); answers a one-time password."),
    other("patch", "/users/{name}", "Change a user's rights or email."),
    other("delete", "/users/{name}", "Delete a user."),
    post("/users/{name}/reset", "Give a user a new one-time password."),
    post("/users/{name}/link", "Make a link to a new password; answers it once."),
    other("delete", "/users/{name}/second-factor", "Switch off the second step of a user who lost it."),
    post("/invitations", "Make a user and the link by which they choose a password."),
    get_("/me", "Who asks, and what they may.", NONE),
    other("patch", "/me", "Change one's own language, time_zone or email."),
    get_("/me/sessions", "One's own open sessions.", NONE),
    other("delete", "/me/sessions", "End them, except the one that asks."),
    other("delete", "/me/sessions/{id}", "End one of them."),
    get_("/tokens", "One's own API tokens.", NONE),
    post("/tokens", "Make a token; its text is answered once."),
    other("delete", "/tokens/{id}", "Revoke a token."),
    get_("/settings", "Every setting with its value and where that comes from.", NONE),
    get_("/settings/{key}", "One setting.", NONE),
    other("put", "/settings/{key}", "Change a setting; an empty value is its default."),
    get_(
        "/audit",
        "Who did what, newest first; action may be a group, as `delivery.`.",
        &["limit", "cursor", "actor", "action", "subject", "from", "until"],
    ),
    get_("/audit.csv", "The same, all of it, as CSV.", &["actor", "action", "subject", "from", "until"]),
    get_("/backup", "A backup of the running server.", NONE),
];

pub(super) fn routes() -> Router<AppState> {
    Router::new().route("/openapi.json", get(|| async { Json(document()) }))
}

/// The document, OpenAPI 3.1.
pub fn document() -> Value {
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let item = paths.entry(operation.path).or_insert_with(|| json!({}));
        item[operation.method] = operation_json(operation);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Mailwright",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Ids are strings, times RFC 3339 in UTC. A list answers items and next, the cursor of the next page.",
        },
        "servers": [{"url": "/api/v1"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Problem": {
                "type": "object",
                "description": "RFC 9457; code is stable, field names what is wrong.",
                "properties": {
                    "type": {"type": "string"}, "title": {"type": "string"}, "status": {"type": "integer"},
                    "code": {"type": "string"}, "detail": {"type": "string"}, "field": {"type": "string"},
                },
            }},
        },
    })
}

fn operation_json(operation: &Operation) -> Value {
    let in_path = operation.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let parameter = |name: &str, place: &str, required: bool| json!({"name": name, "in": place, "required": required, "schema": {"type": "string"}});
    let mut parameters: Vec<Value> = in_path.map(|name| parameter(name, "path", true)).collect();
    parameters.extend(operation.query.iter().map(|name| parameter(name, "query", false)));
    if operation.sends {
        parameters.push(parameter("Idempotency-Key", "header", false));
    }
    json!({
        "summary": operation.summary,
        "parameters": parameters,
        "responses": {
            "2XX": {"description": "Done."},
            "4XX": {
                "description": "Refused.",
                "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::OPERATIONS;

    /// The document is keyed by path and method, so a second row would hide the first one unseen.
    #[test]
    fn each_operation_stands_once() {
        let mut seen = HashSet::new();
        for operation in OPERATIONS {
            assert!(
                seen.insert((operation.method, operation.path)),
                "{} {}",
                operation.method,
                operation.path
            );
        }
    }
}
