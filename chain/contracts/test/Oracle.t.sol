// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {World} from "./World.sol";
import {Addresses} from "../src/system/Addresses.sol";
import {PriceOracle} from "../src/system/PriceOracle.sol";

/// @notice Quotes of seven witnesses; the average is compared with one over every single second.
contract OracleTest is World {
    PriceOracle internal constant oracle = PriceOracle(Addresses.PRICE_ORACLE);
    uint256 internal constant P = 0.5 ether;
    uint256[] internal times;
    uint256[] internal prices;

    function setUp() external {
        boot(7, 0, 0);
        next();
        place("PriceOracle", Addresses.PRICE_ORACLE, 0);
        param(Addresses.PRICE_ORACLE, 0, P);
    }

    function says(uint256 id, uint256 p) internal {
        vm.prank(account(id));
        oracle.quote(p);
    }

    /// @dev All seven say the same; the price moves with the fifth and follows the others.
    function all(uint256 p) internal {
        for (uint256 id = 1; id <= 7; ++id) {
            vm.prank(account(id));
            oracle.quote(p);
        }
        times.push(block.timestamp);
        prices.push(oracle.price());
    }

    function test_tested_code_is_the_committed_code() external view {
        require(Addresses.PRICE_ORACLE.codehash == keccak256(type(PriceOracle).runtimeCode), "oracle");
    }

    function test_only_witnesses_quote_and_two_thirds_of_them_make_a_price() external {
        vm.expectRevert(abi.encodeWithSelector(PriceOracle.NotWitness.selector, address(this)));
        oracle.quote(P);
        register(account(8), 0);
        vm.prank(account(8));
        vm.expectRevert(abi.encodeWithSelector(PriceOracle.NotWitness.selector, account(8)));
        oracle.quote(P);
        vm.prank(account(1));
        vm.expectRevert(abi.encodeWithSelector(PriceOracle.BadPrice.selector, 0));
        oracle.quote(0);
        vm.prank(account(1));
        vm.expectRevert(abi.encodeWithSelector(PriceOracle.BadPrice.selector, 1e30 + 1));
        oracle.quote(1e30 + 1);
        for (uint256 id = 1; id <= 4; ++id) says(id, P);
        says(4, 2 * P);
        vm.expectRevert(abi.encodeWithSelector(PriceOracle.Stale.selector, 0));
        oracle.mintPrice();
        says(5, P);
        eq(oracle.mintPrice(), P, "five of seven");
    }

    function test_the_median_is_not_moved_by_a_third_that_lies() external {
        all(P);
        vm.warp(block.timestamp + 1_200);
        says(1, 1e30);
        says(2, 1e30);
        for (uint256 id = 3; id <= 7; ++id) says(id, P + id);
        // 3, 4, 5, 6, 7 and two lies: the fourth of seven.
        eq(oracle.price(), P + 6, "median");
        vm.warp(block.timestamp + 1_900);
        for (uint256 id = 3; id <= 6; ++id) says(id, P);
        eq(oracle.price(), P + 6, "four fresh quotes are too few");
        says(7, P);
        eq(oracle.price(), P, "old lies do not count");
    }

    /// @notice Attack: all witnesses say 15 % more within an hour. The price ends 10 % up, the average of the hour 5 %: minting and conversion
    ///         follow by the worse for whoever moves it.
    function test_attack_a_jump_of_15_percent_in_an_hour() external {
        all(P);
        for (uint256 i = 0; i < 144; ++i) {
            vm.warp(block.timestamp + 600);
            all(P);
        }
        for (uint256 i = 0; i < 12; ++i) {
            vm.warp(block.timestamp + 300);
            all(P * 115 / 100);
        }
        require(oracle.price() >= P * 1_099 / 1_000 && oracle.price() <= P * 1_100 / 1_000, "10 % an hour");
        require(oracle.average(3_600) < P * 105 / 100 && oracle.average(3_600) > P * 103 / 100, "half of it in the average");
        require(oracle.convertPrice() < P * 1_003 / 1_000 && oracle.convertPrice() >= P, "conversion: the day's");
        eq(oracle.mintPrice(), oracle.average(3_600), "minting: the hour's");
        // Down as slowly.
        for (uint256 i = 0; i < 12; ++i) {
            vm.warp(block.timestamp + 300);
            all(1);
        }
        require(oracle.price() > P * 99 / 100 && oracle.price() < P, "10 % down in an hour");
    }

    function test_an_old_price_is_none_and_a_pause_is_worth_one_hour() external {
        all(P);
        vm.warp(block.timestamp + 7_200);
        eq(oracle.convertPrice(), P, "two hours");
        eq(oracle.price(), P, "price");
        vm.warp(block.timestamp + 1);
        uint64 then = oracle.updatedAt();
        vm.expectRevert(abi.encodeWithSelector(PriceOracle.Stale.selector, then));
        oracle.convertPrice();
        vm.warp(block.timestamp + 10 days);
        all(2 * P);
        eq(oracle.price(), P + P * 953 / 10_000, "one hour's, however long");
    }

    function test_the_anchor_holds_both_sides() external {
        all(P);
        param(Addresses.PRICE_ORACLE, 1, 2 * P);
        eq(oracle.mintPrice(), 2 * P, "minting not below");
        eq(oracle.convertPrice(), P, "conversion not above");
        param(Addresses.PRICE_ORACLE, 1, P / 2);
        eq(oracle.mintPrice(), P, "minting");
        eq(oracle.convertPrice(), P / 2, "conversion");
    }

    /// @notice Moves at random times over more than a day: the average out of the ring is the one over every second, but for the line drawn inside five
    ///         minutes of the window's begin.
    /// forge-config: default.fuzz.runs = 64
    function testFuzz_average_is_that_of_every_second(uint256 seed) external {
        uint256 begin = block.timestamp;
        all(P);
        for (uint256 i = 0; i < 40; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            vm.warp(block.timestamp + 1 + seed % 1_500);
            all(P / 2 + (seed >> 32) % P);
        }
        vm.warp(block.timestamp + (seed >> 64) % 2_000);
        for (uint256 k = 0; k < 2; ++k) {
            uint256 span = k == 0 ? 3_600 : 20_000;
            uint256 from = block.timestamp - begin > span ? block.timestamp - span : begin;
            uint256 sum = 0;
            for (uint256 i = 0; i < times.length; ++i) {
                uint256 a = times[i] > from ? times[i] : from;
                uint256 b = i + 1 < times.length ? times[i + 1] : block.timestamp;
                if (b > a) sum += prices[i] * (b - a);
            }
            uint256 want = sum / (block.timestamp - from);
            uint256 got = oracle.average(span);
            // Between two points at most 1,800 s apart the line may differ from the steps by 10 % of that stretch.
            uint256 off = got > want ? got - want : want - got;
            require(off <= want * 1_800 / 10 / (block.timestamp - from) + 1, "average");
        }
    }

    function test_the_ring_holds_a_day() external {
        for (uint256 i = 0; i < 700; ++i) {
            all(P);
            vm.warp(block.timestamp + 300);
        }
        eq(oracle.average(86_400), P, "700 points later");
        uint256 gas = gasleft();
        oracle.average(86_400);
        require(gas - gasleft() < 150_000, "binary search");
    }
}
