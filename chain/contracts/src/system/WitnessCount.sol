// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Ranking} from "../lib/Ranking.sol";
import {Trust} from "../lib/Trust.sol";
import {Turns} from "../lib/Turns.sol";
import {WitnessStore} from "./WitnessStore.sol";

/// @title Count of votes, succession, and the change of the set
/// @notice Who is to sit is settled at once; it takes its seat with the first shuffle round whose order is not fixed yet, so nobody who
///         knows an order chooses who stands in it.
abstract contract WitnessCount is WitnessStore {
    using Ranking for Ranking.Heap;

    /// @notice Most seats: the bitmap of signers and the engine have no more.
    uint256 public constant MAX_SEATS = 21;
    /// @notice Successors kept by a count: as many as there are seats.
    uint256 public constant LINE = 21;
    /// @notice Seats without a successor are closed down to this many: the smallest set that bears one liar.
    uint256 public constant MIN_SEATS = 4;
    /// @dev Where nodes read the set.
    bytes32 private constant SET = keccak256("NFC/WITNESS-SET/v1");
    uint256 private constant SLOTS_A_SEAT = 4;

    /// @notice Votes were counted.
    event Counted(uint256 indexed epoch, uint32[] elected, uint32[] line);
    /// @notice A count found too few candidates to change anything.
    event CountVoid(uint256 indexed epoch, uint256 eligible);
    /// @notice The witness set was changed; it votes from the next block on.
    event SetChanged(uint256 indexed shuffleRound, uint32[] seats);
    /// @notice A seat goes to the next in line; 0: it is closed, or kept when there are only `MIN_SEATS`.
    event Succession(uint256 indexed leaving, uint256 indexed successor);

    /// @notice The best candidates by the rule of the count, as it would be now.
    /// @param most How many; the count looks at 42.
    /// @return ids Their numbers, best first.
    function ranking(uint256 most) external view returns (uint32[] memory ids) {
        return _ids(_ranked(_load(), most), 0, most);
    }

    /// @dev In the first block: the witnesses of the genesis become candidates 1, 2, ..., with neither pledge nor votes.
    function _start() internal {
        uint256 count = uint256(_word(0));
        uint32[] memory ids = new uint32[](count);
        uint64[] memory trust = new uint64[](count);
        for (uint256 seat = 0; seat < count; ++seat) {
            uint256 pos = 1 + seat * SLOTS_A_SEAT;
            uint32 id = _enrol(address(uint160(uint256(_word(pos)))), _word(pos + 1), _word(pos + 2), bytes16(_word(pos + 3)));
            ids[seat] = id;
            trust[seat] = uint64(Trust.START);
        }
        (_seats, _target, _trust) = (ids, ids, trust);
    }

    /// @dev A new candidate; the caller has checked that neither the account nor a key is known.
    function _enrol(address account, bytes32 voteKey, bytes32 head, bytes16 tail) internal returns (uint32 id) {
        id = candidateCount + 1;
        candidateCount = id;
        Candidate storage c = _candidates[id];
        (c.account, c.status, c.voteKey, c.revealHead, c.revealTail) = (account, Status.Candidate, voteKey, head, tail);
        idOf[account] = id;
        keyUsed[voteKey] = true;
        keyUsed[keccak256(abi.encodePacked(head, tail))] = true;
        _rank(id);
    }

    /// @dev Puts a candidate where its votes belong.
    function _rank(uint256 id) internal {
        Candidate storage c = _candidates[id];
        _heap.put(Ranking.key(c.votes, uint64(Trust.START), c.voters, uint32(id)));
    }

    /// @dev Past a block; the set that is due takes its seats when the block ends a shuffle round.
    function _advance(World memory w, uint256 round) internal {
        Turns.State memory before = w.turn;
        bytes32 mix = bytes32(block.prevrandao);
        w.turn = Turns.advance(before, w.seats.length, round, mix);
        if (changeRound == 0 || w.turn.round < changeRound) return;
        uint256 old = w.seats.length;
        _seat(w);
        // Nodes read the place after the block with the number of seats of the new set.
        if (w.seats.length != old) w.turn = Turns.advance(before, w.seats.length, round, mix);
        emit SetChanged(w.turn.round, w.seats);
    }

    /// @dev `target` becomes the set. Who keeps a seat, though another one, keeps its trust; who comes in begins anew.
    function _seat(World memory w) private {
        uint32[] memory target = w.target;
        uint64[] memory trust = new uint64[](target.length);
        for (uint256 i = 0; i < target.length; ++i) {
            uint256 was = _find(w.seats, target[i]);
            trust[i] = was < w.seats.length ? w.trust[was] : uint64(Trust.START);
            // `was` is the old length for who comes in: that is no place.
            if (was != i || i >= w.seats.length) _write(i, _candidates[target[i]]);
        }
        _setWord(0, bytes32(target.length));
        _before = w.seats;
        _seats = target;
        (w.seats, w.trust) = (target, trust);
        (changedAt, changeRound) = (uint64(block.number), 0);
    }

    /// @dev All candidates by the rule, those seated with their true trust; at most `most` beside them.
    function _ranked(World memory w, uint256 most) internal view returns (uint256[] memory keys) {
        uint256 n = w.seats.length;
        uint256[] memory seated = new uint256[](n);
        for (uint256 i = 0; i < n; ++i) seated[i] = w.seats[i];
        keys = _heap.best(most, seated);
        for (uint256 i = 0; i < n; ++i) {
            Candidate storage c = _candidates[seated[i]];
            if (c.status != Status.Candidate) continue;
            keys = Ranking.insert(keys, Ranking.key(c.votes, w.trust[i], c.voters, uint32(seated[i])));
        }
    }

    /// @dev The weekly count.
    function _count(World memory w) internal {
        uint256 limit = seatLimit == 0 || seatLimit > MAX_SEATS ? MAX_SEATS : seatLimit;
        uint256[] memory keys = _ranked(w, limit + LINE);
        uint32[] memory elected = _ids(keys, 0, limit);
        epoch += 1;
        _line = _ids(keys, limit, limit + LINE);
        _lineNext = 0;
        w.lined = true;
        uint256 least = w.seats.length < MIN_SEATS ? w.seats.length : MIN_SEATS;
        if (elected.length < least) {
            emit CountVoid(epoch, elected.length);
            return;
        }
        w.target = _arrange(w.seats, elected);
        w.changed = true;
        emit Counted(epoch, elected, _line);
    }

    /// @dev Whoever sits and is elected keeps its seat where there is one; the others take what is free, best first.
    function _arrange(uint32[] memory seated, uint32[] memory elected) private pure returns (uint32[] memory target) {
        uint256 n = elected.length;
        target = new uint32[](n);
        for (uint256 i = 0; i < n && i < seated.length; ++i) {
            if (_find(elected, seated[i]) < n) target[i] = seated[i];
        }
        uint256 free = 0;
        for (uint256 i = 0; i < n; ++i) {
            if (_find(target, elected[i]) < n) continue;
            while (target[free] != 0) ++free;
            target[free] = elected[i];
        }
    }

    /// @dev A candidate leaves for good or until it comes back: its seat goes to the next in line.
    function _vacate(World memory w, uint256 id) internal {
        _heap.remove(id);
        uint256 seat = _find(w.target, id);
        if (seat == w.target.length) return;
        uint32 successor = _successor(w);
        emit Succession(id, successor);
        if (successor != 0) {
            w.target[seat] = successor;
        } else if (w.target.length > MIN_SEATS) {
            uint32[] memory fewer = new uint32[](w.target.length - 1);
            for (uint256 i = 0; i < fewer.length; ++i) fewer[i] = w.target[i];
            if (seat < fewer.length) fewer[seat] = w.target[fewer.length];
            w.target = fewer;
        }
        w.changed = true;
    }

    /// @dev The next in line; when the line is at its end it is made anew from the votes as they are. 0: there is nobody.
    function _successor(World memory w) private returns (uint32) {
        while (true) {
            uint32[] memory all = _line;
            for (uint256 i = _lineNext; i < all.length; ++i) {
                uint32 id = all[i];
                if (_candidates[id].status != Status.Candidate || _find(w.target, id) < w.target.length) continue;
                _lineNext = uint32(i + 1);
                return id;
            }
            _lineNext = uint32(all.length);
            // Once a block: with the line just made, whoever is not in it is not there.
            if (w.lined) return 0;
            w.lined = true;
            uint256[] memory sitting = new uint256[](w.target.length);
            for (uint256 i = 0; i < sitting.length; ++i) sitting[i] = w.target[i];
            _line = _ids(_heap.best(LINE, sitting), 0, LINE);
            _lineNext = 0;
        }
        return 0;
    }

    /// @dev Writes back what `_load` read.
    function _save(World memory w) internal {
        _trust = w.trust;
        _turn = w.turn;
        if (!w.changed) return;
        _target = w.target;
        // The orders of this round and the next are fixed.
        changeRound = w.turn.round + 2;
    }

    /// @dev Numbers of the keys from place `from` to before `to`.
    function _ids(uint256[] memory keys, uint256 from, uint256 to) private pure returns (uint32[] memory ids) {
        if (to > keys.length) to = keys.length;
        if (from > to) from = to;
        ids = new uint32[](to - from);
        for (uint256 i = 0; i < ids.length; ++i) ids[i] = uint32(Ranking.idOf(keys[from + i]));
    }

    function _write(uint256 seat, Candidate storage c) private {
        uint256 pos = 1 + seat * SLOTS_A_SEAT;
        _setWord(pos, bytes32(uint256(uint160(c.account))));
        _setWord(pos + 1, c.voteKey);
        _setWord(pos + 2, c.revealHead);
        _setWord(pos + 3, bytes32(c.revealTail));
    }

    /// @dev A word of the witness set.
    function _word(uint256 offset) internal view returns (bytes32 value) {
        uint256 slot = uint256(SET) + offset;
        assembly ("memory-safe") {
            value := sload(slot)
        }
    }

    function _setWord(uint256 offset, bytes32 value) private {
        uint256 slot = uint256(SET) + offset;
        assembly ("memory-safe") {
            sstore(slot, value)
        }
    }
}
