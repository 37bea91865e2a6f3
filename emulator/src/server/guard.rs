//! Allows requests from programs on this machine and from tasks, and refuses those that a web page causes.
//!
//! A page in a browser can send requests to loopback: to its own origin by rebinding its name to 127.0.0.1 (then `Host`
//! is foreign), or to another origin (then `Origin` or `Sec-Fetch-Site` is foreign; an `<img>` also sends the latter).
//! An emulator that starts containers refuses them all.
//!
//! A task's requests come through its sandbox, in which AWS's own host names resolve to the emulator.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use http::HeaderMap;
use http::header::{HOST, HeaderName, ORIGIN};
use http::uri::{Authority, Uri};

use crate::api::Caller;

/// A browser's header about the page that caused a request: `cross-site`, `same-site`, `same-origin`, `none`.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The domains of AWS's endpoints; each endpoint has a name below one of them (AWS general reference, "Service endpoints").
const AWS_DOMAINS: [&str; 3] = ["amazonaws.com", "amazonaws.com.cn", "api.aws"];

/// The names under which this server may be called.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    /// In addition to loopback: the address that it listens on and the hosts that the user allowed, in lower case.
    hosts: Vec<String>,
}

/// Why a request was refused, as a message for users.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error(
        "the Host header names '{0}', which is not this server: allowed are localhost, the address that it listens on, and each --allow-host"
    )]
    Host(String),
    #[error("requests from the web origin '{0}' are refused")]
    Origin(String),
    #[error("requests from pages of other web origins are refused")]
    Page,
}

impl Guard {
    /// `listen` is the address that the server is bound to. If it is unspecified (0.0.0.0), any IP address is accepted as
    /// `Host`, because the machine's own addresses are not known, but still no foreign name.
    pub fn new(listen: Option<SocketAddr>, allowed: &[String]) -> Self {
        let mut hosts: Vec<String> = allowed.iter().map(|host| host.to_ascii_lowercase()).collect();
        hosts.extend(listen.map(|listen| listen.ip().to_string()));
        Self { hosts }
    }

    /// `target` is the request's target, which contains the host in HTTP/2 and in absolute form.
    pub(super) fn check(&self, caller: &Caller, target: &Uri, headers: &HeaderMap) -> Result<(), Refused> {
        let host = match target.authority() {
            Some(authority) => Some(authority.as_str()),
            None => headers.get(HOST).map(|host| host.to_str().unwrap_or("?")),
        };
        if let Some(host) = host.filter(|host| !self.knows(caller, host)) {
            return Err(Refused::Host(host.to_owned()));
        }
        // Another port of this machine is the same site and another origin.
        let is_page = |site: &http::HeaderValue| !matches!(site.as_bytes(), b"same-origin" | b"none");
        if headers.get_all(FETCH_SITE).iter().any(is_page) {
            return Err(Refused::Page);
        }
        for origin in headers.get_all(ORIGIN) {
            let origin = origin.to_str().unwrap_or("?");
            let authority = origin.split_once("://").map(|(_, authority)| authority);
            // Another port of this machine is another origin: a page of another program.
            let own = authority.zip(host).is_some_and(|(origin, host)| origin.eq_ignore_ascii_case(host));
            if !own {
                return Err(Refused::Origin(origin.to_owned()));
            }
        }
        Ok(())
    }

    fn knows(&self, caller: &Caller, host: &str) -> bool {
        let Ok(authority) = host.parse::<Authority>() else { return false };
        let name = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        if *caller != Caller::Host && is_inside(&name) {
            return true;
        }
        if let Ok(address) = name.parse::<IpAddr>() {
            let unspecified = self.hosts.iter().filter_map(|host| host.parse().ok());
            return address.is_loopback()
                || self.hosts.contains(&name)
                || unspecified.into_iter().any(|ip: IpAddr| ip.is_unspecified());
        }
        name == "localhost" || name.ends_with(".localhost") || self.hosts.contains(&name)
    }
}

