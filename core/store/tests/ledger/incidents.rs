//! What was told of nodes, as the owner asks for it before it tells more.

use crate::given::{CHAIN, Place};
use event::{BlockRange, Commit, Flaw, Incident, NodeId, Store};
use store::OpenMode;

#[test]
fn losses_of_a_range_are_told_in_order_with_what_was_withdrawn_of_them() {
    let incident = |node: &str, flaw, first, last| Incident {
        chain: CHAIN,
        node: NodeId::new(node),
        range: BlockRange::new(first, last).unwrap(),
        flaw,
        count: 2,
        detail: format!("of {first}"),
    };
    let told = [
        incident("b", Flaw::Missing, 7, 7),
        incident("a", Flaw::Missing, 5, 5),
        incident("a", Flaw::Forged, 5, 5),
        incident("a", Flaw::Missing, 5, 6),
        incident("a", Flaw::Withdrawn, 5, 5),
        incident("a", Flaw::Missing, 9, 9),
    ];
    let place = Place::new();
    let mut ledger = place.open(OpenMode::Create);
    for one in &told {
        let incidents = vec![one.clone()];
        ledger.apply(&[Commit { incidents, ..Commit::empty(CHAIN) }]).unwrap();
    }
    let range = BlockRange::new(5, 8).unwrap();
    let losses = ledger.told(CHAIN, range, &[Flaw::Missing, Flaw::Withdrawn]).unwrap();
    assert_eq!(losses, [0, 1, 3, 4].map(|nth: usize| told[nth].clone()));
}
