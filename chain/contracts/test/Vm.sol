// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice The part of forge's cheat codes that the tests use; written out so that no library has to be fetched.
interface Vm {
    function readFile(string calldata path) external view returns (string memory);
    function parseJsonUint(string calldata json, string calldata key) external pure returns (uint256);
    function parseJsonUintArray(string calldata json, string calldata key) external pure returns (uint256[] memory);
    function parseJsonString(string calldata json, string calldata key) external pure returns (string memory);
    function parseJsonBytes(string calldata json, string calldata key) external pure returns (bytes memory);
    function parseJsonBool(string calldata json, string calldata key) external pure returns (bool);
    function keyExistsJson(string calldata json, string calldata key) external view returns (bool);
    function parseBytes32(string calldata s) external pure returns (bytes32);
    function toString(uint256 v) external pure returns (string memory);
    function etch(address target, bytes calldata code) external;
    function deal(address target, uint256 balance) external;
    function roll(uint256 height) external;
    function warp(uint256 time) external;
    function prank(address sender) external;
    function startPrank(address sender) external;
    function stopPrank() external;
    function prevrandao(bytes32 mix) external;
    function snapshotState() external returns (uint256 id);
    function revertToState(uint256 id) external returns (bool ok);
    function load(address target, bytes32 slot) external view returns (bytes32);
    function expectRevert() external;
    function expectRevert(bytes4 selector) external;
    function expectRevert(bytes calldata data) external;
    function store(address target, bytes32 slot, bytes32 value) external;
    function assume(bool ok) external;
}

/// @notice Base of the tests: cheat codes, exact comparison, readers of the vectors.
abstract contract Base {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    /// @dev An amount differs; the vector's path is in the text.
    error Differs(string what, uint256 got, uint256 want);

    function eq(uint256 got, uint256 want, string memory what) internal pure {
        if (got != want) revert Differs(what, got, want);
    }

    function vectors() internal view returns (string memory) {
        return vm.readFile("vectors/econ_vectors.json");
    }

    function item(string memory list, uint256 i) internal pure returns (string memory) {
        return string.concat(".", list, "[", vm.toString(i), "]");
    }

    function num(string memory j, string memory path, string memory key) internal pure returns (uint256) {
        return vm.parseJsonUint(j, string.concat(path, ".", key));
    }

    function hex32(string memory j, string memory path, string memory key) internal pure returns (bytes32) {
        return vm.parseBytes32(string.concat("0x", vm.parseJsonString(j, string.concat(path, ".", key))));
    }

    function count(string memory j, string memory list) internal view returns (uint256 n) {
        while (vm.keyExistsJson(j, item(list, n))) n += 1;
        require(n != 0, "no vectors");
    }
}
