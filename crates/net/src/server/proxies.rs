//! Reverse proxies before a service, which say whom a request comes from. Only what a listed address says is believed, and
//! of that only what the next one on the way, from this end, cannot have made up.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Most addresses of one request that are looked at.
const HOPS_MAX: usize = 32;
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Which proxies are believed, and where they write.
#[derive(Debug, Clone)]
pub struct Proxies {
    networks: Vec<(IpAddr, u8)>,
    header: HeaderName,
}

impl Proxies {
    /// From the options `trusted_proxies` and `proxy_header`; the error names the one at fault.
    pub fn new(trusted: &[String], header: &str) -> Result<Self, String> {
        let header = match header {
            "x-forwarded-for" => X_FORWARDED_FOR,
            "forwarded" => header::FORWARDED,
            _ => return Err("proxy_header is x-forwarded-for or forwarded".to_owned()),
        };
        let networks = trusted.iter().map(|text| {
            network(text).ok_or_else(|| {
                format!("trusted_proxies: {text} is no address, as 192.0.2.1, and no network, as 192.0.2.0/24")
            })
        });
        Ok(Self { networks: networks.collect::<Result<_, _>>()?, header })
    }

    /// The address with that of the client in the place of the proxy's.
    pub(super) fn look_behind(&self, mut peer: SocketAddr, headers: &HeaderMap) -> SocketAddr {
        peer.set_ip(self.client(peer.ip(), headers));
        peer
    }

    /// Whom a request comes from that this peer sent.
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        if !self.trusts(peer) {
            return peer;
        }
        // A line that is no text is a hop that cannot be read.
        let text = |value| HeaderValue::to_str(value).unwrap_or_default();
        let values: Vec<&str> = headers.get_all(&self.header).iter().map(text).collect();
        let mut client = peer;
        for hop in values.iter().rev().flat_map(|value| value.rsplit(',')).take(HOPS_MAX) {
            let said = if self.header == header::FORWARDED { forwarded_for(hop) } else { Some(hop.trim()) };
            // What cannot be read was said by nobody who is believed.
            let Some(address) = said.and_then(address) else { return client };
            client = address;
            if !self.trusts(client) {
                return client;
            }
        }
        client
    }

    fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|(network, bits)| contains(*network, *bits, address))
    }
}

fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits.parse::<u8>().ok()?)),
        None => (text, None),
    };
    let address = address.parse::<IpAddr>().ok()?.to_canonical();
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.unwrap_or(most);
    (bits <= most).then_some((address, bits))
}

fn contains(network: IpAddr, bits: u8, address: IpAddr) -> bool {
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            network.to_bits() & mask == address.to_bits() & mask
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            network.to_bits() & mask == address.to_bits() & mask
        }
        _ => false,
    }
}

/// An address with or without a port and brackets.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim_matches('"');
    let bare = || text.strip_prefix('[')?.split(']').next()?.parse().ok();
    let with_port = || text.parse().ok().map(|socket: SocketAddr| socket.ip());
    text.parse().ok().or_else(with_port).or_else(bare).map(|address: IpAddr| address.to_canonical())
}

/// RFC 7239, section 4: `for=192.0.2.43;proto=https`.
fn forwarded_for(element: &str) -> Option<&str> {
    let mut pairs = element.split(';').filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| name.eq_ignore_ascii_case("for")).map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(header: &str, peer: &str, values: &[&'static str]) -> String {
        let trusted = ["192.0.2.1", "10.0.0.0/8", "2001:db8::/32"].map(str::to_owned);
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HeaderName::from_bytes(header.as_bytes()).unwrap(), value.parse().unwrap());
        }
        Proxies::new(&trusted, header).unwrap().client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn only_proxies_that_are_listed_are_believed() {
        let cases: [(&str, &[&str], &str); 10] = [
            ("203.0.113.9", &["198.51.100.1"], "203.0.113.9"),
            ("192.0.2.1", &["198.51.100.1"], "198.51.100.1"),
            ("192.0.2.1", &[], "192.0.2.1"),
            ("192.0.2.1", &["6.6.6.6, 198.51.100.1"], "198.51.100.1"),
            ("192.0.2.1", &["6.6.6.6", "198.51.100.1, 10.1.2.3"], "198.51.100.1"),
            ("192.0.2.1", &["10.1.2.3, 10.1.2.4"], "10.1.2.3"),
            ("192.0.2.1", &["6.6.6.6, nonsense, 10.1.2.3"], "10.1.2.3"),
            ("192.0.2.1", &["198.51.100.1:4711"], "198.51.100.1"),
            ("2001:db8::1", &["[2001:db9::7]:80"], "2001:db9::7"),
            ("::ffff:192.0.2.1", &["::ffff:198.51.100.1"], "198.51.100.1"),
        ];
        for (peer, values, client) in cases {
            assert_eq!(found("x-forwarded-for", peer, values), client, "{peer} {values:?}");
        }
        let said = ["for=6.6.6.6, For=\"[2001:db9::7]:4711\";proto=https", "by=x;for=10.1.2.3"];
        assert_eq!(found("forwarded", "192.0.2.1", &said), "2001:db9::7");
        assert_eq!(found("forwarded", "192.0.2.1", &["for=_hidden"]), "192.0.2.1");
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for wrong in ["", "name", "10.0.0.0/33", "10.0.0.0/-1", "::/129", "10.0.0.0/8/8"] {
            let refused = Proxies::new(&[wrong.to_owned()], "forwarded");
            assert!(refused.unwrap_err().contains("trusted_proxies"), "{wrong}");
        }
        assert!(Proxies::new(&[], "x-real-ip").unwrap_err().contains("proxy_header"));
        let nobody = Proxies::new(&[], "x-forwarded-for").unwrap();
        assert!(!nobody.trusts("127.0.0.1".parse().unwrap()));
    }
}
