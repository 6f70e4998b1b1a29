// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Order of block creators
/// @notice Unbiased Fisher-Yates over keccak words, seeded by the block randomness. Same bytes as `chain/types`.
library Shuffle {
    /// @notice mix' = keccak(mix | keccak(reveal)).
    /// @param mix Randomness before the block.
    /// @param reveal The creator's BLS reveal, 96 bytes on the chain.
    /// @return Randomness after the block.
    function nextMix(bytes32 mix, bytes memory reveal) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(mix, keccak256(reveal)));
    }

    /// @notice seed_k = keccak("NFC/SHUFFLE/v1" | k | mix).
    /// @param k Shuffle round.
    /// @param mix Randomness it is drawn from.
    /// @return The seed.
    function seed(uint64 k, bytes32 mix) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked("NFC/SHUFFLE/v1", k, mix));
    }

    /// @notice Words from here on are drawn again: the largest multiple of m not above 2^64.
    /// @param m Places to choose from, at least 1.
    /// @return 2^64 - (2^64 mod m).
    function limit(uint256 m) internal pure returns (uint256) {
        return (1 << 64) - ((1 << 64) % m);
    }

    /// @notice The permutation of 0..n-1 that a seed gives.
    /// @dev A word x is drawn again while x >= 2^64 - (2^64 mod (i+1)): without that small places would be likelier.
    ///      For n <= 255 a redraw happens with probability below 2^-56.
    /// @param s The seed.
    /// @param n Seats, 0..255.
    /// @return a The order: a[place] = seat.
    function order(bytes32 s, uint8 n) internal pure returns (uint8[] memory a) {
        a = new uint8[](n);
        for (uint256 i = 0; i < n; ++i) a[i] = uint8(i);
        uint64 ctr = 0;
        uint256 left = 0;
        uint256 words = 0;
        for (uint256 m = n; m > 1; --m) {
            uint256 end = limit(m);
            uint256 x = end;
            while (x >= end) {
                if (left == 0) {
                    words = uint256(keccak256(abi.encodePacked("NFC/FY/v1", s, ctr)));
                    ctr += 1;
                    left = 4;
                }
                left -= 1;
                x = uint64(words >> (64 * left));
            }
            uint256 j = x % m;
            (a[m - 1], a[j]) = (a[j], a[m - 1]);
        }
    }
}
