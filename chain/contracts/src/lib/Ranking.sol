// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title The candidates, always in the order of the count
/// @notice A binary heap of one word a candidate, kept up to date by whoever votes or redeems: the count at the end of a week
///         reads the best of it and nothing else, however many there are.
/// @dev A key is votes (96 bits) | trust (64) | distinct voters (64) | ~id (32): larger is ahead, by the rule of `Election`, and no
///      two are equal. The trust of seated witnesses changes every block; their keys in here keep the trust of everybody
///      without a seat, and the count, which knows who is seated, leaves them out of `best` and adds their true keys.
library Ranking {
    uint256 private constant VOTES_SHIFT = 160;
    uint256 private constant TRUST_SHIFT = 96;
    uint256 private constant VOTERS_SHIFT = 32;

    /// @notice The heap.
    struct Heap {
        /// @dev keys[i] >= keys[2i+1], keys[2i+2].
        uint256[] keys;
        /// @dev Place of a candidate in `keys`, from 1; 0: not in the heap.
        mapping(uint256 id => uint256) place;
    }

    /// @notice The key of a candidate.
    /// @param votes Ballots.
    /// @param trust Trust points.
    /// @param voters Distinct holders.
    /// @param id Number of the candidate.
    /// @return The key.
    function key(uint96 votes, uint64 trust, uint64 voters, uint32 id) internal pure returns (uint256) {
        return uint256(votes) << VOTES_SHIFT | uint256(trust) << TRUST_SHIFT | uint256(voters) << VOTERS_SHIFT | uint32(~id);
    }

    /// @notice The candidate of a key.
    /// @param k The key.
    /// @return Its number.
    function idOf(uint256 k) internal pure returns (uint256) {
        return uint32(~uint32(k));
    }

    /// @notice Puts a candidate in, or moves it to where its new key belongs.
    /// @dev At most log2(n) moves of two storage words.
    /// @param h The heap.
    /// @param k The candidate's key.
    function put(Heap storage h, uint256 k) internal {
        uint256 place = h.place[idOf(k)];
        if (place == 0) {
            h.keys.push(k);
            place = h.keys.length;
        }
        _settle(h, place, k);
    }

    /// @notice Takes a candidate out; nothing happens when it is not in.
    /// @param h The heap.
    /// @param id The candidate.
    function remove(Heap storage h, uint256 id) internal {
        uint256 place = h.place[id];
        if (place == 0) return;
        uint256 last = h.keys[h.keys.length - 1];
        h.keys.pop();
        h.place[id] = 0;
        if (idOf(last) != id) _settle(h, place, last);
    }

    /// @notice The best candidates in order, but for some.
    /// @dev Reads at most 2 * (want + skip.length) + 1 keys.
    /// @param h The heap.
    /// @param want How many.
    /// @param skip Numbers to leave out.
    /// @return keys At most `want` keys, best first.
    function best(Heap storage h, uint256 want, uint256[] memory skip) internal view returns (uint256[] memory keys) {
        uint256 n = h.keys.length;
        keys = new uint256[](want);
        // The frontier: places whose parents were visited. Each visit takes one and adds at most two.
        uint256[] memory places = new uint256[](want + skip.length + 2);
        uint256[] memory front = new uint256[](places.length);
        uint256 size = 0;
        uint256 found = 0;
        if (n != 0) (places[0], front[0], size) = (1, h.keys[0], 1);
        while (size != 0 && found < want) {
            uint256 top = _largest(front, size);
            (uint256 k, uint256 place) = (front[top], places[top]);
            size -= 1;
            (front[top], places[top]) = (front[size], places[size]);
            for (uint256 child = 2 * place; child <= 2 * place + 1 && child <= n; ++child) {
                (front[size], places[size]) = (h.keys[child - 1], child);
                size += 1;
            }
            if (!_among(skip, idOf(k))) {
                keys[found] = k;
                found += 1;
            }
        }
        _shorten(keys, found);
    }

    /// @notice Puts a key into a sorted list of keys.
    /// @param list Best first.
    /// @param k The key.
    /// @return merged One longer, best first.
    function insert(uint256[] memory list, uint256 k) internal pure returns (uint256[] memory merged) {
        merged = new uint256[](list.length + 1);
        uint256 pos = 0;
        for (; pos < list.length && list[pos] > k; ++pos) merged[pos] = list[pos];
        merged[pos] = k;
        for (; pos < list.length; ++pos) merged[pos + 1] = list[pos];
    }

    /// @dev Where `k` belongs from `place` on: up as long as it beats its parent, down as long as a child beats it.
    function _settle(Heap storage h, uint256 place, uint256 k) private {
        uint256 n = h.keys.length;
        while (place > 1) {
            uint256 parent = h.keys[place / 2 - 1];
            if (parent > k) break;
            _write(h, place, parent);
            place /= 2;
        }
        while (2 * place <= n) {
            uint256 child = 2 * place;
            uint256 larger = h.keys[child - 1];
            if (child < n && h.keys[child] > larger) (larger, child) = (h.keys[child], child + 1);
            if (larger < k) break;
            _write(h, place, larger);
            place = child;
        }
        _write(h, place, k);
    }

    function _write(Heap storage h, uint256 place, uint256 k) private {
        h.keys[place - 1] = k;
        h.place[idOf(k)] = place;
    }

    function _largest(uint256[] memory a, uint256 size) private pure returns (uint256 pos) {
        for (uint256 i = 1; i < size; ++i) {
            if (a[i] > a[pos]) pos = i;
        }
    }

    function _among(uint256[] memory a, uint256 x) private pure returns (bool) {
        for (uint256 i = 0; i < a.length; ++i) {
            if (a[i] == x) return true;
        }
        return false;
    }

    /// @dev Cuts a memory list; its length is its first word.
    function _shorten(uint256[] memory a, uint256 length) private pure {
        assembly ("memory-safe") {
            mstore(a, length)
        }
    }
}
