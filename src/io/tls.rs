//! Encrypted, mutually authenticated sessions: TLS 1.3 with the nodes' own keys.
//!
//! A node is its ed25519 key; there are no names and no authorities, so there is nothing that a
//! certificate could attest. RFC 7250 lets TLS carry the bare public key instead: both sides send
//! theirs and prove by a signature over the handshake that they hold the secret. What comes out of
//! a handshake is the peer's [`AuthorKey`], the same key that signs its operations.
//!
//! Which key the peer *should* have is mostly unknown, for peers are found by address. So by
//! default every key is accepted, and the key, not the address, is what the node then remembers.
//! Who knows whom to expect can say so when dialling; then the dialler ends the handshake before
//! it has shown its own key.
//!
//! What is fixed here: TLS 1.3 only, `ring` as the provider, ed25519 as the only signature, and the
//! protocol name [`ALPN`] required from both sides, so that a peer of another protocol version is
//! told apart from a faulty one. There are no session tickets, no resumption and no early data:
//! every connection proves the key anew, and nothing can be replayed.
//!
//! A dialler's handshake is over before the listener has checked the dialler's key (that is the
//! order of TLS 1.3); a refusal by the listener shows at the first read.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bitfitech_core::types::AuthorKey;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{
    CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
};
use rustls::server::AlwaysResolvesServerRawPublicKeys;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, CommonState, DigitallySignedStruct, DistinguishedName, Error,
    OtherError, PeerIncompatible, ServerConfig, SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use crate::identity::Identity;

/// The protocol that both sides must name: the wire format of `docs/PROTOCOL.md`, version 1.
pub const ALPN: &[u8] = b"bitfitech/1";

/// What stands before the 32 bytes of an ed25519 key in a SubjectPublicKeyInfo (RFC 8410,
/// section 4): SEQUENCE, the object identifier 1.3.101.112, BIT STRING with no unused bits.
const BEFORE_KEY: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// Everything needed to shake hands as this node; cheap to clone.
#[derive(Clone)]
pub struct Tls {
    author: AuthorKey,
    provider: Arc<CryptoProvider>,
    certified: Arc<CertifiedKey>,
    acceptor: TlsAcceptor,
}

impl Tls {
    /// Sessions that prove `identity`.
    ///
    /// # Errors
    /// Those of the TLS library on its configuration; none is known to happen.
    pub fn new(identity: &Identity) -> Result<Self, Error> {
        let provider = Arc::new(ring::default_provider());
        let author = identity.author();
        let secret = PrivatePkcs8KeyDer::from(identity.to_pkcs8().to_vec());
        let certified = Arc::new(CertifiedKey::new(
            vec![CertificateDer::from(spki(&author))],
            ring::sign::any_eddsa_type(&secret)?,
        ));
        let acceptor = TlsAcceptor::from(Arc::new(server_config(&provider, &certified)?));
        Ok(Self {
            author,
            provider,
            certified,
            acceptor,
        })
    }

    /// The key that these sessions prove.
    pub fn author(&self) -> AuthorKey {
        self.author
    }

    /// Shakes hands as the one who was dialled; gives the session and the dialler's key.
    ///
    /// Without a time-out: the caller sets one, and drops the future to end the attempt.
    ///
    /// # Errors
    /// See [`HandshakeError`]; [`HandshakeError::WrongPeer`] does not happen here.
    pub async fn accept<S>(&self, stream: S) -> Result<(TlsStream<S>, AuthorKey), HandshakeError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let accepted = self.acceptor.accept(stream).await;
        let stream = TlsStream::from(accepted.map_err(HandshakeError::from_io)?);
        let key = authenticated_peer(stream.get_ref().1)?;
        Ok((stream, key))
    }

    /// Shakes hands as the one who dialled; gives the session and the listener's key, which is
    /// the `expected` one if that is given.
    ///
    /// Without a time-out: the caller sets one, and drops the future to end the attempt.
    ///
    /// # Errors
    /// See [`HandshakeError`].
    pub async fn connect<S>(
        &self,
        stream: S,
        expected: Option<AuthorKey>,
    ) -> Result<(TlsStream<S>, AuthorKey), HandshakeError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let config = client_config(&self.provider, &self.certified, expected)?;
        // The library demands some name; it is neither sent (no SNI) nor looked at.
        let name = ServerName::from(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let connected = TlsConnector::from(Arc::new(config)).connect(name, stream);
        let stream = TlsStream::from(connected.await.map_err(HandshakeError::from_io)?);
        let key = authenticated_peer(stream.get_ref().1)?;
        Ok((stream, key))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Tls({})", self.author)
    }
}

