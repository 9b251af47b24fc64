//! Asking a proxy for a tunnel to the server [RFC 9110, section 9.3.6], without IO.

use infermark_terms::Excerpt;
use infermark_wire::http1::{self, Collected, Message, RequestHead, ResponseDecoder};

use crate::endpoint::Endpoint;

/// A tunnel that is being asked for.
pub(crate) struct Tunnel {
    asking: Vec<u8>,
    written: usize,
    decoder: ResponseDecoder,
    answer: Collected,
}

impl Tunnel {
    /// Returns the tunnel that a server over TLS behind a proxy takes; else nothing.
    pub(crate) fn to(endpoint: &Endpoint) -> Option<Self> {
        let _secure = endpoint.secure()?;
        let field = endpoint.proxy()?.field();
        let server = endpoint.server();
        let headers = field.as_slice();
        let head = RequestHead { method: "CONNECT", path: server, host: server, headers };
        Some(Self {
            asking: http1::request(&head, None, b""),
            written: 0,
            // Whatever its fields say, a tunnel's answer has no body.
            decoder: ResponseDecoder::for_head(),
            answer: Collected::default(),
        })
    }

    /// Returns what is still to be written.
    pub(crate) fn unsent(&self) -> &[u8] {
        &self.asking[self.written..]
    }

    /// Notes that so much of it was.
    pub(crate) fn sent(&mut self, count: usize) {
        self.written += count;
    }

    /// Takes what the proxy said, and says whether the tunnel is there.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<bool, Excerpt> {
        let fed = self.decoder.feed(bytes, &mut self.answer);
        match (self.answer.head.map(|head| head.status), fed) {
            (None, Ok(_)) => Ok(false),
            (Some(200..300), Ok(Message::Complete)) => Ok(true),
            (Some(status), _) if !(200..300).contains(&status) => {
                Err(Excerpt::new(&format!("the proxy answered {status}")))
            }
            // A server speaks no TLS before it was spoken to.
            _ => Err(Excerpt::new("the proxy's answer is not HTTP")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::Route;
    use crate::proxy::Proxies;
    use crate::trust::Roots;

    fn tunnel(url: &str, proxy: &str) -> Option<Tunnel> {
        let proxies = Proxies::named(proxy, "--proxy").unwrap();
        let route = Route { proxies, ..Route::of(Roots::Unverified) };
        Tunnel::to(&Endpoint::resolve(url, &route).unwrap())
    }

    #[test]
    fn the_server_is_named_with_its_port_and_the_proxy_shown_its_credentials() {
        let tunnel_to = |url| tunnel(url, "http://u:p@127.0.0.1:9").unwrap();
        let asked = String::from_utf8(tunnel_to("https://h.example/a").asking).unwrap();
        assert!(asked.starts_with("CONNECT h.example:443 HTTP/1.1\r\nHost: h.example:443\r\n"));
        assert!(asked.contains("\r\nProxy-Authorization: Basic dTpw\r\n"), "{asked}");
        let asked = String::from_utf8(tunnel_to("https://[fd00::1]:8443").asking).unwrap();
        assert!(asked.starts_with("CONNECT [fd00::1]:8443 "), "{asked}");
        assert!(tunnel("http://h.example", "127.0.0.1:9").is_none());
    }

    #[test]
    fn however_the_answer_is_split_the_tunnel_is_there_or_is_not() {
        let said = |text: &str, at: usize| {
            let mut tunnel = tunnel("https://h.example", "127.0.0.1:9").unwrap();
            let (first, second) = text.as_bytes().split_at(at);
            match tunnel.take(first) {
                Ok(false) => tunnel.take(second),
                decided => decided,
            }
            .map_err(|why| why.to_string())
        };
        let refused = "HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\nno";
        for (text, expected) in [
            ("HTTP/1.1 200 Connection established\r\nTransfer-Encoding: chunked\r\n\r\n", Ok(true)),
            ("HTTP/1.1 200 OK\r\n", Ok(false)),
            (refused, Err("the proxy answered 407".to_owned())),
            ("SSH-2.0-x\r\n\r\n", Err("the proxy's answer is not HTTP".to_owned())),
            ("HTTP/1.1 200 OK\r\n\r\nx", Err("the proxy's answer is not HTTP".to_owned())),
        ] {
            let head = text.find("\r\n\r\n").map_or(text.len(), |end| end + 4);
            for at in 0..head {
                assert_eq!(said(text, at), expected, "{text:?} at {at}");
            }
        }
    }
}
