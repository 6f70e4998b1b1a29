// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Ranking} from "../lib/Ranking.sol";
import {Trust} from "../lib/Trust.sol";
import {Turns} from "../lib/Turns.sol";
import {SystemContract} from "./SystemContract.sol";

/// @title What the witness registry keeps, and how it is read
/// @dev Storage: 0-4 and the randomness of both orders (5, 6) are set by the genesis; all else begins at zero. The witness set itself stands
///      from slot keccak("NFC/WITNESS-SET/v1") on, where nodes read it (docs/spec/chain.md).
abstract contract WitnessStore is SystemContract {
    /// @notice What a registered account is.
    enum Status {
        None,
        Candidate,
        Removed,
        Resigned,
        Tombstoned
    }

    /// @notice A registered account.
    struct Candidate {
        /// @dev Who registered; creates blocks, earns, decides.
        address account;
        /// @dev What it is now.
        Status status;
        /// @dev Bonus ratio of the epochs up to `bonusSet`, basis points.
        uint16 bonusNow;
        /// @dev Bonus ratio of the epochs after `bonusSet`.
        uint16 bonusNext;
        /// @dev Epoch in which `bonusNext` was set.
        uint32 bonusSet;
        /// @dev Ballots, 1 NFC each.
        uint96 votes;
        /// @dev Distinct holders who vote for it.
        uint64 voters;
        /// @dev Trust when it was removed.
        uint64 lastTrust;
        /// @dev Epoch in which it was removed.
        uint32 removedIn;
        /// @dev Base units pledged.
        uint96 pledge;
        /// @dev Of them, paid back.
        uint96 pledgePaid;
        /// @dev When it resigned, unix seconds.
        uint64 resignedAt;
        /// @dev Rewards to be fetched, base units.
        uint128 earned;
        /// @dev Bytes 32..48 of the reveal key.
        bytes16 revealTail;
        /// @dev Bytes 0..32 of the reveal key.
        bytes32 revealHead;
        /// @dev ed25519 key of its votes.
        bytes32 voteKey;
    }

    /// @notice The witnesses in memory while a call works on them.
    struct World {
        /// @dev Candidate of each seat.
        uint32[] seats;
        /// @dev Trust of each seat.
        uint64[] trust;
        /// @dev Who shall sit: the seats after the next change.
        uint32[] target;
        /// @dev Whose turn it is.
        Turns.State turn;
        /// @dev `target` was changed.
        bool changed;
        /// @dev The line was made anew by this call.
        bool lined;
    }

    /// @notice Least pledge of a candidate, base units.
    uint256 public minPledge;
    /// @notice Blocks of an epoch: votes are counted in the last one. 201,600 is 7 days.
    uint256 public epochBlocks;
    /// @notice Most trust; 0: no limit, as in the white paper.
    uint256 public trustMax;
    /// @notice Seats, 1..21; anything else means 21.
    uint256 public seatLimit;
    /// @notice Seconds of a day of the release of pledges, less than 86,400 on test chains; 0 means 86,400.
    uint256 public daySeconds;

    Turns.State internal _turn;
    /// @notice Shuffle round with which `target` becomes the set; 0: no change is due.
    uint64 public changeRound;
    /// @notice Block whose end changed the set last.
    uint64 public changedAt;
    /// @notice Counts so far.
    uint32 public epoch;
    /// @notice Registered accounts; they are numbered from 1.
    uint32 public candidateCount;
    /// @dev Place in `_line` of the next in line.
    uint32 internal _lineNext;
    uint32[] internal _seats;
    uint64[] internal _trust;
    uint32[] internal _target;
    uint32[] internal _before;
    uint32[] internal _line;
    mapping(uint256 id => Candidate) internal _candidates;
    /// @notice Number of an account; 0: not registered.
    mapping(address account => uint256) public idOf;
    /// @notice Keys that were registered once; nobody can use them again.
    mapping(bytes32 key => bool) public keyUsed;
    Ranking.Heap internal _heap;

    /// @notice Everything known of a candidate.
    /// @param id Its number.
    /// @return The record.
    function candidate(uint256 id) external view returns (Candidate memory) {
        return _candidates[id];
    }

    /// @notice Candidates who hold the seats, seat 0 first.
    /// @return Their numbers.
    function seats() external view returns (uint32[] memory) {
        return _seats;
    }

    /// @notice Candidates who hold the seats from shuffle round `changeRound` on.
    /// @return Their numbers.
    function nextSeats() external view returns (uint32[] memory) {
        return _target;
    }

    /// @notice The list of the last count behind the elected: who takes a seat that becomes free.
    /// @return Numbers, the next one first; those no longer fit are passed over when their turn comes.
    function line() external view returns (uint32[] memory) {
        uint32[] memory all = _line;
        uint32[] memory rest = new uint32[](all.length - _lineNext);
        for (uint256 i = 0; i < rest.length; ++i) rest[i] = all[_lineNext + i];
        return rest;
    }

    /// @notice Where the next block stands in the order of creators.
    /// @return round Shuffle round.
    /// @return place Place in its order.
    function turn() external view returns (uint64 round, uint32 place) {
        return (_turn.round, _turn.place);
    }

    /// @notice Trust of a candidate.
    /// @param id Its number.
    /// @return Points; without a seat: those of a new witness, those it was removed with, or 0 for a proven liar.
    function trustOf(uint256 id) external view returns (uint256) {
        uint256 seat = _find(_seats, id);
        if (seat < _seats.length) return _trust[seat];
        Candidate storage c = _candidates[id];
        return c.status == Status.Candidate ? Trust.START : c.lastTrust;
    }

    /// @notice Bonus ratio that a candidate's blocks pay now.
    /// @param id Its number.
    /// @return Basis points of the 90 %.
    function bonusOf(uint256 id) public view returns (uint256) {
        Candidate storage c = _candidates[id];
        return epoch > c.bonusSet ? c.bonusNext : c.bonusNow;
    }

    /// @dev The witnesses as they stand.
    function _load() internal view returns (World memory w) {
        w.seats = _seats;
        w.trust = _trust;
        w.target = _target;
        w.turn = _turn;
    }

    /// @dev Place of a number in a list; its length when it is not there.
    function _find(uint32[] memory list, uint256 id) internal pure returns (uint256 i) {
        while (i < list.length && list[i] != id) ++i;
    }
}
