// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Gas fees: nothing is burned
/// @notice fee = g*eff, pool = (fee - g*min) // 2, producer = fee - pool. Half of what is paid above the minimum price
///         goes to the prize pool, the rest to the creator of the block.
library GasSplit {
    /// @notice Splits one transaction's fee.
    /// @param gasUsed g.
    /// @param effPrice Price paid per gas, base units; at least `minPrice`.
    /// @param minPrice The chain's minimum price per gas.
    /// @return pool Prize pool.
    /// @return producer Creator of the block.
    function split(uint256 gasUsed, uint256 effPrice, uint256 minPrice) internal pure returns (uint256 pool, uint256 producer) {
        require(effPrice >= minPrice, "gas: below minimum");
        uint256 fee = gasUsed * effPrice;
        pool = (fee - gasUsed * minPrice) / 2;
        producer = fee - pool;
    }
}
