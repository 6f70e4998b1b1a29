// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {World} from "./World.sol";
import {Election} from "../src/lib/Election.sol";
import {Units} from "../src/lib/Units.sol";
import {Addresses} from "../src/system/Addresses.sol";
import {WitnessStore} from "../src/system/WitnessStore.sol";

/// @notice What the end of a block costs at most.
contract EndBlockTest is World {
    /// @notice Attack: gas griefing of `endBlock`. With 1,000 candidates, in one block: six witnesses fall below 10,000, seven others are
    ///         convicted, the line runs out, the week is counted, and all 21 seats change hands. It ends below 3,500,000 of 16,000,000
    ///         gas, and the change of the set in another block below 3,000,000.
    function test_attack_gas_of_the_worst_block_with_1000_candidates() external {
        boot(21, 1_000, 21);
        next();
        for (uint256 id = 22; id <= 1_000; ++id) {
            register(account(id), 5_000);
            // Ascending: each one rises to the root.
            voteFor(address(0xb0b), id, id * 1 ether);
        }
        while (height() < 999) next();
        // Trust of all seats: slot 10 is the list, four to a word; all a signature above removal.
        uint256 data = uint256(keccak256(abi.encode(uint256(10))));
        for (uint256 i = 0; i < 6; ++i) param(Addresses.WITNESS, data + i, 10_001 * 0x0000000000000001000000000000000100000000000000010000000000000001);
        for (uint256 i = 1; i <= 21; ++i) points[account(i)] = 10_001;
        (uint8[] memory cur, uint8[] memory nxt, uint256 slot) = orders(21);
        uint256 charged = 0;
        for (uint256 r = 0; r < 6; ++r) charged |= 1 << (slot + r < 21 ? cur[slot + r] : nxt[(slot + r) % 21]);
        bytes memory proofs;
        uint256 liars = 0;
        for (uint256 seat = 0; seat < 21 && liars < 7; ++seat) {
            if (charged >> seat & 1 == 1) continue;
            proofs = abi.encodePacked(proofs, proof(account(seat + 1)));
            liars += 1;
        }
        end(account(inLine(21, 6) + 1), 6, 0x1fffff, evidenceList(proofs));
        uint256 gone = 0;
        for (uint256 i = 1; i <= 21; ++i) if (witness.candidate(i).status != WitnessStore.Status.Candidate) gone += 1;
        require(gone >= 12 && gone <= 13, "six removed, though one place may stand twice in the rounds, and seven convicted");
        eq(witness.epoch(), 1, "counted");
        require(gasOfEnd < 3_500_000, "count, removals and convictions");
        uint256 most = 0;
        while (!seated(account(1_000))) {
            next();
            if (gasOfEnd > most) most = gasOfEnd;
        }
        for (uint256 i = 0; i < 21; ++i) require(seated(account(1_000 - i)), "the best 21");
        require(most < 3_000_000, "the set changes");
        next();
        next();
        require(gasOfEnd < 300_000, "any other block");
    }

    /// @notice A vote pays for its own place in the order: it cannot be made dear by others.
    function test_a_vote_among_1000_candidates_is_cheap() external {
        boot(4, 1_000, 21);
        next();
        for (uint256 id = 5; id <= 1_000; ++id) register(account(id), 0);
        vm.deal(address(0xb0b), 100 ether);
        vm.prank(address(0xb0b));
        uint256 gas = gasleft();
        ballots.vote{value: 1 ether}(1_000);
        require(gas - gasleft() < 350_000, "from the bottom to the top");
    }
}

/// @notice Random histories, each step recomputed by other means.
contract EconomyInvariantTest is World {
    Actors internal actors;

    function setUp() external {
        actors = new Actors();
    }

    function targetContracts() external view returns (address[] memory a) {
        a = new address[](1);
        a[0] = address(actors);
    }

    /// forge-config: default.invariant.runs = 32
    /// forge-config: default.invariant.depth = 96
    function invariant_every_coin_is_explained() external view {
        actors.check();
    }
}

