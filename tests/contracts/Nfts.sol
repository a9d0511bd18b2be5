// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// Both kinds of NFT in one contract, that anyone may mint and move: what their events say is what it keeps.
contract Nfts {
    event Transfer(address indexed from, address indexed to, uint256 indexed tokenId);
    event TransferSingle(
        address indexed operator, address indexed from, address indexed to, uint256 id, uint256 value
    );
    event TransferBatch(
        address indexed operator, address indexed from, address indexed to, uint256[] ids, uint256[] values
    );

    mapping(uint256 => address) public ownerOf;
    mapping(address => mapping(uint256 => uint256)) public balanceOf;

    function give(address to, uint256 id) external {
        emit Transfer(ownerOf[id], to, id);
        ownerOf[id] = to;
    }

    function mint(address to, uint256 id, uint256 value) external {
        balanceOf[to][id] += value;
        emit TransferSingle(msg.sender, address(0), to, id, value);
    }

    /// Moves one of each of two ids.
    function both(address to, uint256 first, uint256 second) external {
        uint256[] memory ids = new uint256[](2);
        uint256[] memory values = new uint256[](2);
        (ids[0], ids[1], values[0], values[1]) = (first, second, 1, 1);
        for (uint256 i = 0; i < 2; i++) {
            balanceOf[msg.sender][ids[i]] -= 1;
            balanceOf[to][ids[i]] += 1;
        }
        emit TransferBatch(msg.sender, msg.sender, to, ids, values);
    }
}
