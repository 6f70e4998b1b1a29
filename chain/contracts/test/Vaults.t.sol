// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Base} from "./Vm.sol";
import {CoinTime} from "../src/lib/CoinTime.sol";
import {Units} from "../src/lib/Units.sol";
import {Addresses} from "../src/system/Addresses.sol";
import {BlockRewardVault} from "../src/system/BlockRewardVault.sol";
import {PrizePool} from "../src/system/PrizePool.sol";
import {SystemContract} from "../src/system/SystemContract.sol";
import {TeamVesting} from "../src/system/TeamVesting.sol";
import {TrafficVault} from "../src/system/TrafficVault.sol";

/// @notice In the place of the witness registry: asks for rewards as it will, and can try to be paid twice while it is paid.
contract RegistryCaller {
    bool public again;

    function setAgain(bool yes) external {
        again = yes;
    }

    function endBlock() external returns (uint256) {
        return BlockRewardVault(Addresses.BLOCK_REWARD_VAULT).release();
    }

    receive() external payable {
        if (again) BlockRewardVault(Addresses.BLOCK_REWARD_VAULT).release();
    }
}

/// @notice In the place of the settlement contract: real locks and withdrawals, without roots and claims.
contract SettlementCaller {
    using CoinTime for CoinTime.Totals;

    CoinTime.Totals internal totals;
    mapping(address => CoinTime.Account) internal accounts;
    bool public again;

    function setAgain(bool yes) external {
        again = yes;
    }

    function settle(uint256 b, uint256 amount) external {
        TrafficVault(Addresses.TRAFFIC_VAULT).settle(b, amount);
        TrafficVault(Addresses.TRAFFIC_VAULT).draw(amount);
    }

    function grant(uint256 b, uint256 amount) external {
        TrafficVault(Addresses.TRAFFIC_VAULT).settle(b, amount);
    }

    function draw(uint256 amount) external {
        TrafficVault(Addresses.TRAFFIC_VAULT).draw(amount);
    }

    function bonus(uint256 day, uint256 principal, uint256 ct, uint256 total) external returns (uint256) {
        return PrizePool(payable(Addresses.PRIZE_POOL)).payBonus(day, principal, ct, total);
    }

    function lock(address who, uint256 amount, uint256 day) external {
        totals.lock(accounts[who], amount, day);
    }

    function left() external view returns (uint256) {
        return totals.left;
    }

    function available(address who, uint256 day) external view returns (uint256) {
        return CoinTime.available(accounts[who], day);
    }

    function withdraw(address who, uint256 want, uint256 day) external returns (uint256 b) {
        uint256 total = totals.network(day);
        uint256 ct = totals.take(accounts[who], want, day);
        b = PrizePool(payable(Addresses.PRIZE_POOL)).payBonus(day, want, ct, total);
        (bool ok,) = who.call{value: want + b}("");
        require(ok, "refused");
    }

    receive() external payable {
        if (again) {
            again = false;
            if (msg.sender == Addresses.TRAFFIC_VAULT) {
                TrafficVault(Addresses.TRAFFIC_VAULT).settle(1, 17_895_796);
                TrafficVault(Addresses.TRAFFIC_VAULT).draw(17_895_796);
            } else {
                PrizePool(payable(Addresses.PRIZE_POOL)).payBonus(100, 1 ether, 1 ether, 10 ether);
            }
        }
    }
}

/// @notice Refuses coins.
contract Refuser {}

