// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Trust points of a witness
/// @notice Starts at 28,800 (the blocks of a day); +10 for a block created, +1 for a signature in a carried certificate,
///         -100 for a skipped turn. Proven double signing is handled by the registry: trust 0 for good.
library Trust {
    /// @notice Points of a newly elected witness.
    uint256 internal constant START = 28_800;
    /// @notice For creating a block.
    uint256 internal constant CREATED = 10;
    /// @notice For signing the certificate that the next block carries.
    uint256 internal constant SIGNED = 1;
    /// @notice Lost by each witness skipped in a height, once a height.
    uint256 internal constant SKIPPED = 100;
    /// @notice Rounds 0..5 of a height are charged: a network outage of hours must not remove everybody.
    uint256 internal constant CHARGED_ROUNDS = 6;

    /// @notice Adds points.
    /// @param trust Points before.
    /// @param points To add.
    /// @param max Genesis parameter `trust_max`; 0 means none, as in the white paper.
    /// @return Points after.
    function gain(uint256 trust, uint256 points, uint256 max) internal pure returns (uint256) {
        uint256 t = trust + points;
        return max != 0 && t > max ? max : t;
    }

    /// @notice Takes the points of one skipped turn; never below 0.
    /// @param trust Points before.
    /// @return Points after.
    function miss(uint256 trust) internal pure returns (uint256) {
        return trust > SKIPPED ? trust - SKIPPED : 0;
    }
}
