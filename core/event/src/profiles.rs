//! Chains of which something else is known to hold than on Ethereum: a table, with what is not known
//! for sure only observed. A chain that is not in it is held to every check, and fails closed.

use crate::{ChainId, ChainProfile, Checking, Finality};

use Checking::{Observed, Off, On};

/// Ids, name, time between blocks in milliseconds; header hash, bloom, receipts root.
type Row = (&'static [u64], &'static str, u64, Checking, Checking, Checking);

/// Where a check is not `On`, docs/chains.md says why.
const TABLE: [Row; 13] = [
    (&[1], "mainnet", 12_000, On, On, On),
    (&[11_155_111], "sepolia", 12_000, On, On, On),
    (&[560_048], "hoodi", 12_000, On, On, On),
    (&[10, 11_155_420], "optimism", 2_000, On, On, On),
    (&[8_453, 84_532], "base", 2_000, On, On, On),
    (&[137, 80_002], "polygon", 2_000, On, Off, Off),
    (&[109], "shibarium", 5_000, Observed, Off, Off),
    (&[42_161, 42_170, 421_614], "arbitrum", 250, On, On, Off),
    (&[999, 998], "hyperevm", 1_000, Observed, Observed, Off),
    (&[324, 300], "zksync", 1_000, Off, Off, Off),
    (&[143, 10_143], "monad", 400, Observed, Observed, Observed),
    (&[25, 338], "cronos", 600, Observed, Off, Off),
    (&[100], "gnosis", 5_000, Observed, On, On),
];

impl ChainProfile {
    /// Returns what is known to hold on a chain; all of Ethereum's where nothing else is.
    pub fn of(chain: ChainId) -> Self {
        let ethereum = Self::ethereum(chain);
        let Some(row) = TABLE.iter().find(|(ids, ..)| ids.contains(&chain.0)) else {
            return ethereum;
        };
        let (_, name, block_time_ms, check_header_hash, check_bloom, check_receipts_root) = *row;
        Self {
            name: name.to_owned(),
            block_time_ms,
            finality: Finality::Tag,
            check_header_hash,
            check_bloom,
            check_receipts_root,
            ..ethereum
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Check, Flaw};

    #[test]
    fn a_chain_that_is_not_in_the_table_is_held_to_every_check() {
        let unknown = ChainId(31_337);
        assert_eq!(ChainProfile::of(unknown), ChainProfile::ethereum(unknown));
        let ids: Vec<u64> = TABLE.iter().flat_map(|(ids, ..)| ids.iter().copied()).collect();
        assert!(ids.iter().all(|id| ids.iter().filter(|other| *other == id).count() == 1));
    }

    #[test]
    fn what_cannot_hold_on_a_chain_is_no_evidence_there() {
        let polygon = ChainProfile::of(ChainId(137));
        assert!(!polygon.check_bloom.is_made() && !polygon.check_receipts_root.is_made());
        assert!(polygon.check_header_hash.decides());
        let monad = ChainProfile::of(ChainId(143));
        assert!(monad.observes(Flaw::BloomExcludes) && !monad.check_bloom.decides());
    }

    #[test]
    fn a_check_that_is_observed_by_name_is_still_made_and_one_that_is_off_stays_off() {
        let mut profile = ChainProfile::of(ChainId(1));
        profile.observe(Check::ReceiptsRoot);
        assert_eq!(profile.check_receipts_root, Observed);
        assert!(profile.observes(Flaw::ReceiptCount) && !profile.observes(Flaw::HeaderHash));
        let mut zksync = ChainProfile::of(ChainId(324));
        zksync.observe(Check::Bloom);
        assert_eq!(zksync.check_bloom, Off);
    }
}
