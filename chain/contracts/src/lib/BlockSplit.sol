// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Units} from "./Units.sol";

/// @title Who gets what of a block reward
/// @notice pool = R*10//100, rest = R - pool, voters = rest*bps//10000, witness = rest - voters; and the Q64
///         accumulator that pays any number of voters without a loop.
library BlockSplit {
    /// @notice Prize pool's share of every block, percent.
    uint256 internal constant POOL_PERCENT = 10;
    /// @notice Largest bonus ratio a witness may promise its voters, basis points.
    uint256 internal constant MAX_BONUS_BPS = 9_000;

    /// @notice Splits a block reward.
    /// @param reward R, base units.
    /// @param bonusBps The witness' bonus ratio; at most 10,000 here, the witness registry allows `MAX_BONUS_BPS`.
    /// @return pool Prize pool.
    /// @return voters All voters of the witness together.
    /// @return witness The witness itself: it gets what rounding leaves.
    function split(uint256 reward, uint256 bonusBps) internal pure returns (uint256 pool, uint256 voters, uint256 witness) {
        require(bonusBps <= Units.BPS, "split: ratio");
        pool = reward * POOL_PERCENT / 100;
        uint256 rest = reward - pool;
        voters = rest * bonusBps / Units.BPS;
        witness = rest - voters;
    }

    /// @notice Adds a payment to a per-ballot accumulator: delta = ((voters << 64) + carry) // ballots.
    /// @param voters Base units to share, below 2^192.
    /// @param ballots All ballots of the witness, above 0.
    /// @param carry The remainder of the last call with the same number of ballots. It may exceed the new `ballots`:
    ///        then it is simply paid out by this call.
    /// @return delta What one ballot earned, Q64.
    /// @return newCarry The remainder, below `ballots`.
    function accumulate(uint256 voters, uint256 ballots, uint256 carry) internal pure returns (uint256 delta, uint256 newCarry) {
        uint256 x = voters * (1 << 64) + carry;
        return (x / ballots, x % ballots);
    }

    /// @notice What a holder of ballots earned.
    /// @param ballots The holder's ballots.
    /// @param accDelta Growth of the accumulator since the holder was last paid, Q64.
    /// @return Base units, rounded down.
    function payout(uint256 ballots, uint256 accDelta) internal pure returns (uint256) {
        return (ballots * accDelta) >> 64;
    }
}
