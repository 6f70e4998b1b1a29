// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Base} from "./Vm.sol";
import {World} from "./World.sol";
import {Election} from "../src/lib/Election.sol";
import {EvidenceList} from "../src/lib/EvidenceList.sol";
import {Ranking} from "../src/lib/Ranking.sol";
import {Addresses} from "../src/system/Addresses.sol";
import {Ballots} from "../src/system/Ballots.sol";
import {SystemContract} from "../src/system/SystemContract.sol";
import {Witness} from "../src/system/Witness.sol";
import {WitnessStore} from "../src/system/WitnessStore.sol";

/// @notice Enters again with every payment it gets, and keeps what that brings.
contract Reenterer {
    Ballots internal constant ballots = Ballots(Addresses.BALLOTS);
    Witness internal constant witness = Witness(payable(Addresses.WITNESS));
    uint256 public mode;
    uint256 public entered;

    function setMode(uint256 m) external {
        mode = m;
    }

    function vote(uint256 id) external payable {
        ballots.vote{value: msg.value}(id);
    }

    function redeem(uint256 id, uint256 amount) external {
        ballots.redeem(id, amount);
    }

    function register(bytes32 voteKey, bytes calldata revealKey, bytes calldata signature) external payable {
        witness.register{value: msg.value}(voteKey, revealKey, signature, 5_000);
    }

    function resign() external {
        witness.resign();
    }

    function act() public {
        if (mode == 1) ballots.withdraw(10);
        if (mode == 2) ballots.claim(5);
        if (mode == 3) witness.fetch();
        if (mode == 4) witness.withdrawPledge();
        if (mode == 5) ballots.vote{value: 1 ether}(5);
        if (mode == 6) ballots.redeem(5, 1);
    }

    receive() external payable {
        entered += 1;
        if (entered < 4) act();
    }
}

