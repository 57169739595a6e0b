//! Who sent a request: the address of its connection, or the one that a trusted proxy names.
//! In: the connection's address, headers, the configured proxies. Out: one address.
//! Never: believes a header that a stranger could have written.
//! Start at [`peer_of`].

use crate::model::Network;
use axum::http::HeaderMap;
use std::net::IpAddr;

/// Hops that are looked at; a header with more was not written by proxies.
const HOPS_MAX: usize = 32;

/// The address at the other end of the connection; the listener puts it into each request.
#[derive(Clone, Copy, Debug)]
pub struct PeerAddress(pub IpAddr);

/// Goes back from the connection, over `Forwarded` or else `X-Forwarded-For`, for as long as each hop is a trusted proxy.
pub fn peer_of(connection: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut peer = connection.to_canonical();
    if trusted.is_empty() || !is_trusted(peer) {
        return peer;
    }
    for hop in hops(headers).into_iter().rev().take(HOPS_MAX) {
        // What is no address (`unknown`, a hidden name) ends what can be known.
        let Some(address) = hop else { break };
        peer = address.to_canonical();
        if !is_trusted(peer) {
            break;
        }
    }
    peer
}

/// The addresses that the headers name, the client first.
fn hops(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let values = |name| headers.get_all(name).into_iter().filter_map(|v| v.to_str().ok());
    let forwarded: Vec<Option<IpAddr>> =
        values("forwarded").flat_map(|v| v.split(',')).map(|hop| address(forwarded_for(hop)?)).collect();
    if !forwarded.is_empty() {
        return forwarded;
    }
    values("x-forwarded-for").flat_map(|v| v.split(',')).map(address).collect()
}

/// The value of `for=` of one element of `Forwarded` (RFC 7239).
fn forwarded_for(element: &str) -> Option<&str> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then(|| value.trim().trim_matches('"'))
    })
}

/// `10.0.0.1`, `10.0.0.1:80`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:80`.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    if let Some(rest) = text.strip_prefix('[') {
        return rest.split_once(']')?.0.parse().ok();
    }
    text.parse().ok().or_else(|| text.rsplit_once(':')?.0.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trusted_proxies_are_believed() {
        let trusted: Vec<Network> = ["10.0.0.0/8", "2001:db8::/32"].iter().filter_map(|t| Network::parse(t)).collect();
        let check = |connection: &str, headers: &[(&'static str, &str)], expect: &str| {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(*name, value.parse().unwrap());
            }
            let peer = peer_of(connection.parse().unwrap(), &map, &trusted);
            assert_eq!(peer.to_string(), expect, "{connection} {headers:?}");
        };
        check("192.0.2.1", &[("x-forwarded-for", "203.0.113.9")], "192.0.2.1");
        check("10.0.0.1", &[], "10.0.0.1");
        check("10.0.0.1", &[("x-forwarded-for", "203.0.113.9")], "203.0.113.9");
        // Whatever the client wrote itself stands further left.
        check("10.0.0.1", &[("x-forwarded-for", "1.1.1.1, 203.0.113.9, 10.0.0.2")], "203.0.113.9");
        check("10.0.0.1", &[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "203.0.113.9:4711")], "203.0.113.9");
        check("10.0.0.1", &[("x-forwarded-for", "10.0.0.3, 10.0.0.2")], "10.0.0.3");
        check("10.0.0.1", &[("x-forwarded-for", "203.0.113.9, unknown")], "10.0.0.1");
        check("10.0.0.1", &[("forwarded", "for=203.0.113.9;proto=https, for=\"[2001:db8::7]:80\"")], "203.0.113.9");
        check("::ffff:10.0.0.1", &[("forwarded", "For=\"[2001:db9::1]\"")], "2001:db9::1");
    }
}
