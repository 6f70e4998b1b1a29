//! TLS 1.3 between node keys: raw public keys (RFC 7250) both ways, hybrid key exchange X25519MLKEM768, nothing negotiable.
//!
//! A client knows the key it dials and accepts no other; a server learns the key of its client and proves its own. There are no names, no
//! certificates, no resumption and no early data, so there is nothing to expire and nothing to replay.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use aws_lc_rs::{hkdf, hmac};
use netflow_overlay::NodeKeys;
use netflow_overlay::session::PqMode;
use netflow_wire::NodeId;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::crypto::{CryptoError, HmacKey};
use quinn::{EndpointConfig, IdleTimeout, ServerConfig, TransportConfig, VarInt};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs as provider};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use super::KEEPALIVE;

/// Application protocol of control links, version 1.
const ALPN: &[u8] = b"nfc/1";
/// The name every certificate would be for, if there were names.
pub(super) const NO_NAME: &str = "nfc.invalid";
const IDLE_TIMEOUT_MS: u32 = 60_000;
/// Flow control: two messages of the largest size on their way per link.
const WINDOW: u32 = 128 * 1024;
/// A handshake that has not finished in this time failed. Also the longest life of a half-open connection of a stranger.
pub(super) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// DER of `SubjectPublicKeyInfo` for Ed25519 (RFC 8410, 4) up to the 32 bytes of the key.
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// DER of PKCS #8 for Ed25519 (RFC 8410, 7) up to the 32 bytes of the seed.
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// What all links of this node share.
pub(super) struct Tls {
    identity: Arc<CertifiedKey>,
    provider: Arc<CryptoProvider>,
}

impl Tls {
    pub(super) fn new(keys: &NodeKeys, pq: PqMode) -> anyhow::Result<Self> {
        let mut provider = provider::default_provider();
        provider.kx_groups = match pq {
            PqMode::Off => vec![provider::kx_group::X25519MLKEM768, provider::kx_group::X25519],
            PqMode::Strict | PqMode::Prefer => vec![provider::kx_group::X25519MLKEM768],
        };
        provider.cipher_suites.retain(|suite| suite.tls13().is_some());
        let mut pkcs8 = zeroize::Zeroizing::new(PKCS8_PREFIX.to_vec());
        pkcs8.extend_from_slice(&keys.node.to_bytes());
        let key = provider::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(pkcs8.as_slice()))?;
        let spki = CertificateDer::from(spki(&keys.node_id()).to_vec());
        Ok(Self { identity: Arc::new(CertifiedKey::new(vec![spki], key)), provider: Arc::new(provider) })
    }

    /// A client of the classical world, to see it refused.
    #[cfg(test)]
    pub(super) fn classical_only(keys: &NodeKeys) -> anyhow::Result<Self> {
        let mut tls = Self::new(keys, PqMode::Prefer)?;
        let mut provider = (*tls.provider).clone();
        provider.kx_groups = vec![provider::kx_group::X25519];
        tls.provider = Arc::new(provider);
        Ok(tls)
    }

    /// A configuration that accepts exactly `peer`.
    pub(super) fn client(&self, peer: NodeId) -> anyhow::Result<quinn::ClientConfig> {
        let mut config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(self.stream_client(peer)?)?));
        // Only the side behind the NAT needs to keep the mapping; two sides pinging would double the idle traffic.
        config.transport_config(Arc::new(transport(Some(KEEPALIVE))?));
        Ok(config)
    }

    /// The same over TCP.
    pub(super) fn stream_client(&self, peer: NodeId) -> anyhow::Result<rustls::ClientConfig> {
        let verifier =
            Arc::new(Verifier { expected: Some(peer), schemes: self.provider.signature_verification_algorithms });
        let mut tls = rustls::ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(Arc::clone(&self.identity))));
        tls.alpn_protocols = vec![ALPN.to_vec()];
        tls.enable_sni = false;
        tls.resumption = Resumption::disabled();
        Ok(tls)
    }

    /// The server's configuration: any key, but a proven one.
    pub(super) fn server(&self) -> anyhow::Result<ServerConfig> {
        let mut config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(self.stream_server()?)?));
        config.transport_config(Arc::new(transport(None)?));
        // Strangers' first packets that wait for the accept loop: 64 of them, 1.2 KiB each and little more.
        config.max_incoming(64).incoming_buffer_size(8 * 1024).incoming_buffer_size_total(512 * 1024);
        Ok(config)
    }

    /// The same over TCP.
    pub(super) fn stream_server(&self) -> anyhow::Result<rustls::ServerConfig> {
        let verifier = Arc::new(Verifier { expected: None, schemes: self.provider.signature_verification_algorithms });
        let mut tls = rustls::ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(Arc::clone(&self.identity))));
        tls.alpn_protocols = vec![ALPN.to_vec()];
        tls.session_storage = Arc::new(NoServerSessionStorage {});
        tls.send_tls13_tickets = 0;
        tls.max_early_data_size = 0;
        Ok(tls)
    }
}

