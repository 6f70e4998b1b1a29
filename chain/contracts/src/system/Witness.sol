// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {BlockSplit} from "../lib/BlockSplit.sol";
import {Election} from "../lib/Election.sol";
import {EvidenceList} from "../lib/EvidenceList.sol";
import {Locks} from "../lib/Locks.sol";
import {Ranking} from "../lib/Ranking.sol";
import {Trust} from "../lib/Trust.sol";
import {Turns} from "../lib/Turns.sol";
import {Units} from "../lib/Units.sol";
import {Addresses} from "./Addresses.sol";
import {Ballots} from "./Ballots.sol";
import {BlockRewardVault} from "./BlockRewardVault.sol";
import {WitnessCount} from "./WitnessCount.sol";

/// @title Witnesses
/// @notice Candidates with their pledges and bonus ratios, trust, elections, the witness set that nodes read, and the end of each
///         block: trust of who made and signed it and who was silent, evidence, the count, the reward.
/// @dev `endBlock` must succeed or the chain stands still: it enters nobody's code but that of system contracts, its loops run
///      over seats and never over candidates or voters, and what it reads beyond them is bounded (docs/spec/economy.md).
///      Balance: pledges not paid back and rewards not fetched.
contract Witness is WitnessCount {
    using Ranking for Ranking.Heap;

    /// @notice Who sends the last transaction of each block (chain/exec `system.rs`).
    address public constant SYSTEM = 0x6EE1591437ec9bFeC21Ea519633275F5944dc1EC;
    /// @notice Precompile that verifies an ed25519 signature.
    address public constant SIGNATURES = 0x0000000000000000000000000000000000000801;
    /// @dev Most pieces of evidence the engine puts into a block.
    uint256 private constant MAX_EVIDENCE = 7;
    /// @dev Of the 16,000,000 that the end of a block has; paying takes some 100,000. What goes wrong there takes no more.
    uint256 private constant REWARD_GAS = 1_000_000;
    uint256 private constant SIGNATURE_BYTES = 64;
    uint256 private constant REVEAL_KEY_BYTES = 48;

    /// @notice A candidate registered.
    event Registered(uint256 indexed id, address indexed account, uint256 pledge, uint256 bonusBps);
    /// @notice A bonus ratio was set, for the epochs after this one.
    event BonusSet(uint256 indexed id, uint256 bonusBps, uint256 epoch);
    /// @notice Trust fell below 10,000.
    event Removed(uint256 indexed id, uint256 trust);
    /// @notice A removed candidate stands again.
    event Rejoined(uint256 indexed id);
    /// @notice A candidate gave up; its pledge is released over 180 days.
    event Resigned(uint256 indexed id);
    /// @notice Double signing was proven; what was left of the pledge is burned.
    event Tombstoned(uint256 indexed id, uint256 slashed);
    /// @notice A block's 90 % were shared.
    event Rewarded(uint256 indexed id, uint256 witness, uint256 voters);
    /// @notice The vault did not pay; the block stands all the same.
    event RewardMissing(uint256 indexed height);
    /// @notice Rewards were fetched.
    event Fetched(uint256 indexed id, uint256 amount);
    /// @notice A part of a pledge was paid back.
    event PledgePaid(uint256 indexed id, uint256 amount);

    /// @notice Before the end of the first block.
    error NotStarted();
    /// @notice The account has registered before.
    error AlreadyRegistered(uint256 id);
    /// @notice A key was registered before.
    error KeyUsed();
    /// @notice A key or signature has another length, or the vote key did not sign.
    error BadKey();
    /// @notice Less than the least pledge, or more than a pledge can be.
    error BadPledge(uint256 amount);
    /// @notice Above 9,000 basis points.
    error BadBonus(uint256 bonusBps);
    /// @notice Not possible for what this candidate is.
    error WrongStatus(Status status);
    /// @notice Not before a count has passed.
    error TooEarly(uint256 epoch);

    /// @notice Takes block rewards from the vault and nothing from anybody else.
    receive() external payable onlyFrom(Addresses.BLOCK_REWARD_VAULT) {}

    /// @notice Stands as a candidate; the value is the pledge.
    /// @param voteKey ed25519 key of votes.
    /// @param revealKey Compressed BLS12-381 G1 key of the randomness reveal, 48 bytes. One that is none makes blocks that nobody
    ///        accepts, and costs its owner the seat.
    /// @param signature By the vote key, 64 bytes, over "NFC/REGISTER/v1" | chain id u64 | account 20 | vote key | reveal key: nobody
    ///        registers a key that is not theirs.
    /// @param bonusBps Share of the 90 % for voters, at most 9,000 basis points.
    /// @return id The candidate's number.
    function register(bytes32 voteKey, bytes calldata revealKey, bytes calldata signature, uint256 bonusBps)
        external
        payable
        returns (uint256 id)
    {
        if (_seats.length == 0) revert NotStarted();
        if (idOf[msg.sender] != 0) revert AlreadyRegistered(idOf[msg.sender]);
        if (msg.value < minPledge || msg.value > type(uint96).max) revert BadPledge(msg.value);
        if (bonusBps > BlockSplit.MAX_BONUS_BPS) revert BadBonus(bonusBps);
        if (revealKey.length != REVEAL_KEY_BYTES || signature.length != SIGNATURE_BYTES) revert BadKey();
        if (keyUsed[voteKey] || keyUsed[keccak256(revealKey)]) revert KeyUsed();
        bytes memory text = abi.encodePacked("NFC/REGISTER/v1", uint64(block.chainid), msg.sender, voteKey, revealKey);
        (, bytes memory good) = SIGNATURES.staticcall(abi.encodePacked(uint8(0), voteKey, signature, text));
        if (good.length != 32 || uint256(bytes32(good)) != 1) revert BadKey();
        id = _enrol(msg.sender, voteKey, bytes32(revealKey[:32]), bytes16(revealKey[32:]));
        Candidate storage c = _candidates[id];
        c.pledge = uint96(msg.value);
        (c.bonusNow, c.bonusNext) = (uint16(bonusBps), uint16(bonusBps));
        emit Registered(id, msg.sender, msg.value, bonusBps);
    }

    /// @notice Sets the bonus ratio of the epochs after the next count.
    /// @param bonusBps At most 9,000 basis points.
    function setBonus(uint256 bonusBps) external {
        (uint256 id, Candidate storage c) = _mine();
        if (bonusBps > BlockSplit.MAX_BONUS_BPS) revert BadBonus(bonusBps);
        (c.bonusNow, c.bonusNext, c.bonusSet) = (uint16(bonusOf(id)), uint16(bonusBps), epoch);
        emit BonusSet(id, bonusBps, epoch);
    }

    /// @notice Stands again after a removal, with the trust of a new witness; not before a count has passed.
    function rejoin() external {
        (uint256 id, Candidate storage c) = _mine();
        if (c.status != Status.Removed) revert WrongStatus(c.status);
        if (epoch <= c.removedIn) revert TooEarly(epoch);
        c.status = Status.Candidate;
        _rank(id);
        emit Rejoined(id);
    }

    /// @notice Gives up standing, for good; a seat goes to the next in line.
    function resign() external {
        (uint256 id, Candidate storage c) = _mine();
        if (c.status != Status.Candidate && c.status != Status.Removed) revert WrongStatus(c.status);
        (c.status, c.resignedAt) = (Status.Resigned, uint64(block.timestamp));
        emit Resigned(id);
        World memory w = _load();
        _vacate(w, id);
        _save(w);
    }

    /// @notice Pays back what is released of the pledge after a resignation: 1/180 a day.
    /// @return amount Base units.
    function withdrawPledge() external returns (uint256 amount) {
        (uint256 id, Candidate storage c) = _mine();
        if (c.status != Status.Resigned) revert WrongStatus(c.status);
        uint256 day = daySeconds == 0 ? Units.DAY : daySeconds;
        amount = Locks.pledge(c.pledge, (block.timestamp - c.resignedAt) / day) - c.pledgePaid;
        c.pledgePaid += uint96(amount);
        emit PledgePaid(id, amount);
        _pay(msg.sender, amount);
    }

    /// @notice Pays the witness' own part of its blocks.
    /// @return amount Base units.
    function fetch() external returns (uint256 amount) {
        (uint256 id, Candidate storage c) = _mine();
        amount = c.earned;
        c.earned = 0;
        emit Fetched(id, amount);
        _pay(msg.sender, amount);
    }

    /// @notice Changes a parameter; called when the witnesses have decided so and the delay is over.
    /// @param slot 0 minPledge, 2 trustMax, 3 seatLimit. The length of an epoch never changes.
    /// @param value At most 10 million NFC; 0 or at least 28,800; 4 to 21.
    function setParam(uint256 slot, uint256 value) external onlyFrom(Addresses.PARAMS) {
        if (slot == 0 && value <= 10_000_000 * Units.NFC) minPledge = value;
        else if (slot == 2 && (value == 0 || (value >= Trust.START && value < 1 << 63))) trustMax = value;
        else if (slot == 3 && value >= MIN_SEATS && value <= MAX_SEATS) seatLimit = value;
        else revert BadParam(slot, value);
    }

    /// @notice Ballots of a candidate changed.
    /// @param id The candidate.
    /// @param votes All its ballots now.
    /// @param voters Their distinct holders.
    /// @param more New ballots were given: only candidates get them.
    function ballotsChanged(uint256 id, uint96 votes, uint64 voters, bool more) external onlyFrom(Addresses.BALLOTS) {
        Candidate storage c = _candidates[id];
        if (more && c.status != Status.Candidate) revert WrongStatus(c.status);
        (c.votes, c.voters) = (votes, voters);
        if (c.status == Status.Candidate) _rank(id);
    }

    /// @notice The end of a block.
    /// @param proposer Creator.
    /// @param round The header's consensus round: so many witnesses were skipped.
    /// @param lastCommitBitmap Signers of the parent's certificate, by the seats of the set that voted on it.
    /// @param evidence RLP list of evidence, checked by the engine.
    function endBlock(address proposer, uint32 round, uint32 lastCommitBitmap, bytes calldata evidence)
        external
        onlyFrom(SYSTEM)
    {
        if (_seats.length == 0) _start();
        World memory w = _load();
        _score(w, proposer, round, lastCommitBitmap);
        _advance(w, round);
        _convict(w, evidence);
        _remove(w);
        if (epochBlocks != 0 && block.number % epochBlocks == 0) _count(w);
        _save(w);
        _reward(proposer);
    }

    /// @dev Trust of the seats.
    function _score(World memory w, address proposer, uint256 round, uint256 bitmap) private view {
        uint256 n = w.seats.length;
        uint256 creator = _find(w.seats, idOf[proposer]);
        if (round != 0) {
            (bool known, uint256 skipped, uint256 seat) = Turns.seats(w.turn, n, round);
            // An order that names another creator is not the one of the nodes: it blames nobody.
            for (uint256 i = 0; known && seat == creator && i < n; ++i) {
                if (skipped >> i & 1 == 1) w.trust[i] = uint64(Trust.miss(w.trust[i]));
            }
        }
        if (creator < n) _gain(w, creator, Trust.CREATED);
        bool changed = changedAt != 0 && changedAt == block.number - 1;
        uint32[] memory voted = changed ? _before : w.seats;
        for (uint256 i = 0; i < voted.length; ++i) {
            if (bitmap >> i & 1 == 0) continue;
            uint256 seat = changed ? _find(w.seats, voted[i]) : i;
            if (seat < n) _gain(w, seat, Trust.SIGNED);
        }
    }

    /// @dev 0 is a proven liar's until it has left its seat.
    function _gain(World memory w, uint256 seat, uint256 points) private view {
        if (w.trust[seat] != 0) w.trust[seat] = uint64(Trust.gain(w.trust[seat], points, trustMax));
    }

    /// @dev Proven double signing: trust 0, never again a witness, the pledge is burned.
    function _convict(World memory w, bytes calldata evidence) private {
        address[] memory liars = EvidenceList.accounts(evidence, MAX_EVIDENCE);
        uint256 slashed = 0;
        for (uint256 i = 0; i < liars.length; ++i) {
            uint256 id = idOf[liars[i]];
            Candidate storage c = _candidates[id];
            if (id == 0 || c.status == Status.Tombstoned) continue;
            uint256 left = c.pledge - c.pledgePaid;
            (c.status, c.lastTrust, c.pledgePaid) = (Status.Tombstoned, 0, c.pledge);
            slashed += left;
            uint256 seat = _find(w.seats, id);
            if (seat < w.seats.length) w.trust[seat] = 0;
            emit Tombstoned(id, left);
            _vacate(w, id);
        }
        _pay(address(0), slashed);
    }

    /// @dev Seats whose trust is gone.
    function _remove(World memory w) private {
        for (uint256 i = 0; i < w.seats.length; ++i) {
            if (w.trust[i] >= Election.TRUST_MIN) continue;
            Candidate storage c = _candidates[w.seats[i]];
            if (c.status != Status.Candidate) continue;
            (c.status, c.lastTrust, c.removedIn) = (Status.Removed, w.trust[i], epoch);
            emit Removed(w.seats[i], w.trust[i]);
            _vacate(w, w.seats[i]);
        }
    }

    /// @dev The block's reward: the vault sends 10 % to the prize pool and 90 % here; the voters' part goes to their contract.
    function _reward(address proposer) private {
        try BlockRewardVault(Addresses.BLOCK_REWARD_VAULT).release{gas: REWARD_GAS}() returns (uint256 node) {
            uint256 id = idOf[proposer];
            Candidate storage c = _candidates[id];
            // Without ballots there is nobody to share with.
            uint256 voters = c.votes == 0 ? 0 : node * bonusOf(id) / Units.BPS;
            if (voters != 0) Ballots(Addresses.BALLOTS).credit{value: voters}(id);
            emit Rewarded(id, node - voters, voters);
            if (id == 0 || c.status == Status.Tombstoned) _pay(Addresses.PRIZE_POOL, node - voters);
            else c.earned += uint128(node - voters);
        } catch {
            emit RewardMissing(block.number);
        }
    }

    /// @dev The caller's own record.
    function _mine() private view returns (uint256 id, Candidate storage c) {
        id = idOf[msg.sender];
        c = _candidates[id];
        if (id == 0) revert WrongStatus(Status.None);
    }
}
