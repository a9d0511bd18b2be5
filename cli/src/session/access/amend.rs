//! Changing a little of a ledger by an operator's word: in its file where nobody owns it, through its
//! owner where somebody does.

use super::{
    joined::{Joined, Miss},
    reach::Seeker,
};
use crate::{command_error::CommandError, environment::Environment};
use event::{LedgerError, Remedy, Store};
use relay::{ConnectError, Role};
use std::{
    path::Path,
    time::{Duration, Instant},
};
use store::{DuckLedger, OpenMode};

/// Owners that end while they are asked, at most.
const LOST_MAX: u32 = 100;
/// Time between two tries.
const TRY_AGAIN: Duration = Duration::from_millis(25);

/// Does what an operator decided; returns how many events, messages or lanes it concerned.
pub(crate) fn amend(
    path: &Path,
    environment: &Environment,
    remedy: &Remedy,
) -> Result<u64, CommandError> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let seeker = Seeker::new(path, environment, Role::Reader);
    let (begun, mut lost) = (Instant::now(), 0);
    loop {
        let pid = match DuckLedger::open(path, OpenMode::Existing) {
            Ok(mut ledger) => {
                let count = ledger.remedy(remedy)?;
                ledger.close()?;
                return Ok(count);
            }
            Err(LedgerError::Busy { pid, .. }) => pid,
            Err(error) => return Err(error.into()),
        };
        match runtime.block_on(seeker.connect()) {
            Ok(client) => match runtime.block_on(Joined::new(client).remedy(remedy)) {
                Ok(count) => return Ok(count),
                Err(Miss::Failed(error)) => return Err(error),
                // What was asked twice is done once: it is no longer set aside.
                Err(Miss::Lost) if lost < LOST_MAX => lost += 1,
                Err(Miss::Lost) => return Err(seeker.busy(pid).into()),
            },
            Err(ConnectError::Absent(_) | ConnectError::Refused { .. }) => {}
            Err(error) => return Err(seeker.unreachable(error)),
        }
        if seeker.is_over(begun, pid) {
            return Err(seeker.busy(pid).into());
        }
        std::thread::sleep(TRY_AGAIN);
    }
}
