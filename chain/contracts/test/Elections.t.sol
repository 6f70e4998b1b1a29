// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {World} from "./World.sol";
import {Trust} from "../src/lib/Trust.sol";
import {Units} from "../src/lib/Units.sol";
import {Addresses} from "../src/system/Addresses.sol";
import {Ballots} from "../src/system/Ballots.sol";
import {SystemContract} from "../src/system/SystemContract.sol";
import {Witness} from "../src/system/Witness.sol";
import {WitnessStore} from "../src/system/WitnessStore.sol";

/// @notice Registration, trust, counts, succession, evidence: through `endBlock`, block by block.
contract ElectionsTest is World {
    function test_tested_code_is_the_committed_code() external {
        boot(1, 0, 0);
        require(Addresses.WITNESS.codehash == keccak256(type(Witness).runtimeCode), "Witness");
        require(Addresses.BALLOTS.codehash == keccak256(type(Ballots).runtimeCode), "Ballots");
    }

    function test_only_the_system_ends_a_block() external {
        boot(4, 0, 0);
        vm.expectRevert(abi.encodeWithSelector(SystemContract.OnlySystem.selector, address(this)));
        witness.endBlock(account(1), 0, 0, NO_EVIDENCE);
        vm.expectRevert(abi.encodeWithSelector(SystemContract.OnlySystem.selector, address(this)));
        witness.ballotsChanged(1, 1, 1, true);
        vm.expectRevert(abi.encodeWithSelector(SystemContract.OnlySystem.selector, address(this)));
        ballots.credit(1);
        (bool ok,) = Addresses.WITNESS.call{value: 1}("");
        require(!ok, "coins from a stranger");
    }

    function test_witnesses_of_the_genesis_become_candidates_in_the_first_block() external {
        boot(21, 0, 0);
        vm.expectRevert(Witness.NotStarted.selector);
        witness.register("", "", "", 0);
        next();
        eq(witness.candidateCount(), 21, "candidates");
        for (uint256 i = 1; i <= 21; ++i) {
            WitnessStore.Candidate memory c = witness.candidate(i);
            require(c.account == account(i) && c.status == WitnessStore.Status.Candidate, "candidate");
            eq(witness.idOf(account(i)), i, "id");
            eq(witness.seats()[i - 1], i, "seat");
        }
        run(25);
    }

    function test_trust_is_that_of_the_vectors_height_by_height() external {
        string memory j = vectors();
        boot(21, 0, 0);
        bytes32 mix0 = hex32(j, ".dpos_scenario", "mix0");
        param(Addresses.WITNESS, 5, uint256(mix0));
        param(Addresses.WITNESS, 6, uint256(mix0));
        heads[0].mix = mix0;
        uint256[] memory rounds = vm.parseJsonUintArray(j, ".dpos_scenario.rounds");
        for (uint256 h = 0; h < rounds.length; ++h) {
            string memory p = item("dpos_scenario.trace", h);
            uint256 bitmap = 0;
            uint256[] memory signers = vm.parseJsonUintArray(j, item("dpos_scenario.signers", h));
            for (uint256 i = 0; i < signers.length; ++i) bitmap |= 1 << signers[i];
            uint256 creator = inLine(21, rounds[h]);
            eq(creator, num(j, p, "proposer"), p);
            endWith(account(creator + 1), rounds[h], bitmap, NO_EVIDENCE, hex32(j, p, "mix"));
            uint256[] memory trust = vm.parseJsonUintArray(j, string.concat(p, ".trust"));
            for (uint256 i = 0; i < 21; ++i) eq(witness.trustOf(i + 1), trust[i], p);
        }
    }

    /// @dev Trust of seat `i` in storage: slot 10 is the list, four to a word.
    function setTrust(uint256 i, uint256 trust) internal {
        bytes32 slot = bytes32(uint256(keccak256(abi.encode(uint256(10)))) + i / 4);
        uint256 shift = i % 4 * 64;
        uint256 word = uint256(vm.load(Addresses.WITNESS, slot));
        vm.store(Addresses.WITNESS, slot, bytes32(word & ~(uint256(type(uint64).max) << shift) | trust << shift));
        points[account(i + 1)] = trust;
    }

    function test_election_vectors_through_votes_and_the_count() external {
        string memory j = vectors();
        uint256 n = count(j, "election.candidates");
        boot(n, 10, num(j, ".election", "seats"));
        next();
        for (uint256 i = 0; i < n; ++i) {
            string memory p = item("election.candidates", i);
            eq(num(j, p, "id"), i, "vector ids are places");
            (uint256 votes, uint256 voters) = (num(j, p, "votes"), num(j, p, "voters"));
            for (uint256 v = 0; v < voters; ++v) {
                voteFor(address(uint160(0xb0b0000 + i * 100 + v)), i + 1, v == 0 ? (votes - voters + 1) * 1 ether : 1 ether);
            }
            setTrust(i, num(j, p, "trust"));
        }
        // Nobody makes this block and nobody signs: trust stays what the vectors say; whoever is below 10,000 goes.
        end(address(0xdead), 0, 0, NO_EVIDENCE);
        uint256[] memory all = vm.parseJsonUintArray(j, ".election.all");
        uint32[] memory ranking = witness.ranking(42);
        eq(ranking.length, all.length, "eligible");
        for (uint256 i = 0; i < all.length; ++i) eq(ranking[i], all[i] + 1, "rank");
        while (height() < 10) end(address(0xdead), 0, 0, NO_EVIDENCE);
        uint256[] memory few = vm.parseJsonUintArray(j, ".election.elected");
        for (uint256 i = 0; i < few.length; ++i) {
            bool in_ = false;
            for (uint256 k = 0; k < 4; ++k) in_ = in_ || witness.nextSeats()[k] == few[i] + 1;
            require(in_, "elected");
        }
        eq(witness.nextSeats().length, 4, "seats");
    }

    function test_a_count_seats_whom_it_elected_with_the_first_round_that_is_not_fixed() external {
        boot(4, 10, 4);
        next();
        address late = account(5);
        eq(register(late, 5_000), 5, "id");
        voteFor(address(0xb0b), 5, 100 ether);
        run(8);
        require(!seated(late) && witness.epoch() == 0, "not counted yet");
        next();
        eq(witness.epoch(), 1, "counted in the last block of the epoch");
        uint256 due = witness.changeRound();
        (uint64 round,) = witness.turn();
        eq(due, round + 2, "this round's order and the next one's are fixed");
        while (round < due) {
            require(!seated(late), "too early");
            next();
            (round,) = witness.turn();
        }
        require(seated(late), "seated");
        eq(set().length, 4, "four seats");
        eq(witness.trustOf(5), Trust.START, "trust of a new witness");
        // The bitmap of this block names seats of the set before: nobody new gains by it, and who left does not.
        uint256 before = witness.trustOf(5);
        next();
        require(witness.trustOf(5) <= before + 10, "signed nothing yet");
        run(30);
        require(witness.trustOf(5) > Trust.START + 30, "signs like all others");
    }

    function test_signers_of_the_old_set_are_not_mistaken_for_holders_of_their_seats() external {
        boot(4, 10, 4);
        next();
        register(account(5), 0);
        voteFor(address(0xb0b), 5, 100 ether);
        while (!seated(account(5))) next();
        // Everybody of the old set signed its last block: the newcomer sits where one of them sat.
        uint32[] memory seats = witness.seats();
        uint256[] memory trust = new uint256[](4);
        for (uint256 i = 0; i < 4; ++i) trust[i] = witness.trustOf(seats[i]);
        end(address(0xdead), 0, 0xf, NO_EVIDENCE);
        for (uint256 i = 0; i < 4; ++i) {
            eq(witness.trustOf(seats[i]) - trust[i], seats[i] == 5 ? 0 : 1, "signed");
        }
    }

    function test_a_silent_witness_is_removed_below_10000_and_the_next_in_line_sits() external {
        boot(21, 100_000, 21);
        next();
        register(account(22), 0);
        register(account(23), 0);
        voteFor(address(0xb0b), 23, 5 ether);
        silent[account(7)] = true;
        // From 28,800 it takes 189 turns (Witnesses.t.sol); the last 29 of them are enough here.
        setTrust(6, 12_800);
        uint256 blocks_ = 0;
        while (witness.candidate(7).status == WitnessStore.Status.Candidate) {
            this.one();
            blocks_ += 1;
        }
        eq(witness.candidate(7).lastTrust, 9_900, "trust");
        require(blocks_ > 28 * 20 && blocks_ < 30 * 21, "one turn in 21");
        require(seated(account(7)) && !seated(account(23)), "the orders of two rounds are fixed");
        uint256 waited = 0;
        while (!seated(account(23))) {
            next();
            waited += 1;
        }
        require(waited <= 42, "two rounds");
        require(!seated(account(7)) && !seated(account(22)), "23 has votes, 22 has none");
        eq(set().length, 21, "seats");
        eq(witness.trustOf(7), witness.candidate(7).lastTrust, "keeps what it was removed with");
        vm.prank(account(7));
        vm.expectRevert(abi.encodeWithSelector(Witness.TooEarly.selector, 0));
        witness.rejoin();
    }

    function test_a_removed_witness_comes_back_after_a_count_with_28800() external {
        boot(5, 50, 4);
        next();
        setTrust(2, 10_050);
        silent[account(3)] = true;
        while (witness.candidate(3).status == WitnessStore.Status.Candidate) next();
        vm.deal(address(0xb0b), 1 ether);
        vm.prank(address(0xb0b));
        vm.expectRevert(abi.encodeWithSelector(Witness.WrongStatus.selector, WitnessStore.Status.Removed));
        ballots.vote{value: 1 ether}(3);
        while (witness.epoch() == 0) next();
        silent[account(3)] = false;
        vm.prank(account(3));
        witness.rejoin();
        voteFor(address(0xb0b), 3, 2 ether);
        while (!seated(account(3))) next();
        eq(witness.epoch(), 2, "elected by the second count");
        eq(witness.trustOf(3), Trust.START, "28,800 again");
    }

    function test_a_liar_loses_seat_trust_and_pledge_for_good() external {
        boot(5, 10, 5);
        next();
        register(account(6), 0);
        voteFor(address(0xb0b), 6, 10 ether);
        while (!seated(account(6))) next();
        uint256 burned = address(0).balance;
        bytes memory twice = abi.encodePacked(proof(account(6)), proof(account(6)), proof(address(0xbad)));
        next(evidenceList(twice));
        eq(address(0).balance - burned, PLEDGE, "burned once");
        eq(witness.trustOf(6), 0, "trust");
        next();
        eq(witness.trustOf(6), 0, "gains nothing in the seat it still has");
        while (seated(account(6))) next();
        vm.prank(account(6));
        vm.expectRevert(abi.encodeWithSelector(Witness.WrongStatus.selector, WitnessStore.Status.Tombstoned));
        witness.rejoin();
        vm.prank(account(6));
        vm.expectRevert(abi.encodeWithSelector(Witness.WrongStatus.selector, WitnessStore.Status.Tombstoned));
        witness.withdrawPledge();
        vm.prank(account(6));
        vm.expectRevert(abi.encodeWithSelector(Witness.WrongStatus.selector, WitnessStore.Status.Tombstoned));
        witness.resign();
        next(evidenceList(proof(account(6))));
        eq(address(0).balance - burned, PLEDGE, "a second conviction finds nothing");
        // Its voters get their ballots back all the same.
        vm.prank(address(0xb0b));
        ballots.redeem(6, 10);
        run(12);
        require(!seated(account(6)), "no count brings it back");
    }

    function test_a_liar_earns_no_more_by_its_last_blocks_but_its_voters_do() external {
        boot(4, 10, 4);
        next();
        register(account(5), 9_000);
        voteFor(address(0xb0b), 5, 10 ether);
        while (!seated(account(5))) next();
        next(evidenceList(proof(account(5))));
        uint256 earned = witness.candidate(5).earned;
        (, uint256 claimable) = ballots.positionOf(address(0xb0b), 5);
        uint256 pool = Addresses.PRIZE_POOL.balance;
        uint256 released = blocks.released();
        end(account(5), 0, 0, NO_EVIDENCE);
        uint256 reward = blocks.released() - released;
        eq(witness.candidate(5).earned, earned, "nothing");
        (, uint256 after_) = ballots.positionOf(address(0xb0b), 5);
        uint256 voters = (reward - reward / 10) * 9_000 / 10_000;
        require(after_ - claimable <= voters && voters - (after_ - claimable) <= 1, "voters");
        eq(Addresses.PRIZE_POOL.balance - pool, reward - voters, "the rest is the prize pool's");
    }

    function test_seats_without_a_successor_are_closed_down_to_four() external {
        boot(6, 0, 0);
        next();
        for (uint256 i = 1; i <= 6; ++i) {
            vm.prank(account(i));
            witness.resign();
            eq(witness.nextSeats().length, i < 3 ? 6 - i : 4, "target");
        }
        run(20);
        eq(set().length, 4, "four stay");
        // Places with fewer seats are those of the nodes: checked after every block.
        run(30);
    }

    function test_whoever_in_line_stands_no_more_is_passed_over() external {
        boot(4, 10, 4);
        next();
        for (uint256 id = 1; id <= 7; ++id) {
            if (id > 4) register(account(id), 0);
            voteFor(address(0xb0b), id, (20 - id) * 1 ether);
        }
        while (witness.epoch() == 0) next();
        uint32[] memory line = witness.line();
        require(line.length == 3 && line[0] == 5 && line[1] == 6 && line[2] == 7, "line");
        vm.prank(account(5));
        witness.resign();
        vm.prank(account(1));
        witness.resign();
        eq(witness.nextSeats()[0], 6, "the next who stands");
        eq(witness.line().length, 1, "one left");
    }

    function test_a_count_that_would_elect_fewer_than_four_changes_nothing() external {
        boot(6, 10, 0);
        next();
        for (uint256 i = 1; i <= 3; ++i) {
            vm.prank(account(i));
            witness.resign();
        }
        run(30);
        eq(set().length, 4, "three candidates are too few for a set");
        eq(witness.epoch(), 3, "counted");
    }

    function test_more_seats_after_a_count_keep_the_place_of_the_nodes() external {
        boot(1, 7, 21);
        next();
        for (uint256 i = 2; i <= 30; ++i) register(account(i), 0);
        while (set().length == 1) next();
        eq(set().length, 21, "twenty more");
        silent[account(4)] = true;
        silent[account(9)] = true;
        run(100);
        uint256 t = seated(account(9)) ? witness.trustOf(9) : 0;
        require(t < Trust.START, "blamed by the orders of 21 seats");
    }

    function test_many_silent_rounds_end_in_the_place_of_the_nodes() external {
        boot(21, 0, 0);
        next();
        end(account(1), 4_000_000, 0, NO_EVIDENCE);
        eq(witness.trustOf(2) + witness.trustOf(3), 2 * uint256(Trust.START), "an order without that creator blames nobody");
        // The orders after the jump are those of the nodes: `score` blames by them.
        silent[account(2)] = true;
        silent[account(5)] = true;
        run(60);
        require(witness.trustOf(5) < Trust.START, "blamed");
    }

    function test_registration_wants_pledge_keys_and_their_signature() external {
        boot(4, 10, 0);
        next();
        address who = account(5);
        (bytes32 voteKey, bytes memory revealKey) = keys(who);
        bytes memory good = signed(who, voteKey, revealKey);
        vm.deal(who, 100_000 ether);
        vm.startPrank(who);
        vm.expectRevert(abi.encodeWithSelector(Witness.BadPledge.selector, PLEDGE - 1));
        witness.register{value: PLEDGE - 1}(voteKey, revealKey, good, 0);
        vm.expectRevert(abi.encodeWithSelector(Witness.BadBonus.selector, 9_001));
        witness.register{value: PLEDGE}(voteKey, revealKey, good, 9_001);
        vm.expectRevert(Witness.BadKey.selector);
        witness.register{value: PLEDGE}(voteKey, abi.encodePacked(revealKey, uint8(0)), good, 0);
        vm.expectRevert(Witness.BadKey.selector);
        witness.register{value: PLEDGE}(voteKey, revealKey, signed(account(6), voteKey, revealKey), 0);
        vm.expectRevert(Witness.BadKey.selector);
        witness.register{value: PLEDGE}(voteKey, revealKey, abi.encodePacked(good, uint8(0)), 0);
        (bytes32 theirs, bytes memory their) = keys(account(1));
        vm.expectRevert(Witness.KeyUsed.selector);
        witness.register{value: PLEDGE}(theirs, revealKey, good, 0);
        vm.expectRevert(Witness.KeyUsed.selector);
        witness.register{value: PLEDGE}(voteKey, abi.encodePacked(bytes32(their), bytes16(uint128(1))), good, 0);
        eq(witness.register{value: PLEDGE}(voteKey, revealKey, good, 9_000), 5, "id");
        vm.expectRevert(abi.encodeWithSelector(Witness.AlreadyRegistered.selector, 5));
        witness.register{value: PLEDGE}(voteKey, revealKey, good, 0);
        vm.stopPrank();
    }

    function test_a_pledge_comes_back_over_180_days_after_resigning() external {
        boot(4, 10, 0);
        next();
        register(account(5), 0);
        vm.startPrank(account(5));
        vm.expectRevert(abi.encodeWithSelector(Witness.WrongStatus.selector, WitnessStore.Status.Candidate));
        witness.withdrawPledge();
        witness.resign();
        vm.expectRevert(abi.encodeWithSelector(Witness.WrongStatus.selector, WitnessStore.Status.Resigned));
        witness.resign();
        eq(witness.withdrawPledge(), 0, "day 0");
        vm.warp(block.timestamp + 90 days);
        eq(witness.withdrawPledge(), PLEDGE / 2, "half after 90 days");
        eq(witness.withdrawPledge(), 0, "once");
        vm.warp(block.timestamp + 1_000 days);
        eq(witness.withdrawPledge(), PLEDGE / 2, "the rest");
        vm.stopPrank();
        eq(account(5).balance, PLEDGE, "all of it");
    }

    function test_the_block_is_rewarded_on_the_curve_and_shared_by_the_ratio() external {
        boot(4, 10, 0);
        next();
        eq(witness.candidate(1).earned + witness.candidate(2).earned + witness.candidate(3).earned + witness.candidate(4).earned,
            511_111_065_976_369_158 - 51_111_106_597_636_915, "nobody to share with: the creator's");
        register(account(5), 8_000);
        voteFor(address(0xb0b), 5, 3 ether);
        voteFor(address(0xa11ce), 5, 1 ether);
        uint256 released = blocks.released();
        end(account(5), 0, 0, NO_EVIDENCE);
        uint256 node = (blocks.released() - released) * 9 / 10 + 1;
        uint256 voters = node * 8_000 / 10_000;
        (, uint256 b) = ballots.positionOf(address(0xb0b), 5);
        (, uint256 a) = ballots.positionOf(address(0xa11ce), 5);
        require(a + b <= voters && voters - a - b <= 2 && b / 3 - a <= 1, "three to one");
        eq(witness.candidate(5).earned, node - voters, "the witness' part");
        vm.prank(account(5));
        eq(witness.fetch(), node - voters, "fetched");
        vm.prank(account(5));
        eq(witness.fetch(), 0, "once");
        vm.prank(address(0xb0b));
        eq(ballots.claim(5), b, "claimed");
        vm.prank(address(0xb0b));
        eq(ballots.claim(5), 0, "once");
    }

    function test_a_vault_that_does_not_pay_stops_no_block() external {
        boot(4, 10, 0);
        vm.deal(Addresses.BLOCK_REWARD_VAULT, 0);
        run(3);
        eq(blocks.released(), 0, "nothing paid");
        // Not even one that takes all gas it gets.
        vm.etch(Addresses.BLOCK_REWARD_VAULT, hex"fe");
        vm.deal(Addresses.BLOCK_REWARD_VAULT, Units.BLOCK);
        run(20);
        eq(height(), 23, "goes on");
    }
}
