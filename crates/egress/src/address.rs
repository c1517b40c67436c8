//! Kinds of addresses, by the registries of special-purpose addresses of the IANA (RFC 6890), which
//! list the blocks that are not reachable from everywhere.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AddressKind {
    /// Host of the public network.
    Public,
    /// Host of a private network (RFC 1918, RFC 4193).
    Private,
    /// This machine.
    Loopback,
    /// Anything else: link-local hosts, among them the metadata services of clouds; multicast;
    /// shared addresses of carriers; IPv4 addresses within IPv6 addresses; documentation, tests and
    /// blocks that are not assigned.
    Special,
}

/// Blocks of IPv4 that are not public: first address, length of the prefix, and kind ("IANA IPv4
/// Special-Purpose Address Registry").
const IPV4: [(Ipv4Addr, u32, AddressKind); 17] = [
    (Ipv4Addr::UNSPECIFIED, 8, AddressKind::Special),
    (Ipv4Addr::new(10, 0, 0, 0), 8, AddressKind::Private),
    // Shared by the customers of a carrier (RFC 6598).
    (Ipv4Addr::new(100, 64, 0, 0), 10, AddressKind::Special),
    (Ipv4Addr::new(127, 0, 0, 0), 8, AddressKind::Loopback),
    // The platform of Azure, with the metadata of the machine ("What is IP address
    // 168.63.129.16?"). It is a public address that leads there from within.
    (Ipv4Addr::new(168, 63, 129, 16), 32, AddressKind::Special),
    // Link-local, with 169.254.169.254, the metadata services of most clouds.
    (Ipv4Addr::new(169, 254, 0, 0), 16, AddressKind::Special),
    (Ipv4Addr::new(172, 16, 0, 0), 12, AddressKind::Private),
    (Ipv4Addr::new(192, 0, 0, 0), 24, AddressKind::Special),
    (Ipv4Addr::new(192, 0, 2, 0), 24, AddressKind::Special),
    // 6to4 relays (RFC 7526).
    (Ipv4Addr::new(192, 88, 99, 0), 24, AddressKind::Special),
    (Ipv4Addr::new(192, 168, 0, 0), 16, AddressKind::Private),
    (Ipv4Addr::new(198, 18, 0, 0), 15, AddressKind::Special),
    (Ipv4Addr::new(198, 51, 100, 0), 24, AddressKind::Special),
    (Ipv4Addr::new(203, 0, 113, 0), 24, AddressKind::Special),
    // Multicast.
    (Ipv4Addr::new(224, 0, 0, 0), 4, AddressKind::Special),
    // Reserved, and the broadcast address.
    (Ipv4Addr::new(240, 0, 0, 0), 4, AddressKind::Special),
    (Ipv4Addr::BROADCAST, 32, AddressKind::Special),
];

/// Blocks of IPv6 that are not what the block around them is; the first that contains an address
/// applies ("IANA IPv6 Special-Purpose Address Registry"). Addresses outside of all are not
/// assigned for the public network ("Internet Protocol Version 6 Address Space"), which covers
/// those that contain an IPv4 address: `::ffff:0:0/96`, `64:ff9b::/96`, `64:ff9b:1::/48`, and
/// `::/96`.
const IPV6: [(Ipv6Addr, u32, AddressKind); 9] = [
    (Ipv6Addr::LOCALHOST, 128, AddressKind::Loopback),
    // The metadata services of Amazon and Google.
    (Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), 128, AddressKind::Special),
    (Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254), 128, AddressKind::Special),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, AddressKind::Private),
    // Protocol assignments, with Teredo, which contains IPv4 addresses.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, AddressKind::Special),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, AddressKind::Special),
    // 6to4, which contains IPv4 addresses.
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, AddressKind::Special),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, AddressKind::Special),
    (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3, AddressKind::Public),
];

/// Return what an address leads to.
#[must_use]
pub fn address_kind(address: IpAddr) -> AddressKind {
    match address {
        IpAddr::V4(address) => {
            let contains = |block: Ipv4Addr, prefix: u32| {
                (address.to_bits() ^ block.to_bits()).leading_zeros() >= prefix
            };
            let found = IPV4.iter().find(|(block, prefix, _)| contains(*block, *prefix));
            found.map_or(AddressKind::Public, |(.., kind)| *kind)
        }
        IpAddr::V6(address) => {
            let contains = |block: Ipv6Addr, prefix: u32| {
                (address.to_bits() ^ block.to_bits()).leading_zeros() >= prefix
            };
            let found = IPV6.iter().find(|(block, prefix, _)| contains(*block, *prefix));
            found.map_or(AddressKind::Special, |(.., kind)| *kind)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// First and last addresses of blocks of IPv4, and addresses of known services.
    const SPECIAL_IPV4: [&str; 18] = [
        "0.0.0.0",
        "0.255.255.255",
        "100.64.0.0",
        "100.100.100.200",
        "100.127.255.255",
        "168.63.129.16",
        "169.254.169.254",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "198.18.0.0",
        "198.19.255.255",
        "198.51.100.7",
        "203.0.113.7",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
    ];

    /// The same of IPv6, and addresses that contain IPv4 addresses.
    const SPECIAL_IPV6: [&str; 18] = [
        "::",
        "::127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:1.1.1.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b:1::a00:1",
        "100::1",
        "2001::a00:1",
        "2001:db8::1",
        "2002:a00:1::",
        "3fff::1",
        "5f00::1",
        "fd00:ec2::254",
        "fd20:ce::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
    ];

    fn kind(address: &str) -> AddressKind {
        address_kind(address.parse().expect("an address"))
    }

    #[test]
    fn addresses_of_the_public_network_are_public() {
        for address in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "93.184.215.14",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2001:200::1",
            "2606:2800:21f:cb07:6820:80da:af6b:8b2c",
            "2a00:1450:4001::",
            "3ffe::1",
        ] {
            assert_eq!(kind(address), AddressKind::Public, "{address}");
        }
    }

    #[test]
    fn all_other_addresses_are_not() {
        for (expected, addresses) in [
            (AddressKind::Loopback, ["127.0.0.1", "127.255.255.255", "::1"].as_slice()),
            (
                AddressKind::Private,
                &[
                    "10.0.0.0",
                    "10.255.255.255",
                    "172.16.0.1",
                    "172.31.255.255",
                    "192.168.0.1",
                    "192.168.255.255",
                    "fc00::1",
                    "fdff:ffff::1",
                ],
            ),
            (AddressKind::Special, &SPECIAL_IPV4),
            (AddressKind::Special, &SPECIAL_IPV6),
        ] {
            for address in addresses {
                assert_eq!(kind(address), expected, "{address}");
            }
        }
    }
}
