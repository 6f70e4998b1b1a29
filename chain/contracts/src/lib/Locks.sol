// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Units} from "./Units.sol";

/// @title Time locks
/// @notice Rewards: locked 30 days, then 1/180 a day. Pledges: 1/180 a day from the notice. Team: one year's cliff,
///         then linear by the second over six years. Nothing here ever unlocks more than the amount.
library Locks {
    /// @notice Days before a reward starts to unlock.
    uint256 internal constant LOCK_DAYS = 30;
    /// @notice Days over which rewards and pledges unlock.
    uint256 internal constant UNLOCK_DAYS = 180;
    /// @notice Team: nothing before this many seconds after genesis.
    uint256 internal constant TEAM_CLIFF = 365 * Units.DAY;
    /// @notice Team: seconds from the cliff to the last base unit.
    uint256 internal constant TEAM_SPAN = 6 * 365 * Units.DAY;

    /// @notice Unlocked part of a reward: k = clamp(days - 30, 0, 180), amount * k // 180.
    /// @param amount Base units locked.
    /// @param elapsedDays Whole days since they were locked.
    /// @return Base units.
    function reward(uint256 amount, uint256 elapsedDays) internal pure returns (uint256) {
        return elapsedDays <= LOCK_DAYS ? 0 : pledge(amount, elapsedDays - LOCK_DAYS);
    }

    /// @notice Unlocked part of a released pledge: k = clamp(days, 0, 180), amount * k // 180.
    /// @param amount Base units pledged.
    /// @param elapsedDays Whole days since the release was asked for.
    /// @return Base units.
    function pledge(uint256 amount, uint256 elapsedDays) internal pure returns (uint256) {
        return amount * (elapsedDays < UNLOCK_DAYS ? elapsedDays : UNLOCK_DAYS) / UNLOCK_DAYS;
    }

    /// @notice Whole days between two moments; 0 when `t` is before `t0`.
    /// @param t0 Start, unix seconds.
    /// @param t Now, unix seconds.
    /// @return Days, rounded down.
    function daysSince(uint256 t0, uint256 t) internal pure returns (uint256) {
        return t <= t0 ? 0 : (t - t0) / Units.DAY;
    }

    /// @notice The team's vested total: TEAM * clamp(t - 1 y, 0, 6 y) // 6 y.
    /// @param elapsed Seconds since genesis.
    /// @return Base units.
    function team(uint256 elapsed) internal pure returns (uint256) {
        if (elapsed <= TEAM_CLIFF) return 0;
        uint256 s = elapsed - TEAM_CLIFF;
        return Units.TEAM * (s < TEAM_SPAN ? s : TEAM_SPAN) / TEAM_SPAN;
    }
}
