// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Base} from "./Vm.sol";
import {Shuffle} from "../src/lib/Shuffle.sol";
import {Units} from "../src/lib/Units.sol";
import {Addresses} from "../src/system/Addresses.sol";
import {Ballots} from "../src/system/Ballots.sol";
import {BlockRewardVault} from "../src/system/BlockRewardVault.sol";
import {Witness} from "../src/system/Witness.sol";
import {WitnessStore} from "../src/system/WitnessStore.sol";

/// @notice In the place of the ed25519 precompile, which forge has not: takes keccak(key | text), twice, as the signature of a text. The
///         true precompile is in the tests of the engine (chain/node `economy.rs`).
contract Signatures {
    fallback(bytes calldata input) external returns (bytes memory) {
        bytes32 want = keccak256(abi.encodePacked(input[1:33], input[97:]));
        if (input[0] != 0 || bytes32(input[33:65]) != want || bytes32(input[65:97]) != want) return "";
        return abi.encode(1);
    }
}

/// @notice A main chain in small: the committed contracts, a witness set as the genesis writes it, and blocks as the engine makes
///         them. The order of creators is reckoned here from headers, as nodes do after a restart, not as the contract does.
abstract contract World is Base {
    /// @notice What a header says of the order.
    struct Head {
        uint64 k;
        uint32 slot;
        uint32 round;
        bytes32 mix;
    }

    Witness internal constant witness = Witness(payable(Addresses.WITNESS));
    Ballots internal constant ballots = Ballots(Addresses.BALLOTS);
    BlockRewardVault internal constant blocks = BlockRewardVault(Addresses.BLOCK_REWARD_VAULT);
    address internal constant SYSTEM = 0x6EE1591437ec9bFeC21Ea519633275F5944dc1EC;
    uint256 internal constant SET = uint256(keccak256("NFC/WITNESS-SET/v1"));
    uint256 internal constant GENESIS = 1_800_000_000;
    uint256 internal constant PLEDGE = 10_000 ether;
    /// @dev The engine gives 16,000,000; the transaction itself and its input cost up to 200,000 of it.
    uint256 internal constant END_GAS = 15_800_000;
    bytes internal constant NO_EVIDENCE = hex"c0";

    Head[] internal heads;
    mapping(address => bool) internal silent;
    address[] internal voted;
    uint256 internal gasOfEnd;
    /// @dev Trust by the rule, reckoned from rounds, orders and signers; 0 before the first block.
    mapping(address => uint256) internal points;

    function place(string memory name, address where, uint256 balance) internal {
        string memory j = vm.readFile(string.concat("artifacts/", name, ".json"));
        require(uint160(vm.parseJsonUint(j, ".address")) == uint160(where), "address");
        vm.etch(where, vm.parseJsonBytes(j, ".code"));
        vm.deal(where, balance);
    }

    /// @dev Genesis with `n` witnesses and a count every `epoch` blocks.
    function boot(uint256 n, uint256 epoch, uint256 limit) internal {
        place("Witness", Addresses.WITNESS, 0);
        place("Ballots", Addresses.BALLOTS, 0);
        place("BlockRewardVault", Addresses.BLOCK_REWARD_VAULT, Units.BLOCK);
        place("PrizePool", Addresses.PRIZE_POOL, 0);
        vm.etch(address(0x801), type(Signatures).runtimeCode);
        bytes32 mix = keccak256("genesis");
        param(Addresses.WITNESS, 0, PLEDGE);
        param(Addresses.WITNESS, 1, epoch);
        param(Addresses.WITNESS, 3, limit);
        param(Addresses.WITNESS, 5, uint256(mix));
        param(Addresses.WITNESS, 6, uint256(mix));
        param(Addresses.BALLOTS, 0, 7 days);
        param(Addresses.WITNESS, SET, n);
        for (uint256 i = 0; i < n; ++i) {
            param(Addresses.WITNESS, SET + 1 + 4 * i, uint256(uint160(account(i + 1))));
            param(Addresses.WITNESS, SET + 2 + 4 * i, uint256(keccak256(abi.encode("vote", account(i + 1)))));
            param(Addresses.WITNESS, SET + 3 + 4 * i, uint256(keccak256(abi.encode("reveal", account(i + 1)))));
            param(Addresses.WITNESS, SET + 4 + 4 * i, (i + 1) << 128);
        }
        heads.push(Head(0, 0, 0, mix));
        vm.warp(GENESIS);
        vm.roll(1);
    }

    function param(address where, uint256 slot, uint256 value) internal {
        vm.store(where, bytes32(slot), bytes32(value));
    }

    /// @dev Account of the candidate that is registered as number `id`.
    function account(uint256 id) internal pure returns (address) {
        return address(uint160(0xacc0_0000_0000 + id));
    }

    function keys(address who) internal pure returns (bytes32 voteKey, bytes memory revealKey) {
        voteKey = keccak256(abi.encode("vote", who));
        revealKey = abi.encodePacked(keccak256(abi.encode("reveal", who)), bytes16(uint128(uint160(who))));
    }

    function signed(address who, bytes32 voteKey, bytes memory revealKey) internal view returns (bytes memory) {
        bytes memory text = abi.encodePacked("NFC/REGISTER/v1", uint64(block.chainid), who, voteKey, revealKey);
        bytes32 half = keccak256(abi.encodePacked(voteKey, text));
        return abi.encodePacked(half, half);
    }

    function register(address who, uint256 bonus) internal returns (uint256 id) {
        (bytes32 voteKey, bytes memory revealKey) = keys(who);
        vm.deal(who, who.balance + PLEDGE);
        bytes memory signature = signed(who, voteKey, revealKey);
        vm.prank(who);
        return witness.register{value: PLEDGE}(voteKey, revealKey, signature, bonus);
    }

    function voteFor(address holder, uint256 id, uint256 amount) internal {
        vm.deal(holder, holder.balance + amount);
        vm.prank(holder);
        ballots.vote{value: amount}(id);
    }

    /// @dev The set where nodes read it.
    function set() internal view returns (address[] memory a) {
        a = new address[](uint256(vm.load(Addresses.WITNESS, bytes32(SET))));
        for (uint256 i = 0; i < a.length; ++i) {
            a[i] = address(uint160(uint256(vm.load(Addresses.WITNESS, bytes32(SET + 1 + 4 * i)))));
        }
    }

    function word(uint256 seat, uint256 part) private view returns (bytes32) {
        return vm.load(Addresses.WITNESS, bytes32(SET + 1 + 4 * seat + part));
    }

    function height() internal view returns (uint256) {
        return heads.length - 1;
    }

    function mixFor(uint64 round) private view returns (bytes32) {
        if (round < 2) return heads[0].mix;
        uint256 h = height();
        while (h != 0 && heads[h].k > round - 2) h -= 1;
        return heads[h].mix;
    }

    /// @dev Where the next height begins, for a set of `n`.
    function begins(uint256 n) internal view returns (uint64 k, uint256 slot) {
        Head memory tip = heads[height()];
        (k, slot) = (tip.k, height() == 0 ? 0 : uint256(tip.slot) + tip.round + 1);
        while (slot >= n) (slot, k) = (slot - n, k + 1);
    }

    function orders(uint256 n) internal view returns (uint8[] memory cur, uint8[] memory nxt, uint256 slot) {
        uint64 k;
        (k, slot) = begins(n);
        cur = Shuffle.order(Shuffle.seed(k, mixFor(k)), uint8(n));
        nxt = Shuffle.order(Shuffle.seed(k + 1, mixFor(k + 1)), uint8(n));
    }

    function inLine(uint256 n, uint256 round) internal view returns (uint256 seat) {
        (uint8[] memory cur, uint8[] memory nxt, uint256 slot) = orders(n);
        slot += round;
        return slot < n ? cur[slot] : nxt[slot % n];
    }

    /// @dev The next block: made by the first in line who is not silent, signed by all who are not.
    function next() internal {
        next(NO_EVIDENCE);
    }

    function next(bytes memory evidence) internal {
        address[] memory now_ = set();
        uint256 round = 0;
        address creator = now_[inLine(now_.length, 0)];
        while (silent[creator]) {
            round += 1;
            creator = now_[inLine(now_.length, round)];
        }
        uint256 bitmap = 0;
        for (uint256 i = 0; i < voted.length; ++i) if (!silent[voted[i]]) bitmap |= 1 << i;
        end(creator, round, bitmap, evidence);
    }

    function end(address creator, uint256 round, uint256 bitmap, bytes memory evidence) internal {
        bytes32 mix = keccak256(abi.encode(heads[height()].mix, "reveal"));
        endWith(creator, round, bitmap, evidence, mix);
    }

    function endWith(address creator, uint256 round, uint256 bitmap, bytes memory evidence, bytes32 mix) internal {
        address[] memory signers = voted;
        voted = set();
        score(creator, round, bitmap, signers);
        (uint64 k, uint256 slot) = begins(voted.length);
        vm.roll(height() + 1);
        vm.prevrandao(mix);
        vm.prank(SYSTEM);
        uint256 gas = gasleft();
        witness.endBlock{gas: END_GAS}(creator, uint32(round), uint32(bitmap), evidence);
        gasOfEnd = gas - gasleft();
        heads.push(Head(k, uint32(slot), uint32(round), mix));
        // The transactions of the next block see its time and number.
        vm.roll(height() + 1);
        vm.warp(block.timestamp + 3);
        (k, slot) = begins(set().length);
        (uint64 round_, uint32 place_) = witness.turn();
        eq(round_, k, "shuffle round of the nodes");
        eq(place_, slot, "place of the nodes");
        compare();
    }

    /// @dev Trust before a block is ended.
    function score(address creator, uint256 round, uint256 bitmap, address[] memory signers) private {
        uint256 n = voted.length;
        for (uint256 i = 0; i < n && height() == 0; ++i) points[voted[i]] = 28_800;
        (uint8[] memory cur, uint8[] memory nxt, uint256 slot) = orders(n);
        uint256 charged = 0;
        for (uint256 q = 0; q <= round; ++q) {
            uint256 turn = slot + (q == 6 ? (q = round) : q);
            address who = voted[turn < n ? cur[turn] : nxt[turn % n]];
            if (q == round && who != creator) charged = 0;
            if (q < round) charged |= 1 << (turn < n ? cur[turn] : nxt[turn % n]);
        }
        for (uint256 i = 0; i < n; ++i) if (charged >> i & 1 == 1) points[voted[i]] -= points[voted[i]] < 100 ? points[voted[i]] : 100;
        gain(creator, 10);
        for (uint256 i = 0; i < signers.length; ++i) if (bitmap >> i & 1 == 1) gain(signers[i], 1);
    }

    function gain(address who, uint256 n) private {
        for (uint256 i = 0; i < voted.length; ++i) if (voted[i] == who && points[who] != 0) points[who] += n;
    }

    /// @dev Trust after a block: who was not seated before is new, a proven liar has none.
    function compare() private {
        address[] memory now_ = set();
        for (uint256 i = 0; i < now_.length; ++i) {
            bool was = false;
            for (uint256 k = 0; k < voted.length; ++k) was = was || voted[k] == now_[i];
            uint256 id = witness.idOf(now_[i]);
            WitnessStore.Candidate memory c = witness.candidate(id);
            eq(witness.seats()[i], id, "the registry's seats are those nodes read");
            require(
                word(i, 1) == c.voteKey && word(i, 2) == c.revealHead && word(i, 3) == bytes32(c.revealTail), "keys of the seat"
            );
            if (!was) points[now_[i]] = 28_800;
            if (c.status == WitnessStore.Status.Tombstoned) points[now_[i]] = 0;
            eq(witness.trustOf(id), points[now_[i]], "trust by the rule");
        }
    }

    function run(uint256 n) internal {
        for (uint256 i = 0; i < n; ++i) this.one();
    }

    /// @dev One block in a call of its own: memory is freed, thousands of blocks fit into a test.
    function one() external {
        // Not for the random histories, which call whatever is external.
        if (msg.sender == address(this)) next();
    }

    function seated(address who) internal view returns (bool) {
        address[] memory a = set();
        for (uint256 i = 0; i < a.length; ++i) if (a[i] == who) return true;
        return false;
    }

    /// @dev Evidence as the engine encodes it, against an account: prevotes of height 5.
    function proof(address who) internal pure returns (bytes memory) {
        bytes memory statement = abi.encodePacked(hex"f864e1a0", bytes32(uint256(7)), hex"80b840", new bytes(64));
        bytes memory body = abi.encodePacked(hex"80", hex"94", who, hex"0580", statement, statement);
        return abi.encodePacked(hex"f8", uint8(body.length), body);
    }

    function evidenceList(bytes memory items) internal pure returns (bytes memory) {
        if (items.length < 56) return abi.encodePacked(uint8(0xc0 + items.length), items);
        if (items.length < 256) return abi.encodePacked(hex"f8", uint8(items.length), items);
        return abi.encodePacked(hex"f9", uint16(items.length), items);
    }
}
