// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Who gets what of a traffic reward
/// @notice The reward of an edge node's traffic: 90 % the node, 6 % the relaying and certifying nodes, 4 % the prize pool;
///         and the exact split of an epoch's reward over nodes by prefix sums.
library TrafficSplit {
    /// @notice Relay and certification nodes' share, percent.
    uint256 internal constant RNCN_PERCENT = 6;
    /// @notice Prize pool's share, percent.
    uint256 internal constant POOL_PERCENT = 4;

    /// @notice rncn = R*6//100, pool = R*4//100, en = R - rncn - pool.
    /// @param reward R, base units.
    /// @return en The edge node: it gets what rounding leaves.
    /// @return rncn Relay and certification nodes.
    /// @return pool Prize pool.
    function split(uint256 reward) internal pure returns (uint256 en, uint256 rncn, uint256 pool) {
        rncn = reward * RNCN_PERCENT / 100;
        pool = reward * POOL_PERCENT / 100;
        en = reward - rncn - pool;
    }

    /// @notice One node's part of an epoch: floor(R * upto / total) - floor(R * before / total), nodes in ascending id.
    /// @dev Summed over all nodes this is exactly R.
    /// @param reward R, base units, below 2^128.
    /// @param before Bytes of all nodes with a smaller id.
    /// @param own The node's bytes.
    /// @param total Bytes of all nodes, above 0, below 2^128.
    /// @return Base units.
    function share(uint256 reward, uint256 before, uint256 own, uint256 total) internal pure returns (uint256) {
        require(before + own <= total, "split: beyond total");
        return reward * (before + own) / total - reward * before / total;
    }
}