/// @notice Ballots: votes, redemption, rewards of voters; and the attacks of the design with the number each ends in.
contract VotesTest is World {
    address internal constant A = address(0xa11ce);
    address internal constant B = address(0xb0b);

    function setUp() external {
        boot(4, 100, 4);
        next();
        register(account(5), 5_000);
        register(account(6), 5_000);
    }

    function claimable(address holder, uint256 id) internal view returns (uint256 c) {
        (, c) = ballots.positionOf(holder, id);
    }

    function test_a_vote_is_at_least_one_nfc_for_a_candidate() external {
        vm.deal(A, 10 ether);
        vm.startPrank(A);
        vm.expectRevert(abi.encodeWithSelector(Ballots.NotWhole.selector, 1 ether - 1));
        ballots.vote{value: 1 ether - 1}(5);
        vm.expectRevert(abi.encodeWithSelector(Witness.WrongStatus.selector, WitnessStore.Status.None));
        ballots.vote{value: 1 ether}(7);
        ballots.vote{value: 1 ether}(5);
        vm.expectRevert(abi.encodeWithSelector(Ballots.NotWhole.selector, 0));
        ballots.vote(5);
        ballots.vote{value: 2 ether}(5);
        ballots.vote{value: 2 ether}(6);
        vm.stopPrank();
        (uint256 votes, uint256 voters) = ballots.poolOf(5);
        eq(votes, 3, "votes");
        eq(voters, 1, "one holder, however often");
        eq(witness.candidate(5).votes, votes, "the registry's copy");
        (votes, voters) = ballots.poolOf(6);
        eq(votes + voters, 2 + 1, "several witnesses a holder");
    }

    function test_redeemed_ballots_come_back_after_seven_days_and_not_a_second_before() external {
        voteFor(A, 5, 10 ether);
        vm.startPrank(A);
        vm.expectRevert(abi.encodeWithSelector(Ballots.BadNumber.selector, 11));
        ballots.redeem(5, 11);
        vm.expectRevert(abi.encodeWithSelector(Ballots.BadNumber.selector, 0));
        ballots.redeem(5, 0);
        vm.expectRevert(abi.encodeWithSelector(Ballots.BadNumber.selector, 1));
        ballots.redeem(6, 1);
        uint256 t = block.timestamp;
        ballots.redeem(5, 4);
        vm.warp(t + 3 days);
        ballots.redeem(5, 6);
        (uint256 votes, uint256 voters) = ballots.poolOf(5);
        eq(votes + voters, 0, "stop counting at once");
        vm.warp(t + 7 days - 1);
        eq(ballots.withdraw(10), 0, "early");
        vm.warp(t + 7 days);
        eq(ballots.withdraw(10), 4 ether, "the first");
        eq(ballots.redemptionsOf(A).length, 1, "one left");
        vm.warp(t + 11 days);
        eq(ballots.withdraw(0), 0, "in parts");
        eq(ballots.withdraw(1), 6 ether, "the second");
        eq(ballots.withdraw(10), 0, "nothing twice");
        vm.stopPrank();
        eq(A.balance, 10 ether, "all");
    }

    /// @notice Attack: vote just before the count, redeem just after. The coins come back 7 days later, after the next count: they count in 1 of
    ///         2 counts, and after that first one they earn nothing.
    function test_attack_vote_just_before_the_count() external {
        for (uint256 i = 1; i <= 4; ++i) voteFor(A, i, 10 ether);
        while (height() < 99) next();
        voteFor(B, 6, 1_000 ether);
        next();
        eq(witness.epoch(), 1, "counted");
        uint256 earned = claimable(B, 6);
        vm.prank(B);
        ballots.redeem(6, 1_000);
        while (!seated(account(6))) next();
        for (uint256 i = 0; i < 20; ++i) next();
        eq(claimable(B, 6), earned, "no reward of the term it decided");
        // A week's count: 201,600 blocks of 3 s are the 604,800 s of the delay.
        vm.warp(block.timestamp + 7 days - 100 * 3);
        vm.prank(B);
        eq(ballots.withdraw(10), 0, "the count of the next week passes without them");
        while (witness.epoch() < 2) next();
        vm.prank(B);
        eq(ballots.withdraw(10), 1_000 ether, "then they are back");
        while (seated(account(6))) next();
    }

    /// @notice Attack: redeem and vote again with the same coins. 0 coins can be used: the second vote has to bring new ones.
    function test_attack_redeem_and_vote_again() external {
        voteFor(B, 5, 100 ether);
        vm.startPrank(B);
        ballots.redeem(5, 100);
        eq(B.balance, 0, "nothing to vote with");
        (bool ok,) = Addresses.BALLOTS.call{value: 1 ether}(abi.encodeCall(Ballots.vote, (6)));
        require(!ok, "voted with coins that are not there");
        vm.stopPrank();
        (uint256 five,) = ballots.poolOf(5);
        (uint256 six,) = ballots.poolOf(6);
        eq(five + six, 0, "votes");
    }

    /// @notice Attack: promise 90 %, be elected, pay nothing. The ratio of the count holds until the next one: 90 % of 100 % of the term's rewards.
    function test_attack_bonus_switch_after_the_votes() external {
        vm.prank(account(5));
        witness.setBonus(9_000);
        eq(witness.bonusOf(5), 5_000, "the old one until the count");
        voteFor(B, 5, 100 ether);
        while (witness.epoch() < 1) next();
        eq(witness.bonusOf(5), 9_000, "from the count on");
        vm.startPrank(account(5));
        witness.setBonus(0);
        eq(witness.bonusOf(5), 9_000, "not in this term");
        witness.setBonus(1);
        witness.setBonus(0);
        vm.stopPrank();
        eq(witness.bonusOf(5), 9_000, "nor by setting it again");
        uint256 owed = claimable(B, 5);
        uint256 released = blocks.released();
        end(account(5), 0, 0, NO_EVIDENCE);
        uint256 reward = blocks.released() - released;
        uint256 voters = (reward - reward / 10) * 9_000 / 10_000;
        require(voters - (claimable(B, 5) - owed) <= 1, "90 % of the rest");
        while (witness.epoch() < 2) next();
        eq(witness.bonusOf(5), 0, "in the next term");
        vm.prank(account(5));
        vm.expectRevert(abi.encodeWithSelector(Witness.BadBonus.selector, 9_001));
        witness.setBonus(9_001);
    }

    /// @notice Attack: vote before a block of the witness, redeem after it. One part in a hundred of that one block, and seven days without the
    ///         coins: 99 of 100 parts stay with who stayed.
    function test_attack_ballots_for_one_block() external {
        voteFor(A, 5, 99 ether);
        end(account(5), 0, 0, NO_EVIDENCE);
        uint256 first = claimable(A, 5);
        voteFor(B, 5, 1 ether);
        eq(claimable(B, 5), 0, "nothing of blocks before");
        end(account(5), 0, 0, NO_EVIDENCE);
        vm.prank(B);
        ballots.redeem(5, 1);
        uint256 got = claimable(B, 5);
        end(account(5), 0, 0, NO_EVIDENCE);
        eq(claimable(B, 5), got, "nothing of blocks after");
        require(first / 100 - got <= 1 && got <= first / 100 + 1, "one part in a hundred");
        eq(B.balance, 0, "coins are away");
        vm.prank(B);
        eq(ballots.claim(5), got, "what is earned stays earned");
    }

    /// @notice Attack: reentrancy from every payment. Each brings exactly what one call brings; the books of both contracts hold.
    function test_attack_reentrancy_from_every_payment() external {
        Reenterer r = new Reenterer();
        (bytes32 voteKey, bytes memory revealKey) = keys(address(r));
        bytes memory signature = signed(address(r), voteKey, revealKey);
        vm.deal(address(this), PLEDGE + 100 ether);
        r.register{value: PLEDGE}(voteKey, revealKey, signature);
        r.vote{value: 50 ether}(5);
        voteFor(A, 5, 50 ether);
        end(account(5), 0, 0, NO_EVIDENCE);
        end(address(r), 0, 0, NO_EVIDENCE);
        // Rewards of ballots.
        uint256 owed = claimable(address(r), 5);
        attack(r, 2, owed);
        // Rewards of the witness.
        attack(r, 3, witness.candidate(7).earned);
        // Redeemed ballots.
        r.redeem(5, 20);
        r.redeem(5, 10);
        vm.warp(block.timestamp + 7 days);
        attack(r, 1, 30 ether);
        // The pledge.
        r.resign();
        vm.warp(block.timestamp + 18 days);
        attack(r, 4, PLEDGE / 10);
        (uint256 votes,) = ballots.poolOf(5);
        eq(votes, 70, "ballots that stand");
        require(Addresses.BALLOTS.balance >= 70 ether + claimable(A, 5), "covered");
        // A vote or a redemption while being paid is one like any other.
        end(account(5), 0, 0, NO_EVIDENCE);
        mixed(r, 5, 71);
        end(account(5), 0, 0, NO_EVIDENCE);
        mixed(r, 6, 70);
    }

    function attack(Reenterer r, uint256 mode, uint256 due) internal {
        r.setMode(mode);
        uint256 before = address(r).balance;
        uint256 entered = r.entered();
        require(due != 0, "something to steal");
        r.act();
        eq(address(r).balance - before, due, "once");
        vm.store(address(r), bytes32(uint256(1)), bytes32(0));
        require(r.entered() == 0 && entered == 0, "counter");
    }

    function mixed(Reenterer r, uint256 mode, uint256 want) internal {
        r.setMode(mode);
        vm.prank(address(r));
        ballots.claim(5);
        vm.store(address(r), bytes32(uint256(1)), bytes32(0));
        (uint256 votes,) = ballots.poolOf(5);
        eq(votes, want, "books");
    }

    /// @notice A witness whose account takes no coins: rewards wait, blocks go on.
    function test_an_account_that_refuses_coins_stops_nothing() external {
        vm.etch(account(1), hex"fe");
        voteFor(A, 1, 10 ether);
        run(20);
        uint256 earned = witness.candidate(1).earned;
        require(earned != 0, "waits");
        vm.prank(account(1));
        vm.expectRevert(abi.encodeWithSelector(SystemContract.PaymentRefused.selector, account(1), earned));
        witness.fetch();
        eq(witness.candidate(1).earned, earned, "still there");
    }

    function test_rounding_of_a_thousand_blocks_loses_less_than_a_unit_a_holder() external {
        uint256 paid = 0;
        for (uint256 i = 0; i < 7; ++i) voteFor(address(uint160(0xb0b000 + i)), 5, (1 + i * i) * 1 ether);
        for (uint256 n = 0; n < 300; ++n) {
            uint256 released = blocks.released();
            end(account(5), 0, 0, NO_EVIDENCE);
            uint256 reward = blocks.released() - released;
            paid += (reward - reward / 10) * 5_000 / 10_000;
        }
        uint256 got = 0;
        for (uint256 i = 0; i < 7; ++i) got += claimable(address(uint160(0xb0b000 + i)), 5);
        require(got <= paid && paid - got <= 8, "exact");
    }
}

