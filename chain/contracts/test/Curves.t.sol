// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Base} from "./Vm.sol";
import {BlockCurve} from "../src/lib/BlockCurve.sol";
import {Decay} from "../src/lib/Decay.sol";
import {TrafficCurve} from "../src/lib/TrafficCurve.sol";
import {Units} from "../src/lib/Units.sol";

/// @notice Both reward curves against the Python reference, bit for bit.
contract CurvesTest is Base {
    function blockCurveAt(uint256 year) internal pure returns (BlockCurve.State memory s) {
        s = BlockCurve.start();
        while (s.year < year) s = BlockCurve.advance(s);
    }

    function blockTotal(uint256 h) internal pure returns (uint256) {
        return BlockCurve.cumulative(blockCurveAt(h == 0 ? 0 : BlockCurve.yearOf(h)), h);
    }

    function trafficAt(uint256 b) internal pure returns (TrafficCurve.State memory) {
        return TrafficCurve.advance(TrafficCurve.start(), b);
    }

    function test_constants_are_those_of_the_reference() external view {
        string memory j = vectors();
        eq(BlockCurve.RHO, num(j, ".meta", "rho_block"), "rho_block");
        eq(TrafficCurve.RHO, num(j, ".meta", "rho_traffic"), "rho_traffic");
        eq(BlockCurve.BLOCKS_PER_YEAR, num(j, ".meta", "blocks_per_year"), "blocks_per_year");
        eq(Units.SUPPLY, num(j, ".meta", "supply"), "supply");
        eq(Units.FOUNDATION, num(j, ".meta", "p_foundation"), "foundation");
        eq(Units.TEAM, num(j, ".meta", "p_team"), "team");
        eq(Units.BLOCK, num(j, ".meta", "p_block"), "block");
        eq(Units.TRAFFIC, num(j, ".meta", "p_traffic"), "traffic");
        eq(Units.FOUNDATION + Units.TEAM + Units.BLOCK + Units.TRAFFIC, Units.SUPPLY, "sum");
    }

    function test_block_curve_vectors() external view {
        string memory j = vectors();
        uint256 n = count(j, "block_curve");
        for (uint256 i = 0; i < n; ++i) {
            string memory p = item("block_curve", i);
            uint256 y = num(j, p, "year");
            uint256 e = Decay.power(BlockCurve.RHO, y);
            eq(e, num(j, p, "E"), p);
            uint256 t = Decay.issued(Units.BLOCK, e);
            eq(t, num(j, p, "T_integer"), p);
            uint256 prev = y == 0 ? 0 : Decay.issued(Units.BLOCK, Decay.power(BlockCurve.RHO, y - 1));
            eq(t - prev, num(j, p, "issued_in_year"), p);
            eq((t - prev) / BlockCurve.BLOCKS_PER_YEAR, num(j, p, "per_block_min"), p);
        }
    }

    function test_traffic_curve_vectors() external view {
        string memory j = vectors();
        uint256 n = count(j, "traffic_curve");
        for (uint256 i = 0; i < n; ++i) {
            string memory p = item("traffic_curve", i);
            uint256 eb = num(j, p, "eb");
            uint256 e = Decay.power(TrafficCurve.RHO, eb);
            eq(e, num(j, p, "E"), p);
            uint256 t = Decay.issued(Units.TRAFFIC, e);
            eq(t, num(j, p, "T_integer"), p);
            uint256 prev = eb == 0 ? 0 : Decay.issued(Units.TRAFFIC, Decay.power(TrafficCurve.RHO, eb - 1));
            eq(t - prev, num(j, p, "issued_in_eb"), p);
            eq((t - prev) / 1e18, num(j, p, "per_byte_floor"), p);
        }
    }

    function test_block_reward_vectors() external view {
        string memory j = vectors();
        uint256 n = count(j, "block_reward");
        for (uint256 i = 0; i < n; ++i) {
            string memory p = item("block_reward", i);
            uint256 h = num(j, p, "height");
            eq(BlockCurve.reward(blockCurveAt(BlockCurve.yearOf(h)), h), num(j, p, "reward"), p);
            eq(blockTotal(h), num(j, p, "cumulative"), p);
        }
    }

    function test_traffic_reward_vectors() external view {
        string memory j = vectors();
        uint256 n = count(j, "traffic_reward");
        for (uint256 i = 0; i < n; ++i) {
            string memory p = item("traffic_reward", i);
            TrafficCurve.State memory s = trafficAt(num(j, p, "bytes_before"));
            TrafficCurve.State memory t = TrafficCurve.advance(s, num(j, p, "delta"));
            eq(TrafficCurve.cumulative(t) - TrafficCurve.cumulative(s), num(j, p, "reward"), p);
            eq(TrafficCurve.cumulative(t), num(j, p, "cumulative_after"), p);
        }
    }

    function test_every_year_to_1200_and_every_eb_to_6000() external view {
        string memory j = vm.readFile("vectors/curve_digests.json");
        require(
            digest(Units.BLOCK, BlockCurve.RHO, num(j, ".block_T", "last")) == hex32(j, ".block_T", "keccak"), "block curve"
        );
        require(
            digest(Units.TRAFFIC, TrafficCurve.RHO, num(j, ".traffic_T", "last")) == hex32(j, ".traffic_T", "keccak"),
            "traffic curve"
        );
    }

    function digest(uint256 total, uint256 rho, uint256 last) internal pure returns (bytes32) {
        uint256[] memory t = new uint256[](last + 1);
        uint256 e = Decay.ONE;
        for (uint256 n = 0; n <= last; ++n) {
            t[n] = Decay.issued(total, e);
            e = Decay.next(e, rho);
        }
        return keccak256(abi.encodePacked(t));
    }

    function test_block_rewards_around_400_new_years() external view {
        string memory j = vm.readFile("vectors/curve_digests.json");
        uint256 last = num(j, ".block_rewards", "years");
        uint256[] memory r = new uint256[](3 * last);
        BlockCurve.State memory s = BlockCurve.start();
        uint256 b = BlockCurve.BLOCKS_PER_YEAR;
        for (uint256 y = 0; y < last; ++y) {
            r[3 * y] = BlockCurve.reward(s, y * b + 1);
            r[3 * y + 1] = BlockCurve.reward(s, y * b + 2);
            r[3 * y + 2] = BlockCurve.reward(s, (y + 1) * b);
            s = BlockCurve.advance(s);
        }
        require(keccak256(abi.encodePacked(r)) == hex32(j, ".block_rewards", "keccak"), "rewards");
    }

    function test_thousand_epochs_telescope_without_dust() external view {
        string memory j = vm.readFile("vectors/curve_digests.json");
        uint256 n = num(j, ".traffic_walk", "epochs");
        uint256[] memory c = new uint256[](n);
        TrafficCurve.State memory s = TrafficCurve.start();
        uint64 x = 1;
        uint256 sum = 0;
        for (uint256 i = 0; i < n; ++i) {
            unchecked {
                x = x * 6364136223846793005 + 1442695040888963407;
            }
            TrafficCurve.State memory t = TrafficCurve.advance(s, x % 3e17);
            c[i] = TrafficCurve.cumulative(t) - TrafficCurve.cumulative(s);
            sum += c[i];
            s = t;
        }
        eq(s.counted, num(j, ".traffic_walk", "counted"), "counted");
        eq(sum, num(j, ".traffic_walk", "sum"), "sum");
        eq(sum, TrafficCurve.cumulative(s), "telescopes");
        require(keccak256(abi.encodePacked(c)) == hex32(j, ".traffic_walk", "keccak"), "ceilings");
    }

    function testFuzz_block_rewards_never_exceed_the_vault_and_never_grow_over_years(uint256 h) external pure {
        h = h % (600 * BlockCurve.BLOCKS_PER_YEAR) + 1;
        BlockCurve.State memory s = blockCurveAt(BlockCurve.yearOf(h));
        require(BlockCurve.cumulative(s, h) <= Units.BLOCK, "above the vault");
        uint256 later = BlockCurve.reward(BlockCurve.advance(s), h + BlockCurve.BLOCKS_PER_YEAR);
        require(later <= BlockCurve.reward(s, h) + 1, "grows");
    }

    function testFuzz_traffic_ceilings_add_up(uint64 a, uint64 b, uint64 c) external pure {
        TrafficCurve.State memory s = trafficAt(a);
        TrafficCurve.State memory t = TrafficCurve.advance(s, b);
        TrafficCurve.State memory u = TrafficCurve.advance(t, c);
        TrafficCurve.State memory v = TrafficCurve.advance(s, uint256(b) + c);
        eq(TrafficCurve.cumulative(u), TrafficCurve.cumulative(v), "split epoch");
        require(TrafficCurve.cumulative(u) <= Units.TRAFFIC, "above the vault");
    }
}
