// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Units} from "../lib/Units.sol";
import {Addresses} from "./Addresses.sol";
import {SystemContract} from "./SystemContract.sol";
import {Witness} from "./Witness.sol";

/// @title What can be given a parameter
interface Configurable {
    /// @notice Changes a parameter within its bounds.
    /// @param slot Storage slot of the parameter.
    /// @param value The value.
    function setParam(uint256 slot, uint256 value) external;
}

/// @title Changes of parameters
/// @notice More than two thirds of the witnesses approve, 14 days pass, and more than two thirds of those who sit then still approve: in
///         between there is a count, and everybody can redeem or leave. Only the few parameters that contracts take here can change, and only within
///         bounds in their code; no curve, split, lock or vault can.
/// @dev Storage: 0 daySeconds is set by the genesis.
contract Params is SystemContract {
    /// @notice A proposed change.
    struct Change {
        /// @dev Contract of the parameter.
        address target;
        /// @dev When enough witnesses had approved, unix seconds; 0: not yet.
        uint64 approvedAt;
        /// @dev It was made.
        bool done;
        /// @dev Slot of the parameter.
        uint256 slot;
        /// @dev The value.
        uint256 value;
    }

    /// @notice Days from approval to the change: a week's count and a week to redeem.
    uint256 public constant DELAY_DAYS = 14;
    /// @notice Days after which an approved change is void.
    uint256 public constant EXPIRY_DAYS = 28;

    /// @notice Seconds of a day; 0 means 86,400.
    uint256 public daySeconds;
    /// @notice Proposed changes; they are numbered from 1.
    uint256 public count;
    /// @notice A proposed change.
    mapping(uint256 number => Change) public changes;
    /// @notice Whether a candidate approves of a change.
    mapping(uint256 number => mapping(uint256 id => bool)) public approves;

    /// @notice A change was proposed.
    event Proposed(uint256 indexed number, uint256 indexed id, address target, uint256 slot, uint256 value);
    /// @notice A witness approved, or took its approval back.
    event Approval(uint256 indexed number, uint256 indexed id, bool yes);
    /// @notice Enough witnesses have approved: the delay begins.
    event DelayBegins(uint256 indexed number, uint256 until);
    /// @notice A parameter was changed.
    event Changed(uint256 indexed number, address target, uint256 slot, uint256 value);
    /// @notice The caller is no witness.
    error NotWitness(address caller);
    /// @notice Not a contract with parameters.
    error BadTarget(address target);
    /// @notice Not proposed, done, not approved by enough of those who sit, or too early or late.
    error NotNow(uint256 number);

    /// @notice Proposes a change, and approves of it.
    /// @param target Contract of the parameter.
    /// @param slot Its slot.
    /// @param value The value.
    /// @return number The change's number.
    function propose(address target, uint256 slot, uint256 value) external returns (uint256 number) {
        bool known = target == Addresses.WITNESS || target == Addresses.PLEDGE || target == Addresses.PRICE_ORACLE
            || target == Addresses.TRAFFIC_SETTLEMENT;
        if (!known) revert BadTarget(target);
        number = count + 1;
        count = number;
        Change storage c = changes[number];
        (c.target, c.slot, c.value) = (target, slot, value);
        uint256 id = _witness();
        emit Proposed(number, id, target, slot, value);
        _approve(number, id, true);
    }

    /// @notice Approves of a change, or takes that back.
    /// @param number The change.
    /// @param yes Whether the caller approves.
    function approve(uint256 number, bool yes) external {
        if (changes[number].target == address(0) || changes[number].done) revert NotNow(number);
        _approve(number, _witness(), yes);
    }

    /// @notice Makes an approved change. Anybody may.
    /// @param number The change.
    function execute(uint256 number) external {
        Change storage c = changes[number];
        uint256 day = daySeconds == 0 ? Units.DAY : daySeconds;
        bool due = c.approvedAt != 0 && block.timestamp >= c.approvedAt + DELAY_DAYS * day
            && block.timestamp < c.approvedAt + EXPIRY_DAYS * day;
        if (!due || c.done || !_enough(number)) revert NotNow(number);
        c.done = true;
        emit Changed(number, c.target, c.slot, c.value);
        Configurable(c.target).setParam(c.slot, c.value);
    }

    function _approve(uint256 number, uint256 id, bool yes) private {
        approves[number][id] = yes;
        emit Approval(number, id, yes);
        Change storage c = changes[number];
        if (c.approvedAt != 0 || !_enough(number)) return;
        c.approvedAt = uint64(block.timestamp);
        emit DelayBegins(number, block.timestamp + DELAY_DAYS * (daySeconds == 0 ? Units.DAY : daySeconds));
    }

    /// @dev Whether more than two thirds of the witnesses who sit approve.
    function _enough(uint256 number) private view returns (bool) {
        uint32[] memory seats = Witness(payable(Addresses.WITNESS)).seats();
        uint256 yes = 0;
        for (uint256 i = 0; i < seats.length; ++i) if (approves[number][seats[i]]) yes += 1;
        return yes >= seats.length * 2 / 3 + 1;
    }

    /// @dev The caller's number; it must sit.
    function _witness() private view returns (uint256 id) {
        Witness registry = Witness(payable(Addresses.WITNESS));
        id = registry.idOf(msg.sender);
        uint32[] memory seats = registry.seats();
        for (uint256 i = 0; i < seats.length; ++i) if (seats[i] == id) return id;
        revert NotWitness(msg.sender);
    }
}