/// Whether a task can reach the emulator by that name: one of AWS's endpoints, or the link-local address of the task's
/// metadata and credentials.
fn is_inside(name: &str) -> bool {
    let below = |domain: &str| name.strip_suffix(domain).is_some_and(|front| front.ends_with('.'));
    AWS_DOMAINS.iter().any(|domain| below(domain))
        || name.parse::<Ipv4Addr>().is_ok_and(|address| address.is_link_local())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn check(guard: &Guard, host: &str, origin: Option<&str>) -> Result<(), Refused> {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_str(host).unwrap());
        headers.extend(origin.map(|origin| (ORIGIN, HeaderValue::from_str(origin).unwrap())));
        guard.check(&Caller::Host, &Uri::from_static("/"), &headers)
    }

    #[test]
    fn only_tasks_may_use_awss_own_host_names() {
        let guard = Guard::new(None, &[]);
        let task = Caller::Task { arn: "arn".into(), role: None };
        let check = |caller: &Caller, host: &'static str| {
            let headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static(host))]);
            guard.check(caller, &Uri::from_static("/"), &headers)
        };
        for host in ["ecs.us-east-1.amazonaws.com", "LOGS.eu-west-1.api.aws:443", "169.254.170.2"] {
            assert_eq!(check(&task, host), Ok(()), "{host}");
            assert_eq!(check(&Caller::Host, host), Err(Refused::Host(host.to_owned())));
        }
        for host in ["amazonaws.com.evil.example", "evilamazonaws.com", "192.0.2.8"] {
            assert_eq!(check(&task, host), Err(Refused::Host(host.to_owned())));
        }
    }

    #[test]
    fn a_request_caused_by_a_page_of_another_origin_is_refused() {
        let guard = Guard::new(None, &[]);
        for (site, expected) in [
            ("none", Ok(())),
            ("same-origin", Ok(())),
            ("same-site", Err(Refused::Page)),
            ("cross-site", Err(Refused::Page)),
        ] {
            let headers = HeaderMap::from_iter([
                (HOST, HeaderValue::from_static("localhost:4566")),
                (FETCH_SITE, HeaderValue::from_static(site)),
            ]);
            assert_eq!(guard.check(&Caller::Host, &Uri::from_static("/"), &headers), expected, "{site}");
        }
    }

    #[test]
    fn only_loopback_the_listening_address_and_allowed_names_are_hosts() {
        let guard = Guard::new(Some(([192, 0, 2, 7], 4566).into()), &["Neargate.Test".to_owned()]);
        for host in [
            "localhost",
            "localhost:4566",
            "LOCALHOST:80",
            "ecs.localhost:4566",
            "127.0.0.1:4566",
            "127.0.0.9",
            "[::1]",
            "[::1]:4566",
            "192.0.2.7:4566",
            "neargate.test",
        ] {
            assert_eq!(check(&guard, host, None), Ok(()), "{host}");
        }
        for host in
            ["evil.example", "evil.example:4566", "localhost.evil.example", "192.0.2.8", "[::2]:1", "a b", ""]
        {
            assert_eq!(check(&guard, host, None), Err(Refused::Host(host.to_owned())), "{host}");
        }
    }

    #[test]
    fn on_every_address_any_ip_is_a_host_but_no_foreign_name() {
        let guard = Guard::new(Some(([0, 0, 0, 0], 4566).into()), &[]);
        assert_eq!(check(&guard, "192.0.2.8:4566", None), Ok(()));
        assert!(check(&guard, "evil.example", None).is_err());
    }

    #[test]
    fn a_page_of_another_origin_is_refused() {
        let guard = Guard::new(None, &[]);
        assert_eq!(check(&guard, "localhost:4566", Some("http://localhost:4566")), Ok(()));
        for origin in ["https://evil.example", "http://localhost:3000", "null"] {
            let refused = check(&guard, "localhost:4566", Some(origin));
            assert_eq!(refused, Err(Refused::Origin(origin.to_owned())));
        }
    }
}
