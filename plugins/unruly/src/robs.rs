//! Two of a kind: one keeps something in its state, the other looks for it under the same keys, and takes
//! and changes what it finds. What it saw first it keeps as `saw`.

use headcount_plugin_sdk::{Failure, Host, bindings::headcount::plugin::state};

/// Keys that both use.
const KEYS: [&[u8]; 3] = [b"shared", b"treasure", b""];

/// Does it, where `misdeed` is one of these.
pub(crate) fn commit(misdeed: &str, host: &mut dyn Host) -> Result<(), Failure> {
    match misdeed {
        "keep" => host.set_many(&KEYS.map(|key| (key.to_vec(), b"of the keeper".to_vec()))),
        "rob" => {
            if state::get(b"saw").is_none() {
                let keys = state::scan(b"", None, 1_000).len();
                let values = host.get_many(&KEYS.map(<[u8]>::to_vec));
                let values = values.iter().flatten().count();
                let saw = format!("{keys} keys, {values} values");
                host.set_many(&[(b"saw".to_vec(), saw.into_bytes())])?;
            }
            state::delete(b"treasure");
            host.set_many(&[(b"shared".to_vec(), b"of the robber".to_vec())])
        }
        _ => Ok(()),
    }
}
