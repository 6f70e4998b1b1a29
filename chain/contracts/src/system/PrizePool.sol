// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {CoinTime} from "../lib/CoinTime.sol";
import {Addresses} from "./Addresses.sol";
import {SystemContract} from "./SystemContract.sol";

/// @title Prize pool
/// @notice Collects 10 % of block rewards, 4 % of traffic rewards and half of the gas fees above the minimum price, and pays the
///         coin-time bonus of withdrawals. The pool is the balance: the executor credits gas fees without a call.
/// @dev Storage (all zero at genesis): 0 day, 1 dayPool, 2 dayTotal, 3 dayPaid. The bonus goes to the settlement contract,
///      which hands it on with the principal, so nothing outside the system runs while this contract is entered.
contract PrizePool is SystemContract {
    /// @notice Day number the snapshot is of (unix seconds // 86,400).
    uint256 public day;
    /// @notice Pool at that day's first withdrawal, base units.
    uint256 public dayPool;
    /// @notice Network's coin-time T at that day's first withdrawal, base unit days.
    uint256 public dayTotal;
    /// @notice Bonus paid on that day, base units.
    uint256 public dayPaid;

    /// @notice Coins came in by a call.
    event Received(address indexed from, uint256 amount);
    /// @notice A bonus was paid.
    event Bonus(uint256 indexed day, uint256 principal, uint256 coinTime, uint256 amount);
    /// @notice A day before that of the snapshot.
    error PastDay(uint256 day);
    /// @notice More than half of the day's pool would leave: the settlement's coin-time is wrong.
    error HalfPool(uint256 paid, uint256 dayPool);

    /// @notice Takes coins from anybody: a gift only makes the pool larger.
    receive() external payable {
        emit Received(msg.sender, msg.value);
    }

    /// @notice Prices and pays the bonus of one withdrawal.
    /// @param today Day number of the withdrawal.
    /// @param principal Base units withdrawn.
    /// @param coinTime Their coin-time, base unit days.
    /// @param total The network's coin-time T before this withdrawal; used when it is the day's first.
    /// @return amount Bonus sent to the caller, base units.
    function payBonus(uint256 today, uint256 principal, uint256 coinTime, uint256 total)
        external
        onlyFrom(Addresses.TRAFFIC_SETTLEMENT)
        returns (uint256 amount)
    {
        if (today < day) revert PastDay(today);
        // Day 0 is 1970-01-01: no chain has withdrawals then, so a zero snapshot is never taken for today's.
        if (today > day) (day, dayPool, dayTotal, dayPaid) = (today, address(this).balance, total, 0);
        amount = CoinTime.bonus(dayPool, coinTime, dayTotal, principal, CoinTime.CAP_BPS);
        dayPaid += amount;
        if (dayPaid > dayPool / 2) revert HalfPool(dayPaid, dayPool);
        emit Bonus(today, principal, coinTime, amount);
        _pay(msg.sender, amount);
    }
}
