//! Who owes what: deposits at a payer's home node, vouchers at the payer and at a payee, claims of an epoch, and proof of two statements.
//!
//! Every object a function here returns for storing has to be durable before it is sent or acted on; fed back after a
//! restart, it restores the same state.

mod claims;
mod deposits;
mod evidence;
mod payee;
mod payer;

pub use claims::{ClaimBook, ClaimError, ClaimFault, check_claim};
pub use deposits::{DepositError, Deposits};
pub use evidence::{Equivocation, Statement};
pub use payee::{Payee, VoucherError, VoucherOutcome};
pub use payer::{Payer, PayerError};
