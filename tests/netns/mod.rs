//! Networks of their own: nodes in namespaces of the kernel, with links that can be cut.
//!
//! Each test makes its own switch, two bridges with a cable between them, and one namespace for
//! each node; nothing that is sent there leaves it, so here alone nodes may multicast. Where
//! namespaces are not permitted the tests say why they are skipped.

mod lan;
mod network;
