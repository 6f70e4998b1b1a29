//! revm, set up for this chain.

use netchain_state::State;
use revm::context::{BlockEnv, CfgEnv, Evm, TxEnv};
use revm::context_interface::block::BlobExcessGasAndPrice;
use revm::handler::instructions::EthInstructions;
use revm::handler::{EthFrame, EthPrecompiles};
use revm::interpreter::interpreter::EthInterpreter;
use revm::primitives::hardfork::SpecId;
use revm::{Context, Journal, MainBuilder};

use crate::Executor;
use crate::block::BlockContext;
use crate::overlay::Overlay;
use crate::precompiles::precompiles;

/// The rules of the EVM.
pub(crate) const SPEC: SpecId = SpecId::OSAKA;

pub(crate) type ChainContext<'a, S> = Context<BlockEnv, TxEnv, CfgEnv, &'a mut Overlay<S>, Journal<&'a mut Overlay<S>>>;
pub(crate) type ChainEvm<'a, S, I> = Evm<
    ChainContext<'a, S>,
    I,
    EthInstructions<EthInterpreter, ChainContext<'a, S>>,
    EthPrecompiles,
    EthFrame<EthInterpreter>,
>;

/// What is checked of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Of a user.
    User,
    /// The system transaction: pays nothing, its account has code.
    System,
    /// `eth_call`: any sender, may pay nothing and exceed the cap of one transaction.
    Call,
}

impl Executor {
    pub(crate) fn block_env(&self, context: &BlockContext) -> BlockEnv {
        BlockEnv {
            number: alloy_primitives::U256::from(context.number),
            beneficiary: context.beneficiary,
            timestamp: alloy_primitives::U256::from(context.timestamp),
            gas_limit: self.params.gas_limit,
            basefee: context.base_fee,
            difficulty: alloy_primitives::U256::ZERO,
            prevrandao: Some(context.mix_hash),
            // No blobs: the price of one is its minimum, as the `BLOBBASEFEE` instruction shows.
            blob_excess_gas_and_price: Some(BlobExcessGasAndPrice { excess_blob_gas: 0, blob_gasprice: 1 }),
            slot_num: 0,
        }
    }

    pub(crate) fn cfg(&self, mode: Mode) -> CfgEnv {
        let mut cfg = CfgEnv::new_with_spec(SPEC);
        cfg.chain_id = self.params.chain_id;
        match mode {
            Mode::User => {}
            Mode::System => {
                cfg.disable_base_fee = true;
                cfg.disable_eip3607 = true;
            }
            Mode::Call => {
                cfg.disable_base_fee = true;
                cfg.disable_eip3607 = true;
                cfg.disable_nonce_check = true;
                cfg.tx_gas_limit_cap = Some(u64::MAX);
            }
        }
        cfg
    }

    pub(crate) fn evm<'a, S: State, I>(
        &self,
        overlay: &'a mut Overlay<S>,
        block: BlockEnv,
        mode: Mode,
        inspector: I,
    ) -> ChainEvm<'a, S, I> {
        let context: ChainContext<'a, S> = Context::new(overlay, SPEC);
        let context = context.with_cfg(self.cfg(mode)).with_block(block);
        context.build_mainnet_with_inspector(inspector).with_precompiles(precompiles())
    }
}
