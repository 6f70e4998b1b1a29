//! Sessions between nodes: Noise `IKpsk2` handshakes, hybrid with ML-KEM-768, and our own record layer. Spec: `docs/spec/wire.md`.

mod table;
mod types;

pub use table::SessionTable;
pub use types::{
    DropReason, FrameOutcome, LocalIdentity, PeerRef, PqMode, RefuseReason, RemoteKeys, SealOutcome, SealStatus, SessionEvent,
    SessionInfo, Source, Suite, UpsertError,
};
