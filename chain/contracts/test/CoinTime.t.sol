// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Base} from "./Vm.sol";
import {CoinTime} from "../src/lib/CoinTime.sol";
import {Units} from "../src/lib/Units.sol";

/// @notice Lots, coin-time and bonus against the three scenarios of the Python reference, step by step, bit for bit.
contract CoinTimeTest is Base {
    using CoinTime for CoinTime.Totals;

    CoinTime.Totals internal totals;
    mapping(bytes32 => CoinTime.Account) internal accounts;
    uint256 internal pool;
    uint256 internal snapDay;
    uint256 internal snapPool;
    uint256 internal snapTotal;

    /// @dev How a scenario prices: every withdrawal anew, or by the day's snapshot, and with which cap.
    function run(string memory name, bool daily, uint256 capBps) internal {
        string memory j = vectors();
        pool = num(j, string.concat(".", name), "initial_pool");
        string memory list = string.concat(name, ".steps");
        uint256 n = count(j, list);
        for (uint256 i = 0; i < n; ++i) {
            string memory p = item(list, i);
            CoinTime.Account storage a = accounts[keccak256(bytes(vm.parseJsonString(j, string.concat(p, ".who"))))];
            uint256 day = num(j, p, "day");
            if (vm.keyExistsJson(j, string.concat(p, ".amt"))) totals.lock(a, num(j, p, "amt"), day);
            else withdraw(j, p, a, day, daily, capBps);
            eq(totals.left, num(j, p, "S"), p);
            eq(totals.leftDays, num(j, p, "M"), p);
        }
    }

    function withdraw(string memory j, string memory p, CoinTime.Account storage a, uint256 day, bool daily, uint256 capBps)
        internal
    {
        uint256 want = num(j, p, "want");
        if (!daily || snapDay != day) (snapDay, snapPool, snapTotal) = (day, pool, totals.network(day));
        require(want <= CoinTime.available(a, day), "available");
        uint256 ct = totals.take(a, want, day);
        eq(ct, num(j, p, "result.coin_time"), p);
        if (daily) {
            eq(snapPool, num(j, p, "result.pool_snapshot"), p);
            eq(snapTotal, num(j, p, "result.T_snapshot"), p);
        } else {
            eq(snapTotal, num(j, p, "result.network_coin_time"), p);
        }
        uint256 b = CoinTime.bonus(snapPool, ct, snapTotal, want, capBps);
        eq(b, num(j, p, "result.bonus"), p);
        pool -= b;
        eq(pool, num(j, p, "result.pool_after"), p);
    }

    function test_coin_time_vectors() external {
        run("coin_time_scenario", false, type(uint64).max);
        eq(totals.left, 0, "all withdrawn");
    }

    function test_day_snapshot_vectors() external {
        run("coin_time_day_snapshot_scenario", true, type(uint64).max);
    }

    function test_day_snapshot_with_cap_vectors() external {
        run("coin_time_day_snapshot_cap5_scenario", true, CoinTime.CAP_BPS);
    }

    function takeFrom(bytes32 who, uint256 want, uint256 day) external returns (uint256) {
        return totals.take(accounts[who], want, day);
    }

    function test_one_unit_more_than_unlocked_is_refused() external {
        totals.lock(accounts["a"], 1_800, 5);
        eq(CoinTime.available(accounts["a"], 35), 0, "30 days");
        eq(CoinTime.available(accounts["a"], 36), 10, "first day");
        vm.expectRevert();
        this.takeFrom("a", 11, 36);
        eq(this.takeFrom("a", 10, 36), 310, "coin-time");
        eq(CoinTime.available(accounts["a"], 36), 0, "nothing twice");
    }

    function test_a_lot_emptied_on_its_own_day_takes_more() external {
        totals.lock(accounts["a"], 0, 5);
        totals.take(accounts["a"], 0, 5);
        totals.lock(accounts["a"], 1_800, 5);
        eq(CoinTime.available(accounts["a"], 215), 1_800, "not skipped");
    }

    function lockFor(bytes32 who, uint256 amount, uint256 day) external {
        totals.lock(accounts[who], amount, day);
    }

    function test_a_lock_in_the_past_is_refused() external {
        totals.lock(accounts["a"], 1, 5);
        vm.expectRevert();
        this.lockFor("a", 1, 4);
    }

    /// @dev T by its definition, over all lots.
    function slowTotal(bytes32[3] memory who, uint256 day) internal view returns (uint256 t) {
        for (uint256 i = 0; i < 3; ++i) {
            CoinTime.Lot[] storage lots = accounts[who[i]].lots;
            for (uint256 k = 0; k < lots.length; ++k) t += uint256(lots[k].amount - lots[k].taken) * (day - lots[k].day);
        }
    }

    /// @notice Random locks and withdrawals of three holders: T without a loop is T with one; nobody gets more than was locked.
    function testFuzz_network_coin_time_is_that_of_the_lots(uint256 seed) external {
        bytes32[3] memory who = [bytes32("a"), "b", "c"];
        uint256 day = 20_000;
        uint256 locked = 0;
        uint256 taken = 0;
        for (uint256 i = 0; i < 40; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            day += seed % 12;
            CoinTime.Account storage a = accounts[who[(seed >> 8) % 3]];
            if ((seed >> 16) % 3 == 0) {
                uint256 amount = (seed >> 24) % (1_000 * Units.NFC);
                totals.lock(a, amount, day);
                locked += amount;
            } else {
                uint256 want = CoinTime.available(a, day) * ((seed >> 24) % 101) / 100;
                totals.take(a, want, day);
                taken += want;
            }
            eq(totals.network(day), slowTotal(who, day), "T");
            eq(totals.left, locked - taken, "S");
        }
        for (uint256 i = 0; i < 3; ++i) {
            uint256 rest = CoinTime.available(accounts[who[i]], day + 210);
            totals.take(accounts[who[i]], rest, day + 210);
            taken += rest;
        }
        eq(taken, locked, "everything comes out");
        eq(totals.leftDays, 0, "M");
    }

    /// @notice Attack: a withdrawal split in 1,000 pieces on one day gets no more than in one piece.
    function test_a_thousand_pieces_gain_nothing() external {
        uint256 all = 1_800_000 * Units.NFC;
        totals.lock(accounts["a"], all, 0);
        totals.lock(accounts["b"], 9 * all, 0);
        uint256 day = 120;
        uint256 want = 900_000 * Units.NFC;
        uint256 prize = 5_000 * Units.NFC;
        uint256 total = totals.network(day);
        uint256 whole = CoinTime.bonus(prize, want * day, total, want, CoinTime.CAP_BPS);
        uint256 sum = 0;
        for (uint256 i = 0; i < 1_000; ++i) {
            uint256 ct = totals.take(accounts["a"], want / 1_000, day);
            sum += CoinTime.bonus(prize, ct, total, want / 1_000, CoinTime.CAP_BPS);
        }
        require(sum <= whole && whole - sum < 1_000, "pieces gain");
        eq(whole, 125 * Units.NFC, "5 % of all coin-time takes half of 5 % of the pool");
    }
}
