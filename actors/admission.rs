//! Whether there is a place for one more session.

use bitfitech_core::handshake::Dialler;
use bitfitech_core::peer_exchange::Present;
use bitfitech_core::wire::Goodbye;

use crate::context::NodeContext;
use crate::discovery::limits;

/// Whether a session may be added to those that are established.
///
/// # Errors
/// What to say to the other side.
pub(crate) fn admit(
    node: &NodeContext,
    present: impl Iterator<Item = Present> + Clone,
    newcomer: Present,
) -> Result<(), Goodbye> {
    let admitted = limits(&node.settings).admit(present, newcomer);
    if let (Err(goodbye), Dialler::Peer) = (&admitted, newcomer.dialler) {
        let remote = newcomer.remote;
        tracing::debug!(target: "gossip", "no place for {remote}: {}", goodbye.reason);
    }
    admitted
}
