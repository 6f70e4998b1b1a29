// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Where the genesis puts the system contracts of the main chain
/// @notice Constants, so that no contract can be pointed at another one later.
library Addresses {
    /// @notice Candidates, witnesses, trust; the only contract the end of a block enters.
    address internal constant WITNESS = 0x0000000000000000000000000000000000001000;
    /// @notice Ballots and what voters earn.
    address internal constant BALLOTS = 0x0000000000000000000000000000000000001001;
    /// @notice 336 M NFC of block rewards.
    address internal constant BLOCK_REWARD_VAULT = 0x0000000000000000000000000000000000001002;
    /// @notice 1,344 M NFC of traffic rewards.
    address internal constant TRAFFIC_VAULT = 0x0000000000000000000000000000000000001003;
    /// @notice Epoch roots, claims, locked rewards.
    address internal constant TRAFFIC_SETTLEMENT = 0x0000000000000000000000000000000000001004;
    /// @notice Pledges of nodes.
    address internal constant PLEDGE = 0x0000000000000000000000000000000000001005;
    /// @notice Prize pool.
    address internal constant PRIZE_POOL = 0x0000000000000000000000000000000000001006;
    /// @notice 315 M NFC of the team.
    address internal constant TEAM_VESTING = 0x0000000000000000000000000000000000001007;
    /// @notice NFC to NB.
    address internal constant CONVERTER = 0x0000000000000000000000000000000000001008;
    /// @notice Messages to and from the side chain.
    address internal constant BRIDGE = 0x0000000000000000000000000000000000001009;
    /// @notice Price of NFC in NB.
    address internal constant PRICE_ORACLE = 0x000000000000000000000000000000000000100A;
    /// @notice Changes of parameters, by witnesses and after a delay.
    address internal constant PARAMS = 0x000000000000000000000000000000000000100b;
}
