// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Base} from "./Vm.sol";
import {BlockSplit} from "../src/lib/BlockSplit.sol";
import {Conversion} from "../src/lib/Conversion.sol";
import {GasSplit} from "../src/lib/GasSplit.sol";
import {Locks} from "../src/lib/Locks.sol";
import {TrafficSplit} from "../src/lib/TrafficSplit.sol";
import {Units} from "../src/lib/Units.sol";

/// @notice Splits, locks, fees and conversion against the Python reference, bit for bit.
contract SplitsTest is Base {
    function test_block_split_vectors() external view {
        string memory j = vectors();
        uint256 n = count(j, "block_split");
        for (uint256 i = 0; i < n; ++i) {
            string memory p = item("block_split", i);
            uint256 reward = num(j, p, "pool") + num(j, p, "node_gross");
            (uint256 pool, uint256 voters, uint256 witness) = BlockSplit.split(reward, num(j, p, "bonus_bps"));
            eq(pool, num(j, p, "pool"), p);
            eq(voters, num(j, p, "voters"), p);
            eq(witness, num(j, p, "witness"), p);
        }
    }

    function test_voter_split_vectors() external view {
        string memory j = vectors();
        (, uint256 voters,) = BlockSplit.split(511_111_065_976_369_158, num(j, ".voter_split", "bonus_bps"));
        (uint256 d, uint256 carry) = BlockSplit.accumulate(voters, num(j, ".voter_split", "total_ballots"), 0);
        eq(d, num(j, ".voter_split", "acc_delta_q64"), "delta");
        eq(carry, num(j, ".voter_split", "carry"), "carry");
        uint256 n = count(j, "voter_split.payouts");
        for (uint256 i = 0; i < n; ++i) {
            string memory p = item("voter_split.payouts", i);
            eq(BlockSplit.payout(num(j, p, "ballots"), d), num(j, p, "payout"), p);
        }
    }

    function test_traffic_split_vectors() external view {
        string memory j = vectors();
        uint256 n = count(j, "en_split");
        for (uint256 i = 0; i < n; ++i) {
            string memory p = item("en_split", i);
            (uint256 en, uint256 rncn, uint256 pool) = TrafficSplit.split(num(j, p, "reward"));
            eq(en, num(j, p, "en"), p);
            eq(rncn, num(j, p, "rn_cn"), p);
            eq(pool, num(j, p, "pool"), p);
        }
    }

    function test_epoch_split_vectors() external view {
        string memory j = vectors();
        uint256 reward = num(j, ".traffic_epoch_split", "reward");
        uint256 n = count(j, "traffic_epoch_split.nodes");
        uint256 total = 0;
        for (uint256 i = 0; i < n; ++i) total += num(j, item("traffic_epoch_split.nodes", i), "bytes");
        uint256 before = 0;
        uint256 given = 0;
        for (uint256 i = 0; i < n; ++i) {
            string memory p = item("traffic_epoch_split.nodes", i);
            uint256 own = num(j, p, "bytes");
            uint256 got = TrafficSplit.share(reward, before, own, total);
            eq(got, num(j, p, "reward"), p);
            before += own;
            given += got;
        }
        eq(given, reward, "nothing lost, nothing added");
    }

    function test_reward_lock_vectors() external view {
        string memory j = vectors();
        uint256 n = count(j, "reward_lock");
        for (uint256 i = 0; i < n; ++i) {
            string memory p = item("reward_lock", i);
            uint256 d = Locks.daysSince(1_000, 1_000 + num(j, p, "elapsed_s"));
            eq(Locks.reward(num(j, p, "amount"), d), num(j, p, "unlocked"), p);
        }
    }

    function test_pledge_unlock_vectors() external view {
        string memory j = vectors();
        uint256 n = count(j, "pledge_unlock");
        for (uint256 i = 0; i < n; ++i) {
            string memory p = item("pledge_unlock", i);
            uint256 d = Locks.daysSince(1_000, 1_000 + num(j, p, "elapsed_s"));
            eq(Locks.pledge(num(j, p, "amount"), d), num(j, p, "unlocked"), p);
        }
    }

    function test_team_vesting_vectors() external view {
        string memory j = vectors();
        uint256 n = count(j, "team_vesting");
        for (uint256 i = 0; i < n; ++i) {
            string memory p = item("team_vesting", i);
            eq(Locks.team(num(j, p, "elapsed_s")), num(j, p, "vested"), p);
        }
    }

    function test_gas_split_vectors() external view {
        string memory j = vectors();
        uint256 n = count(j, "gas_split");
        for (uint256 i = 0; i < n; ++i) {
            string memory p = item("gas_split", i);
            (uint256 pool, uint256 producer) =
                GasSplit.split(num(j, p, "gas_used"), num(j, p, "eff_price"), num(j, p, "min_price"));
            eq(pool, num(j, p, "pool"), p);
            eq(producer, num(j, p, "producer"), p);
            eq(pool + producer, num(j, p, "fee"), p);
        }
    }

    function test_conversion_vectors_straddling_the_cap() external view {
        string memory j = vectors();
        eq(Conversion.BURN_CAP, num(j, ".meta", "burn_cap"), "cap");
        uint256 n = count(j, "convert");
        for (uint256 i = 0; i < n; ++i) {
            string memory p = item("convert", i);
            uint256 burned = num(j, p, "burned_before");
            (Conversion.Verdict v, uint256 burn, uint256 foundation, uint256 nb) =
                Conversion.quote(num(j, p, "balance"), num(j, p, "amount"), burned, num(j, p, "price_e18"));
            bool ok = vm.parseJsonBool(j, string.concat(p, ".result.ok"));
            require((v == Conversion.Verdict.Ok) == ok, p);
            if (!ok) {
                eq(burn + foundation + nb, 0, p);
                continue;
            }
            eq(burn, num(j, p, "result.burn"), p);
            eq(foundation, num(j, p, "result.foundation"), p);
            eq(nb, num(j, p, "result.nb"), p);
            eq(burned + burn, num(j, p, "result.burned_after"), p);
        }
    }

    function test_conversion_refuses_nothing_and_more_than_held() external pure {
        (Conversion.Verdict v,,,) = Conversion.quote(2_000 ether, 0, 0, 1);
        require(v == Conversion.Verdict.BadAmount, "zero");
        (v,,,) = Conversion.quote(2_000 ether, 2_000 ether + 1, 0, 1);
        require(v == Conversion.Verdict.BadAmount, "too much");
    }

    function testFuzz_splits_lose_nothing(uint128 reward, uint16 bps) external pure {
        bps = bps % 10_001;
        (uint256 pool, uint256 voters, uint256 witness) = BlockSplit.split(reward, bps);
        eq(pool + voters + witness, reward, "block");
        (uint256 en, uint256 rncn, uint256 p) = TrafficSplit.split(reward);
        eq(en + rncn + p, reward, "traffic");
        (uint256 a, uint256 b) = GasSplit.split(reward, uint256(bps) + 7, 7);
        eq(a + b, uint256(reward) * (uint256(bps) + 7), "gas");
    }

    function testFuzz_voters_never_get_more_than_was_paid_in(uint96[8] calldata paid, uint64[4] calldata held) external pure {
        uint256 all = 0;
        for (uint256 i = 0; i < 4; ++i) all += held[i];
        if (all == 0) return;
        uint256 acc = 0;
        uint256 carry = 0;
        uint256 sum = 0;
        for (uint256 i = 0; i < 8; ++i) {
            uint256 d;
            (d, carry) = BlockSplit.accumulate(paid[i], all, carry);
            acc += d;
            sum += paid[i];
        }
        uint256 out = 0;
        for (uint256 i = 0; i < 4; ++i) out += BlockSplit.payout(held[i], acc);
        require(out <= sum && sum - out <= 4, "more than one unit lost per voter");
    }

    function testFuzz_locks_only_ever_open(uint128 amount, uint32 a, uint32 b) external pure {
        (uint256 x, uint256 y) = a < b ? (a, b) : (b, a);
        require(Locks.reward(amount, x) <= Locks.reward(amount, y) && Locks.reward(amount, y) <= amount, "reward");
        require(Locks.pledge(amount, x) <= Locks.pledge(amount, y) && Locks.pledge(amount, y) <= amount, "pledge");
        require(Locks.team(x) <= Locks.team(y) && Locks.team(y) <= Units.TEAM, "team");
    }

    function testFuzz_conversion_loses_nothing(uint96 balance, uint96 amount, uint96 burned, uint128 price) external pure {
        uint256 done = uint256(burned) % (Conversion.BURN_CAP + 1);
        (Conversion.Verdict v, uint256 burn, uint256 foundation,) = Conversion.quote(balance, amount, done, price);
        if (v != Conversion.Verdict.Ok) return;
        eq(burn + foundation, amount, "sum");
        require(done + burn <= Conversion.BURN_CAP, "cap");
        require(foundation == 0 || done + burn == Conversion.BURN_CAP, "foundation too early");
    }
}
