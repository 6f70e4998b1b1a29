// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Order of the candidates
/// @notice A candidate with trust of at least 10,000 is eligible. Order: votes, trust, distinct voters (more first), then
///         id (smaller first): a total order, so every node finds the same witnesses.
library Election {
    /// @notice Candidates below this trust are not elected and witnesses below it are removed.
    uint256 internal constant TRUST_MIN = 10_000;

    /// @notice What the count knows of a candidate.
    struct Candidate {
        /// @dev Unique number, given at registration.
        uint256 id;
        /// @dev Ballots, base units of NFC.
        uint256 votes;
        /// @dev Trust points.
        uint256 trust;
        /// @dev Distinct holders who vote for it.
        uint256 voters;
    }

    /// @notice Whether `a` is ranked before `b`.
    /// @param a One candidate.
    /// @param b Another one, with another id.
    /// @return True when `a` comes first.
    function ahead(Candidate memory a, Candidate memory b) internal pure returns (bool) {
        if (a.votes != b.votes) return a.votes > b.votes;
        if (a.trust != b.trust) return a.trust > b.trust;
        if (a.voters != b.voters) return a.voters > b.voters;
        return a.id < b.id;
    }

    /// @notice The first `seats` eligible candidates in order.
    /// @dev Insertion into a list of at most `seats`: candidates * seats comparisons in the worst case.
    /// @param all Every candidate, any order.
    /// @param seats How many to elect.
    /// @return ids At most `seats` ids, best first.
    function elect(Candidate[] memory all, uint256 seats) internal pure returns (uint256[] memory ids) {
        uint256[] memory best = new uint256[](seats);
        uint256 count = 0;
        for (uint256 i = 0; i < all.length; ++i) {
            if (all[i].trust < TRUST_MIN) continue;
            uint256 place = count;
            while (place > 0 && ahead(all[i], all[best[place - 1]])) place -= 1;
            if (place == seats) continue;
            if (count < seats) count += 1;
            for (uint256 j = count - 1; j > place; --j) best[j] = best[j - 1];
            best[place] = i;
        }
        ids = new uint256[](count);
        for (uint256 i = 0; i < count; ++i) ids[i] = all[best[i]].id;
    }
}
