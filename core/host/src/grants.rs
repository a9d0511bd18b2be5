//! What an operator lets one plugin do beyond reading its batch and writing its own rows and state.

use crate::{Answers, Authorities, HostGrant, host_grant};
use reqwest::Url;
use std::{collections::BTreeSet, sync::Arc};

/// What a plugin is told where nothing is sent, whatever was granted.
const NOTHING_SENT: &str = "nothing is sent in this run: `plugin test --answers FILE` has answers of a file, \
                            `--allow-http` asks the hosts that the configuration grants";

/// The sinks that a plugin may send to, and the hosts that it may ask; by default none.
#[derive(Clone, Debug, Default)]
pub struct Grants {
    sinks: Sinks,
    hosts: Hosts,
    authorities: Authorities,
}

#[derive(Clone, Debug)]
enum Sinks {
    Named(BTreeSet<String>),
    Any,
}

#[derive(Clone, Debug)]
enum Hosts {
    Named(Vec<HostGrant>),
    /// A plugin may be made to ask hosts, and none is asked.
    Unasked,
    /// Whatever it asks is answered out of these, and nobody is asked.
    Answered(Arc<Answers>),
}

impl Default for Sinks {
    fn default() -> Self {
        Self::Named(BTreeSet::new())
    }
}

impl Default for Hosts {
    fn default() -> Self {
        Self::Named(Vec::new())
    }
}

impl Grants {
    /// Grants these sinks.
    pub fn sinks(names: impl IntoIterator<Item = String>) -> Self {
        Self { sinks: Sinks::Named(names.into_iter().collect()), ..Self::default() }
    }

    /// Grants whatever is asked for: for a run that sends nothing. A host is not asked either; a plugin
    /// that wants to is told so.
    pub fn any() -> Self {
        Self { sinks: Sinks::Any, hosts: Hosts::Unasked, ..Self::default() }
    }

    /// Grants these hosts, in place of what was granted of them.
    #[must_use]
    pub fn with_hosts(self, hosts: Vec<HostGrant>) -> Self {
        Self { hosts: Hosts::Named(hosts), ..self }
    }

    /// Has every request answered out of these, in place of hosts.
    #[must_use]
    pub fn with_answers(self, answers: Arc<Answers>) -> Self {
        Self { hosts: Hosts::Answered(answers), ..self }
    }

    /// Believes also what these authorities sign of the hosts' names.
    #[must_use]
    pub fn with_authorities(self, authorities: Authorities) -> Self {
        Self { authorities, ..self }
    }

    pub(crate) const fn authorities(&self) -> &Authorities {
        &self.authorities
    }

    pub(crate) const fn answers(&self) -> Option<&Arc<Answers>> {
        match &self.hosts {
            Hosts::Answered(answers) => Some(answers),
            Hosts::Named(_) | Hosts::Unasked => None,
        }
    }

    pub(crate) fn has_sink(&self, name: &str) -> bool {
        match &self.sinks {
            Sinks::Named(names) => names.contains(name),
            Sinks::Any => true,
        }
    }

    /// Whether a plugin that asks hosts may be run at all.
    pub(crate) fn has_hosts(&self) -> bool {
        match &self.hosts {
            Hosts::Named(hosts) => !hosts.is_empty(),
            Hosts::Unasked | Hosts::Answered(_) => true,
        }
    }

    /// Whether requests to a URL are granted, though perhaps not made in this run.
    pub(crate) fn may_fetch(&self, url: &str) -> bool {
        matches!(self.hosts, Hosts::Unasked) || self.host_of(url).is_ok()
    }

    /// Returns the URL to ask and the grant that it falls under; or why not.
    pub(crate) fn host_of(&self, url: &str) -> Result<(Url, HostGrant), String> {
        match &self.hosts {
            Hosts::Named(hosts) => host_grant::granted(url, hosts),
            Hosts::Unasked => Err(NOTHING_SENT.to_owned()),
            Hosts::Answered(_) => host_grant::asked(url),
        }
    }
}
