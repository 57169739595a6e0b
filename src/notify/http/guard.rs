//! Which addresses a destination may have when `deny_private` is set.
//! In: names and addresses. Out: only public addresses, the very ones that are then connected to (no second look-up).
//! Never: guards destinations that did not ask for it.
//! Start at [`PublicOnly`].

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A resolver that fails when any address of a name is not public: a mixed answer is how rebinding starts.
#[derive(Debug, Default)]
pub(super) struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let addresses: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if addresses.is_empty() || addresses.iter().any(|a| !is_public(a.ip())) {
                return Err("the destination is not a public address (deny_private)".into());
            }
            let addresses: Addrs = Box::new(addresses.into_iter());
            Ok(addresses)
        })
    }
}

/// False for a URL whose host is written as an address that is not public; names are checked when resolved.
pub(super) fn host_may_be_public(url: &reqwest::Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    bare.parse::<IpAddr>().map_or(true, is_public)
}

/// Neither loopback, private, link-local (cloud metadata), carrier NAT, multicast, documentation nor reserved.
pub(super) fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let carrier_nat = a == 100 && (64..128).contains(&b);
    let protocol_assignments = a == 192 && b == 0 && c == 0;
    let benchmarking = a == 198 && (18..20).contains(&b);
    !(a == 0
        || a >= 240
        || ip.is_loopback()
        || ip.is_private()
        || ip.is_link_local()
        || ip.is_multicast()
        || ip.is_documentation()
        || carrier_nat
        || protocol_assignments
        || benchmarking)
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let embedded_v4 = ip.to_ipv4_mapped().or_else(|| {
        let s = ip.segments();
        // 64:ff9b::/96 (NAT64) and 2002::/16 (6to4) lead to the IPv4 address inside.
        match s {
            [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(v4_of(high, low)),
            [0x2002, high, low, ..] => Some(v4_of(high, low)),
            _ => None,
        }
    });
    if let Some(v4) = embedded_v4 {
        return is_public_v4(v4);
    }
    // 2000::/3 is all that is given out; 2001:db8::/32 in it is for documentation.
    (ip.segments()[0] & 0xe000) == 0x2000 && !(ip.segments()[0] == 0x2001 && ip.segments()[1] == 0xdb8)
}

fn v4_of(high: u16, low: u16) -> Ipv4Addr {
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    Ipv4Addr::new(a, b, c, d)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_pass() {
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:7f00:1::",
            "2001:db8::1",
        ] {
            assert!(!is_public(private.parse().expect("an address")), "{private}");
        }
        for public in ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:1.1.1.1"] {
            assert!(is_public(public.parse().expect("an address")), "{public}");
        }
        for (url, want) in [("http://[::1]/", false), ("http://2130706433/", false), ("http://example.org/", true)] {
            assert_eq!(host_may_be_public(&url.parse().expect("a url")), want, "{url}");
        }
    }
}