/// @notice Holders, candidates and blocks at random; keeps its own books by plain loops over everybody.
contract Actors is World {
    uint256 internal constant HOLDERS = 6;
    uint256 internal constant MOST = 14;
    uint256 internal given;
    // What each holder should have earned with each candidate, Q96, and how often it was rounded.
    mapping(uint256 => mapping(uint256 => uint256)) internal due;
    mapping(uint256 => mapping(uint256 => uint256)) internal claimed;
    mapping(uint256 => mapping(uint256 => uint256)) internal rounded;
    mapping(uint256 => uint256) internal ownDue;
    mapping(uint256 => uint256) internal fetched;

    constructor() {
        boot(4, 8, 5);
        next();
        ownDue[witness.idOf(creatorOfFirst())] = blocks.released() - blocks.released() / 10;
    }

    function creatorOfFirst() internal view returns (address) {
        for (uint256 i = 1; i <= 4; ++i) if (witness.candidate(i).earned != 0) return account(i);
        return address(0);
    }

    function holder(uint256 h) internal pure returns (address) {
        return address(uint160(0x401de40000 + h));
    }

    function pick(uint256 seed) internal view returns (uint256) {
        return 1 + seed % witness.candidateCount();
    }

    function registers(uint16 bonus) external {
        uint256 id = witness.candidateCount() + 1;
        if (id > MOST) return;
        given += PLEDGE;
        register(account(id), bonus % 9_001);
    }

    function votes(uint8 who, uint8 whom, uint16 n) external {
        (uint256 h, uint256 id) = (who % HOLDERS, pick(whom));
        if (witness.candidate(id).status != WitnessStore.Status.Candidate || n == 0) return;
        given += uint256(n) * 1 ether;
        rounded[h][id] += 1;
        voteFor(holder(h), id, uint256(n) * 1 ether);
    }

    function redeems(uint8 who, uint8 whom, uint16 n) external {
        (uint256 h, uint256 id) = (who % HOLDERS, pick(whom));
        (uint256 have,) = ballots.positionOf(holder(h), id);
        if (have == 0) return;
        rounded[h][id] += 1;
        vm.prank(holder(h));
        ballots.redeem(id, 1 + n % have);
    }

    function withdraws(uint8 who, uint8 days_) external {
        vm.warp(block.timestamp + uint256(days_ % 8) * 1 days);
        vm.prank(holder(who % HOLDERS));
        ballots.withdraw(3);
    }

    function claims(uint8 who, uint8 whom) external {
        (uint256 h, uint256 id) = (who % HOLDERS, pick(whom));
        rounded[h][id] += 1;
        vm.prank(holder(h));
        claimed[h][id] += ballots.claim(id);
    }

    function witnessActs(uint8 whom, uint16 x) external {
        uint256 id = pick(whom);
        WitnessStore.Status s = witness.candidate(id).status;
        vm.startPrank(account(id));
        if (x % 4 == 0) fetched[id] += witness.fetch();
        else if (x % 4 == 1) witness.setBonus(x % 9_001);
        else if (x % 16 == 2 && s == WitnessStore.Status.Candidate) witness.resign();
        else if (x % 4 == 3 && s == WitnessStore.Status.Resigned) witness.withdrawPledge();
        vm.stopPrank();
    }

    function fallsSilent(uint8 whom) external {
        address who = account(pick(whom));
        silent[who] = !silent[who];
    }

    function blocksPass(uint8 n, uint16 lie) external {
        for (uint256 i = 0; i < 1 + n % 12; ++i) {
            address[] memory now_ = set();
            bool some = false;
            for (uint256 k = 0; k < now_.length; ++k) some = some || !silent[now_[k]];
            if (!some) silent[now_[0]] = false;
            uint256 round = 0;
            while (silent[now_[inLine(now_.length, round)]]) round += 1;
            uint256 creator = witness.idOf(now_[inLine(now_.length, round)]);
            bool lies = lie % 32 == 1 && i == 0;
            bytes memory evidence = lies ? evidenceList(proof(now_[lie / 32 % now_.length])) : NO_EVIDENCE;
            expectReward(creator, lies ? witness.idOf(now_[lie / 32 % now_.length]) : 0);
            next(evidence);
        }
    }

    /// @dev Books what the next block by `creator` has to pay, by the plain rule.
    function expectReward(uint256 creator, uint256 liar) internal {
        uint256 reward = blocks.rewardAt(height() + 1);
        uint256 node = reward - reward / 10;
        WitnessStore.Candidate memory c = witness.candidate(creator);
        // A count at the end of this block makes the new ratio the one that pays.
        uint256 epoch = witness.epoch() + ((height() + 1) % 8 == 0 ? 1 : 0);
        uint256 voters = c.votes == 0 ? 0 : node * (epoch > c.bonusSet ? c.bonusNext : c.bonusNow) / 10_000;
        for (uint256 h = 0; h < HOLDERS && voters != 0; ++h) {
            (uint256 have,) = ballots.positionOf(holder(h), creator);
            due[h][creator] += (voters << 96) * have / c.votes;
        }
        if (c.status != WitnessStore.Status.Tombstoned && creator != liar) ownDue[creator] += node - voters;
    }

    function check() external view {
        uint256 n = witness.candidateCount();
        (uint256 pledges, uint256 earned, uint256 held, uint256 owed) = (0, 0, 0, 0);
        uint256 coins = address(0).balance + Addresses.WITNESS.balance + Addresses.BALLOTS.balance
            + Addresses.PRIZE_POOL.balance + Addresses.BLOCK_REWARD_VAULT.balance;
        for (uint256 id = 1; id <= n; ++id) {
            WitnessStore.Candidate memory c = witness.candidate(id);
            pledges += c.pledge - c.pledgePaid;
            earned += c.earned;
            coins += account(id).balance;
            eq(c.earned + fetched[id], ownDue[id], "a witness' own part");
            uint256 sum = 0;
            for (uint256 h = 0; h < HOLDERS; ++h) {
                (uint256 have, uint256 claimable) = ballots.positionOf(holder(h), id);
                sum += have;
                owed += claimable;
                uint256 want = due[h][id] >> 96;
                uint256 got = claimable + claimed[h][id];
                require(got <= want + 1 && want <= got + rounded[h][id] + 1, "a holder's part");
            }
            eq(sum, c.votes, "votes");
            held += sum * 1 ether;
        }
        for (uint256 h = 0; h < HOLDERS; ++h) {
            coins += holder(h).balance;
            for (uint256 i = 0; i < ballots.redemptionsOf(holder(h)).length; ++i) held += ballots.redemptionsOf(holder(h))[i].amount;
        }
        eq(coins, Units.BLOCK + given, "supply");
        eq(Addresses.WITNESS.balance, pledges + earned, "the registry's balance");
        require(Addresses.BALLOTS.balance >= held + owed, "ballots uncovered");
        require(Addresses.BALLOTS.balance - held - owed <= 10_000, "more than rounding is left");
        eq(Addresses.BLOCK_REWARD_VAULT.balance, Units.BLOCK - blocks.released(), "vault");
        ranks(n);
    }

    /// @dev The order out of the heap is the rule applied to all candidates.
    function ranks(uint256 n) internal view {
        Election.Candidate[] memory all = new Election.Candidate[](n);
        for (uint256 id = 1; id <= n; ++id) {
            WitnessStore.Candidate memory c = witness.candidate(id);
            bool stands = c.status == WitnessStore.Status.Candidate;
            all[id - 1] = Election.Candidate(id, c.votes, stands ? witness.trustOf(id) : 0, c.voters);
        }
        uint256[] memory want = Election.elect(all, n);
        uint32[] memory got = witness.ranking(n);
        eq(got.length, want.length, "eligible");
        for (uint256 i = 0; i < got.length; ++i) eq(got[i], want[i], "rank");
    }
}
