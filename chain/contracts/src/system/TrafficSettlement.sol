// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Claims} from "../lib/Claims.sol";
import {CoinTime} from "../lib/CoinTime.sol";
import {TrafficSplit} from "../lib/TrafficSplit.sol";
import {Units} from "../lib/Units.sol";
import {Addresses} from "./Addresses.sol";
import {Pledge} from "./Pledge.sol";
import {PriceOracle} from "./PriceOracle.sol";
import {PrizePool} from "./PrizePool.sol";
import {SystemContract} from "./SystemContract.sol";
import {TrafficVault} from "./TrafficVault.sol";

/// @title Settlement of traffic
/// @notice Takes the side chain's word for an epoch: how many bytes, how much NB was burnt for them, and the root of who earned what. Sets
///         the most that may be paid, pays claims within it, locks them, and lets unlocked rewards go with their bonus.
/// @dev Whatever the side chain says, an epoch is paid at most min(Phi, 0.9 * NB burnt / price) and a node at most 139 ppm of its pledge.
///      Storage: 0-2 are set by the genesis. Balance: rewards that are locked or not withdrawn.
contract TrafficSettlement is SystemContract {
    using CoinTime for CoinTime.Totals;

    /// @notice What is known of an epoch.
    struct Epoch {
        /// @dev Root of its claims.
        bytes32 root;
        /// @dev Sum of the gross of all claims, base units.
        uint128 sum;
        /// @dev Most that is paid for it, base units.
        uint128 allowed;
        /// @dev Paid so far, base units.
        uint128 paid;
    }

    /// @notice Share of the value burnt that is minted at most, basis points: below 1 for every coalition, self-traffic does not pay.
    uint256 public constant ALPHA_BPS = 9_000;
    /// @notice Most a node earns in an epoch, parts in a million of its pledge: 2 % a day with 144 epochs a day.
    uint256 public constant PLEDGE_CAP_PPM = 139;
    /// @notice Mint rule: at most 0.9 of what was burnt.
    uint256 public constant RULE_BURN = 0;
    /// @notice Mint rule of the white paper, for study: all of the curve, whatever was burnt.
    uint256 public constant RULE_CURVE = 1;

    /// @notice Seconds of a day of locks and coin-time; 0 means 86,400.
    uint256 public daySeconds;
    /// @notice Seconds of an epoch; 0 means 600.
    uint256 public epochSeconds;
    /// @notice `RULE_BURN` or `RULE_CURVE`.
    uint256 public mintRule;
    /// @notice Last epoch settled.
    uint64 public lastEpoch;
    CoinTime.Totals private _totals;
    mapping(uint256 epoch => Epoch) public epochs;
    mapping(uint256 epoch => mapping(uint256 word => uint256)) private _claimed;
    mapping(address => CoinTime.Account) private _accounts;

    /// @notice An epoch was settled.
    event Settled(uint256 indexed epoch, uint256 bytesCounted, uint256 burntNb, uint256 sum, uint256 allowed);
    /// @notice A claim was paid and locked.
    event Claimed(uint256 indexed epoch, uint256 indexed index, address indexed node, uint256 amount);
    /// @notice Rewards were withdrawn.
    event Withdrawn(address indexed account, uint256 principal, uint256 bonus);
    /// @notice Not after the last one settled, or not over yet.
    error BadEpoch(uint256 epoch);
    /// @notice A number no honest side chain sends.
    error BadNumber(uint256 value);
    /// @notice Not in the epoch's tree.
    error NotProven();
    /// @notice Paid before.
    error AlreadyClaimed(uint256 epoch, uint256 index);
    /// @notice The claims of an epoch add up to more than its sum: the root is wrong.
    error AboveAllowed(uint256 paid, uint256 allowed);

    /// @notice Takes coins from the vault and the prize pool.
    receive() external payable {
        if (msg.sender != Addresses.TRAFFIC_VAULT && msg.sender != Addresses.PRIZE_POOL) revert OnlySystem(msg.sender);
    }

    /// @notice The side chain's message of an epoch.
    /// @param epoch Its number, above the last one's; epochs without traffic may be left out.
    /// @param bytesCounted Bytes, each counted once.
    /// @param burntNb NB burnt for them, base units.
    /// @param sum Gross of all claims, base units.
    /// @param root Root of the claims.
    function settle(uint64 epoch, uint256 bytesCounted, uint256 burntNb, uint256 sum, bytes32 root)
        external
        onlyFrom(Addresses.BRIDGE)
    {
        if (epoch <= lastEpoch || (uint256(epoch) + 1) * _epochSeconds() > block.timestamp) revert BadEpoch(epoch);
        // Products below must fit 256 bits; 2^96 base units are 38 times the supply.
        if (sum > type(uint96).max) revert BadNumber(sum);
        if (burntNb > type(uint128).max) revert BadNumber(burntNb);
        uint256 allowed = _allowed(bytesCounted, burntNb, sum);
        lastEpoch = epoch;
        epochs[epoch] = Epoch(root, uint128(sum), uint128(allowed), 0);
        emit Settled(epoch, bytesCounted, burntNb, sum, allowed);
        TrafficVault(Addresses.TRAFFIC_VAULT).settle(bytesCounted, allowed);
    }

    /// @notice Changes the mint rule, for epochs settled from then on.
    /// @param slot 2.
    /// @param value `RULE_BURN` or `RULE_CURVE`.
    function setParam(uint256 slot, uint256 value) external onlyFrom(Addresses.PARAMS) {
        if (slot != 2 || value > RULE_CURVE) revert BadParam(slot, value);
        mintRule = value;
    }

    /// @notice Pays a claim into the locks of those it names. Anybody may bring it.
    /// @param c The claim.
    /// @param proof Its proof.
    /// @return amount Base units, before the split.
    function claim(Claims.Claim calldata c, bytes32[] calldata proof) external returns (uint256 amount) {
        Epoch storage e = epochs[c.epoch];
        if (!Claims.proven(c, proof, e.root)) revert NotProven();
        (uint256 word, uint256 bit) = (c.index / 256, 1 << (c.index % 256));
        if (_claimed[c.epoch][word] & bit != 0) revert AlreadyClaimed(c.epoch, c.index);
        _claimed[c.epoch][word] |= bit;
        amount = _due(e, c);
        uint256 paid = e.paid + amount;
        if (paid > e.allowed) revert AboveAllowed(paid, e.allowed);
        e.paid = uint128(paid);
        emit Claimed(c.epoch, c.index, c.node, amount);
        uint256 pool = _share(c, amount);
        TrafficVault(Addresses.TRAFFIC_VAULT).draw(amount);
        _pay(Addresses.PRIZE_POOL, pool);
    }

    /// @notice Withdraws unlocked rewards, oldest first, with their bonus.
    /// @param amount Base units.
    /// @return bonus Base units on top.
    function withdraw(uint256 amount) external returns (uint256 bonus) {
        uint256 day = today();
        uint256 total = _totals.network(day);
        uint256 coinTime = _totals.take(_accounts[msg.sender], amount, day);
        // The principal is the holder's whatever the pool does.
        try PrizePool(payable(Addresses.PRIZE_POOL)).payBonus(day, amount, coinTime, total) returns (uint256 b) {
            bonus = b;
        } catch {
            bonus = 0;
        }
        emit Withdrawn(msg.sender, amount, bonus);
        _pay(msg.sender, amount + bonus);
    }

    /// @notice A holder's rewards.
    /// @param account The holder.
    /// @return left Base units not withdrawn.
    /// @return available Of them, unlocked.
    function rewardsOf(address account) external view returns (uint256 left, uint256 available) {
        CoinTime.Account storage a = _accounts[account];
        for (uint256 i = a.head; i < a.lots.length; ++i) left += a.lots[i].amount - a.lots[i].taken;
        available = CoinTime.available(a, today());
    }

    /// @notice All holders' rewards together.
    /// @return left Base units not withdrawn.
    /// @return coinTime The network's coin-time today, base unit days.
    function network() external view returns (uint256 left, uint256 coinTime) {
        return (_totals.left, _totals.network(today()));
    }

    /// @notice Whether a claim was paid.
    /// @param epoch Its epoch.
    /// @param index Its place.
    /// @return True when it was.
    function claimed(uint256 epoch, uint256 index) external view returns (bool) {
        return _claimed[epoch][index / 256] >> (index % 256) & 1 == 1;
    }

    /// @notice Number of this day.
    /// @return Unix seconds // daySeconds.
    function today() public view returns (uint256) {
        return block.timestamp / (daySeconds == 0 ? Units.DAY : daySeconds);
    }

    /// @dev Most an epoch is paid: the curve's ceiling, and by `RULE_BURN` 0.9 of the value burnt and what is claimed.
    function _allowed(uint256 bytesCounted, uint256 burntNb, uint256 sum) private view returns (uint256 allowed) {
        if (sum == 0) return 0;
        allowed = TrafficVault(Addresses.TRAFFIC_VAULT).ceiling(bytesCounted);
        if (mintRule == RULE_CURVE) return allowed;
        uint256 burn = burntNb * ALPHA_BPS / Units.BPS * Units.NFC / PriceOracle(Addresses.PRICE_ORACLE).mintPrice();
        if (burn < allowed) allowed = burn;
        if (sum < allowed) allowed = sum;
    }

    /// @dev A claim scaled to what its epoch is allowed, and capped by the pledge that stood through the whole epoch.
    function _due(Epoch storage e, Claims.Claim calldata c) private view returns (uint256 amount) {
        amount = e.sum == 0 ? 0 : uint256(c.gross) * e.allowed / e.sum;
        Pledge pledges = Pledge(Addresses.PLEDGE);
        uint256 begin = c.epoch * _epochSeconds();
        uint256 pledged = pledges.activeAt(c.node, begin);
        uint256 atEnd = pledges.activeAt(c.node, begin + _epochSeconds());
        if (atEnd < pledged) pledged = atEnd;
        uint256 cap = pledged * PLEDGE_CAP_PPM / 1_000_000;
        if (amount > cap) amount = cap;
    }

    /// @dev Locks the parts of a claim; returns the prize pool's.
    function _share(Claims.Claim calldata c, uint256 amount) private returns (uint256 pool) {
        if (c.role != Claims.EDGE) {
            pool = amount * TrafficSplit.POOL_PERCENT / 100;
            _lock(c.node, amount - pool);
            return pool;
        }
        (uint256 en, uint256 rncn, uint256 p) = TrafficSplit.split(amount);
        uint256 half = rncn / 2;
        pool = p + (c.cn == address(0) ? half : 0) + (c.auditor == address(0) ? rncn - half : 0);
        _lock(c.node, en);
        if (c.cn != address(0)) _lock(c.cn, half);
        if (c.auditor != address(0)) _lock(c.auditor, rncn - half);
    }

    function _lock(address account, uint256 amount) private {
        if (amount != 0) _totals.lock(_accounts[account], amount, today());
    }

    function _epochSeconds() private view returns (uint256) {
        return epochSeconds == 0 ? 600 : epochSeconds;
    }
}
