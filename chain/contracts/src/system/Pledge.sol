// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Locks} from "../lib/Locks.sol";
import {Units} from "../lib/Units.sol";
import {Addresses} from "./Addresses.sol";
import {SystemContract} from "./SystemContract.sol";

/// @title Pledges of nodes
/// @notice A node pledges for its tier; the pledge bounds what it can earn in an epoch. Notice ends the right to earn at once, and the coins
///         come back over 180 days.
/// @dev Storage: 0-3 are set by the genesis. Balance: all pledges, and releases not paid back.
contract Pledge is SystemContract {
    /// @notice Kinds of nodes.
    enum Tier {
        None,
        Edge,
        Certification,
        Relay
    }

    /// @notice A node.
    struct Node {
        /// @dev Its tier while it pledges.
        Tier tier;
        /// @dev Base units pledged and not under notice.
        uint96 active;
        /// @dev When notice was given, unix seconds.
        uint64 noticeAt;
        /// @dev Base units under notice.
        uint96 releasing;
        /// @dev Of them, paid back.
        uint96 paid;
    }

    /// @notice An amount from a moment on.
    struct Point {
        /// @dev Unix seconds.
        uint64 time;
        /// @dev Base units.
        uint96 active;
    }

    /// @notice Seconds of a day of the release; 0 means 86,400.
    uint256 public daySeconds;
    /// @notice Least pledge of an edge node, base units.
    uint256 public minEdge;
    /// @notice Least pledge of a certification node, base units.
    uint256 public minCertification;
    /// @notice Least pledge of a relay node, base units.
    uint256 public minRelay;
    mapping(address => Node) private _nodes;
    mapping(address => Point[]) private _history;

    /// @notice A pledge was made or raised.
    event Pledged(address indexed node, Tier tier, uint256 active);
    /// @notice Notice was given: the right to earn ends.
    event NoticeGiven(address indexed node, uint256 releasing);
    /// @notice A part came back.
    event PaidBack(address indexed node, uint256 amount);
    /// @notice No tier, or another one than the pledge that stands is for.
    error BadTier(Tier tier);
    /// @notice Less than the tier's least pledge, or more than there are coins.
    error BadPledge(uint256 active);
    /// @notice There is nothing to give notice of.
    error NothingPledged();
    /// @notice An earlier release is not paid back yet.
    error StillReleasing(uint256 left);

    /// @notice Pledges, or raises a pledge, by the value sent.
    /// @param tier The node's tier; to change it, give notice first.
    function pledge(Tier tier) external payable {
        Node storage n = _nodes[msg.sender];
        if (tier == Tier.None || (n.active != 0 && n.tier != tier)) revert BadTier(tier);
        uint256 active = n.active + msg.value;
        if (msg.value == 0 || active < minimum(tier) || active > type(uint96).max) revert BadPledge(active);
        n.tier = tier;
        n.active = uint96(active);
        _note(n.active);
        emit Pledged(msg.sender, tier, active);
    }

    /// @notice Gives notice of the whole pledge: it counts for nothing from now on, and comes back by 1/180 a day.
    function giveNotice() external {
        Node storage n = _nodes[msg.sender];
        if (n.active == 0) revert NothingPledged();
        if (n.paid != n.releasing) revert StillReleasing(n.releasing - n.paid);
        (n.releasing, n.paid, n.noticeAt) = (n.active, 0, uint64(block.timestamp));
        (n.active, n.tier) = (0, Tier.None);
        _note(0);
        emit NoticeGiven(msg.sender, n.releasing);
    }

    /// @notice Pays back what is released.
    /// @return amount Base units.
    function withdraw() external returns (uint256 amount) {
        Node storage n = _nodes[msg.sender];
        amount = _released(n) - n.paid;
        n.paid += uint96(amount);
        emit PaidBack(msg.sender, amount);
        _pay(msg.sender, amount);
    }

    /// @notice Changes a least pledge, for pledges made or raised from then on.
    /// @param slot 1 edge, 2 certification, 3 relay.
    /// @param value Base units, at most 10 million NFC.
    function setParam(uint256 slot, uint256 value) external onlyFrom(Addresses.PARAMS) {
        if (value > 10_000_000 * Units.NFC) revert BadParam(slot, value);
        if (slot == 1) minEdge = value;
        else if (slot == 2) minCertification = value;
        else if (slot == 3) minRelay = value;
        else revert BadParam(slot, value);
    }

    /// @notice A node's record.
    /// @param node The node.
    /// @return The record.
    function nodeOf(address node) external view returns (Node memory) {
        return _nodes[node];
    }

    /// @notice What a node could withdraw now.
    /// @param node The node.
    /// @return Base units.
    function withdrawable(address node) external view returns (uint256) {
        Node storage n = _nodes[node];
        return _released(n) - n.paid;
    }

    /// @notice What counted for a node at a moment.
    /// @param node The node.
    /// @param time Unix seconds, not in the future.
    /// @return Base units.
    function activeAt(address node, uint256 time) external view returns (uint256) {
        Point[] storage all = _history[node];
        // The last point not after `time`: places below `low` are not after it, places from `high` on are.
        (uint256 low, uint256 high) = (0, all.length);
        while (low < high) {
            uint256 mid = (low + high) / 2;
            if (all[mid].time <= time) low = mid + 1;
            else high = mid;
        }
        return low == 0 ? 0 : all[low - 1].active;
    }

    /// @notice Least pledge of a tier.
    /// @param tier The tier.
    /// @return Base units.
    function minimum(Tier tier) public view returns (uint256) {
        if (tier == Tier.Edge) return minEdge;
        return tier == Tier.Certification ? minCertification : minRelay;
    }

    function _released(Node storage n) private view returns (uint256) {
        uint256 day = daySeconds == 0 ? Units.DAY : daySeconds;
        return Locks.pledge(n.releasing, (block.timestamp - n.noticeAt) / day);
    }

    /// @dev One point a second: the last word of it counts.
    function _note(uint96 active) private {
        Point[] storage all = _history[msg.sender];
        uint256 n = all.length;
        if (n != 0 && all[n - 1].time == block.timestamp) all[n - 1].active = active;
        else all.push(Point(uint64(block.timestamp), active));
    }
}
