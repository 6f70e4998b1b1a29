//! Metering of packets, from the data plane to the opening of an audited slot.
//!
//! [`MeterTable`] counts on the hot path; [`MeterTable::close_due`] hands over what a slot left behind; [`SlotCommit`] is
//! built from it (on any thread: it owns its records) and kept in an [`Archive`] until the slot is revealed and opened.

mod archive;
mod commit;
mod flow;
mod records;
mod replay;
mod table;

pub use archive::{Archive, ArchiveError};
pub use commit::{AlreadySigned, SlotCommit, SlotSigner};
pub use flow::{Counted, Packet};
pub use records::RecordLog;
pub use replay::{ReplayWindow, WINDOW};
pub use table::{ClosedSlot, FlowHandle, MeterError, MeterLimits, MeterPoint, MeterStats, MeterTable};
