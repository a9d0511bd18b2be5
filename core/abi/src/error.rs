//! What can be wrong with a signature, an ABI file or a contract's name, and what to do about it.

/// How many of an ABI's events an error names.
const EVENTS_SHOWN: usize = 5;

/// Why there are no schemas.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AbiError {
    /// A signature that does not parse.
    #[error("event signature `{text}`: {cause}{}", at(*.position))]
    Signature {
        /// As given.
        text: String,
        /// Byte from which it could not be read, where known.
        position: Option<usize>,
        /// What was expected there.
        cause: String,
    },
    /// An argument whose type is no ABI type.
    #[error("event `{event}`: argument {position} has type `{solidity}`, which cannot be decoded")]
    Type {
        /// Name of the event.
        event: String,
        /// Position of the argument, from 0.
        position: usize,
        /// The type as given.
        solidity: String,
    },
    /// More indexed arguments than topics.
    #[error("event `{event}` has {indexed} indexed arguments, a log has room for {room}")]
    Indexed {
        /// Name of the event.
        event: String,
        /// How many it has.
        indexed: usize,
        /// How many it can have.
        room: usize,
    },
    /// An ABI file that is not JSON, or no ABI.
    #[error("abi of `{contract}`: {cause}")]
    Json {
        /// Contract.
        contract: String,
        /// What the parser said, with line and column.
        cause: String,
    },
    /// An event that the ABI does not have.
    #[error("abi of `{contract}` has no event `{wanted}`")]
    MissingEvent {
        /// Contract.
        contract: String,
        /// Name or signature asked for.
        wanted: String,
        /// Signatures that exist, closest first.
        known: Vec<String>,
    },
    /// No event at all for a contract.
    #[error("no event for contract `{contract}`")]
    NoEvents {
        /// Contract.
        contract: String,
    },
    /// A function that cannot be called as written.
    #[error("function `{text}`: {cause}")]
    Call {
        /// As given.
        text: String,
        /// What is wrong.
        cause: String,
    },
    /// A name that cannot be an SQL schema of its own.
    #[error("contract name `{name}`: {cause}")]
    ContractName {
        /// As given.
        name: String,
        /// What is wrong.
        cause: &'static str,
    },
}

fn at(position: Option<usize>) -> String {
    position.map(|position| format!(" at character {}", position + 1)).unwrap_or_default()
}

impl AbiError {
    /// Returns what the user can do about it, in one line.
    pub fn hint(&self) -> String {
        const EXAMPLE: &str = "Transfer(address indexed from, address indexed to, uint256 value)";
        match self {
            Self::Signature { .. } => format!("write it as in Solidity: \"{EXAMPLE}\""),
            Self::Type { .. } => "give the ABI type: `address` for a contract, `uint8` for an \
                                  enum, `(type, type)` for a struct"
                .to_owned(),
            Self::Indexed { .. } => {
                "an event has at most three indexed arguments, an anonymous one four".to_owned()
            }
            Self::Json { .. } => {
                "an ABI file is a JSON array, or an object with a member `abi`".to_owned()
            }
            Self::MissingEvent { known, .. } if known.is_empty() => {
                "this ABI has no events; a proxy's events are in its implementation's ABI"
                    .to_owned()
            }
            Self::MissingEvent { known, .. } => {
                let shown = known.iter().take(EVENTS_SHOWN).cloned().collect::<Vec<_>>();
                let more = known.len() - shown.len();
                let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
                format!("it has {}{rest}", shown.join(", "))
            }
            Self::NoEvents { .. } => format!("name one: -e \"{EXAMPLE}\", or give an ABI file"),
            Self::Call { .. } => {
                "write it as in Solidity: \"balanceOf(address owner) view returns (uint256)\""
                    .to_owned()
            }
            Self::ContractName { .. } => {
                "give another name: -c NAME=ADDRESS, with letters, digits and `_`".to_owned()
            }
        }
    }
}
