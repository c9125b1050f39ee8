//! Which addresses a cluster may have. Whoever stores a cluster has this process connect to it, so what only this machine or its
//! cloud is to reach is refused.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where clouds tell a machine its secrets, beside the link-local addresses.
const METADATA: [IpAddr; 5] = [
    // Alibaba Cloud.
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    // Azure's WireServer.
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    // Oracle Cloud's first generation.
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    // Google Cloud, over IPv6.
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
    // Scaleway, over IPv6.
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42)),
];

/// Why no cluster is looked for at this address; `None`: it may be.
pub fn forbidden(address: IpAddr) -> Option<&'static str> {
    let address = address.to_canonical();
    // AWS has its metadata (::254), its DNS and the credentials of pods (::23) in fd00:ec2::/32.
    let is_aws = matches!(address, IpAddr::V6(v6) if v6.segments()[..2] == [0xfd00, 0xec2]);
    if is_aws || METADATA.contains(&address) {
        return Some("the address of a cloud's metadata");
    }
    let is_link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    if is_link_local {
        return Some("a link-local address, where clouds have their metadata");
    }
    let is_broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    if address.is_unspecified() || address.is_multicast() || is_broadcast {
        return Some("not the address of a server");
    }
    match address {
        IpAddr::V6(v6) if !v6.is_loopback() => embedded(v6).and_then(|v4| forbidden(IpAddr::V4(v4))),
        _ => None,
    }
}

/// The IPv4 address to which this one is translated: by NAT64 (RFC 6052, section 2.1, and RFC 8215), by 6to4 (RFC 3056), or as it was
/// first written (RFC 4291, section 2.5.5.1).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let of = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match (a, b) {
        (0x64, 0xff9b) if [c, d, e, f] == [0; 4] || c == 1 => Some(of(g, h)),
        (0, 0) if [c, d, e, f] == [0; 4] => Some(of(g, h)),
        (0x2002, _) => Some(of(b, c)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_a_machine_itself_is_to_reach_is_refused() {
        for address in [
            "169.254.169.254",
            "169.254.0.1",
            "::ffff:169.254.169.254",
            "fe80::1",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd20:ce::254",
            "64:ff9b::6464:64c8",
            "64:ff9b:1::a9fe:a9fe",
            "::a9fe:a9fe",
            "168.63.129.16",
            "100.100.100.200",
            "0.0.0.0",
            "::",
            "224.0.0.1",
            "255.255.255.255",
        ] {
            assert!(forbidden(address.parse().unwrap()).is_some(), "{address}");
        }
        for address in [
            "10.0.0.1",
            "192.168.1.1",
            "127.0.0.1",
            "::1",
            "203.0.113.7",
            "2001:db8::1",
            "fd00::1",
            "64:ff9b::a00:1",
        ] {
            assert_eq!(forbidden(address.parse().unwrap()), None, "{address}");
        }
    }
}
