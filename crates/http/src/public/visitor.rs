//! Who asks at the public door, as far as it is kept: see `tracking::Client`.

use std::{convert::Infallible, net::SocketAddr};

use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{HeaderMap, HeaderName, Method, header, request::Parts},
};
use tracking::{Client, Event, EventKind, Kept};

use crate::state::{AppState, Services};

/// What browsers that fetch ahead say of it.
const PURPOSES: [HeaderName; 3] = [
    HeaderName::from_static("sec-purpose"),
    HeaderName::from_static("purpose"),
    HeaderName::from_static("x-moz"),
];

/// The client of one request.
pub struct Visitor {
    client: Client,
    /// HEAD asks where something leads and shows it to nobody.
    counts: bool,
}

impl FromRequestParts<AppState> for Visitor {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Visitor, Infallible> {
        let text = |name: &HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok());
        // A user agent of other octets is cut to what can be read.
        let agent = parts.headers.get(header::USER_AGENT);
        let agent = agent.map(|value| String::from_utf8_lossy(value.as_bytes())).unwrap_or_default();
        let machine = tracking::is_machine(&agent, PURPOSES.iter().find_map(text));
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer);
        let address = peer.map(|peer| client_of(state, peer, &parts.headers)).unwrap_or_default();
        Ok(Visitor { client: Client::new(&agent, address, machine), counts: parts.method != Method::HEAD })
    }
}

/// What is kept of the address. Behind a proxy on this machine it is the one that the proxy names last: earlier ones are
/// what the client says.
fn client_of(state: &Services, peer: SocketAddr, headers: &HeaderMap) -> String {
    let settings = state.settings();
    let whole = match settings.client_addresses() {
        access::ClientAddresses::None => return String::new(),
        access::ClientAddresses::Hash => false,
        access::ClientAddresses::Whole => true,
    };
    let forwarded = headers.get("x-forwarded-for").and_then(|value| value.to_str().ok());
    let named = forwarded.and_then(|list| list.rsplit(',').next()?.trim().parse().ok());
    let address = match named {
        Some(named) if peer.ip().is_loopback() => named,
        _ => peer.ip(),
    };
    state.tracking.client_address(address, whole)
}

impl Visitor {
    /// Keeps what this visitor did, before the answer goes out. Nothing is kept for an inert token or for HEAD.
    pub async fn did(self, state: &Services, token: message::Token, kind: EventKind, link: Option<u16>) {
        if token.inert || !self.counts {
            return;
        }
        let event =
            Event { message: token.message, kind, link, at: state.clock.now_us(), client: self.client };
        // What is lost is said by the room, once; the person gets the answer all the same.
        let _: Kept = state.tracking.record(event).await;
    }
}