/// @notice The vaults at their addresses with their genesis balances, from the committed artifacts.
abstract contract Genesis is Base {
    BlockRewardVault internal constant blocks = BlockRewardVault(Addresses.BLOCK_REWARD_VAULT);
    TrafficVault internal constant traffic = TrafficVault(Addresses.TRAFFIC_VAULT);
    TeamVesting internal constant team = TeamVesting(Addresses.TEAM_VESTING);
    PrizePool internal constant prize = PrizePool(payable(Addresses.PRIZE_POOL));
    RegistryCaller internal constant registry = RegistryCaller(payable(Addresses.WITNESS));
    SettlementCaller internal constant settlement = SettlementCaller(payable(Addresses.TRAFFIC_SETTLEMENT));
    uint256 internal constant GENESIS = 1_800_000_000;
    address internal constant BENEFICIARY = address(0xbeef01);

    function place(string memory name, address where, uint256 balance) internal {
        string memory j = vm.readFile(string.concat("artifacts/", name, ".json"));
        require(uint160(vm.parseJsonUint(j, ".address")) == uint160(where), "address");
        vm.etch(where, vm.parseJsonBytes(j, ".code"));
        require(where.codehash == bytes32(vm.parseJsonUint(j, ".codeHash")), "code hash");
        vm.deal(where, balance);
    }

    function setUp() public virtual {
        place("BlockRewardVault", Addresses.BLOCK_REWARD_VAULT, Units.BLOCK);
        place("TrafficVault", Addresses.TRAFFIC_VAULT, Units.TRAFFIC);
        place("TeamVesting", Addresses.TEAM_VESTING, Units.TEAM);
        place("PrizePool", Addresses.PRIZE_POOL, 0);
        vm.etch(Addresses.WITNESS, type(RegistryCaller).runtimeCode);
        vm.etch(Addresses.TRAFFIC_SETTLEMENT, type(SettlementCaller).runtimeCode);
        vm.store(Addresses.TEAM_VESTING, 0, bytes32(uint256(uint160(BENEFICIARY))));
        vm.store(Addresses.TEAM_VESTING, bytes32(uint256(1)), bytes32(GENESIS));
        vm.warp(GENESIS);
        vm.roll(1);
    }
}

