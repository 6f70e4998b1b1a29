// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Units} from "./Units.sol";

/// @title NFC to NB
/// @notice Only a holder of strictly more than 1,000 NFC converts. NFC is burned until 1.005 billion are; what exceeds
///         that goes to the foundation. NB = x * price // 10^18.
library Conversion {
    /// @notice The balance that must be exceeded, base units.
    uint256 internal constant BALANCE_ABOVE = 1_000 * Units.NFC;
    /// @notice Burning ends here, base units.
    uint256 internal constant BURN_CAP = 1_005_000_000 * Units.NFC;

    /// @notice Why a conversion is refused.
    enum Verdict {
        Ok,
        BalanceTooLow,
        BadAmount
    }

    /// @notice Works out a conversion; changes nothing.
    /// @param balance The holder's NFC before it, base units.
    /// @param amount x, base units to convert.
    /// @param burned Base units burned by all conversions so far, at most `BURN_CAP`.
    /// @param priceE18 NB for one NFC, times 10^18.
    /// @return verdict `Ok` or the reason against; everything else is 0 then.
    /// @return burn Base units to burn.
    /// @return foundation Base units to the foundation.
    /// @return nb NB to mint, base units.
    function quote(uint256 balance, uint256 amount, uint256 burned, uint256 priceE18)
        internal
        pure
        returns (Verdict verdict, uint256 burn, uint256 foundation, uint256 nb)
    {
        if (balance <= BALANCE_ABOVE) return (Verdict.BalanceTooLow, 0, 0, 0);
        if (amount == 0 || amount > balance) return (Verdict.BadAmount, 0, 0, 0);
        uint256 room = BURN_CAP - burned;
        burn = amount < room ? amount : room;
        foundation = amount - burn;
        nb = amount * priceE18 / Units.NFC;
    }
}
