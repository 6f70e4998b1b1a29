// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Who a block's evidence convicts
/// @notice Evidence is an RLP list of [kind, account, height, round, first, second] (docs/spec/chain.md). The engine has checked
///         both signatures before the block counts; here only the accounts are read.
library EvidenceList {
    /// @notice The accounts named.
    /// @dev Never reverts: the end of a block must not fail. Reading ends where the bytes are not that list.
    /// @param data The RLP list.
    /// @param most Room in the result; the engine allows 7 pieces a block.
    /// @return named In the order of the list.
    function accounts(bytes calldata data, uint256 most) internal pure returns (address[] memory named) {
        named = new address[](most);
        uint256 found = 0;
        (bool ok, uint256 pos, uint256 end) = _list(data, 0);
        while (ok && pos < end && found < most) {
            uint256 inner;
            uint256 next;
            (ok, inner, next) = _list(data, pos);
            // kind is one byte, then 0x94 and the 20 bytes of the account.
            if (!ok || next > end || inner + 22 > next || data[inner] > 0x80 || data[inner + 1] != 0x94) break;
            named[found] = address(bytes20(data[inner + 2:inner + 22]));
            found += 1;
            pos = next;
        }
        assembly ("memory-safe") {
            mstore(named, found)
        }
    }

    /// @dev Where the payload of the list at `pos` begins and ends.
    function _list(bytes calldata data, uint256 pos) private pure returns (bool ok, uint256 begin, uint256 end) {
        if (pos >= data.length) return (false, 0, 0);
        uint256 head = uint8(data[pos]);
        if (head < 0xc0) return (false, 0, 0);
        begin = pos + 1;
        if (head <= 0xf7) {
            end = begin + head - 0xc0;
        } else {
            uint256 width = head - 0xf7;
            uint256 length = 0;
            for (uint256 i = 0; i < width && begin < data.length; ++i) {
                length = (length << 8) | uint8(data[begin]);
                begin += 1;
            }
            if (length > data.length) return (false, 0, 0);
            end = begin + length;
        }
        return (end <= data.length, begin, end);
    }
}
