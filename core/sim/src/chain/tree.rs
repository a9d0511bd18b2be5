//! Every block that was ever mined, which branch of them is canonical, and what of it is final.

use crate::{
    chain::{Block, Traffic, Transaction, block::Place, token},
    rng::{Rng, hash},
};
use alloy_primitives::{Address, B256, keccak256};
use event::{BlockNumHash, ChainId, NodeId};
use std::{collections::BTreeMap, sync::Arc};

/// Unix seconds when the virtual clock stood at 0.
const GENESIS_TIMESTAMP: u64 = 1_700_000_000;
/// Transactions of left blocks that wait to be mined again, at most.
const WAITING_MAX: usize = 1_000;
/// Of these, so many are mined again in a block, at most.
const TAKEN_UP_MAX: usize = 4;

/// A chain with all its branches. Height 0 is an empty block that is final from the start.
#[derive(Clone, Debug)]
pub struct Tree {
    chain: ChainId,
    seed: u64,
    traffic: Traffic,
    blocks: BTreeMap<B256, Arc<Block>>,
    /// By height.
    canonical: Vec<B256>,
    finalized: u64,
    /// Who alone has a block.
    secrets: BTreeMap<B256, NodeId>,
    waiting: Vec<Transaction>,
    mined: u64,
    now_ms: u64,
}

impl Tree {
    /// Returns a chain that has only its first block.
    pub fn new(chain: ChainId, seed: u64, traffic: Traffic) -> Self {
        let place = Place {
            number: 0,
            parent: keccak256(chain.0.to_be_bytes()),
            timestamp: GENESIS_TIMESTAMP,
            mined_at_ms: 0,
            salt: 0,
        };
        let genesis = Arc::new(Block::seal(place, Vec::new(), &traffic));
        Self {
            chain,
            seed,
            traffic,
            canonical: vec![genesis.hash],
            blocks: BTreeMap::from([(genesis.hash, genesis)]),
            finalized: 0,
            secrets: BTreeMap::new(),
            waiting: Vec::new(),
            mined: 0,
            now_ms: 0,
        }
    }

    /// Whether this is a token of the chain; other addresses have no code that anybody can ask for.
    pub fn has_token(&self, address: Address) -> bool {
        (0..self.traffic.tokens).any(|n| token(n) == address)
    }

    /// Sets the time at which blocks are mined from now on, in milliseconds.
    pub fn set_now(&mut self, now_ms: u64) {
        self.now_ms = self.now_ms.max(now_ms);
    }

    /// Mines `count` blocks onto the canonical branch.
    pub fn mine(&mut self, count: u64) {
        for _ in 0..count {
            let block = self.next_block(self.head().hash);
            self.canonical.push(block.hash);
        }
    }

    /// Leaves the newest `depth` blocks for a branch that is `extra` blocks longer. Transactions of
    /// the blocks left come back on it, some later and at other places, some never. The first block
    /// is never left.
    pub fn fork(&mut self, depth: u64, extra: u64) {
        let depth = depth.min(self.head().number);
        let at = self.head().number - depth;
        let left: Vec<B256> = self.canonical.drain(at as usize + 1..).collect();
        for hash in left {
            let bodies = self.blocks.get(&hash).map(|block| block.bodies()).unwrap_or_default();
            self.waiting.extend(bodies);
        }
        self.waiting.truncate(WAITING_MAX);
        self.mine(depth + extra);
    }

    /// Mines a branch of `length` blocks onto `parent` without making it canonical, and returns its
    /// tip. With `owner` only that node ever has these blocks. An unknown parent is the head.
    pub fn branch(&mut self, parent: B256, length: u64, owner: Option<&NodeId>) -> B256 {
        let mut tip = if self.blocks.contains_key(&parent) { parent } else { self.head().hash };
        for _ in 0..length {
            tip = self.next_block(tip).hash;
            if let Some(owner) = owner {
                self.secrets.insert(tip, owner.clone());
            }
        }
        tip
    }

    /// Makes the branch that ends in `tip` canonical; an unknown tip changes nothing.
    pub fn switch(&mut self, tip: B256) {
        let path: Vec<BlockNumHash> = self.path(tip).into_iter().map(|block| block.id()).collect();
        let Some(lowest) = path.first() else { return };
        self.canonical.truncate(lowest.number as usize);
        self.canonical.extend(path.iter().map(|block| block.hash));
    }

