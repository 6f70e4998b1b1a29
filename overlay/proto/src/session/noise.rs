//! Noise `IKpsk2` through `snow`, with every primitive ours (aws-lc-rs, blake2) and all randomness from the caller.
//!
//! Message 1 (`e, es, s, ss`) tells the responder who calls before it spends a KEM operation; the psk enters at the end of message 2
//! and carries the ML-KEM secret. Prologue: `"NFC/1 session" | network id | suite | sender index | hybrid | KEM ciphertext`, so that
//! everything of the initiation frame except the cookie flag and the mac is authenticated, a downgrade of the KEM included.
//!
//! snow does not wipe its chaining key; our resolver wipes every private key and cipher key it is given, and the psk is overwritten
//! before a handshake is dropped.

use netflow_wire::handshake::{
    INIT_NOISE_LEN, INIT_PAYLOAD_LEN, InitFrame, InitPayload, KEM_CIPHERTEXT_LEN, RESPONSE_NOISE_LEN,
    RESPONSE_PAYLOAD_LEN, ResponsePayload,
};
use netflow_wire::{NetworkId, Suite};
use rand_core::CryptoRng;
use snow::params::NoiseParams;
use snow::{Builder, HandshakeState};

use super::keys::{MAIN_SLICE, handshake_psk, slice_key};
use super::primitives::Secret;
use super::record::{OpenState, SealState};
use super::resolver::Resolver;

/// The handshake failed to authenticate, or an input was malformed. No detail: nothing may depend on which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoiseError;

impl<E: std::error::Error> From<E> for NoiseError {
    fn from(_: E) -> Self {
        Self
    }
}

/// The cleartext an initiation is bound to.
pub(super) struct Binding<'a> {
    pub(super) network: &'a NetworkId,
    pub(super) suite: Suite,
    pub(super) sender_index: u32,
    pub(super) kem_ciphertext: Option<&'a [u8; KEM_CIPHERTEXT_LEN]>,
}

impl Binding<'_> {
    fn prologue(&self) -> Vec<u8> {
        let ciphertext = self.kem_ciphertext.map_or(&[][..], |ciphertext| ciphertext.as_slice());
        let mut prologue = Vec::with_capacity(13 + 32 + 6 + ciphertext.len());
        prologue.extend_from_slice(b"NFC/1 session");
        prologue.extend_from_slice(self.network.as_bytes());
        prologue.push(self.suite as u8);
        prologue.extend_from_slice(&self.sender_index.to_le_bytes());
        prologue.push(u8::from(self.kem_ciphertext.is_some()));
        prologue.extend_from_slice(ciphertext);
        prologue
    }
}

fn params(suite: Suite) -> NoiseParams {
    let name = match suite {
        Suite::ChaChaPoly => "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s",
        Suite::AesGcm => "Noise_IKpsk2_25519_AESGCM_BLAKE2s",
    };
    name.parse().expect("both names are constants snow knows")
}

/// A builder with our primitives, for this suite and ephemeral key.
pub(super) fn builder<'a>(suite: Suite, ephemeral: Secret) -> Builder<'a> {
    Builder::with_resolver(params(suite), Box::new(Resolver::new(ephemeral)))
}

fn random_secret(rng: &mut dyn CryptoRng) -> Secret {
    let mut bytes = [0; 32];
    rng.fill_bytes(&mut bytes);
    Secret::new(bytes)
}

/// The record states and identifying facts a finished handshake leaves.
pub(super) struct Keys {
    pub(super) seal: SealState,
    pub(super) open: OpenState,
}

/// Our side of a handshake between message 1 sent and message 2 received.
pub(super) struct Initiation {
    noise: HandshakeState,
    kem_shared: Option<Secret>,
    network: NetworkId,
    handshake_suite: Suite,
}

impl Initiation {
    /// Starts a handshake; returns its state and Noise message 1.
    pub(super) fn start(
        binding: &Binding<'_>,
        local_static: &Secret,
        remote_static: &[u8; 32],
        kem_shared: Option<Secret>,
        payload: &InitPayload,
        rng: &mut dyn CryptoRng,
    ) -> Result<(Self, [u8; INIT_NOISE_LEN]), NoiseError> {
        let prologue = binding.prologue();
        let mut noise = builder(binding.suite, random_secret(rng))
            .local_private_key(local_static.expose())?
            .remote_public_key(remote_static)?
            .prologue(&prologue)?
            .build_initiator()?;
        let mut message = [0; INIT_NOISE_LEN];
        if noise.write_message(&payload.to_bytes(), &mut message)? != INIT_NOISE_LEN {
            return Err(NoiseError);
        }
        Ok((Self { noise, kem_shared, network: *binding.network, handshake_suite: binding.suite }, message))
    }

