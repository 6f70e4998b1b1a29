// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {BlockSplit} from "../lib/BlockSplit.sol";
import {Units} from "../lib/Units.sol";
import {Addresses} from "./Addresses.sol";
import {SystemContract} from "./SystemContract.sol";
import {Witness} from "./Witness.sol";

/// @title Ballots
/// @notice 1 NFC held here for a candidate is one ballot; there are no parts of one. Ballots earn their part of the candidate's blocks
///         as long as they stand, paid on request. Redeemed ballots stop counting and earning at once; their coins come back
///         after the delay.
/// @dev Storage: 0 redeemDelay is set by the genesis. Balance: an NFC a ballot, redeemed ballots not paid back, rewards not claimed,
///      and less than one base unit a pay-out of rounding.
contract Ballots is SystemContract {
    /// @notice All ballots of a candidate.
    struct Pool {
        /// @dev Ballots.
        uint96 votes;
        /// @dev Distinct holders.
        uint64 voters;
        /// @dev Remainder of the last reward shared, Q64.
        uint96 carry;
        /// @dev What one ballot earned since the beginning, Q64.
        uint256 acc;
    }

    /// @notice Ballots of one holder for one candidate.
    struct Position {
        /// @dev How many.
        uint96 ballots;
        /// @dev Earned and not claimed, base units.
        uint128 owed;
        /// @dev `acc` up to which `owed` is reckoned.
        uint256 acc;
    }

    /// @notice Ballots on their way back.
    struct Redemption {
        /// @dev Base units.
        uint96 amount;
        /// @dev Payable from this second on.
        uint64 readyAt;
    }

    /// @notice Seconds from redemption to payment: 604,800 (7 days), above the 6 days of the light client's trust.
    uint256 public redeemDelay;
    mapping(uint256 id => Pool) private _pools;
    mapping(address holder => mapping(uint256 id => Position)) private _positions;
    mapping(address holder => Redemption[]) private _redemptions;
    /// @notice Redemptions of a holder that are paid.
    mapping(address holder => uint256) public redemptionsPaid;

    /// @notice Ballots were given.
    event Voted(address indexed holder, uint256 indexed id, uint256 ballots);
    /// @notice Ballots were redeemed.
    event Redeemed(address indexed holder, uint256 indexed id, uint256 ballots, uint256 readyAt);
    /// @notice Redeemed ballots were paid back.
    event PaidBack(address indexed holder, uint256 amount);
    /// @notice Rewards were paid.
    event Claimed(address indexed holder, uint256 indexed id, uint256 amount);
    /// @notice Not a whole number of NFC, or none.
    error NotWhole(uint256 value);
    /// @notice None, or more than the holder has.
    error BadNumber(uint256 ballots);

    /// @notice Votes for a candidate, on top of what stands: one ballot for each NFC sent.
    /// @param id The candidate.
    function vote(uint256 id) external payable {
        Pool storage pool = _pools[id];
        Position storage p = _reckon(pool, msg.sender, id);
        if (msg.value == 0 || msg.value % Units.NFC != 0) revert NotWhole(msg.value);
        if (p.ballots == 0) pool.voters += 1;
        uint96 more = uint96(msg.value / Units.NFC);
        p.ballots += more;
        pool.votes += more;
        emit Voted(msg.sender, id, more);
        Witness(payable(Addresses.WITNESS)).ballotsChanged(id, pool.votes, pool.voters, true);
    }

    /// @notice Redeems ballots.
    /// @param id The candidate.
    /// @param number How many.
    function redeem(uint256 id, uint256 number) external {
        Pool storage pool = _pools[id];
        Position storage p = _reckon(pool, msg.sender, id);
        if (number == 0 || number > p.ballots) revert BadNumber(number);
        p.ballots -= uint96(number);
        if (p.ballots == 0) pool.voters -= 1;
        pool.votes -= uint96(number);
        uint256 readyAt = block.timestamp + redeemDelay;
        _redemptions[msg.sender].push(Redemption(uint96(number * Units.NFC), uint64(readyAt)));
        emit Redeemed(msg.sender, id, number, readyAt);
        Witness(payable(Addresses.WITNESS)).ballotsChanged(id, pool.votes, pool.voters, false);
    }

    /// @notice Pays redeemed ballots whose delay is over, oldest first.
    /// @param most Redemptions to look at: a holder with very many takes them in parts.
    /// @return amount Base units.
    function withdraw(uint256 most) external returns (uint256 amount) {
        Redemption[] storage all = _redemptions[msg.sender];
        uint256 i = redemptionsPaid[msg.sender];
        for (; most != 0 && i < all.length && all[i].readyAt <= block.timestamp; ++i) {
            amount += all[i].amount;
            most -= 1;
        }
        redemptionsPaid[msg.sender] = i;
        emit PaidBack(msg.sender, amount);
        _pay(msg.sender, amount);
    }

    /// @notice Pays what ballots for a candidate earned.
    /// @param id The candidate.
    /// @return amount Base units.
    function claim(uint256 id) external returns (uint256 amount) {
        Position storage p = _reckon(_pools[id], msg.sender, id);
        amount = p.owed;
        p.owed = 0;
        emit Claimed(msg.sender, id, amount);
        _pay(msg.sender, amount);
    }

    /// @notice Shares the value sent among all ballots of a candidate; called at the end of its blocks.
    /// @param id The candidate; it has ballots.
    function credit(uint256 id) external payable onlyFrom(Addresses.WITNESS) {
        Pool storage pool = _pools[id];
        (uint256 delta, uint256 carry) = BlockSplit.accumulate(msg.value, pool.votes, pool.carry);
        pool.acc += delta;
        // Below `votes`, hence below 2^96.
        pool.carry = uint96(carry);
    }

    /// @notice All ballots of a candidate.
    /// @param id The candidate.
    /// @return votes How many.
    /// @return voters Distinct holders.
    function poolOf(uint256 id) external view returns (uint256 votes, uint256 voters) {
        return (_pools[id].votes, _pools[id].voters);
    }

    /// @notice A holder's ballots for a candidate.
    /// @param holder The holder.
    /// @param id The candidate.
    /// @return ballots How many.
    /// @return claimable What they earned and was not claimed, base units.
    function positionOf(address holder, uint256 id) external view returns (uint256 ballots, uint256 claimable) {
        Position storage p = _positions[holder][id];
        return (p.ballots, p.owed + BlockSplit.payout(p.ballots, _pools[id].acc - p.acc));
    }

    /// @notice Redeemed ballots that are not paid back.
    /// @param holder The holder.
    /// @return list Oldest first.
    function redemptionsOf(address holder) external view returns (Redemption[] memory list) {
        Redemption[] storage all = _redemptions[holder];
        uint256 first = redemptionsPaid[holder];
        list = new Redemption[](all.length - first);
        for (uint256 i = 0; i < list.length; ++i) list[i] = all[first + i];
    }

    /// @dev Writes down what a holder has earned before its ballots change.
    function _reckon(Pool storage pool, address holder, uint256 id) private returns (Position storage p) {
        p = _positions[holder][id];
        uint256 acc = pool.acc;
        // At most what the vault ever paid: fits 128 bits.
        p.owed += uint128(BlockSplit.payout(p.ballots, acc - p.acc));
        p.acc = acc;
    }
}
