//! Who may ask: the right host, no other site's page, and the token where one is needed.
//!
//! A browser on the same machine can reach a node on loopback on behalf of any site. Three things
//! stop that. The name in `Host` must be one of this node's, so that a site cannot make its own
//! name point here (DNS rebinding). `Origin`, which browsers send with everything that changes
//! something, must be this node or be listed in `api.allowed_origins`. And `Sec-Fetch-Site` must
//! not say that another site asks, but for a link that is followed to the page itself.

use std::net::IpAddr;

use actix_web::HttpRequest;
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::http::{Method, StatusCode};
use bitfitech_io::config::ApiSettings;
use subtle::ConstantTimeEq;

use super::problem::Problem;

/// What a browser may name besides the protocol of the stream: the token, in hexadecimal digits,
/// for its WebSocket has no other header.
const TOKEN_PROTOCOL: &str = "bearer.";

/// The rules.
#[derive(Debug)]
pub(super) struct Access {
    host: IpAddr,
    port: u16,
    token: Option<String>,
    allowed_origins: Vec<String>,
}

impl Access {
    /// The rules for this port.
    pub(super) fn new(settings: &ApiSettings, port: u16) -> Self {
        let token = settings.token.reveal();
        Self {
            host: settings.host,
            port,
            token: (!token.is_empty()).then(|| token.to_owned()),
            allowed_origins: settings.allowed_origins.clone(),
        }
    }

    /// Refuses what a page of another site sends, and what is meant for another host.
    pub(super) fn admit(&self, request: &HttpRequest) -> Result<(), Problem> {
        let headers = request.headers();
        let host = text(headers, &header::HOST)
            .or_else(|| request.uri().authority().map(|it| it.as_str()));
        let host = host.ok_or_else(|| Problem::bad("the header Host is missing"))?;
        if !self.is_own_host(host) {
            return Err(forbidden(
                "BAD_HOST",
                "the header Host names another host: ask by the address that the node listens on",
            ));
        }
        match text(headers, &header::ORIGIN) {
            Some(origin) if self.allows(origin, host) => return Ok(()),
            None if !headers.contains_key(header::ORIGIN) => {}
            _ => {
                return Err(forbidden(
                    "BAD_ORIGIN",
                    "a page of another site asks: list its origin in api.allowed_origins to \
                     allow that",
                ));
            }
        }
        let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
        let is_own = matches!(site, None | Some(b"same-origin" | b"none"));
        let navigates = headers.get("sec-fetch-mode").map(HeaderValue::as_bytes);
        let is_link = navigates == Some(b"navigate")
            && request.method() == Method::GET
            && !request.path().starts_with("/api/");
        if is_own || is_link {
            Ok(())
        } else {
            let detail = "a page of another site asks, which browsers are not allowed to here";
            Err(forbidden("BAD_ORIGIN", detail))
        }
    }

    /// The origin that a browser is to be told of as allowed.
    pub(super) fn cors(&self, request: &HttpRequest) -> Option<HeaderValue> {
        let origin = request.headers().get(header::ORIGIN)?;
        let is_listed = |allowed: &String| origin.as_bytes() == allowed.as_bytes();
        let is_listed = self.allowed_origins.iter().any(is_listed);
        is_listed.then(|| origin.clone())
    }

    /// Refuses who does not present the token, if there is one.
    pub(super) fn check_token(&self, request: &HttpRequest) -> Result<(), Problem> {
        let Some(token) = &self.token else {
            return Ok(());
        };
        let presented = presented_token(request.headers());
        let is_right = presented.is_some_and(|it| bool::from(it.ct_eq(token.as_bytes())));
        if is_right {
            return Ok(());
        }
        Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "BAD_TOKEN",
            "this needs the header Authorization: Bearer TOKEN with the token of api.token",
        ))
    }

    /// Whether a page of this origin is served by this host, or allowed by name.
    fn allows(&self, origin: &str, host: &str) -> bool {
        let is_own = origin
            .strip_prefix("http://")
            .or_else(|| origin.strip_prefix("https://"))
            .is_some_and(|rest| rest.eq_ignore_ascii_case(host));
        is_own || self.allowed_origins.iter().any(|allowed| allowed == origin)
    }

    /// Whether `Host` is this node. With a token a site that points its name here gains nothing,
    /// for a browser does not send the token by itself; so any name will do then.
    fn is_own_host(&self, host: &str) -> bool {
        if self.token.is_some() {
            return true;
        }
        let (name, port) = split_port(host);
        if port.is_some_and(|port| port != self.port) {
            return false;
        }
        if name.eq_ignore_ascii_case("localhost") {
            return true;
        }
        let address = name.trim_start_matches('[').trim_end_matches(']');
        address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback() || address == self.host)
    }
}

