// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Decay} from "./Decay.sol";
import {Units} from "./Units.sol";

/// @title Block reward curve: 336 M NFC, half of what is left every 43 years
/// @notice y = (h-1) // 10,512,000, k = (h-1) % 10,512,000 + 1, C(h) = T(y) + (T(y+1) - T(y)) * k // 10,512,000,
///         reward(h) = C(h) - C(h-1). Inside a year the curve is a straight line; its corners lie on the exact curve.
library BlockCurve {
    /// @notice floor(2^128 * 2^(-1/43)).
    uint256 internal constant RHO = 0xfbe80c59c77c875daec32940bee31275;
    /// @notice Blocks in a year of 365 days at 3 s a block.
    uint256 internal constant BLOCKS_PER_YEAR = 10_512_000;

    /// @notice The curve at one year. A fresh curve is `start()`.
    struct State {
        /// @dev y, the year (from 0) that `e` belongs to.
        uint256 year;
        /// @dev E(y).
        uint256 e;
        /// @dev T(y), base units.
        uint256 begun;
        /// @dev T(y+1), base units.
        uint256 ended;
    }

    /// @notice The curve in year 0.
    /// @return s The state to begin with.
    function start() internal pure returns (State memory s) {
        s.e = Decay.ONE;
        s.ended = Decay.issued(Units.BLOCK, Decay.next(Decay.ONE, RHO));
    }

    /// @notice The year that block `height` belongs to.
    /// @param height Block number, at least 1.
    /// @return The year, from 0.
    function yearOf(uint256 height) internal pure returns (uint256) {
        return (height - 1) / BLOCKS_PER_YEAR;
    }

    /// @notice Moves the curve one year on.
    /// @param s The state at year y.
    /// @return t The state at year y+1.
    function advance(State memory s) internal pure returns (State memory t) {
        t.year = s.year + 1;
        t.e = Decay.next(s.e, RHO);
        t.begun = s.ended;
        t.ended = Decay.issued(Units.BLOCK, Decay.next(t.e, RHO));
    }

    /// @notice Everything issued by blocks 1..height.
    /// @param s The state of the year of `height`.
    /// @param height Block number; 0 gives 0.
    /// @return Base units.
    function cumulative(State memory s, uint256 height) internal pure returns (uint256) {
        if (height == 0) return 0;
        require(yearOf(height) == s.year, "curve: other year");
        uint256 k = (height - 1) % BLOCKS_PER_YEAR + 1;
        return s.begun + (s.ended - s.begun) * k / BLOCKS_PER_YEAR;
    }

    /// @notice The reward of one block.
    /// @dev The last block of a year ends exactly on T(y+1), so the first one of the next year starts from `begun`.
    /// @param s The state of the year of `height`.
    /// @param height Block number, at least 1.
    /// @return Base units.
    function reward(State memory s, uint256 height) internal pure returns (uint256) {
        uint256 before = (height - 1) % BLOCKS_PER_YEAR == 0 ? s.begun : cumulative(s, height - 1);
        return cumulative(s, height) - before;
    }
}
