//! *Send me a test mail*: one message outside any delivery, sent at once over the configured way.

use mta::{Config, Internet};

use super::engine::Supplies;

/// Sends it; answers with the receiver's words.
pub async fn send(
    _config: &Config,
    _world: &Internet,
    _supplies: &Supplies,
    _from: &str,
    _to: &str,
) -> Result<String, String> {
    Err("sending a test mail is not yet supported; send a proof instead".to_owned())
}
