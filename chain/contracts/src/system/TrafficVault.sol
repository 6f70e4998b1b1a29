// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {TrafficCurve} from "../lib/TrafficCurve.sol";
import {Addresses} from "./Addresses.sol";
import {SystemContract} from "./SystemContract.sol";

/// @title Traffic reward vault
/// @notice Holds 1,344 M NFC at genesis and pays for counted traffic, never more than the curve allows for those bytes.
///         What an epoch was allowed and nobody claims stays here for good.
/// @dev Storage (all zero at genesis): 0 released, 1 counted bytes, 2 E(counted // EB), 3 granted. Slot 2 zero means the curve has not begun.
contract TrafficVault is SystemContract {
    /// @notice Most bytes one call counts: 64 EB, half of all traffic rewards and more; bounds the steps of the curve.
    uint256 public constant MAX_EPOCH_BYTES = 64 * TrafficCurve.EB;

    /// @notice Base units paid so far.
    uint256 public released;
    TrafficCurve.State private _curve;
    /// @notice Base units granted to epochs and not drawn yet.
    uint256 public granted;

    /// @notice An epoch was counted; so much may be drawn for it.
    event TrafficReward(uint256 bytesBefore, uint256 bytesCounted, uint256 ceiling, uint256 amount);
    /// @notice More bytes than one epoch may count.
    error TooManyBytes(uint256 bytesCounted);
    /// @notice More than the curve allows for these bytes.
    error AboveCeiling(uint256 amount, uint256 ceiling);

    /// @notice More than was granted.
    error AboveGrant(uint256 amount, uint256 granted);

    /// @notice Counts an epoch's bytes and grants its reward: it is drawn as it is claimed, so what nobody claims was never issued.
    /// @param bytesCounted Bytes of the epoch, each counted once.
    /// @param amount Base units; the settlement's own rules may make it less than the ceiling.
    function settle(uint256 bytesCounted, uint256 amount) external onlyFrom(Addresses.TRAFFIC_SETTLEMENT) {
        (TrafficCurve.State memory s, TrafficCurve.State memory t, uint256 phi) = _ceiling(bytesCounted);
        if (amount > phi) revert AboveCeiling(amount, phi);
        _curve = t;
        granted += amount;
        emit TrafficReward(s.counted, bytesCounted, phi, amount);
    }

    /// @notice Pays a part of what was granted to the settlement contract.
    /// @param amount Base units.
    function draw(uint256 amount) external onlyFrom(Addresses.TRAFFIC_SETTLEMENT) {
        if (amount > granted) revert AboveGrant(amount, granted);
        granted -= amount;
        released += amount;
        _pay(msg.sender, amount);
    }

    /// @notice What the curve allows for the next bytes.
    /// @param bytesCounted Bytes, at most `MAX_EPOCH_BYTES`.
    /// @return phi Phi = C(B+b) - C(B), base units.
    function ceiling(uint256 bytesCounted) external view returns (uint256 phi) {
        (,, phi) = _ceiling(bytesCounted);
    }

    /// @notice Bytes counted so far.
    /// @return B.
    function counted() external view returns (uint256) {
        return _curve.counted;
    }

    /// @dev The curve before and after the bytes, and the difference.
    function _ceiling(uint256 b)
        private
        view
        returns (TrafficCurve.State memory s, TrafficCurve.State memory t, uint256 phi)
    {
        if (b > MAX_EPOCH_BYTES) revert TooManyBytes(b);
        s = _curve;
        if (s.e == 0) s = TrafficCurve.start();
        t = TrafficCurve.advance(s, b);
        phi = TrafficCurve.cumulative(t) - TrafficCurve.cumulative(s);
    }
}
