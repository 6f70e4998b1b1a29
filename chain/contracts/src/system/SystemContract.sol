// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title What every system contract shares
/// @notice A system contract is placed by the genesis with its balance and storage: it has no constructor, no owner, no
///         upgrade, and it never delegates, creates or destroys code (`tools/build.js` refuses such bytecode).
/// @dev Holds no storage, so slot 0 is the inheriting contract's.
abstract contract SystemContract {
    /// @notice The caller is not the system contract this function is for.
    error OnlySystem(address caller);
    /// @notice The receiver refused the coins; everything is undone.
    error PaymentRefused(address to, uint256 amount);

    /// @notice There is no such parameter, or it cannot have that value.
    error BadParam(uint256 slot, uint256 value);

    /// @dev Lets one caller in.
    modifier onlyFrom(address caller) {
        if (msg.sender != caller) revert OnlySystem(msg.sender);
        _;
    }

    /// @dev Pays from this contract's own balance. Callers change their state first.
    /// @param to Receiver.
    /// @param amount Base units; 0 makes no call.
    function _pay(address to, uint256 amount) internal {
        if (amount == 0) return;
        (bool ok,) = to.call{value: amount}("");
        if (!ok) revert PaymentRefused(to, amount);
    }
}
