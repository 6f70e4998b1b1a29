// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Claims of an epoch's rewards and the tree they are proven by
/// @notice leaf = keccak(0 | index u64 | node 20 | role u8 | gross u128 | cn 20 | auditor 20), inner = keccak(1 | left | right). The place of
///         a leaf is its index: at each level the lowest bit says on which side it hangs. Leaves and inner nodes begin with different
///         bytes, so no inner node is taken for a leaf.
library Claims {
    /// @notice Deepest tree: 2^32 rewards an epoch.
    uint256 internal constant MAX_DEPTH = 32;
    /// @notice Role of an edge node; every other role relays or certifies.
    uint8 internal constant EDGE = 0;

    /// @notice One reward.
    struct Claim {
        /// @dev Epoch: unix seconds // epochSeconds.
        uint64 epoch;
        /// @dev Place in the epoch's tree.
        uint64 index;
        /// @dev Account of the node.
        address node;
        /// @dev 0: edge node, else relay or certification node.
        uint8 role;
        /// @dev Base units before scaling and cap.
        uint128 gross;
        /// @dev Home certification node of an edge node; it gets 3 %. 0: the prize pool does.
        address cn;
        /// @dev The auditor drawn for this reward; it gets the rest of the 6 %. 0: the prize pool does.
        address auditor;
    }

    /// @notice Hash of a leaf.
    /// @param c The claim.
    /// @return The hash; the epoch is not in it, each has its own root.
    function leaf(Claim memory c) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(uint8(0), c.index, c.node, c.role, c.gross, c.cn, c.auditor));
    }

    /// @notice Whether a claim stands in the tree of a root.
    /// @param c The claim.
    /// @param proof Sisters, from the leaf up.
    /// @param root The root.
    /// @return True when it does.
    function proven(Claim memory c, bytes32[] calldata proof, bytes32 root) internal pure returns (bool) {
        if (proof.length > MAX_DEPTH || c.index >> proof.length != 0) return false;
        bytes32 hash = leaf(c);
        for (uint256 i = 0; i < proof.length; ++i) {
            bool right = c.index >> i & 1 == 1;
            (bytes32 a, bytes32 b) = right ? (proof[i], hash) : (hash, proof[i]);
            hash = keccak256(abi.encodePacked(uint8(1), a, b));
        }
        return hash == root;
    }
}
