// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Base} from "./Vm.sol";
import {Claims} from "../src/lib/Claims.sol";
import {Units} from "../src/lib/Units.sol";
import {Addresses} from "../src/system/Addresses.sol";
import {Pledge} from "../src/system/Pledge.sol";
import {PriceOracle} from "../src/system/PriceOracle.sol";
import {PrizePool} from "../src/system/PrizePool.sol";
import {SystemContract} from "../src/system/SystemContract.sol";
import {TrafficSettlement} from "../src/system/TrafficSettlement.sol";
import {TrafficVault} from "../src/system/TrafficVault.sol";

/// @notice In the place of the oracle: a price that the test sets, or none.
contract PriceOf {
    uint256 public mintPrice;

    function set(uint256 p) external {
        mintPrice = p;
    }
}

/// @notice Withdraws once more while it is paid.
contract GreedyHolder {
    function pull(uint256 amount) public returns (uint256) {
        return TrafficSettlement(payable(Addresses.TRAFFIC_SETTLEMENT)).withdraw(amount);
    }

    receive() external payable {
        (, uint256 available) = TrafficSettlement(payable(Addresses.TRAFFIC_SETTLEMENT)).rewardsOf(address(this));
        if (available != 0) pull(available);
    }
}

/// @notice Epochs of a small side chain: its tree is built here by the rule of the specification.
abstract contract Traffic is Base {
    TrafficSettlement internal constant settlement = TrafficSettlement(payable(Addresses.TRAFFIC_SETTLEMENT));
    TrafficVault internal constant vault = TrafficVault(Addresses.TRAFFIC_VAULT);
    PrizePool internal constant prize = PrizePool(payable(Addresses.PRIZE_POOL));
    Pledge internal constant pledges = Pledge(Addresses.PLEDGE);
    uint256 internal constant START = 1_800_000_000;
    uint64 internal constant EPOCH = uint64(START / 600);

    function place(string memory name, address where, uint256 balance) internal {
        string memory j = vm.readFile(string.concat("artifacts/", name, ".json"));
        require(uint160(vm.parseJsonUint(j, ".address")) == uint160(where), "address");
        vm.etch(where, vm.parseJsonBytes(j, ".code"));
        vm.deal(where, balance);
    }

    function world() internal {
        place("TrafficSettlement", Addresses.TRAFFIC_SETTLEMENT, 0);
        place("TrafficVault", Addresses.TRAFFIC_VAULT, Units.TRAFFIC);
        place("PrizePool", Addresses.PRIZE_POOL, 0);
        place("Pledge", Addresses.PLEDGE, 0);
        vm.etch(Addresses.PRICE_ORACLE, type(PriceOf).runtimeCode);
        PriceOf(Addresses.PRICE_ORACLE).set(0.5 ether);
        for (uint256 i = 1; i < 4; ++i) vm.store(Addresses.PLEDGE, bytes32(i), bytes32(i * 100 ether));
        vm.warp(START - 600);
    }

    function pledged(address node, uint256 amount) internal {
        vm.deal(node, node.balance + amount);
        vm.prank(node);
        pledges.pledge{value: amount}(Pledge.Tier.Edge);
    }

    function settle(uint64 epoch, uint256 b, uint256 burnt, uint256 sum, bytes32 root) internal {
        vm.prank(Addresses.BRIDGE);
        settlement.settle(epoch, b, burnt, sum, root);
    }

    /// @dev Root and proof of leaf `index` of a tree of 2^depth leaves; missing ones are 0.
    function tree(bytes32[] memory leaves, uint256 depth, uint256 index)
        internal
        pure
        returns (bytes32 root, bytes32[] memory proof)
    {
        bytes32[] memory level = new bytes32[](1 << depth);
        for (uint256 i = 0; i < leaves.length; ++i) level[i] = leaves[i];
        proof = new bytes32[](depth);
        for (uint256 d = 0; d < depth; ++d) {
            proof[d] = level[index ^ 1];
            index /= 2;
            for (uint256 i = 0; i < level.length >> d + 1; ++i) {
                level[i] = keccak256(abi.encodePacked(uint8(1), level[2 * i], level[2 * i + 1]));
            }
        }
        root = level[0];
    }

    function leafOf(Claims.Claim memory c) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(uint8(0), c.index, c.node, c.role, c.gross, c.cn, c.auditor));
    }

    /// @dev An epoch of one claim; returns its proof.
    function single(Claims.Claim memory c, uint256 b, uint256 burnt) internal returns (bytes32[] memory proof) {
        bytes32[] memory leaves = new bytes32[](c.index + 1);
        leaves[c.index] = leafOf(c);
        bytes32 root;
        (root, proof) = tree(leaves, 3, c.index);
        settle(c.epoch, b, burnt, c.gross, root);
    }
}

