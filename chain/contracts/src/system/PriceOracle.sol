// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Units} from "../lib/Units.sol";
import {Addresses} from "./Addresses.sol";
import {SystemContract} from "./SystemContract.sol";
import {Witness} from "./Witness.sol";

/// @title Price of NFC in NB
/// @notice Witnesses quote; the price follows the median of their quotes by at most 10 % an hour. Minting takes the highest of three averages,
///         conversion the lowest: a wrong price costs whoever would profit by it.
/// @dev Prices are NB for one NFC, times 10^18. Storage: 0 and 1 are set by the genesis. The averages come from sums of price times seconds, kept
///      in a ring.
contract PriceOracle is SystemContract {
    /// @notice A witness' quote.
    struct Quote {
        /// @dev NB for one NFC, times 10^18.
        uint128 price;
        /// @dev When, unix seconds.
        uint64 time;
    }

    /// @notice Sum of price times seconds up to a moment.
    struct Point {
        /// @dev Unix seconds.
        uint64 time;
        /// @dev The sum.
        uint192 sum;
    }

    /// @notice A quote counts this long: half an hour, so a witness that stopped quoting does not hold the median.
    uint256 public constant QUOTE_SECONDS = 1_800;
    /// @notice Most the price moves in an hour, basis points of the price before each step: ln 1.1, so that steps of any size make 10 % an
    ///         hour at most.
    uint256 public constant MOVE_BPS = 953;
    /// @notice A price older than this is none: conversion and minting wait.
    uint256 public constant STALE_SECONDS = 7_200;
    /// @notice Seconds between points of the ring.
    uint256 public constant POINT_SECONDS = 300;
    /// @notice Points: 24 hours and some more, so that the oldest is never younger than a day while the ring is full.
    uint256 public constant POINTS = 300;
    uint256 private constant HOUR = 3_600;

    /// @notice The price the chain begins with; 0: the first median.
    uint256 public genesisPrice;
    /// @notice A price that minting never goes below and conversion never above; 0: none.
    uint256 public anchor;
    /// @notice Price now.
    uint256 public price;
    /// @notice When it was set, unix seconds.
    uint64 public updatedAt;
    uint64 private _baseAt;
    uint32 private _next;
    uint32 private _count;
    uint256 private _base;
    uint192 private _sum;
    /// @notice Last quote of each candidate that was a witness then.
    mapping(uint256 id => Quote) public quotes;
    Point[300] private _ring;

    /// @notice A witness quoted.
    event Quoted(uint256 indexed id, uint256 price);
    /// @notice The price followed the median.
    event Moved(uint256 median, uint256 price);
    /// @notice The caller is no witness.
    error NotWitness(address caller);
    /// @notice 0, or above 10^12 NB for an NFC.
    error BadPrice(uint256 price);
    /// @notice There is no price, or an old one.
    error Stale(uint256 updatedAt);

    /// @notice A witness' quote; with it the price moves when two thirds of the witnesses have quoted within half an hour.
    /// @param quoted NB for one NFC, times 10^18.
    function quote(uint256 quoted) external {
        if (quoted == 0 || quoted > 1e30) revert BadPrice(quoted);
        Witness registry = Witness(payable(Addresses.WITNESS));
        uint32[] memory seats = registry.seats();
        uint256 id = registry.idOf(msg.sender);
        bool sits = false;
        for (uint256 i = 0; i < seats.length; ++i) sits = sits || seats[i] == id;
        if (id == 0 || !sits) revert NotWitness(msg.sender);
        quotes[id] = Quote(uint128(quoted), uint64(block.timestamp));
        emit Quoted(id, quoted);
        _follow(seats);
    }

    /// @notice Changes the anchor.
    /// @param slot 1.
    /// @param value NB for one NFC, times 10^18; 0: none.
    function setParam(uint256 slot, uint256 value) external onlyFrom(Addresses.PARAMS) {
        if (slot != 1 || value > 1e30) revert BadParam(slot, value);
        anchor = value;
    }

    /// @notice Price that minting reckons with: the highest of the averages of an hour and a day and the anchor.
    /// @return p NB for one NFC, times 10^18.
    function mintPrice() external view returns (uint256 p) {
        _fresh();
        p = average(HOUR);
        uint256 day = average(24 * HOUR);
        if (day > p) p = day;
        if (anchor > p) p = anchor;
    }

    /// @notice Price that conversion reckons with: the lowest of the same.
    /// @return p NB for one NFC, times 10^18.
    function convertPrice() external view returns (uint256 p) {
        _fresh();
        p = average(HOUR);
        uint256 day = average(24 * HOUR);
        if (day < p) p = day;
        if (anchor != 0 && anchor < p) p = anchor;
    }

    /// @notice Average price of the last seconds, or since the beginning when that is shorter.
    /// @param span Seconds, at most 86,400.
    /// @return NB for one NFC, times 10^18.
    function average(uint256 span) public view returns (uint256) {
        if (_count == 0) return price;
        uint256 from = _point(0).time;
        if (block.timestamp - from > span) from = block.timestamp - span;
        if (from == block.timestamp) return price;
        return (_sumAt(block.timestamp) - _sumAt(from)) / (block.timestamp - from);
    }

    /// @dev The price follows the median, at most 10 % an hour.
    function _follow(uint32[] memory seats) private {
        uint256[] memory fresh = new uint256[](seats.length);
        uint256 n = 0;
        for (uint256 i = 0; i < seats.length; ++i) {
            Quote memory q = quotes[seats[i]];
            if (q.time + QUOTE_SECONDS < block.timestamp || q.price == 0) continue;
            uint256 place = n;
            for (; place > 0 && fresh[place - 1] > q.price; --place) fresh[place] = fresh[place - 1];
            fresh[place] = q.price;
            n += 1;
        }
        if (n < seats.length * 2 / 3 + 1) return;
        // Of an even number the lower one in the middle: a quote somebody made, not a mean nobody did.
        _move(fresh[(n - 1) / 2]);
    }

    function _move(uint256 median) private {
        // Quotes of one second make one move: the first of them must not use up what the last one may move.
        if (updatedAt != block.timestamp) {
            if (updatedAt != 0) _sum += uint192(price * (block.timestamp - updatedAt));
            (_base, _baseAt) = updatedAt == 0 ? (genesisPrice, uint64(block.timestamp)) : (price, updatedAt);
        }
        uint256 last = _base;
        uint256 elapsed = block.timestamp - _baseAt;
        if (elapsed > HOUR) elapsed = HOUR;
        uint256 most = last * MOVE_BPS * elapsed / (Units.BPS * HOUR);
        if (last == 0) price = median;
        else if (median > last + most) price = last + most;
        else if (median + most < last) price = last - most;
        else price = median;
        updatedAt = uint64(block.timestamp);
        if (_count == 0 || block.timestamp >= _ring[(_next + POINTS - 1) % POINTS].time + POINT_SECONDS) {
            _ring[_next] = Point(updatedAt, _sum);
            _next = uint32((_next + 1) % POINTS);
            if (_count < POINTS) _count += 1;
        }
        emit Moved(median, price);
    }

    /// @dev The sum at a moment not before the oldest point: exact from the last move on, else along the line between two points.
    function _sumAt(uint256 time) private view returns (uint256) {
        if (time >= updatedAt) return _sum + price * (time - updatedAt);
        (uint256 low, uint256 high) = (0, _count);
        while (low + 1 < high) {
            uint256 mid = (low + high) / 2;
            if (_point(mid).time <= time) low = mid;
            else high = mid;
        }
        Point memory p = _point(low);
        Point memory q = low + 1 < _count ? _point(low + 1) : Point(updatedAt, _sum);
        return p.sum + (q.sum - p.sum) * (time - p.time) / (q.time - p.time);
    }

    /// @dev Points from the oldest on.
    function _point(uint256 i) private view returns (Point memory) {
        return _ring[(_next + POINTS - _count + i) % POINTS];
    }

    function _fresh() private view {
        if (updatedAt == 0 || block.timestamp - updatedAt > STALE_SECONDS) revert Stale(updatedAt);
    }
}
