// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Decay} from "./Decay.sol";
import {Units} from "./Units.sol";

/// @title Traffic reward curve: 1,344 M NFC, half of what is left every 51.709 EB
/// @notice n = B // 10^18, r = B % 10^18, C(B) = T(n) + (T(n+1) - T(n)) * r // 10^18.
///         The ceiling of an epoch that counted b bytes after B is Phi = C(B+b) - C(B). One EB is 10^18 bytes.
library TrafficCurve {
    /// @notice floor(2^128 * 2^(-1000/51709)).
    uint256 internal constant RHO = 0xfc975deb64b92827420c64a9605ba6a1;
    /// @notice Bytes in one step.
    uint256 internal constant EB = 1e18;

    /// @notice The curve at one number of bytes. A fresh curve is `start()`.
    struct State {
        /// @dev B, bytes counted so far.
        uint256 counted;
        /// @dev E(B // EB).
        uint256 e;
    }

    /// @notice The curve at byte 0.
    /// @return s The state to begin with.
    function start() internal pure returns (State memory s) {
        s.e = Decay.ONE;
    }

    /// @notice Everything the curve allows up to the counted bytes.
    /// @param s The state.
    /// @return C(B), base units.
    function cumulative(State memory s) internal pure returns (uint256) {
        uint256 begun = Decay.issued(Units.TRAFFIC, s.e);
        uint256 ended = Decay.issued(Units.TRAFFIC, Decay.next(s.e, RHO));
        return begun + (ended - begun) * (s.counted % EB) / EB;
    }

    /// @notice Counts more bytes. Costs one multiplication per EB boundary crossed; callers bound `bytes_`.
    /// @param s The state before.
    /// @param bytes_ Bytes to count.
    /// @return t The state after.
    function advance(State memory s, uint256 bytes_) internal pure returns (State memory t) {
        t.counted = s.counted + bytes_;
        t.e = s.e;
        uint256 steps = t.counted / EB - s.counted / EB;
        for (uint256 i = 0; i < steps; ++i) t.e = Decay.next(t.e, RHO);
    }
}