contract TrafficTest is Traffic {
    address internal constant EN = address(0xe1);
    address internal constant CN = address(0xc1);
    address internal constant AUDITOR = address(0xa1);

    function setUp() external {
        world();
        pledged(EN, 50_000 ether);
        vm.warp(START + 600);
    }

    function test_tested_code_is_the_committed_code() external view {
        require(Addresses.TRAFFIC_SETTLEMENT.codehash == keccak256(type(TrafficSettlement).runtimeCode), "settlement");
        require(Addresses.PLEDGE.codehash == keccak256(type(Pledge).runtimeCode), "pledge");
    }

    function claimOf(uint128 gross) internal pure returns (Claims.Claim memory) {
        return Claims.Claim(EPOCH, 5, EN, 0, gross, CN, AUDITOR);
    }

    function left(address who) internal view returns (uint256 l) {
        (l,) = settlement.rewardsOf(who);
    }

    function available(address who) internal view returns (uint256 a) {
        (, a) = settlement.rewardsOf(who);
    }

    /// @notice The design's example: a fee of 9.5 NB at 0.5 NB an NFC is 17.1 NFC, cut to 6.95 by a pledge of 50,000.
    function test_a_claim_is_split_locked_and_capped_by_the_pledge() external {
        Claims.Claim memory c = claimOf(17.1 ether);
        bytes32[] memory proof = single(c, 1e15, 9.5 ether);
        eq(settlement.claim(c, proof), 6.95 ether, "139 ppm of 50,000");
        eq(left(EN), 6.255 ether, "90 %");
        eq(left(CN) + left(AUDITOR), 0.417 ether, "6 %");
        eq(left(CN), left(AUDITOR), "3 % each");
        eq(address(prize).balance, 0.278 ether, "4 %");
        eq(address(settlement).balance, 6.672 ether, "locked");
        eq(vault.released(), 6.95 ether, "drawn");
        require(settlement.claimed(EPOCH, 5), "noted");
        vm.expectRevert(abi.encodeWithSelector(TrafficSettlement.AlreadyClaimed.selector, EPOCH, 5));
        settlement.claim(c, proof);
    }

    function test_relays_pay_the_pool_and_nobody_else() external {
        Claims.Claim memory c = Claims.Claim(EPOCH, 0, EN, 1, 1 ether, CN, AUDITOR);
        settlement.claim(c, single(c, 1e15, 9.5 ether));
        eq(left(EN), 0.96 ether, "96 %");
        eq(left(CN) + left(AUDITOR), 0, "nothing");
        eq(address(prize).balance, 0.04 ether, "4 %");
    }

    function test_without_certifiers_their_part_is_the_prize_pool_s() external {
        Claims.Claim memory c = Claims.Claim(EPOCH, 0, EN, 0, 101, address(0), address(0));
        settlement.claim(c, single(c, 1e15, 9.5 ether));
        eq(left(EN), 101 - 6 - 4, "90 % and the rounding");
        eq(address(prize).balance, 10, "4 % and 6 %");
    }

    /// @notice Attack: mint more than was burnt. Whatever the side chain claims, an epoch gives 0.9 of the value burnt for it.
    function test_attack_claims_above_what_was_burnt() external {
        pledged(CN, 1_000_000 ether);
        vm.warp(START + 1_800);
        Claims.Claim memory c = Claims.Claim(EPOCH + 1, 5, CN, 1, 1_000 ether, address(0), address(0));
        bytes32[] memory proof = single(c, 1e15, 10 ether);
        // 10 NB at 0.5 NB an NFC are 20 NFC, 0.9 of it 18.
        eq(settlement.claim(c, proof), 18 ether, "18 of 1,000");
    }

    function test_the_curve_is_the_ceiling_however_much_was_burnt() external {
        pledged(CN, 1_000_000 ether);
        vm.warp(START + 1_800);
        uint256 phi = vault.ceiling(1e9);
        Claims.Claim memory c = Claims.Claim(EPOCH + 1, 5, CN, 1, 1_000 ether, address(0), address(0));
        bytes32[] memory proof = single(c, 1e9, 1_000_000 ether);
        eq(settlement.claim(c, proof), phi, "Phi");
    }

    function test_the_white_paper_s_rule_pays_the_curve() external {
        vm.store(Addresses.TRAFFIC_SETTLEMENT, bytes32(uint256(2)), bytes32(uint256(1)));
        uint256 phi = vault.ceiling(1e11);
        Claims.Claim memory c = claimOf(1_000);
        bytes32[] memory proof = single(c, 1e11, 0);
        eq(settlement.claim(c, proof), phi, "Phi, with nothing burnt");
    }

    /// @notice Attack: a root whose claims add up to more than its sum says. It ends at the sum.
    function test_attack_a_root_of_more_than_its_sum() external {
        Claims.Claim memory a = Claims.Claim(EPOCH, 0, EN, 1, 2 ether, address(0), address(0));
        Claims.Claim memory b = Claims.Claim(EPOCH, 1, EN, 1, 2 ether, address(0), address(0));
        bytes32[] memory leaves = new bytes32[](2);
        (leaves[0], leaves[1]) = (leafOf(a), leafOf(b));
        (bytes32 root, bytes32[] memory proofA) = tree(leaves, 1, 0);
        (, bytes32[] memory proofB) = tree(leaves, 1, 1);
        settle(EPOCH, 1e15, 100 ether, 3 ether, root);
        settlement.claim(a, proofA);
        vm.expectRevert(abi.encodeWithSelector(TrafficSettlement.AboveAllowed.selector, 4 ether, 3 ether));
        settlement.claim(b, proofB);
        // Not even with what other epochs have not claimed.
        vm.warp(START + 1_800);
        settle(EPOCH + 1, 1e15, 100 ether, 3 ether, bytes32(uint256(1)));
        vm.expectRevert(abi.encodeWithSelector(TrafficSettlement.AboveAllowed.selector, 4 ether, 3 ether));
        settlement.claim(b, proofB);
    }

    function test_only_what_stands_in_the_tree_is_paid() external {
        Claims.Claim memory c = claimOf(1 ether);
        bytes32[] memory proof = single(c, 1e15, 9.5 ether);
        Claims.Claim[6] memory forged = [c, c, c, c, c, c];
        for (uint256 i = 0; i < 6; ++i) {
            forged[i] = Claims.Claim(c.epoch, c.index, c.node, c.role, c.gross, c.cn, c.auditor);
        }
        forged[0].gross += 1;
        forged[1].node = CN;
        forged[2].index = 4;
        forged[3].role = 1;
        forged[4].auditor = EN;
        // The same path with bits above it: another index of the same leaf would be paid twice.
        forged[5].index = 5 + 8;
        for (uint256 i = 0; i < 6; ++i) {
            vm.expectRevert(TrafficSettlement.NotProven.selector);
            settlement.claim(forged[i], proof);
        }
        forged[0].gross -= 1;
        forged[0].epoch += 1;
        vm.expectRevert(TrafficSettlement.NotProven.selector);
        settlement.claim(forged[0], proof);
        vm.expectRevert(TrafficSettlement.NotProven.selector);
        settlement.claim(c, new bytes32[](33));
        settlement.claim(c, proof);
    }

    function test_epochs_come_in_order_and_when_they_are_over() external {
        vm.expectRevert(abi.encodeWithSelector(SystemContract.OnlySystem.selector, address(this)));
        settlement.settle(EPOCH, 1, 1, 1, 0);
        settle(EPOCH, 1, 1, 1, 0);
        vm.expectRevert(abi.encodeWithSelector(TrafficSettlement.BadEpoch.selector, EPOCH));
        settle(EPOCH, 1, 1, 1, 0);
        vm.expectRevert(abi.encodeWithSelector(TrafficSettlement.BadEpoch.selector, EPOCH + 1));
        settle(EPOCH + 1, 1, 1, 1, 0);
        vm.warp(START + 1_200);
        vm.expectRevert(abi.encodeWithSelector(TrafficSettlement.BadNumber.selector, 1 << 96));
        settle(EPOCH + 1, 1, 1, 1 << 96, 0);
        vm.expectRevert(abi.encodeWithSelector(TrafficSettlement.BadNumber.selector, 1 << 128));
        settle(EPOCH + 1, 1, 1 << 128, 1, 0);
        settle(EPOCH + 1, 7, 0, 0, 0);
        eq(vault.counted(), 8, "bytes of an epoch without claims count all the same");
    }

    /// @notice Attack: pledge for the end of an epoch only, or leave and still earn. What stood through the whole epoch counts: 0.
    function test_attack_a_pledge_for_a_moment() external {
        address late = address(0x1a7e);
        vm.warp(START + 900);
        pledged(late, 50_000 ether);
        vm.warp(START + 1_800);
        Claims.Claim memory c = Claims.Claim(EPOCH + 1, 0, late, 1, 1 ether, address(0), address(0));
        eq(settlement.claim(c, single(c, 1e15, 9.5 ether)), 0, "half an epoch is none");
        // Notice ends the right at once: the epoch in which it is given pays nothing.
        vm.warp(START + 2_100);
        vm.prank(late);
        pledges.giveNotice();
        vm.warp(START + 2_400);
        c = Claims.Claim(EPOCH + 3, 0, late, 1, 1 ether, address(0), address(0));
        eq(settlement.claim(c, single(c, 1e15, 9.5 ether)), 0, "under notice");
        // The epoch between, in which it stood, is paid although it comes later than the notice.
        eq(pledges.activeAt(late, START + 1_200), 50_000 ether, "stood then");
    }

    function test_rewards_unlock_over_180_days_after_30_and_carry_a_bonus() external {
        Claims.Claim memory c = claimOf(6.95 ether);
        settlement.claim(c, single(c, 1e15, 9.5 ether));
        vm.deal(address(prize), 1_000 ether);
        vm.warp(block.timestamp + 30 days);
        eq(available(EN), 0, "locked");
        vm.warp(block.timestamp + 90 days);
        eq(available(EN), 6.255 ether / 2, "half");
        vm.prank(EN);
        vm.expectRevert();
        settlement.withdraw(6.255 ether / 2 + 1);
        vm.prank(EN);
        uint256 bonus = settlement.withdraw(6.255 ether / 2);
        eq(bonus, 6.255 ether / 40, "5 % at most");
        eq(EN.balance, 6.255 ether / 2 + bonus, "paid");
        vm.warp(block.timestamp + 90 days);
        vm.prank(EN);
        settlement.withdraw(6.255 ether / 2);
        eq(left(EN), 0, "all of it");
    }

    function test_principal_is_paid_when_the_pool_pays_nothing() external {
        Claims.Claim memory c = claimOf(6.95 ether);
        settlement.claim(c, single(c, 1e15, 9.5 ether));
        vm.warp(block.timestamp + 300 days);
        vm.etch(Addresses.PRIZE_POOL, hex"5f5ffd");
        vm.prank(EN);
        eq(settlement.withdraw(6.255 ether), 0, "no bonus");
        eq(EN.balance, 6.255 ether, "principal");
    }

    /// @notice Attack: a withdrawal in 1,000 pieces on one day gains nothing over one.
    function test_attack_a_withdrawal_in_1000_pieces() external {
        Claims.Claim memory c = claimOf(6.95 ether);
        settlement.claim(c, single(c, 1e15, 9.5 ether));
        vm.deal(address(prize), 0.1 ether);
        vm.warp(block.timestamp + 120 days);
        uint256 before = vm.snapshotState();
        vm.prank(EN);
        uint256 whole = settlement.withdraw(3 ether);
        eq(whole, uint256(0.1 ether) * 3 ether / (2 * 6.672 ether), "below the cap: its share of half the pool");
        require(vm.revertToState(before), "as before");
        uint256 sum = 0;
        for (uint256 i = 0; i < 1_000; ++i) {
            vm.prank(EN);
            sum += settlement.withdraw(0.003 ether);
        }
        require(sum <= whole && whole - sum <= 1_000, "pieces gain");
    }

    /// @notice Attack: reentrancy of a withdrawal. Each unit leaves once.
    function test_attack_reentrant_withdrawal() external {
        GreedyHolder greedy = new GreedyHolder();
        pledged(address(greedy), 50_000 ether);
        vm.warp(START + 1_800);
        Claims.Claim memory c = Claims.Claim(EPOCH + 1, 5, address(greedy), 0, 6.95 ether, CN, AUDITOR);
        settlement.claim(c, single(c, 1e15, 9.5 ether));
        vm.warp(block.timestamp + 300 days);
        vm.deal(address(prize), 0);
        greedy.pull(1 ether);
        eq(address(greedy).balance, 6.255 ether, "the rest by the second entry, nothing twice");
        eq(address(settlement).balance, left(CN) + left(AUDITOR), "others covered");
    }

    function test_a_pledge_comes_back_over_180_days() external {
        vm.startPrank(EN);
        vm.expectRevert(abi.encodeWithSelector(Pledge.BadTier.selector, Pledge.Tier.Relay));
        pledges.pledge{value: 0}(Pledge.Tier.Relay);
        pledges.giveNotice();
        vm.expectRevert(Pledge.NothingPledged.selector);
        pledges.giveNotice();
        eq(pledges.withdraw(), 0, "day 0");
        vm.warp(block.timestamp + 45 days);
        eq(pledges.withdrawable(EN), 12_500 ether, "a quarter");
        eq(pledges.withdraw(), 12_500 ether, "a quarter");
        vm.expectRevert(abi.encodeWithSelector(Pledge.BadPledge.selector, 99 ether));
        pledges.pledge{value: 99 ether}(Pledge.Tier.Edge);
        pledges.pledge{value: 300 ether}(Pledge.Tier.Relay);
        vm.expectRevert(abi.encodeWithSelector(Pledge.StillReleasing.selector, 37_500 ether));
        pledges.giveNotice();
        vm.warp(block.timestamp + 500 days);
        eq(pledges.withdraw(), 37_500 ether, "the rest");
        eq(pledges.withdraw(), 0, "once");
        pledges.giveNotice();
        vm.warp(block.timestamp + 180 days);
        eq(pledges.withdraw(), 300 ether, "the second");
        vm.stopPrank();
        eq(EN.balance, 50_000 ether, "everything");
    }

    function testFuzz_history_of_a_pledge_is_what_it_was(uint256 seed) external {
        address node = address(0xf1);
        uint256[] memory times = new uint256[](12);
        uint256[] memory amounts = new uint256[](12);
        for (uint256 i = 0; i < 12; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            vm.warp(block.timestamp + seed % 3 * 500);
            pledged(node, 100 ether + seed % 7);
            (times[i], amounts[i]) = (block.timestamp, pledges.nodeOf(node).active);
        }
        for (uint256 t = START; t <= block.timestamp; t += 250) {
            uint256 want = 0;
            for (uint256 i = 0; i < 12; ++i) if (times[i] <= t) want = amounts[i];
            eq(pledges.activeAt(node, t), want, "then");
        }
    }
}

