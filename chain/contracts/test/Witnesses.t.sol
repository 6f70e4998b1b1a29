// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Base} from "./Vm.sol";
import {Election} from "../src/lib/Election.sol";
import {Shuffle} from "../src/lib/Shuffle.sol";
import {Trust} from "../src/lib/Trust.sol";

/// @notice Order of creators, trust and elections against the Python reference, bit for bit.
contract WitnessesTest is Base {
    function same(uint8[] memory got, uint256[] memory want, string memory what) internal pure {
        eq(got.length, want.length, what);
        for (uint256 i = 0; i < want.length; ++i) eq(got[i], want[i], what);
    }

    function list(string memory j, string memory p, string memory key) internal pure returns (uint256[] memory) {
        return vm.parseJsonUintArray(j, string.concat(p, ".", key));
    }

    function test_shuffle_vectors() external view {
        string memory j = vectors();
        uint256 n = count(j, "fisher_yates_21");
        for (uint256 i = 0; i < n; ++i) {
            string memory p = item("fisher_yates_21", i);
            same(Shuffle.order(hex32(j, p, "seed"), 21), list(j, p, "order"), p);
        }
        n = count(j, "fisher_yates_small");
        for (uint256 i = 0; i < n; ++i) {
            string memory p = item("fisher_yates_small", i);
            same(Shuffle.order(hex32(j, p, "seed"), uint8(num(j, p, "n"))), list(j, p, "order"), p);
        }
        n = count(j, "shuffle_seed");
        for (uint256 i = 0; i < n; ++i) {
            string memory p = item("shuffle_seed", i);
            bytes32 s = Shuffle.seed(uint64(num(j, p, "round")), hex32(j, p, "mix"));
            require(s == hex32(j, p, "seed"), p);
            same(Shuffle.order(s, 21), list(j, p, "order"), p);
        }
    }

    function testFuzz_words_that_would_favour_small_places_are_drawn_again(uint8 n) external pure {
        uint256 m = uint256(n) + 1;
        uint256 end = Shuffle.limit(m);
        require(end % m == 0 && end <= 1 << 64 && (1 << 64) - end < m, "limit");
    }

    function testFuzz_shuffle_is_a_permutation(bytes32 s, uint8 n) external pure {
        uint8[] memory a = Shuffle.order(s, n);
        uint256 seen = 0;
        for (uint256 i = 0; i < n; ++i) seen |= 1 << a[i];
        require(seen == (uint256(1) << n) - 1, "not a permutation");
    }

    function candidates(string memory j) internal view returns (Election.Candidate[] memory c) {
        c = new Election.Candidate[](count(j, "election.candidates"));
        for (uint256 i = 0; i < c.length; ++i) {
            string memory p = item("election.candidates", i);
            c[i] = Election.Candidate(num(j, p, "id"), num(j, p, "votes"), num(j, p, "trust"), num(j, p, "voters"));
        }
    }

    function test_election_vectors_in_any_order_of_candidates() external view {
        string memory j = vectors();
        Election.Candidate[] memory c = candidates(j);
        uint256[] memory few = list(j, ".election", "elected");
        uint256[] memory all = list(j, ".election", "all");
        for (uint256 turn = 0; turn < 50; ++turn) {
            uint8[] memory o = Shuffle.order(keccak256(abi.encode(turn)), uint8(c.length));
            Election.Candidate[] memory d = new Election.Candidate[](c.length);
            for (uint256 i = 0; i < c.length; ++i) d[i] = c[o[i]];
            listed(Election.elect(d, num(j, ".election", "seats")), few);
            listed(Election.elect(d, d.length), all);
            listed(Election.elect(d, 0), new uint256[](0));
        }
    }

    function listed(uint256[] memory got, uint256[] memory want) internal pure {
        require(keccak256(abi.encode(got)) == keccak256(abi.encode(want)), "election");
    }

    function test_trust_vectors() external view {
        string memory j = vectors();
        eq(Trust.START, num(j, ".trust", "initial"), "initial");
        eq(Election.TRUST_MIN, num(j, ".trust", "minimum"), "minimum");
        uint256 t = Trust.START;
        uint256 misses = 0;
        while (t >= Election.TRUST_MIN) {
            t = Trust.miss(t);
            misses += 1;
        }
        eq(misses, num(j, ".trust", "misses_until_removed_from_initial"), "misses");
        uint256 blocks = 7 * 28_800;
        t = Trust.gain(Trust.gain(Trust.START, blocks * Trust.SIGNED, 0), blocks / 21 * Trust.CREATED, 0);
        eq(t, num(j, ".trust", "perfect_week"), "perfect week");
        eq(Trust.gain(5, 10, 12), 12, "trust_max");
        eq(Trust.miss(101), 1, "one left");
        eq(Trust.miss(100), 0, "none left");
        eq(Trust.miss(99), 0, "never below zero");
    }

    /// @notice The rules of the order of creators, kept as the registry will keep them.
    struct Turn {
        bytes32 mix;
        uint64 k;
        uint256 slot;
        uint8[] cur;
        uint8[] nxt;
        uint256[] trust;
    }

    function test_dpos_scenario_vectors() external view {
        string memory j = vectors();
        uint256[] memory rounds = list(j, ".dpos_scenario", "rounds");
        Turn memory s;
        s.mix = hex32(j, ".dpos_scenario", "mix0");
        s.trust = new uint256[](21);
        for (uint256 i = 0; i < 21; ++i) s.trust[i] = Trust.START;
        s.cur = Shuffle.order(Shuffle.seed(0, s.mix), 21);
        s.nxt = Shuffle.order(Shuffle.seed(1, s.mix), 21);
        for (uint256 h = 0; h < rounds.length; ++h) {
            string memory p = item("dpos_scenario.trace", h);
            uint256 creator = height(s, h + 1, rounds[h], vm.parseJsonUintArray(j, item("dpos_scenario.signers", h)));
            eq(creator, num(j, p, "proposer"), p);
            eq(s.k, num(j, p, "shuffle_round"), p);
            eq(s.slot, num(j, p, "next_slot"), p);
            require(s.mix == hex32(j, p, "mix"), p);
            require(keccak256(abi.encode(s.trust)) == keccak256(abi.encode(list(j, p, "trust"))), p);
        }
    }

    function seat(Turn memory s, uint256 place) internal pure returns (uint256) {
        return place < 21 ? s.cur[place] : s.nxt[place % 21];
    }

    function height(Turn memory s, uint256 h, uint256 r, uint256[] memory signers) internal pure returns (uint256 creator) {
        uint256 charged = 0;
        for (uint256 q = 0; q < r && q < Trust.CHARGED_ROUNDS; ++q) {
            uint256 w = seat(s, s.slot + q);
            if (charged & (1 << w) != 0) continue;
            charged |= 1 << w;
            s.trust[w] = Trust.miss(s.trust[w]);
        }
        creator = seat(s, s.slot + r);
        s.trust[creator] = Trust.gain(s.trust[creator], Trust.CREATED, 0);
        for (uint256 i = 0; i < signers.length; ++i) {
            s.trust[signers[i]] = Trust.gain(s.trust[signers[i]], Trust.SIGNED, 0);
        }
        s.mix = Shuffle.nextMix(s.mix, abi.encodePacked("reveal", uint64(h)));
        s.slot += r + 1;
        while (s.slot >= 21) {
            s.slot -= 21;
            s.k += 1;
            s.cur = s.nxt;
            s.nxt = Shuffle.order(Shuffle.seed(s.k + 1, s.mix), 21);
        }
    }
}
