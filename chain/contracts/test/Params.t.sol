// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {World} from "./World.sol";
import {Addresses} from "../src/system/Addresses.sol";
import {Params} from "../src/system/Params.sol";
import {Pledge} from "../src/system/Pledge.sol";
import {PriceOracle} from "../src/system/PriceOracle.sol";
import {SystemContract} from "../src/system/SystemContract.sol";
import {TrafficSettlement} from "../src/system/TrafficSettlement.sol";

/// @notice Parameters change by the witnesses and time, within bounds, and in no other way.
contract ParamsTest is World {
    Params internal constant params = Params(Addresses.PARAMS);

    function setUp() external {
        boot(7, 100, 7);
        place("Params", Addresses.PARAMS, 0);
        place("Pledge", Addresses.PLEDGE, 0);
        place("PriceOracle", Addresses.PRICE_ORACLE, 0);
        place("TrafficSettlement", Addresses.TRAFFIC_SETTLEMENT, 0);
        next();
    }

    function propose(address target, uint256 slot, uint256 value) internal returns (uint256) {
        vm.prank(account(1));
        return params.propose(target, slot, value);
    }

    function approve(uint256 number, uint256 from, uint256 to) internal {
        for (uint256 id = from; id <= to; ++id) {
            vm.prank(account(id));
            params.approve(number, true);
        }
    }

    function refused(uint256 number) internal {
        vm.expectRevert(abi.encodeWithSelector(Params.NotNow.selector, number));
        params.execute(number);
    }

    function decide(address target, uint256 slot, uint256 value) internal returns (uint256 number) {
        number = propose(target, slot, value);
        approve(number, 2, 5);
        vm.warp(block.timestamp + 14 days);
    }

    function test_tested_code_is_the_committed_code() external view {
        require(Addresses.PARAMS.codehash == keccak256(type(Params).runtimeCode), "params");
    }

    function test_two_thirds_and_14_days_change_a_parameter_once() external {
        uint256 number = propose(Addresses.WITNESS, 0, 5 ether);
        approve(number, 2, 4);
        refused(number);
        vm.warp(block.timestamp + 30 days);
        refused(number);
        approve(number, 5, 5);
        uint256 t = block.timestamp;
        vm.warp(t + 14 days - 1);
        refused(number);
        vm.warp(t + 14 days);
        params.execute(number);
        eq(witness.minPledge(), 5 ether, "changed");
        refused(number);
        vm.prank(account(6));
        vm.expectRevert(abi.encodeWithSelector(Params.NotNow.selector, number));
        params.approve(number, true);
        refused(99);
    }

    function test_a_change_nobody_makes_is_void_after_28_days() external {
        uint256 number = decide(Addresses.WITNESS, 0, 5 ether);
        vm.warp(block.timestamp + 14 days);
        refused(number);
    }

    function test_who_takes_its_approval_back_stops_it() external {
        uint256 number = decide(Addresses.WITNESS, 0, 5 ether);
        vm.prank(account(3));
        params.approve(number, false);
        refused(number);
        approve(number, 3, 3);
        params.execute(number);
    }

    /// @notice Attack: witnesses who are voted out within the delay. Their approvals are worth 0 of 7 seats.
    function test_attack_a_set_that_was_voted_out_decides_nothing() external {
        uint256 number = decide(Addresses.WITNESS, 0, 5 ether);
        for (uint256 id = 8; id <= 14; ++id) {
            register(account(id), 0);
            voteFor(address(0xb0b), id, 10 ether);
        }
        uint256 t = block.timestamp;
        while (!seated(account(8))) this.one();
        vm.warp(t + 1 days);
        refused(number);
        vm.prank(account(1));
        vm.expectRevert(abi.encodeWithSelector(Params.NotWitness.selector, account(1)));
        params.approve(number, true);
    }

    function test_only_witnesses_propose_and_only_known_contracts() external {
        vm.expectRevert(abi.encodeWithSelector(Params.NotWitness.selector, address(this)));
        params.propose(Addresses.WITNESS, 0, 1);
        vm.prank(account(1));
        vm.expectRevert(abi.encodeWithSelector(Params.BadTarget.selector, Addresses.BLOCK_REWARD_VAULT));
        params.propose(Addresses.BLOCK_REWARD_VAULT, 0, 1);
        address[4] memory all =
            [Addresses.WITNESS, Addresses.PLEDGE, Addresses.PRICE_ORACLE, Addresses.TRAFFIC_SETTLEMENT];
        for (uint256 i = 0; i < 4; ++i) {
            vm.expectRevert(abi.encodeWithSelector(SystemContract.OnlySystem.selector, address(this)));
            Pledge(all[i]).setParam(1, 1);
        }
    }

    function bad(address target, uint256 slot, uint256 value) internal {
        uint256 number = decide(target, slot, value);
        vm.expectRevert(abi.encodeWithSelector(SystemContract.BadParam.selector, slot, value));
        params.execute(number);
    }

    function good(address target, uint256 slot, uint256 value) internal {
        params.execute(decide(target, slot, value));
        eq(uint256(vm.load(target, bytes32(slot))), value, "stands");
    }

    function test_each_parameter_keeps_its_bounds() external {
        good(Addresses.WITNESS, 0, 10_000_000 ether);
        bad(Addresses.WITNESS, 0, 10_000_000 ether + 1);
        bad(Addresses.WITNESS, 1, 5);
        good(Addresses.WITNESS, 2, 28_800);
        bad(Addresses.WITNESS, 2, 28_799);
        bad(Addresses.WITNESS, 2, 1 << 63);
        good(Addresses.WITNESS, 2, 0);
        good(Addresses.WITNESS, 3, 21);
        bad(Addresses.WITNESS, 3, 22);
        bad(Addresses.WITNESS, 3, 3);
        good(Addresses.PLEDGE, 1, 7);
        good(Addresses.PLEDGE, 2, 8);
        good(Addresses.PLEDGE, 3, 10_000_000 ether);
        bad(Addresses.PLEDGE, 3, 10_000_000 ether + 1);
        bad(Addresses.PLEDGE, 0, 1);
        good(Addresses.PRICE_ORACLE, 1, 1e30);
        bad(Addresses.PRICE_ORACLE, 1, 1e30 + 1);
        bad(Addresses.PRICE_ORACLE, 2, 1);
        good(Addresses.TRAFFIC_SETTLEMENT, 2, 1);
        bad(Addresses.TRAFFIC_SETTLEMENT, 2, 2);
        bad(Addresses.TRAFFIC_SETTLEMENT, 3, 0);
    }
}