/// @notice Random epochs, claims, withdrawals, pledges: every base unit is explained after each.
contract TrafficInvariantTest is Base {
    TrafficActors internal actors;

    function setUp() external {
        actors = new TrafficActors();
    }

    function targetContracts() external view returns (address[] memory a) {
        a = new address[](1);
        a[0] = address(actors);
    }

    /// forge-config: default.invariant.runs = 32
    /// forge-config: default.invariant.depth = 96
    function invariant_every_coin_of_traffic_is_explained() external view {
        actors.check();
    }
}

/// @notice Four nodes and what may happen to them; keeps its own books.
contract TrafficActors is Traffic {
    uint256 internal constant NODES = 4;
    uint256 internal given;
    uint256 internal claimedSum;
    uint256 internal bonuses;
    uint256 internal poolParts;
    mapping(address => uint256) internal locked;
    mapping(address => uint256) internal withdrawn;
    Claims.Claim[] internal waiting;
    bytes32[][] internal proofs;

    constructor() {
        world();
        for (uint256 i = 0; i < NODES; ++i) pledges_(i, 200 ether);
        vm.warp(START);
    }

    function node(uint256 i) internal pure returns (address) {
        return address(uint160(0x40de00 + i % NODES));
    }

    function pledges_(uint256 i, uint256 amount) internal {
        given += amount;
        pledged(node(i), amount);
    }

    function pledgesMore(uint8 i, uint16 n) external {
        if (pledges.nodeOf(node(i)).active != 0 || n >= 100) pledges_(i, uint256(n) * 1 ether + 1);
    }

    function leaves(uint8 i) external {
        Pledge.Node memory n = pledges.nodeOf(node(i));
        vm.prank(node(i));
        if (n.active != 0 && n.paid == n.releasing) pledges.giveNotice();
        else pledges.withdraw();
    }

    function epochEnds(uint64 b, uint64 burnt, uint64[3] calldata gross, uint8 roles) external {
        vm.warp(block.timestamp + 600);
        uint64 epoch = uint64(block.timestamp / 600 - 1);
        bytes32[] memory hashes = new bytes32[](3);
        uint256 sum = 0;
        for (uint64 i = 0; i < 3; ++i) {
            address cn = roles >> 4 & 1 == 1 ? address(0) : node(i + 1);
            waiting.push(Claims.Claim(epoch, i, node(roles + i), roles >> i & 1, gross[i], cn, node(i + 2)));
            hashes[i] = leafOf(waiting[waiting.length - 1]);
            sum += gross[i];
        }
        for (uint256 i = 0; i < 3; ++i) {
            (bytes32 root, bytes32[] memory proof) = tree(hashes, 2, i);
            proofs.push(proof);
            if (i == 2) settle(epoch, uint256(b) % 1e15, burnt, roles >> 5 == 7 ? sum / 2 : sum, root);
        }
    }

    function claims(uint8 which) external {
        if (waiting.length == 0) return;
        uint256 i = which % waiting.length;
        Claims.Claim memory c = waiting[i];
        bool done = settlement.claimed(c.epoch, c.index);
        uint256 pool = address(prize).balance;
        try settlement.claim(c, proofs[i]) returns (uint256 amount) {
            require(!done, "twice");
            claimedSum += amount;
            uint256 cap = pledges.activeAt(c.node, c.epoch * 600) * 139 / 1_000_000;
            require(amount <= cap, "above the pledge");
            uint256 service = c.role == 0 ? amount * 6 / 100 : 0;
            uint256 toPool = amount * 4 / 100 + (c.cn == address(0) ? service / 2 : 0);
            locked[c.node] += amount - service - amount * 4 / 100;
            if (c.cn != address(0)) locked[c.cn] += service / 2;
            locked[c.auditor] += service - service / 2;
            poolParts += toPool;
            eq(address(prize).balance - pool, toPool, "pool's part");
        } catch {
            (, uint128 sum, uint128 allowed, uint128 paid) = settlement.epochs(c.epoch);
            require(done || (sum != 0 && paid + uint256(c.gross) * allowed / sum > allowed), "refused for no reason");
        }
    }

    function withdraws(uint8 i, uint8 part, uint8 days_) external {
        vm.warp(block.timestamp + uint256(days_ % 40) * 1 days);
        (, uint256 available) = settlement.rewardsOf(node(i));
        uint256 want = available * part / 255;
        vm.prank(node(i));
        uint256 bonus = settlement.withdraw(want);
        require(bonus <= want / 20, "above 5 %");
        withdrawn[node(i)] += want;
        bonuses += bonus;
    }

    function check() external view {
        uint256 coins = Addresses.TRAFFIC_VAULT.balance + Addresses.PRIZE_POOL.balance + Addresses.PLEDGE.balance
            + Addresses.TRAFFIC_SETTLEMENT.balance;
        (uint256 lockedSum, uint256 pledgeSum) = (0, 0);
        for (uint256 i = 0; i < NODES; ++i) {
            (uint256 left,) = settlement.rewardsOf(node(i));
            eq(left + withdrawn[node(i)], locked[node(i)], "a node's rewards");
            lockedSum += left;
            Pledge.Node memory n = pledges.nodeOf(node(i));
            pledgeSum += n.active + n.releasing - n.paid;
            coins += node(i).balance;
        }
        eq(coins, Units.TRAFFIC + given, "supply");
        eq(Addresses.TRAFFIC_SETTLEMENT.balance, lockedSum, "every lock is covered, nothing more");
        eq(Addresses.PLEDGE.balance, pledgeSum, "every pledge");
        eq(Addresses.PRIZE_POOL.balance, poolParts - bonuses, "the pool");
        eq(vault.released(), claimedSum, "the vault pays claims");
        eq(Addresses.TRAFFIC_VAULT.balance, Units.TRAFFIC - claimedSum, "and nothing else");
        (uint256 all,) = settlement.network();
        eq(all, lockedSum, "S");
    }
}