contract VaultsTest is Genesis {
    address internal constant A = address(0xa11ce);
    address internal constant B = address(0xb0b);

    function test_tested_code_is_the_committed_code() external view {
        same("BlockRewardVault", type(BlockRewardVault).runtimeCode);
        same("TrafficVault", type(TrafficVault).runtimeCode);
        same("TeamVesting", type(TeamVesting).runtimeCode);
        same("PrizePool", type(PrizePool).runtimeCode);
    }

    function same(string memory name, bytes memory code) internal view {
        string memory j = vm.readFile(string.concat("artifacts/", name, ".json"));
        require(keccak256(vm.parseJsonBytes(j, ".code")) == keccak256(code), name);
    }

    function test_only_the_system_enters() external {
        vm.expectRevert(abi.encodeWithSelector(SystemContract.OnlySystem.selector, address(this)));
        blocks.release();
        vm.expectRevert(abi.encodeWithSelector(SystemContract.OnlySystem.selector, address(this)));
        traffic.settle(1, 0);
        vm.expectRevert(abi.encodeWithSelector(SystemContract.OnlySystem.selector, address(this)));
        prize.payBonus(1, 1, 1, 1);
        // The system contracts themselves do not enter each other's functions either.
        vm.prank(Addresses.TRAFFIC_SETTLEMENT);
        vm.expectRevert(abi.encodeWithSelector(SystemContract.OnlySystem.selector, Addresses.TRAFFIC_SETTLEMENT));
        blocks.release();
    }

    function test_block_rewards_are_the_vectors_and_split_ten_to_ninety() external {
        string memory j = vectors();
        uint256 n = count(j, "block_reward");
        for (uint256 i = 0; i < n; ++i) {
            string memory p = item("block_reward", i);
            uint256 reward = num(j, p, "reward");
            vm.roll(num(j, p, "height"));
            (uint256 before, uint256 pool, uint256 node) =
                (address(blocks).balance, address(prize).balance, address(registry).balance);
            eq(blocks.rewardAt(block.number), reward, p);
            eq(registry.endBlock(), reward - reward / 10, p);
            eq(before - address(blocks).balance, reward, p);
            eq(address(prize).balance - pool, reward / 10, p);
            eq(address(registry).balance - node, reward - reward / 10, p);
        }
        eq(blocks.released(), Units.BLOCK - address(blocks).balance, "released");
    }

    function test_a_block_is_paid_once() external {
        registry.endBlock();
        vm.expectRevert(abi.encodeWithSelector(BlockRewardVault.AlreadyPaid.selector, 1));
        registry.endBlock();
        registry.setAgain(true);
        vm.roll(2);
        vm.expectRevert(
            abi.encodeWithSelector(
                SystemContract.PaymentRefused.selector, address(registry), blocks.rewardAt(2) - blocks.rewardAt(2) / 10
            )
        );
        registry.endBlock();
        registry.setAgain(false);
        registry.endBlock();
        eq(blocks.lastHeight(), 2, "height");
    }

    function test_a_block_without_payment_is_not_paid_later() external {
        registry.endBlock();
        vm.roll(10);
        registry.endBlock();
        eq(blocks.released(), blocks.rewardAt(10) + 511_111_065_976_369_158, "two blocks");
    }

    function test_forced_coins_change_no_reward() external {
        vm.deal(address(blocks), Units.BLOCK + 7);
        eq(registry.endBlock(), 511_111_065_976_369_158 - 51_111_106_597_636_915, "reward");
    }

    function test_year_1_of_blocks_ends_on_the_curve() external {
        uint256 h = 10_512_000;
        vm.roll(h);
        registry.endBlock();
        vm.roll(h + 1);
        registry.endBlock();
        vm.roll(7 * h + 1);
        uint256 gas = gasleft();
        registry.endBlock();
        require(gas - gasleft() < 150_000, "six years at once are cheap");
    }

    function test_the_curve_is_stepped_once_a_year_and_not_once_a_block() external {
        registry.endBlock();
        vm.roll(400 * 10_512_000 + 1);
        registry.endBlock();
        vm.roll(400 * 10_512_000 + 2);
        uint256 gas = gasleft();
        registry.endBlock();
        require(gas - gasleft() < 100_000, "recomputed");
    }

    function test_traffic_pays_up_to_the_ceiling_and_not_a_unit_more() external {
        eq(traffic.ceiling(1), 17_895_796, "one byte");
        vm.expectRevert(abi.encodeWithSelector(TrafficVault.AboveCeiling.selector, 17_895_797, 17_895_796));
        settlement.settle(1, 17_895_797);
        settlement.settle(1, 17_895_796);
        eq(traffic.counted(), 1, "counted");
        eq(address(settlement).balance, 17_895_796, "paid");
    }

    function test_traffic_vectors_from_byte_zero() external {
        string memory j = vectors();
        uint256 n = count(j, "traffic_reward");
        for (uint256 i = 0; i < n; ++i) {
            string memory p = item("traffic_reward", i);
            if (num(j, p, "bytes_before") == 0) eq(traffic.ceiling(num(j, p, "delta")), num(j, p, "reward"), p);
        }
        settlement.settle(10 ether, 0);
        eq(traffic.ceiling(5 ether), num(j, item("traffic_reward", 12), "reward"), "after 10 EB");
    }

    function test_only_what_was_granted_is_drawn_and_what_is_not_drawn_stays() external {
        settlement.grant(1 ether, 100);
        eq(address(traffic).balance, Units.TRAFFIC, "granted, not paid");
        settlement.draw(60);
        eq(traffic.granted(), 40, "left");
        vm.expectRevert(abi.encodeWithSelector(TrafficVault.AboveGrant.selector, 41, 40));
        settlement.draw(41);
        eq(address(settlement).balance, 60, "paid");
        vm.expectRevert(abi.encodeWithSelector(SystemContract.OnlySystem.selector, address(this)));
        traffic.draw(1);
    }

    function test_what_an_epoch_does_not_take_is_never_paid() external {
        settlement.settle(1 ether, 0);
        uint256 phi = traffic.ceiling(1 ether);
        vm.expectRevert(abi.encodeWithSelector(TrafficVault.AboveCeiling.selector, phi + 1, phi));
        settlement.settle(1 ether, phi + 1);
    }

    function test_an_epoch_counts_at_most_64_eb() external {
        vm.expectRevert(abi.encodeWithSelector(TrafficVault.TooManyBytes.selector, 64 ether + 1));
        settlement.settle(64 ether + 1, 0);
        uint256 gas = gasleft();
        settlement.settle(64 ether, 0);
        require(gas - gasleft() < 150_000, "bounded");
    }

    function test_settlement_reentering_gets_what_two_epochs_get() external {
        settlement.setAgain(true);
        settlement.settle(1, 17_895_796);
        eq(traffic.counted(), 2, "the second entry counted its own byte");
        eq(address(settlement).balance, 2 * 17_895_796, "and was paid for that one");
        eq(Units.TRAFFIC - address(traffic).balance, traffic.released(), "books");
    }

    function test_team_gets_the_vectors_at_each_moment() external {
        string memory j = vectors();
        uint256 n = count(j, "team_vesting");
        for (uint256 i = 0; i < n; ++i) {
            string memory p = item("team_vesting", i);
            vm.warp(GENESIS + num(j, p, "elapsed_s"));
            team.release();
            eq(BENEFICIARY.balance, num(j, p, "vested"), p);
            eq(team.release(), 0, "nothing twice");
        }
        eq(BENEFICIARY.balance, Units.TEAM, "everything in the end");
        eq(address(team).balance, 0, "vault empty");
    }

    function test_team_before_genesis_gets_nothing() external {
        vm.warp(GENESIS - 1);
        eq(team.release(), 0, "nothing");
    }

    function test_beneficiary_changes_only_by_both() external {
        vm.expectRevert(abi.encodeWithSelector(TeamVesting.NotAllowed.selector, address(this)));
        team.propose(A);
        vm.prank(BENEFICIARY);
        team.propose(A);
        vm.expectRevert(abi.encodeWithSelector(TeamVesting.NotAllowed.selector, address(this)));
        team.accept();
        require(team.beneficiary() == BENEFICIARY, "not yet");
        vm.prank(A);
        team.accept();
        require(team.beneficiary() == A && team.proposed() == address(0), "changed");
        vm.prank(address(0));
        vm.expectRevert(abi.encodeWithSelector(TeamVesting.NotAllowed.selector, address(0)));
        team.accept();
    }

    function test_a_beneficiary_that_refuses_loses_nothing() external {
        vm.etch(BENEFICIARY, type(Refuser).runtimeCode);
        vm.warp(GENESIS + 2 * 365 days);
        vm.expectRevert();
        team.release();
        eq(team.released(), 0, "undone");
        eq(address(team).balance, Units.TEAM, "undone");
    }

    function test_prize_pool_pays_the_capped_scenario() external {
        string memory j = vectors();
        string memory list = "coin_time_day_snapshot_cap5_scenario.steps";
        vm.deal(address(prize), 50_000 ether);
        vm.deal(address(settlement), 27_000 ether);
        uint256 n = count(j, list);
        for (uint256 i = 0; i < n; ++i) {
            string memory p = item(list, i);
            address who = bytes(vm.parseJsonString(j, string.concat(p, ".who")))[0] == "A" ? A : B;
            // The scenario's day 0 is a day on the chain: T only knows differences.
            uint256 day = 20_833 + num(j, p, "day");
            if (vm.keyExistsJson(j, string.concat(p, ".amt"))) {
                settlement.lock(who, num(j, p, "amt"), day);
                continue;
            }
            uint256 before = who.balance;
            uint256 b = settlement.withdraw(who, num(j, p, "want"), day);
            eq(b, num(j, p, "result.bonus"), p);
            eq(who.balance - before, b + num(j, p, "want"), p);
            eq(address(prize).balance, num(j, p, "result.pool_after"), p);
            eq(settlement.left(), num(j, p, "S"), p);
            eq(prize.dayPool(), num(j, p, "result.pool_snapshot"), p);
            eq(prize.dayTotal(), num(j, p, "result.T_snapshot"), p);
        }
        eq(address(settlement).balance, settlement.left(), "every principal is covered");
    }

    function test_at_most_half_of_the_pool_leaves_a_day_whatever_the_settlement_says() external {
        vm.deal(address(prize), 100 ether);
        eq(settlement.bonus(100, 1_000 ether, 1 ether, 1 ether), 50 ether, "half");
        vm.expectRevert(abi.encodeWithSelector(PrizePool.HalfPool.selector, 50 ether + 50, 100 ether));
        settlement.bonus(100, 1_000, 1 ether, 1 ether);
        eq(settlement.bonus(101, 1_000 ether, 1 ether, 1 ether), 25 ether, "next day half of the rest");
        vm.expectRevert(abi.encodeWithSelector(PrizePool.PastDay.selector, 100));
        settlement.bonus(100, 1, 1, 1);
    }

    function test_a_gift_during_the_day_changes_no_price() external {
        vm.deal(address(prize), 100 ether);
        uint256 first = settlement.bonus(100, 1_000 ether, 1 ether, 10 ether);
        (bool ok,) = address(prize).call{value: 1_000 ether}("");
        require(ok, "gift");
        eq(settlement.bonus(100, 1_000 ether, 1 ether, 10 ether), first, "same price");
    }

    function test_reentering_the_prize_pool_is_priced_by_the_same_snapshot() external {
        vm.deal(address(prize), 100 ether);
        settlement.setAgain(true);
        // 5 for the outer call, 0.05 (the cap of 1) for the inner one: both by the same snapshot, both in the day's books.
        eq(settlement.bonus(100, 1_000 ether, 1 ether, 10 ether), 5 ether, "outer");
        eq(address(prize).balance, 100 ether - 5.05 ether, "paid");
        eq(prize.dayPaid(), 5.05 ether, "books");
        eq(prize.dayPool(), 100 ether, "snapshot");
    }

    receive() external payable {}
}