fn forbidden(code: &str, detail: &str) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, code, detail)
}

fn text<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// `name:port`, `name`, `[::1]:port` taken apart; a port that is none is one that nobody has.
fn split_port(host: &str) -> (&str, Option<u16>) {
    let end_of_name = host.rfind(']').map_or(0, |at| at + 1);
    match host[end_of_name..].rfind(':') {
        Some(at) => {
            let (name, port) = host.split_at(end_of_name + at);
            (name, Some(port[1..].parse().unwrap_or(0)))
        }
        None => (host, None),
    }
}

/// The token of `Authorization`, or that of a browser's WebSocket.
fn presented_token(headers: &HeaderMap) -> Option<Vec<u8>> {
    if let Some(value) = text(headers, &header::AUTHORIZATION) {
        let (scheme, token) = value.split_once(' ')?;
        let is_bearer = scheme.eq_ignore_ascii_case("bearer");
        return is_bearer.then(|| token.trim().as_bytes().to_vec());
    }
    let protocols = text(headers, &header::SEC_WEBSOCKET_PROTOCOL)?;
    let mut protocols = protocols.split(',').map(str::trim);
    let digits = protocols.find_map(|protocol| protocol.strip_prefix(TOKEN_PROTOCOL))?;
    decode_hex(digits)
}

fn decode_hex(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    let byte = |pair: &[u8]| {
        let text = std::str::from_utf8(pair)
            .ok()
            .filter(|text| text.len() == 2)?;
        u8::from_str_radix(text, 16).ok()
    };
    pairs.map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    fn access(token: &str) -> Access {
        Access {
            host: "127.0.0.1".parse().expect("an address"),
            port: 8_080,
            token: (!token.is_empty()).then(|| token.to_owned()),
            allowed_origins: vec!["http://127.0.0.1:9090".to_owned()],
        }
    }

    fn admits(access: &Access, headers: &[(&str, &str)]) -> bool {
        let request = TestRequest::post().uri("/api/v1/orders");
        let request = headers.iter().fold(request, |request, header| {
            request.insert_header((header.0, header.1))
        });
        access.admit(&request.to_http_request()).is_ok()
    }

    #[test]
    fn a_name_that_is_not_this_node_is_refused() {
        let access = access("");
        let own = [
            "127.0.0.1:8080",
            "localhost:8080",
            "LOCALHOST",
            "[::1]:8080",
            "127.0.0.2",
        ];
        for host in own {
            assert!(admits(&access, &[("host", host)]), "{host}");
        }
        let foreign = [
            "evil.example",
            "evil.example:8080",
            "127.0.0.1:8081",
            "localhost:x",
            "[::2]",
        ];
        for host in foreign {
            assert!(!admits(&access, &[("host", host)]), "{host}");
        }
    }

    #[test]
    fn a_page_of_another_site_is_refused_and_an_allowed_one_is_not() {
        let access = access("");
        let host = ("host", "127.0.0.1:8080");
        let origin = |origin| admits(&access, &[host, ("origin", origin)]);
        assert!(origin("http://127.0.0.1:8080"));
        assert!(origin("http://127.0.0.1:9090"));
        for foreign in ["http://evil.example", "null", "http://127.0.0.1:8081", ""] {
            assert!(!origin(foreign), "{foreign}");
        }
        let site = |site| admits(&access, &[host, ("sec-fetch-site", site)]);
        assert!(site("same-origin") && site("none"));
        assert!(!site("cross-site") && !site("same-site"));
        let page = TestRequest::get().uri("/").insert_header(host);
        let link = page
            .insert_header(("sec-fetch-site", "cross-site"))
            .insert_header(("sec-fetch-mode", "navigate"));
        assert!(
            access.admit(&link.to_http_request()).is_ok(),
            "a link may lead here"
        );
    }

    #[test]
    fn the_token_counts_in_either_header_and_no_other_does() {
        let access = access("s3cret");
        let check = |name: &'static str, value: &str| {
            let request = TestRequest::get().insert_header((name, value));
            access.check_token(&request.to_http_request()).is_ok()
        };
        assert!(check("authorization", "Bearer s3cret"));
        assert!(check("authorization", "bearer s3cret"));
        assert!(check(
            "sec-websocket-protocol",
            "bitfitech, bearer.733363726574"
        ));
        for wrong in [
            "Bearer s3cre",
            "Bearer s3cret2",
            "Basic s3cret",
            "s3cret",
            "Bearer",
        ] {
            assert!(!check("authorization", wrong), "{wrong}");
        }
        assert!(!check("sec-websocket-protocol", "bearer.7333637265"));
        assert!(!check("sec-websocket-protocol", "bearer.73336372657x"));
        assert!(!check("accept", "*/*"));
    }
}
