// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Units and supply figures that every rule shares
/// @notice One NFC is 10^18 base units. Every amount on chain is an integer number of base units; every division rounds down.
/// @dev The white paper's "1,344 billion" and "1,005 billion" are read as 1.344 and 1.005 billion: the supply is 2.1 billion.
library Units {
    /// @notice Base units in one NFC (and in one NB).
    uint256 internal constant NFC = 1e18;
    /// @notice All NFC there will ever be. Held by the vaults at genesis; no code can add to it.
    uint256 internal constant SUPPLY = 2_100_000_000 * NFC;
    /// @notice Liquid at genesis, the foundation's.
    uint256 internal constant FOUNDATION = 105_000_000 * NFC;
    /// @notice The team's share, vested by `TeamSchedule`.
    uint256 internal constant TEAM = 315_000_000 * NFC;
    /// @notice Everything the block curve can ever issue.
    uint256 internal constant BLOCK = 336_000_000 * NFC;
    /// @notice Everything the traffic curve can ever issue.
    uint256 internal constant TRAFFIC = 1_344_000_000 * NFC;
    /// @notice Seconds in a day, the step of every lock.
    uint256 internal constant DAY = 86_400;
    /// @notice One whole in basis points.
    uint256 internal constant BPS = 10_000;
}