fn transport(keepalive: Option<Duration>) -> anyhow::Result<TransportConfig> {
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .stream_receive_window(VarInt::from_u32(WINDOW))
        .receive_window(VarInt::from_u32(WINDOW))
        .send_window(u64::from(WINDOW))
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_TIMEOUT_MS))))
        .keep_alive_interval(keepalive)
        // Control messages are small; probing for a larger MTU would cost idle traffic and gain nothing.
        .mtu_discovery_config(None)
        .allow_spin(false);
    Ok(transport)
}

/// Endpoint settings that survive a restart: with the same reset key and connection-id key, a restarted relay answers packets of its
/// former life with a stateless reset, and its clients dial again after one round trip instead of a timeout.
pub(super) fn endpoint(keys: &NodeKeys) -> anyhow::Result<EndpointConfig> {
    let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"NFC/1 quic endpoint");
    let secret = salt.extract(&keys.node.to_bytes());
    let derive =
        |info: &[&[u8]], out: &mut [u8]| -> Option<()> { secret.expand(info, OutLen(out.len())).ok()?.fill(out).ok() };
    let (mut reset, mut ids) = ([0; 32], [0; 8]);
    derive(&[b"reset"], &mut reset)
        .and_then(|()| derive(&[b"connection ids"], &mut ids))
        .context("key derivation failed")?;
    let mut config = EndpointConfig::new(Arc::new(ResetKey(hmac::Key::new(hmac::HMAC_SHA256, &reset))));
    let ids = u64::from_le_bytes(ids);
    config.cid_generator(move || Box::new(quinn_proto::HashedConnectionIdGenerator::from_key(ids)));
    // The demultiplexer tells QUIC by its fixed bit, so the bit must stay fixed.
    config.grease_quic_bit(false);
    Ok(config)
}

/// Keys the tokens of stateless resets. quinn has the same for aws-lc, but not in a build that also has its `ring` feature, as every
/// build of the whole workspace has (libp2p wants it).
struct ResetKey(hmac::Key);

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], out: &mut [u8]) {
        out.copy_from_slice(hmac::sign(&self.0, data).as_ref());
    }

    fn signature_len(&self) -> usize {
        hmac::HMAC_SHA256.digest_algorithm().output_len()
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        hmac::verify(&self.0, data, signature).map_err(|_| CryptoError)
    }
}

struct OutLen(usize);

impl hkdf::KeyType for OutLen {
    fn len(&self) -> usize {
        self.0
    }
}

/// The key the other end of a finished handshake proved.
pub(super) fn proven_key(connection: &quinn::Connection) -> Option<NodeId> {
    let identity = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    node_id(identity.first()?)
}

/// The same for a stream.
pub(super) fn proven_stream_key(connection: &rustls::CommonState) -> Option<NodeId> {
    node_id(connection.peer_certificates()?.first()?)
}

fn spki(node: &NodeId) -> Vec<u8> {
    [SPKI_PREFIX.as_slice(), node.as_bytes()].concat()
}

fn node_id(spki: &[u8]) -> Option<NodeId> {
    <[u8; 32]>::try_from(spki.strip_prefix(&SPKI_PREFIX)?).ok().map(NodeId)
}

/// Accepts Ed25519 raw public keys: one, or any. The signature of the handshake proves possession.
struct Verifier {
    expected: Option<NodeId>,
    schemes: WebPkiSupportedAlgorithms,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("expected", &self.expected).finish_non_exhaustive()
    }
}

impl Verifier {
    fn check_key(&self, end_entity: &CertificateDer<'_>) -> Result<(), Error> {
        let node = node_id(end_entity).ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))?;
        match self.expected {
            Some(expected) if expected != node => {
                Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
            }
            _ => Ok(()),
        }
    }

    fn check_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let spki = SubjectPublicKeyInfoDer::from(cert.as_ref());
        rustls::crypto::verify_tls13_signature_with_raw_key(message, &spki, dss, &self.schemes)
    }
}

/// TLS 1.2 is not offered; a peer that uses it anyway is wrong.
fn no_tls12() -> Error {
    Error::General("TLS 1.2 is not spoken here".to_owned())
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check_key(end_entity).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(no_tls12())
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

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check_key(end_entity).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(no_tls12())
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