fn server_config(
    provider: &Arc<CryptoProvider>,
    certified: &Arc<CertifiedKey>,
) -> Result<ServerConfig, Error> {
    let resolver = AlwaysResolvesServerRawPublicKeys::new(Arc::clone(certified));
    let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(Arc::new(KeyVerifier::new(provider, None)))
        .with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(config)
}

fn client_config(
    provider: &Arc<CryptoProvider>,
    certified: &Arc<CertifiedKey>,
    expected: Option<AuthorKey>,
) -> Result<ClientConfig, Error> {
    let resolver = AlwaysResolvesClientRawPublicKeys::new(Arc::clone(certified));
    let mut config = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(KeyVerifier::new(provider, expected)))
        .with_client_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    config.enable_sni = false;
    Ok(config)
}

/// The peer's key and protocol, once the handshake is over.
fn authenticated_peer(session: &CommonState) -> Result<AuthorKey, HandshakeError> {
    if session.alpn_protocol() != Some(ALPN) {
        return Err(HandshakeError::Protocol);
    }
    session
        .peer_certificates()
        .and_then(|keys| keys.first())
        .and_then(|key| parse_spki(key))
        .ok_or(HandshakeError::NoKey)
}

/// The SubjectPublicKeyInfo of a key.
fn spki(author: &AuthorKey) -> Vec<u8> {
    [&BEFORE_KEY[..], &author.0[..]].concat()
}

/// The key in a SubjectPublicKeyInfo; `None` for anything but ed25519.
fn parse_spki(spki: &[u8]) -> Option<AuthorKey> {
    let key = spki.strip_prefix(&BEFORE_KEY)?;
    key.try_into().ok().map(AuthorKey)
}

/// Accepts any ed25519 key, or the expected one alone, that signed the handshake.
#[derive(Debug)]
struct KeyVerifier {
    expected: Option<AuthorKey>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl KeyVerifier {
    fn new(provider: &CryptoProvider, expected: Option<AuthorKey>) -> Self {
        Self {
            expected,
            algorithms: provider.signature_verification_algorithms,
        }
    }

    fn check_key(&self, spki: &CertificateDer<'_>) -> Result<(), Error> {
        let found = parse_spki(spki).ok_or(CertificateError::BadEncoding)?;
        match self.expected {
            Some(expected) if expected != found => {
                let wrong = OtherError(Arc::new(WrongPeer { expected, found }));
                Err(CertificateError::Other(wrong).into())
            }
            _ => Ok(()),
        }
    }

    fn check_signature(
        &self,
        message: &[u8],
        spki: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let spki = SubjectPublicKeyInfoDer::from(spki.as_ref());
        verify_tls13_signature_with_raw_key(message, &spki, signature, &self.algorithms)
    }
}

impl ServerCertVerifier for KeyVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check_key(end_entity)
            .map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOfferedOrEnabled.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for KeyVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check_key(end_entity)
            .map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOfferedOrEnabled.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// The listener has another key than the dialler expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongPeer {
    /// The key that was expected.
    pub expected: AuthorKey,
    /// The key that the listener showed.
    pub found: AuthorKey,
}

impl fmt::Display for WrongPeer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "the peer has key {}, expected was {}: the address now belongs to another node",
            self.found, self.expected
        )
    }
}

impl std::error::Error for WrongPeer {}