/// @notice Random histories: supply and every vault's books after each step.
contract VaultsInvariantTest is Genesis {
    History internal history;

    function setUp() public override {
        super.setUp();
        history = new History();
    }

    function targetContracts() external view returns (address[] memory a) {
        a = new address[](1);
        a[0] = address(history);
    }

    function invariant_supply_is_constant_and_no_vault_pays_more_than_its_curve() external view {
        eq(
            address(blocks).balance + address(traffic).balance + address(team).balance + address(prize).balance
                + address(registry).balance + address(settlement).balance + BENEFICIARY.balance + history.HOLDER().balance,
            Units.SUPPLY - Units.FOUNDATION,
            "supply"
        );
        eq(address(blocks).balance, Units.BLOCK - blocks.released(), "block vault");
        eq(address(traffic).balance, Units.TRAFFIC - traffic.released(), "traffic vault");
        eq(address(team).balance, Units.TEAM - team.released(), "team");
        eq(blocks.released(), history.blocksPaid(), "block rewards explained");
        eq(traffic.released(), history.trafficPaid(), "traffic rewards explained");
        require(team.released() <= team.vested(), "team ahead of its vesting");
        require(address(settlement).balance >= settlement.left(), "principal uncovered");
    }
}

/// @notice What the random histories are made of.
contract History is Base {
    address public constant HOLDER = address(0x401de2);
    uint256 public blocksPaid;
    uint256 public trafficPaid;
    uint256 internal height = 1;
    uint256 internal time = 1_800_000_000;

    function blockEnds(uint32 skip) external {
        height += uint256(skip) % 3 == 0 ? uint256(skip) % 30_000_000 + 1 : 1;
        vm.roll(height);
        uint256 reward = BlockRewardVault(Addresses.BLOCK_REWARD_VAULT).rewardAt(height);
        uint256 node = RegistryCaller(payable(Addresses.WITNESS)).endBlock();
        eq(node, reward - reward / 10, "90 %");
        blocksPaid += reward;
    }

    function epochEnds(uint64 b, uint8 part) external {
        uint256 counted = uint256(b) % 2e18;
        uint256 amount = TrafficVault(Addresses.TRAFFIC_VAULT).ceiling(counted) * part / 255;
        SettlementCaller s = SettlementCaller(payable(Addresses.TRAFFIC_SETTLEMENT));
        s.settle(counted, amount);
        s.lock(HOLDER, amount, time / 86_400);
        trafficPaid += amount;
    }

    function daysPass(uint16 n) external {
        time += uint256(n) % 400 * 86_400 + n;
        vm.warp(time);
    }

    function teamReleases() external {
        vm.warp(time);
        TeamVesting(Addresses.TEAM_VESTING).release();
    }

    function holderWithdraws(uint8 part) external {
        SettlementCaller s = SettlementCaller(payable(Addresses.TRAFFIC_SETTLEMENT));
        uint256 day = time / 86_400;
        uint256 want = s.available(HOLDER, day) * part / 255;
        uint256 b = s.withdraw(HOLDER, want, day);
        require(b <= want / 20, "more than 5 %");
    }

    /// @dev Anybody may try: nothing but reverts.
    function strangerTries(uint8 which, uint128 x) external {
        bool ok;
        if (which % 3 == 0) (ok,) = Addresses.BLOCK_REWARD_VAULT.call(abi.encodeCall(BlockRewardVault.release, ()));
        else if (which % 3 == 1) (ok,) = Addresses.TRAFFIC_VAULT.call(abi.encodeCall(TrafficVault.settle, (x, x)));
        else (ok,) = Addresses.PRIZE_POOL.call(abi.encodeCall(PrizePool.payBonus, (x, x, x, x)));
        require(!ok, "a stranger entered");
    }
}