    /// Makes everything up to this height final, at most up to the head. It may be lower than
    /// before: then finality went back.
    pub fn finalize(&mut self, number: u64) {
        self.finalized = number.min(self.head().number);
    }

    /// Forgets every block below this height, on all branches: for runs so long that the chain itself
    /// would be most of the memory. At most up to what is final. Of heights forgotten only the hash
    /// is kept, 32 bytes each.
    pub fn forget_below(&mut self, number: u64) {
        let number = number.min(self.finalized);
        let Self { blocks, secrets, .. } = self;
        blocks.retain(|_, block| block.number >= number);
        secrets.retain(|hash, _| blocks.contains_key(hash));
    }

    /// Which chain.
    pub const fn chain(&self) -> ChainId {
        self.chain
    }

    /// What happens in its blocks.
    pub const fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Returns the newest canonical block.
    pub fn head(&self) -> BlockNumHash {
        let number = self.canonical.len() as u64 - 1;
        BlockNumHash { number, hash: self.canonical[number as usize] }
    }

    /// Returns the highest final height.
    pub const fn finalized(&self) -> u64 {
        self.finalized
    }

    /// Returns a block of any branch.
    pub fn block(&self, hash: &B256) -> Option<&Arc<Block>> {
        self.blocks.get(hash)
    }

    /// Returns the canonical block of this height.
    pub fn at(&self, number: u64) -> Option<&Arc<Block>> {
        self.blocks.get(self.canonical.get(usize::try_from(number).ok()?)?)
    }

    /// Whether the block is on the canonical branch.
    pub fn is_canonical(&self, block: BlockNumHash) -> bool {
        self.canonical.get(block.number as usize) == Some(&block.hash)
    }

    /// Returns who alone has the block, if anyone.
    pub fn owner(&self, hash: &B256) -> Option<&NodeId> {
        self.secrets.get(hash)
    }

    /// Returns the blocks that lead from the canonical branch to `tip`, lowest first: none when
    /// `tip` is canonical or unknown.
    pub fn path(&self, tip: B256) -> Vec<&Arc<Block>> {
        let mut path = Vec::new();
        let mut at = self.blocks.get(&tip);
        while let Some(block) = at.filter(|block| !self.is_canonical(block.id())) {
            path.push(block);
            at = self.blocks.get(&block.header.parent_hash);
        }
        path.reverse();
        path
    }

    /// Returns the other blocks of this height that are no secret, by hash.
    pub fn siblings(&self, block: BlockNumHash) -> Vec<&Arc<Block>> {
        let is_sibling = |other: &&Arc<Block>| {
            other.number == block.number
                && other.hash != block.hash
                && !self.secrets.contains_key(&other.hash)
        };
        self.blocks.values().filter(is_sibling).collect()
    }

    fn next_block(&mut self, parent: B256) -> Arc<Block> {
        self.mined += 1;
        // Parents come from the tree itself.
        let (number, parent_timestamp) = self
            .blocks
            .get(&parent)
            .map_or((0, 0), |parent| (parent.number + 1, parent.header.timestamp));
        let mut rng = Rng::keyed(self.seed, &[self.chain.0, self.mined]);
        let mut transactions = self.take_up(&mut rng);
        transactions.extend(self.traffic.transactions(number, &mut rng));
        let place = Place {
            number,
            parent,
            timestamp: (GENESIS_TIMESTAMP + self.now_ms / 1_000).max(parent_timestamp + 1),
            mined_at_ms: self.now_ms,
            salt: hash(self.seed, &[self.mined]),
        };
        let block = Arc::new(Block::seal(place, transactions, &self.traffic));
        self.blocks.insert(block.hash, block.clone());
        block
    }

    /// Takes a few of the transactions that wait; one in eight is dropped for good.
    fn take_up(&mut self, rng: &mut Rng) -> Vec<Transaction> {
        let mut taken = Vec::new();
        while taken.len() < TAKEN_UP_MAX && !self.waiting.is_empty() && rng.chance(750) {
            let at = rng.below(self.waiting.len() as u64) as usize;
            let transaction = self.waiting.swap_remove(at);
            if !rng.chance(125) {
                taken.push(transaction);
            }
        }
        taken
    }
}