/// @notice The heap behind the count, against the plain rule of the library.
contract RankingTest is Base {
    using Ranking for Ranking.Heap;

    Ranking.Heap internal heap;
    uint256[] internal true_;

    function testFuzz_keys_are_ordered_as_the_rule_says(
        uint96[2] calldata votes,
        uint64[2] calldata trust,
        uint64[2] calldata voters,
        uint32[2] calldata ids,
        uint8 equal
    ) external pure {
        if (ids[0] == ids[1]) return;
        // Ties are where the rule shows: some of the numbers are made equal.
        uint96 v = equal & 1 != 0 ? votes[0] : votes[1];
        uint64 t = equal & 2 != 0 ? trust[0] : trust[1];
        uint64 d = equal & 4 != 0 ? voters[0] : voters[1];
        bool ahead = Election.ahead(
            Election.Candidate(ids[0], votes[0], trust[0], voters[0]), Election.Candidate(ids[1], v, t, d)
        );
        uint256 a = Ranking.key(votes[0], trust[0], voters[0], ids[0]);
        require((a > Ranking.key(v, t, d, ids[1])) == ahead, "order");
        eq(Ranking.idOf(a), ids[0], "id");
    }

    function testFuzz_best_is_the_sorted_list_after_any_history(uint256 seed) external {
        uint256 n = 40;
        uint256[] memory keys = new uint256[](n + 1);
        for (uint256 step = 0; step < 120; ++step) {
            seed = uint256(keccak256(abi.encode(seed)));
            uint32 id = uint32(1 + seed % n);
            if (seed >> 64 & 3 == 0) {
                heap.remove(id);
                keys[id] = 0;
            } else {
                keys[id] = Ranking.key(uint96(seed >> 80 & 7), 28_800, uint64(seed >> 96 & 3), id);
                heap.put(keys[id]);
            }
        }
        uint256[] memory skip = new uint256[](5);
        for (uint256 i = 0; i < 5; ++i) skip[i] = 1 + (seed >> 128) % 8 * 5 + i;
        uint256[] memory got = heap.best(12, skip);
        uint256 last = type(uint256).max;
        for (uint256 i = 0; i < 13; ++i) {
            uint256 best = 0;
            for (uint256 id = 1; id <= n; ++id) {
                bool left = id >= skip[0] && id < skip[0] + 5;
                if (!left && keys[id] < last && keys[id] > best) best = keys[id];
            }
            if (i == 12 || best == 0) {
                eq(got.length, i, "length");
                break;
            }
            eq(got[i], best, "place");
            last = best;
        }
    }

    function test_insert_keeps_the_order() external pure {
        uint256[] memory list = new uint256[](0);
        uint256[5] memory keys = [uint256(5), 9, 1, 7, 3];
        for (uint256 i = 0; i < 5; ++i) list = Ranking.insert(list, keys[i]);
        for (uint256 i = 0; i < 5; ++i) eq(list[i], 9 - 2 * i, "place");
    }
}

