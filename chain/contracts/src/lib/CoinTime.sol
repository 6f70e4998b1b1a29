// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Locks} from "./Locks.sol";
import {Units} from "./Units.sol";

/// @title Locked rewards, their coin-time and the bonus for leaving them locked
/// @notice A holder's rewards are lots, one per day. Coin-time of what is taken out is amount * days since it was locked,
///         oldest lot first. The network's coin-time on a day is T = S*day - M with S = sum(left) and M = sum(left*start),
///         so it needs no loop. Bonus = pool * ct // (2*T), capped at 5 % of the principal taken.
/// @dev The day is priced against (pool, T) as they stood at the day's first withdrawal, kept by the prize pool: splitting or
///      ordering withdrawals inside a day gains nothing and at most half of the pool leaves a day.
library CoinTime {
    /// @notice Cap of the bonus, basis points of the principal.
    uint256 internal constant CAP_BPS = 500;

    /// @notice Rewards locked on one day. One slot for day and amount, one for what was taken.
    struct Lot {
        /// @dev Day number (unix seconds // 86,400) it was locked.
        uint64 day;
        /// @dev Base units locked.
        uint128 amount;
        /// @dev Base units taken out.
        uint128 taken;
    }

    /// @notice One holder.
    struct Account {
        /// @dev Lots before this one are empty.
        uint256 head;
        /// @dev Ascending days.
        Lot[] lots;
    }

    /// @notice All holders together.
    struct Totals {
        /// @dev S: sum of what is left in all lots.
        uint256 left;
        /// @dev M: sum of what is left times the day it was locked.
        uint256 leftDays;
    }

    /// @notice T = S*day - M.
    /// @param t The totals.
    /// @param day Today.
    /// @return Base unit days.
    function network(Totals storage t, uint256 day) internal view returns (uint256) {
        return t.left * day - t.leftDays;
    }

    /// @notice Locks rewards. Those of one day share a lot.
    /// @param t The totals.
    /// @param a The holder.
    /// @param amount Base units, below 2^128.
    /// @param day Today; never before the holder's last lot.
    function lock(Totals storage t, Account storage a, uint256 amount, uint256 day) internal {
        require(amount <= type(uint128).max && day <= type(uint64).max, "coin-time: range");
        uint256 n = a.lots.length;
        uint256 last = n == 0 ? 0 : a.lots[n - 1].day;
        require(day >= last, "coin-time: past day");
        if (n != 0 && last == day) {
            a.lots[n - 1].amount += uint128(amount);
            if (a.head == n) a.head = n - 1;
        } else {
            a.lots.push(Lot(uint64(day), uint128(amount), 0));
        }
        t.left += amount;
        t.leftDays += amount * day;
    }

    /// @notice What a holder can take out today.
    /// @param a The holder.
    /// @param day Today.
    /// @return sum Base units.
    function available(Account storage a, uint256 day) internal view returns (uint256 sum) {
        for (uint256 i = a.head; i < a.lots.length; ++i) sum += _free(a.lots[i], day);
    }

    /// @notice Takes unlocked rewards out, oldest lot first.
    /// @dev Touches no more lots than it needs: a holder with many lots takes less at a time.
    /// @param t The totals.
    /// @param a The holder.
    /// @param want Base units; reverts when less is unlocked.
    /// @param day Today.
    /// @return ct Coin-time of what was taken, base unit days.
    function take(Totals storage t, Account storage a, uint256 want, uint256 day) internal returns (uint256 ct) {
        uint256 rem = want;
        uint256 n = a.lots.length;
        uint256 startDays = 0;
        for (uint256 i = a.head; i < n && rem != 0; ++i) {
            Lot storage lot = a.lots[i];
            uint256 got = _free(lot, day);
            if (got > rem) got = rem;
            if (got == 0) continue;
            lot.taken += uint128(got);
            ct += got * (day - lot.day);
            startDays += got * lot.day;
            rem -= got;
        }
        require(rem == 0, "coin-time: not unlocked");
        uint256 head = a.head;
        while (head < n && a.lots[head].taken == a.lots[head].amount) head += 1;
        a.head = head;
        t.left -= want;
        t.leftDays -= startDays;
    }

    /// @notice Bonus = min(pool * ct // (2*T), principal * capBps // 10000); 0 when T is 0.
    /// @param pool Prize pool at the day's first withdrawal, base units.
    /// @param ct Coin-time taken, base unit days.
    /// @param total T at the day's first withdrawal.
    /// @param principal Base units taken.
    /// @param capBps Cap in basis points; `CAP_BPS` on the chain.
    /// @return b Base units.
    function bonus(uint256 pool, uint256 ct, uint256 total, uint256 principal, uint256 capBps) internal pure returns (uint256 b) {
        if (total == 0) return 0;
        b = pool * ct / (2 * total);
        uint256 cap = principal * capBps / Units.BPS;
        if (b > cap) b = cap;
    }

    /// @dev Unlocked and not taken yet.
    function _free(Lot storage lot, uint256 day) private view returns (uint256) {
        uint256 start = lot.day;
        return Locks.reward(lot.amount, day > start ? day - start : 0) - lot.taken;
    }
}