/// Why a handshake failed.
#[derive(Debug)]
pub enum HandshakeError {
    /// The listener has another key than expected.
    WrongPeer(WrongPeer),
    /// The peer does not name the protocol [`ALPN`].
    Protocol,
    /// The session is up without a key of the peer, which would be a fault of the library.
    NoKey,
    /// The peer does not speak TLS as it is spoken here, or failed to prove its key.
    Tls(Error),
    /// The connection failed.
    Io(io::Error),
}

impl HandshakeError {
    /// Finds the typed errors that the TLS library has wrapped.
    fn from_io(error: io::Error) -> Self {
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref());
        match tls {
            Some(Error::InvalidCertificate(CertificateError::Other(OtherError(other)))) => {
                match other.downcast_ref::<WrongPeer>() {
                    Some(wrong) => Self::WrongPeer(*wrong),
                    None => Self::Io(error),
                }
            }
            Some(tls) => Self::Tls(tls.clone()),
            None => Self::Io(error),
        }
    }
}

impl From<Error> for HandshakeError {
    fn from(error: Error) -> Self {
        Self::Tls(error)
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongPeer(wrong) => wrong.fmt(out),
            Self::Protocol => write!(
                out,
                "the peer does not speak {}: it is another program or another version",
                String::from_utf8_lossy(ALPN)
            ),
            Self::NoKey => write!(out, "the peer showed no key"),
            Self::Tls(source) => write!(out, "the TLS handshake failed: {source}"),
            Self::Io(source) => write!(out, "the connection failed in the handshake: {source}"),
        }
    }
}