/// @notice The reader of evidence against hostile bytes.
contract EvidenceListTest is Base {
    function read(bytes calldata data, uint256 most) external pure returns (address[] memory) {
        return EvidenceList.accounts(data, most);
    }

    function testFuzz_no_bytes_make_it_revert(bytes calldata data) external view {
        require(this.read(data, 7).length <= 7, "bounded");
    }

    function testFuzz_no_cut_or_flip_of_true_evidence_makes_it_revert(uint256 seed) external view {
        string memory j = vm.readFile("vectors/evidence.json");
        bytes memory data = vm.parseJsonBytes(j, ".cases[2].rlp");
        data[seed % data.length] = bytes1(uint8(seed >> 32));
        if (seed >> 40 & 1 == 1) {
            uint256 cut = (seed >> 48) % data.length;
            assembly ("memory-safe") {
                mstore(data, cut)
            }
        }
        require(this.read(data, 7).length <= 7, "bounded");
    }

    function test_accounts_are_those_the_engine_encoded() external view {
        string memory j = vm.readFile("vectors/evidence.json");
        uint256 n = count(j, "cases");
        for (uint256 i = 0; i < n; ++i) {
            string memory p = item("cases", i);
            uint256[] memory want = vm.parseJsonUintArray(j, string.concat(p, ".accounts"));
            address[] memory got = this.read(vm.parseJsonBytes(j, string.concat(p, ".rlp")), 7);
            eq(got.length, want.length, p);
            for (uint256 k = 0; k < want.length; ++k) eq(uint160(got[k]), want[k], p);
        }
    }
}
