// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Locks} from "../lib/Locks.sol";
import {SystemContract} from "./SystemContract.sol";

/// @title Team vesting
/// @notice Holds 315 M NFC at genesis: nothing for a year, then linear by the second for six years, to one beneficiary.
/// @dev Storage: 0 beneficiary and 1 genesisTime are set by the genesis; 2 released and 3 proposed begin at zero.
contract TeamVesting is SystemContract {
    /// @notice Receives what is vested.
    address public beneficiary;
    /// @notice Unix seconds of the genesis block: where the year of the cliff begins.
    uint256 public genesisTime;
    /// @notice Base units paid so far.
    uint256 public released;
    /// @notice Beneficiary to be, until it accepts.
    address public proposed;

    /// @notice Vested coins were paid.
    event Released(address indexed to, uint256 amount);
    /// @notice The beneficiary named a successor.
    event BeneficiaryProposed(address indexed from, address indexed to);
    /// @notice The successor took over.
    event BeneficiaryChanged(address indexed from, address indexed to);
    /// @notice The caller may not do this.
    error NotAllowed(address caller);

    /// @notice Vested so far, paid or not.
    /// @return Base units.
    function vested() public view returns (uint256) {
        return block.timestamp <= genesisTime ? 0 : Locks.team(block.timestamp - genesisTime);
    }

    /// @notice Pays what is vested and not paid. Anybody may call it: it can only go to the beneficiary.
    /// @return amount Base units paid.
    function release() external returns (uint256 amount) {
        amount = vested() - released;
        released += amount;
        emit Released(beneficiary, amount);
        _pay(beneficiary, amount);
    }

    /// @notice Names a successor; 0 takes the proposal back.
    /// @param to The successor, who has to accept: a mistyped address loses nothing.
    function propose(address to) external {
        if (msg.sender != beneficiary) revert NotAllowed(msg.sender);
        proposed = to;
        emit BeneficiaryProposed(msg.sender, to);
    }

    /// @notice Takes over as beneficiary.
    function accept() external {
        if (msg.sender != proposed || msg.sender == address(0)) revert NotAllowed(msg.sender);
        emit BeneficiaryChanged(beneficiary, msg.sender);
        beneficiary = msg.sender;
        proposed = address(0);
    }
}