    pub(super) const fn is_hybrid(&self) -> bool {
        self.kem_shared.is_some()
    }

    pub(super) const fn suite(&self) -> Suite {
        self.handshake_suite
    }

    /// Reads message 2. After an error the state is as before: a forged response does not spoil the handshake.
    pub(super) fn finish(
        &mut self,
        header: &[u8; 12],
        message: &[u8; RESPONSE_NOISE_LEN],
    ) -> Result<ResponsePayload, NoiseError> {
        let psk = handshake_psk(&self.network, self.kem_shared.as_ref(), header);
        self.noise.set_psk(2, psk.expose())?;
        let mut payload = [0; RESPONSE_PAYLOAD_LEN];
        let read = self.noise.read_message(message, &mut payload);
        // Whatever came of it, the psk of this attempt is not kept.
        self.noise.set_psk(2, &[0; 32])?;
        if read? != RESPONSE_PAYLOAD_LEN {
            return Err(NoiseError);
        }
        Ok(ResponsePayload::parse(&payload)?)
    }

    /// The session keys; only after `finish`.
    pub(super) fn into_keys(mut self, record_suite: Suite, remote_index: u32) -> Result<Keys, NoiseError> {
        split(&mut self.noise, record_suite, remote_index, true)
    }
}

/// The responder's view of an authentic message 1.
pub(super) struct Response {
    noise: HandshakeState,
    network: NetworkId,
    pub(super) remote_static: [u8; 32],
    pub(super) payload: InitPayload,
}

impl Response {
    /// Reads message 1: two X25519 operations, no KEM.
    pub(super) fn read(
        network: &NetworkId,
        frame: &InitFrame<&[u8]>,
        local_static: &Secret,
        rng: &mut dyn CryptoRng,
    ) -> Result<Self, NoiseError> {
        let binding = Binding {
            network,
            suite: frame.suite(),
            sender_index: frame.sender_index(),
            kem_ciphertext: frame.kem_ciphertext(),
        };
        let prologue = binding.prologue();
        let mut noise = builder(binding.suite, random_secret(rng))
            .local_private_key(local_static.expose())?
            .prologue(&prologue)?
            .build_responder()?;
        let mut payload = [0; INIT_PAYLOAD_LEN];
        if noise.read_message(&frame.noise_message(), &mut payload)? != INIT_PAYLOAD_LEN {
            return Err(NoiseError);
        }
        let payload = InitPayload::parse(&payload)?;
        let remote_static = noise.get_remote_static().ok_or(NoiseError)?.try_into()?;
        Ok(Self { noise, network: *network, remote_static, payload })
    }

    /// Writes message 2 for a response frame with this header, and the session keys.
    pub(super) fn write(
        mut self,
        header: &[u8; 12],
        kem_shared: Option<&Secret>,
        payload: &ResponsePayload,
        remote_index: u32,
    ) -> Result<([u8; RESPONSE_NOISE_LEN], Keys), NoiseError> {
        let psk = handshake_psk(&self.network, kem_shared, header);
        self.noise.set_psk(2, psk.expose())?;
        let mut message = [0; RESPONSE_NOISE_LEN];
        let written = self.noise.write_message(&payload.to_bytes(), &mut message);
        self.noise.set_psk(2, &[0; 32])?;
        if written? != RESPONSE_NOISE_LEN {
            return Err(NoiseError);
        }
        let keys = split(&mut self.noise, payload.record_suite, remote_index, false)?;
        Ok((message, keys))
    }
}

fn split(noise: &mut HandshakeState, suite: Suite, remote_index: u32, initiator: bool) -> Result<Keys, NoiseError> {
    let hash: [u8; 32] = noise.get_handshake_hash().try_into()?;
    let (to_responder, to_initiator) = noise.dangerously_get_raw_split();
    let (to_responder, to_initiator) = (Secret::new(to_responder), Secret::new(to_initiator));
    let (tx, rx) = if initiator { (to_responder, to_initiator) } else { (to_initiator, to_responder) };
    let seal = SealState::new(suite, &slice_key(&hash, &tx, MAIN_SLICE), remote_index).map_err(|_| NoiseError)?;
    let open = OpenState::new(suite, &slice_key(&hash, &rx, MAIN_SLICE)).map_err(|_| NoiseError)?;
    Ok(Keys { seal, open })
}
