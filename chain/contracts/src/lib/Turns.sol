// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Shuffle} from "./Shuffle.sol";
import {Trust} from "./Trust.sol";

/// @title Whose turn it was
/// @notice The place in the order of creators, kept block by block: the same that nodes derive from headers (chain/exec `order.rs`).
/// @dev Orders are not stored, but the randomness they are drawn with: they are needed only when a witness was skipped.
library Turns {
    /// @notice Where the next height begins.
    struct State {
        /// @dev Randomness of the order of `round`; 0: not known, then nobody is blamed.
        bytes32 mixNow;
        /// @dev Randomness of the order of `round + 1`; 0: not known.
        bytes32 mixNext;
        /// @dev Shuffle round.
        uint64 round;
        /// @dev Place in its order.
        uint32 place;
    }

    /// @notice Seats skipped by a block and the seat that made it.
    /// @param s Before the block.
    /// @param n Seats, 1..21.
    /// @param round The header's consensus round.
    /// @return known False when the randomness of an order that is needed is not known.
    /// @return skipped Bit per seat: silent in one of the rounds that are charged.
    /// @return creator Seat of the creator.
    function seats(State memory s, uint256 n, uint256 round) internal pure returns (bool known, uint256 skipped, uint256 creator) {
        if (s.mixNow == 0 || s.mixNext == 0) return (false, 0, 0);
        uint8[] memory now_ = Shuffle.order(Shuffle.seed(s.round, s.mixNow), uint8(n));
        uint8[] memory next = now_;
        if (s.place + round >= n) next = Shuffle.order(Shuffle.seed(s.round + 1, s.mixNext), uint8(n));
        for (uint256 q = 0; q < round && q < Trust.CHARGED_ROUNDS; ++q) skipped |= 1 << _seat(now_, next, s.place + q);
        return (true, skipped, _seat(now_, next, s.place + round));
    }

    /// @notice Moves past a block.
    /// @param s Before it.
    /// @param n Seats of the set that makes the next block: nodes read the place with that number.
    /// @param round The header's consensus round.
    /// @param mix Randomness after the block (`PREVRANDAO`).
    /// @return t After it.
    function advance(State memory s, uint256 n, uint256 round, bytes32 mix) internal pure returns (State memory t) {
        uint256 place = s.place + round + 1;
        uint256 rounds = place / n;
        t = State(s.mixNow, s.mixNext, s.round + uint64(rounds), uint32(place % n));
        if (rounds != 0) (t.mixNow, t.mixNext) = (rounds == 1 ? s.mixNext : mix, mix);
    }

    /// @dev Beyond both orders the second one repeats.
    function _seat(uint8[] memory now_, uint8[] memory next, uint256 place) private pure returns (uint256) {
        uint256 n = now_.length;
        return place < n ? now_[place] : next[place % n];
    }
}
