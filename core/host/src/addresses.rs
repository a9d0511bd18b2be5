//! Which addresses a granted name may lead to. A name is whatever its owner says it is today, so what it
//! leads to is judged, and not the name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How far away an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Anywhere on the public network.
    Public,
    /// This machine, or the operator's own networks.
    Private,
    /// What tells or gives things to whoever asks from this machine: link-local addresses, and those where
    /// clouds keep the keys of a machine. No name may lead there.
    Metadata,
    /// No host: unspecified, multicast, reserved, or a way to write another address.
    Nowhere,
}

/// Addresses outside of the link-local range under which clouds serve metadata and keys of a machine.
const METADATA_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(192, 0, 0, 192),
];
/// Likewise.
const METADATA_V6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

/// Whether a name may lead there, in private networks only where that was granted; or why not. An address
/// that was granted itself may be any.
pub(crate) fn check_reach(address: IpAddr, is_private: bool) -> Result<(), String> {
    let kind = match (reach(address), is_private) {
        (Reach::Public, _) | (Reach::Private, true) => return Ok(()),
        (Reach::Private, false) => "of this machine or a private network",
        (Reach::Metadata, _) => "link-local or of a cloud's metadata",
        (Reach::Nowhere, _) => "no host's",
    };
    Err(format!("it leads to {address}, which is {kind}"))
}

/// Returns how far away an address is.
pub(crate) fn reach(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(address) => reach_v4(address),
        IpAddr::V6(address) => reach_v6(address),
    }
}

fn reach_v4(address: Ipv4Addr) -> Reach {
    if METADATA_V4.contains(&address) {
        return Reach::Metadata;
    }
    match address.octets() {
        [169, 254, ..] => Reach::Metadata,
        [127 | 10, ..] | [192, 168, ..] => Reach::Private,
        [172, 16..=31, ..] => Reach::Private,
        // Behind a carrier's translation, and between benchmarked machines.
        [100, 64..=127, ..] | [198, 18..=19, ..] => Reach::Private,
        // "This network": on Linux it is this machine.
        [0, ..] => Reach::Nowhere,
        // Protocol assignments, documentation, relays of 6to4.
        [192, 0, 0 | 2, _] | [198, 51, 100, _] | [203, 0, 113, _] | [192, 88, 99, _] => {
            Reach::Nowhere
        }
        // Multicast, reserved, broadcast.
        [224..=255, ..] => Reach::Nowhere,
        _ => Reach::Public,
    }
}

fn reach_v6(address: Ipv6Addr) -> Reach {
    if METADATA_V6.contains(&address) {
        return Reach::Metadata;
    }
    if let Some(mapped) = address.to_ipv4_mapped() {
        return reach_v4(mapped);
    }
    let [first, second, third, ..] = address.segments();
    match (first, second, third) {
        _ if address == Ipv6Addr::LOCALHOST => Reach::Private,
        // What a translator makes of it is an address of IPv4.
        (0x64, 0xff9b, 0) => reach_v4(last_four(address)),
        (0xfe80..=0xfebf, ..) => Reach::Metadata,
        // Unique local, and site-local as it was before.
        (0xfc00..=0xfdff | 0xfec0..=0xfeff, ..) => Reach::Private,
        // Special purposes with Teredo, documentation, 6to4.
        (0x2001, 0..=0x1ff | 0xdb8, _) | (0x2002, ..) | (0x3fff, 0..=0xfff, _) => Reach::Nowhere,
        // All that is given out.
        (0x2000..=0x3fff, ..) => Reach::Public,
        _ => Reach::Nowhere,
    }
}

const fn last_four(address: Ipv6Addr) -> Ipv4Addr {
    let [.., a, b, c, d] = address.octets();
    Ipv4Addr::new(a, b, c, d)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[track_caller]
    fn all(addresses: &str, wanted: Reach) {
        for text in addresses.split(' ') {
            assert_eq!(reach(text.parse().unwrap()), wanted, "{text}");
        }
    }

    #[test]
    fn every_kind_of_address_that_is_no_public_host_is_known() {
        all(
            "1.1.1.1 8.8.8.8 172.15.0.1 172.32.0.1 100.63.0.1 100.128.0.1 192.0.1.1",
            Reach::Public,
        );
        all("198.17.0.1 223.255.255.255 2606:4700::1111 2a00::1 2001:4860::8888", Reach::Public);
        all("::ffff:8.8.8.8 64:ff9b::8.8.8.8", Reach::Public);
        all(
            "127.0.0.1 127.8.9.1 10.0.0.1 172.16.0.1 172.31.9.9 192.168.1.1 100.64.0.1",
            Reach::Private,
        );
        all("198.18.0.1 ::1 fc00::1 fd12::1 fec0::1 ::ffff:127.0.0.1 ::ffff:a00:1", Reach::Private);
        all("64:ff9b::127.0.0.1 64:ff9b::a00:1", Reach::Private);
        all("169.254.169.254 169.254.170.2 100.100.100.200 168.63.129.16", Reach::Metadata);
        all("192.0.0.192 fe80::1 fd00:ec2::254 fd20:ce::254", Reach::Metadata);
        all("::ffff:169.254.169.254 64:ff9b::a9fe:a9fe", Reach::Metadata);
        all("0.0.0.0 0.1.2.3 224.0.0.1 239.1.1.1 240.0.0.1 255.255.255.255", Reach::Nowhere);
        all("192.0.2.1 198.51.100.1 203.0.113.1 192.88.99.1", Reach::Nowhere);
        all(
            ":: ff02::1 2001:db8::1 2002:7f00:1::1 2001::1 100::1 3fff::1 ::127.0.0.1",
            Reach::Nowhere,
        );
        all("64:ff9b:1::1 4000::1 ::ffff:0:7f00:1", Reach::Nowhere);
    }
    #[test]
    fn a_name_leads_to_private_networks_only_where_the_grant_says_so_and_never_to_metadata() {
        let told = |to: &str, is_private| check_reach(to.parse().unwrap(), is_private).err();
        assert_eq!(told("8.8.8.8", false), None);
        assert_eq!((told("8.8.8.8", true), told("::1", true)), (None, None));
        let why = told("127.0.0.1", false).unwrap();
        assert_eq!(why, "it leads to 127.0.0.1, which is of this machine or a private network");
        for is_private in [false, true] {
            assert!(told("169.254.169.254", is_private).unwrap().contains("metadata"));
            assert!(told("0.0.0.0", is_private).unwrap().contains("no host's"));
        }
    }
}