impl std::error::Error for HandshakeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::WrongPeer(wrong) => Some(wrong),
            Self::Tls(source) => Some(source),
            Self::Io(source) => Some(source),
            Self::Protocol | Self::NoKey => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    type Outcome = Result<(TlsStream<DuplexStream>, AuthorKey), HandshakeError>;

    fn node(seed: u8) -> Tls {
        Tls::new(&Identity::from_seed([seed; 32])).expect("configures")
    }

    /// A handshake between the two, without a network.
    async fn shake(
        dialler: &Tls,
        expected: Option<AuthorKey>,
        listener: &Tls,
    ) -> (Outcome, Outcome) {
        let (near, far) = duplex(64 * 1024);
        tokio::join!(dialler.connect(near, expected), listener.accept(far))
    }

    /// A handshake of a configuration that no node has with a node that listens.
    async fn shake_foreign(config: ClientConfig, listener: &Tls) -> Outcome {
        let (near, far) = duplex(64 * 1024);
        let name = ServerName::from(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let connector = TlsConnector::from(Arc::new(config));
        let dial = async {
            // What the listener answers shows only when something is read.
            if let Ok(mut stream) = connector.connect(name, near).await {
                let read = stream.read(&mut [0]).await;
                assert!(!matches!(read, Ok(1..)), "{read:?}");
            }
        };
        let both = async { tokio::join!(dial, listener.accept(far)).1 };
        let limit = std::time::Duration::from_secs(10);
        tokio::time::timeout(limit, both)
            .await
            .expect("ends in time")
    }

    #[tokio::test]
    async fn both_sides_learn_the_key_of_the_other() {
        let (alice, bob) = (node(1), node(2));
        for expected in [None, Some(bob.author())] {
            let (dialled, accepted) = shake(&alice, expected, &bob).await;
            let (mut near, seen_by_alice) = dialled.expect("shakes hands");
            let (mut far, seen_by_bob) = accepted.expect("shakes hands");
            assert_eq!(seen_by_alice, bob.author());
            assert_eq!(seen_by_bob, alice.author());
            near.write_all(b"hello").await.expect("writes");
            near.flush().await.expect("flushes");
            let mut heard = [0; 5];
            far.read_exact(&mut heard).await.expect("reads");
            assert_eq!(&heard, b"hello");
        }
    }

    #[tokio::test]
    async fn a_listener_with_an_unexpected_key_is_refused_before_the_dialler_shows_its_own() {
        let (alice, bob, carol) = (node(1), node(2), node(3));
        let (dialled, accepted) = shake(&alice, Some(carol.author()), &bob).await;
        let wrong = WrongPeer {
            expected: carol.author(),
            found: bob.author(),
        };
        let error = dialled.expect_err("is refused");
        assert!(
            matches!(&error, HandshakeError::WrongPeer(found) if *found == wrong),
            "{error}"
        );
        accepted.expect_err("is refused");
    }

    #[tokio::test]
    async fn one_who_does_not_hold_the_secret_of_the_key_he_shows_is_refused() {
        let (alice, bob) = (node(1), node(2));
        let claimed = CertificateDer::from(spki(&node(3).author()));
        let secret = Arc::clone(&alice.certified.key);
        let forged = Arc::new(CertifiedKey::new(vec![claimed], secret));

        let config = client_config(&alice.provider, &forged, None).expect("configures");
        let accepted = shake_foreign(config, &bob).await;
        let error = accepted.expect_err("is refused");
        assert!(matches!(error, HandshakeError::Tls(_)), "{error}");

        let mut impostor = alice.clone();
        let config = server_config(&alice.provider, &forged).expect("configures");
        impostor.acceptor = TlsAcceptor::from(Arc::new(config));
        let (dialled, _) = shake(&bob, None, &impostor).await;
        let error = dialled.expect_err("is refused");
        assert!(matches!(error, HandshakeError::Tls(_)), "{error}");
    }

    #[tokio::test]
    async fn one_who_shows_no_key_is_refused() {
        let (alice, bob) = (node(1), node(2));
        let config = ClientConfig::builder_with_provider(Arc::clone(&alice.provider))
            .with_protocol_versions(&[&TLS13])
            .expect("configures")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(KeyVerifier::new(&alice.provider, None)))
            .with_no_client_auth();
        shake_foreign(config, &bob).await.expect_err("is refused");
    }

    #[tokio::test]
    async fn one_who_names_no_protocol_or_another_is_refused() {
        let (alice, bob) = (node(1), node(2));
        for protocols in [vec![], vec![b"bitfitech/2".to_vec()]] {
            let unnamed = protocols.is_empty();
            let config = client_config(&alice.provider, &alice.certified, None);
            let mut config = config.expect("configures");
            config.alpn_protocols = protocols;
            let error = shake_foreign(config, &bob).await.expect_err("is refused");
            assert_eq!(
                matches!(error, HandshakeError::Protocol),
                unnamed,
                "{error}"
            );
        }
    }

    #[tokio::test]
    async fn a_dialler_that_would_resume_gets_no_ticket_to_do_so() {
        let (alice, bob) = (node(1), node(2));
        let config = client_config(&alice.provider, &alice.certified, None);
        let mut config = config.expect("configures");
        config.resumption = Resumption::in_memory_sessions(8);
        let connector = TlsConnector::from(Arc::new(config));
        for _ in 0..2 {
            let name = ServerName::from(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
            let (near, far) = duplex(64 * 1024);
            let (dialled, accepted) = tokio::join!(connector.connect(name, near), bob.accept(far));
            let (mut near, (mut far, _)) = (dialled.expect("connects"), accepted.expect("accepts"));
            // A ticket would come before the first byte.
            far.write_all(b"!").await.expect("writes");
            far.flush().await.expect("flushes");
            near.read_exact(&mut [0]).await.expect("reads");
            let session = near.get_ref().1;
            assert_eq!(session.tls13_tickets_received(), 0);
            assert_eq!(session.handshake_kind(), Some(rustls::HandshakeKind::Full));
        }
    }

    #[test]
    fn only_an_ed25519_key_of_its_one_length_is_a_key() {
        let author = node(1).author();
        let whole = spki(&author);
        assert_eq!(parse_spki(&whole), Some(author));
        assert_eq!(parse_spki(&whole[..43]), None);
        assert_eq!(parse_spki(&[&whole[..], &[0]].concat()), None);
        for at in 0..BEFORE_KEY.len() {
            let mut other = whole.clone();
            other[at] ^= 1;
            assert_eq!(parse_spki(&other), None);
        }
    }

    #[test]
    fn debug_output_shows_the_public_key_alone() {
        let tls = node(0xab);
        assert_eq!(format!("{tls:?}"), format!("Tls({})", tls.author()));
    }
}
