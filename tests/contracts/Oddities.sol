// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// Every shape of event that a decoder or a table name may stumble over.
contract Oddities {
    struct Point {
        int128 x;
        int128 y;
    }

    event Ping();
    event Wide(uint256 indexed id, uint256 biggest, int256 smallest);
    event Mixed(int256 value);
    event Named(string indexed name, string plain, bytes raw);
    event Nested(Point[] points, uint16[3] triple, bool flag);
    event Same(uint256 value);
    event Same(address value);
    event Unnamed(uint256, address indexed, bytes32);
    event Reserved(address from, address to, uint256 index, uint64 block_number);
    event Hidden(uint256 indexed a, address b) anonymous;
    event Bare(uint256 value) anonymous;

    function ping() external {
        emit Ping();
    }

    /// 2^256-1 twice, so that a sum needs 257 bits, and the smallest int256.
    function extremes() external {
        emit Wide(1, type(uint256).max, type(int256).min);
        emit Wide(2, type(uint256).max, -1);
        emit Mixed(type(int256).min);
        emit Mixed(type(int256).max);
        emit Mixed(-1);
        emit Mixed(0);
    }

    function names(string calldata name) external {
        emit Named(name, name, bytes(name));
        emit Unnamed(7, msg.sender, bytes32(uint256(7)));
        emit Reserved(msg.sender, address(this), 1, uint64(block.number));
    }

    function nested() external {
        Point[] memory points = new Point[](2);
        points[0] = Point(-1, 2);
        points[1] = Point(type(int128).min, type(int128).max);
        emit Nested(points, [uint16(1), 2, 65535], true);
    }

    function overloads() external {
        emit Same(uint256(5));
        emit Same(msg.sender);
    }

    function anonymous_events() external {
        emit Hidden(9, msg.sender);
        emit Bare(10);
    }

    /// The same event twice in one transaction: two rows, told apart by their occurrence.
    function twins() external {
        emit Same(uint256(1));
        emit Same(uint256(1));
    }

    function revert_after_emitting() external {
        emit Ping();
        revert("gone");
    }
}
