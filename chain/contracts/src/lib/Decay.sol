// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Fixed-point decay: the arithmetic below both reward curves
/// @notice T(x) = P * (1 - 2^(-x/half)) without any power function:
///         E(0) = 2^128, E(n+1) = floor(E(n) * rho / 2^128), T(n) = P - ceil(P * E(n) / 2^128).
/// @dev Largest products: E * rho < 2^256 because E <= 2^128 and rho < 2^128; P * E < 2^219 for P < 2^91.
library Decay {
    /// @notice E(0): one in Q128.
    uint256 internal constant ONE = 1 << 128;

    /// @notice One step of the decay.
    /// @param e E(n), at most 2^128.
    /// @param rho The curve's factor per step in Q128, below 2^128.
    /// @return E(n+1), rounded down.
    function next(uint256 e, uint256 rho) internal pure returns (uint256) {
        return (e * rho) >> 128;
    }

    /// @notice Total issued when the decay stands at `e`.
    /// @param total P, everything the curve can issue, in base units.
    /// @param e E(n).
    /// @return T(n) in base units: rounded down, because what is left is rounded up.
    function issued(uint256 total, uint256 e) internal pure returns (uint256) {
        return total - ((total * e + ONE - 1) >> 128);
    }

    /// @notice E(n) from the start, n multiplications. For readers and tests; contracts keep E(n) and step.
    /// @param rho The curve's factor.
    /// @param n Steps.
    /// @return e E(n).
    function power(uint256 rho, uint256 n) internal pure returns (uint256 e) {
        e = ONE;
        for (uint256 i = 0; i < n; ++i) e = next(e, rho);
    }
}
