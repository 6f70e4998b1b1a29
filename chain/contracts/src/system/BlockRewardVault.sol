// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {BlockCurve} from "../lib/BlockCurve.sol";
import {BlockSplit} from "../lib/BlockSplit.sol";
import {Addresses} from "./Addresses.sol";
import {SystemContract} from "./SystemContract.sol";

/// @title Block reward vault
/// @notice Holds 336 M NFC at genesis and pays each block's reward once: 10 % to the prize pool, 90 % to the witness
///         registry, which shares it between the creator and its voters.
/// @dev Storage (all zero at genesis): 0 lastHeight, 1 released, 2 year, 3 E(year), 4 T(year), 5 T(year+1).
///      Slots 2-5 all zero mean the curve has not begun. Coins sent here by force stay here: what is paid comes
///      from the curve, never from the balance.
contract BlockRewardVault is SystemContract {
    /// @notice Height of the last block paid.
    uint256 public lastHeight;
    /// @notice Base units paid so far.
    uint256 public released;
    BlockCurve.State private _curve;

    /// @notice A block's reward left the vault.
    event BlockReward(uint256 indexed height, uint256 pool, uint256 node);
    /// @notice This block's reward has been paid already.
    error AlreadyPaid(uint256 height);

    /// @notice Pays the reward of the current block; called by the registry while it ends the block.
    /// @dev A height that was not paid is never paid later. Costs one curve step in the first block of a year.
    /// @return node Base units sent to the caller: 90 % of the reward, rounding included.
    function release() external onlyFrom(Addresses.WITNESS) returns (uint256 node) {
        uint256 height = block.number;
        if (height <= lastHeight) revert AlreadyPaid(height);
        BlockCurve.State memory s = _at(height);
        if (lastHeight == 0 || s.year != _curve.year) _curve = s;
        uint256 reward = BlockCurve.reward(s, height);
        (uint256 pool,, uint256 rest) = BlockSplit.split(reward, 0);
        node = rest;
        lastHeight = height;
        released += reward;
        emit BlockReward(height, pool, node);
        _pay(Addresses.PRIZE_POOL, pool);
        _pay(msg.sender, node);
    }

    /// @notice The reward of a block not before the last one paid.
    /// @param height Block number, at least 1.
    /// @return Base units, before any split.
    function rewardAt(uint256 height) external view returns (uint256) {
        return BlockCurve.reward(_at(height), height);
    }

    /// @dev The curve in the year of `height`.
    function _at(uint256 height) private view returns (BlockCurve.State memory s) {
        s = _curve;
        if (s.e == 0) s = BlockCurve.start();
        uint256 year = BlockCurve.yearOf(height);
        while (s.year < year) s = BlockCurve.advance(s);
    }
}
