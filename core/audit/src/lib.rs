//! What is there of a range, and who left out, altered or made up what? Pure: no clock, no file, no
//! node.
//!
//! Stands beside an event's path and changes nothing. A [`Window`] hears what every node and the
//! ledger say of one filter over some blocks, says which of them are not shown yet ([`Window::due`]),
//! and an [`Audit`] holds what was said against what was shown. It does not ask (the pipeline does),
//! recompute (`proof` does) or decide whose headers are believed (the caller names the trusted).
//!
//! What is true of a block is what its receipts prove. Where less is demanded it is what a trusted
//! node said, until anybody says otherwise: a difference has to be proved, at every level.

mod compare;
mod finding;
mod links;
mod parts;
mod told;
mod verdict;
mod window;

pub use finding::{Finding, Kind, Status, Who};
pub use links::Break;
pub use told::{EventKey, Told};
pub use verdict::{Audit, FINDINGS_MAX, FilterVerdict, SPANS_MAX, Span, Unheard, Verdict};
pub use window::{Due, Settings, Window};
