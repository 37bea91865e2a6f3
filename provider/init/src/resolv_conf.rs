//! `/etc/resolv.conf`: read, extended, kept within the kubelet's limits (`pkg/kubelet/network/dns/dns.go`), written.

use std::fmt;

/// Most name servers; resolvers read no more (`MaxDNSNameservers`).
const NAMESERVERS: usize = 3;

/// Most search domains (`MaxDNSSearchPaths`).
const SEARCHES: usize = 32;

/// Most characters of all search domains with the spaces between them (`MaxDNSSearchListChars`).
const SEARCH_CHARACTERS: usize = 2048;

/// Most characters of one search domain (`DNS1123SubdomainMaxLength`): a resolver may abort at a longer one.
const SEARCH_LENGTH: usize = 253;

/// The file's content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResolvConf {
    /// Name servers, in the order in which they are queried.
    pub nameservers: Vec<String>,
    /// Search domains, in the order in which they are tried.
    pub searches: Vec<String>,
    /// Options, `name` or `name:value`.
    pub options: Vec<String>,
}

impl ResolvConf {
    /// Reads a file. Name servers add up; of several `search` or `options` lines the last one counts.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut read = Self::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => read.nameservers.extend(words.next().map(str::to_owned)),
                // With and without the last dot it is one domain; a dot alone is the root.
                Some("search") => {
                    let bare = |word: &str| {
                        word.strip_suffix('.').filter(|bare| !bare.is_empty()).map(str::to_owned)
                    };
                    read.searches = words.map(|word| bare(word).unwrap_or_else(|| word.to_owned())).collect();
                }
                Some("options") => read.options = words.map(str::to_owned).collect(),
                _ => {}
            }
        }
        read
    }

    /// Whether it has no content.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nameservers.is_empty() && self.searches.is_empty() && self.options.is_empty()
    }

    /// This one with what `more` adds: nothing twice, and an option of the same name replaces the other.
    #[must_use]
    pub fn with(mut self, more: Self) -> Self {
        let Self { nameservers, searches, options } = more;
        self.nameservers = distinct(self.nameservers.into_iter().chain(nameservers));
        self.searches = distinct(self.searches.into_iter().chain(searches));
        for option in options {
            match self.options.iter_mut().find(|known| name(known) == name(&option)) {
                Some(known) => *known = option,
                None => self.options.push(option),
            }
        }
        self
    }

    /// This one within the limits, and what was left out, in the kubelet's words.
    #[must_use]
    pub fn fit(mut self) -> (Self, Vec<String>) {
        let mut left_out = Vec::new();
        if self.nameservers.len() > NAMESERVERS {
            self.nameservers.truncate(NAMESERVERS);
            left_out.push(format!(
                "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: {}",
                self.nameservers.join(" ")
            ));
        }
        let asked = self.searches.len();
        self.searches.truncate(SEARCHES);
        self.searches.retain(|search| search.len() <= SEARCH_LENGTH);
        while self.searches.join(" ").len() > SEARCH_CHARACTERS {
            self.searches.pop();
        }
        if self.searches.len() < asked {
            left_out.push(format!(
                "Search Line limits were exceeded, some search paths have been omitted, the applied search line is: {}",
                self.searches.join(" ")
            ));
        }
        (self, left_out)
    }
}

/// The file's text, in the order in which containerd writes it.
impl fmt::Display for ResolvConf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { nameservers, searches, options } = self;
        if !searches.is_empty() {
            writeln!(f, "search {}", searches.join(" "))?;
        }
        for nameserver in nameservers {
            writeln!(f, "nameserver {nameserver}")?;
        }
        if !options.is_empty() {
            writeln!(f, "options {}", options.join(" "))?;
        }
        Ok(())
    }
}

fn name(option: &str) -> &str {
    option.split(':').next().unwrap_or(option)
}

fn distinct(all: impl Iterator<Item = String>) -> Vec<String> {
    let mut distinct: Vec<String> = Vec::new();
    for one in all {
        if !distinct.contains(&one) {
            distinct.push(one);
        }
    }
    distinct
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(words: &str) -> Vec<String> {
        words.split_whitespace().map(str::to_owned).collect()
    }

    fn conf(nameservers: &str, searches: &str, options: &str) -> ResolvConf {
        ResolvConf { nameservers: list(nameservers), searches: list(searches), options: list(options) }
    }

    /// The cases of `TestParseResolvConf`.
    #[test]
    fn a_file_is_read_as_the_kubelet_reads_it() {
        for (text, expected) in [
            ("", conf("", "", "")),
            ("\t\n\t", conf("", "", "")),
            (" #comment\nnameserver", conf("", "", "")),
            ("#comment\nnameserver 1.2.3.4\nsearch", conf("1.2.3.4", "", "")),
            ("\tnameserver \t 1.2.3.4 #comment", conf("1.2.3.4", "", "")),
            ("nameserver 1.2.3.4\nnameserver 5.6.7.8", conf("1.2.3.4 5.6.7.8", "", "")),
            ("search foo. bar .", conf("", "foo bar .", "")),
            ("search foo\nnameserver 1.2.3.4\nsearch bar bat\n", conf("1.2.3.4", "bar bat", "")),
            ("options ndots:1\noptions ndots:5 attempts:3", conf("", "", "ndots:5 attempts:3")),
            ("domain example.com\nsortlist 10.0.0.0", conf("", "", "")),
        ] {
            assert_eq!(ResolvConf::parse(text), expected, "{text:?}");
        }
    }

    /// The cases of `TestMergeDNSOptions` and of `TestGetPodDNS`.
    #[test]
    fn what_is_added_comes_last_once_and_its_options_win() {
        let base = conf("10.96.0.10", "shop.svc.cluster.local svc.cluster.local", "ndots:5 debug");
        for (more, expected) in [
            (conf("", "", ""), base.clone()),
            (
                conf("203.0.113.1 10.96.0.10", "svc.cluster.local example.com", "single-request attempts:3"),
                conf(
                    "10.96.0.10 203.0.113.1",
                    "shop.svc.cluster.local svc.cluster.local example.com",
                    "ndots:5 debug single-request attempts:3",
                ),
            ),
            (
                conf("", "", "ndots:3 debug attempts:3"),
                ResolvConf { options: list("ndots:3 debug attempts:3"), ..base.clone() },
            ),
        ] {
            assert_eq!(base.clone().with(more), expected);
        }
    }

    /// The cases of `TestFormDNSSearchFitsLimits` and `TestFormDNSNameserversFitsLimits`.
    #[test]
    fn what_is_past_the_limits_is_left_out_and_reported() {
        // 128 + 15 * (1 + 127) = 2048
        let full = [vec!["a".repeat(128)], vec!["a".repeat(127); 15]].concat();
        let many: Vec<String> = (0..33).map(|n| n.to_string()).collect();
        let long = "b".repeat(254);
        let searches = |searches: &[String]| searches.to_vec();
        for (asked, applied, said) in [
            (full.clone(), full.clone(), false),
            ([full.clone(), list("b")].concat(), full, true),
            (searches(&many[..32]), searches(&many[..32]), false),
            (many.clone(), searches(&many[..32]), true),
            ([list("x"), vec![long], list("y")].concat(), list("x y"), true),
        ] {
            let (fit, left_out) = ResolvConf { searches: asked, ..ResolvConf::default() }.fit();
            assert_eq!(fit.searches, applied);
            let line = format!(
                "Search Line limits were exceeded, some search paths have been omitted, the applied search line is: {}",
                applied.join(" ")
            );
            assert_eq!(left_out, Vec::from_iter(said.then_some(line)));
        }
        let (fit, left_out) = conf("127.0.0.1 10.0.0.10 8.8.8.8", "", "").fit();
        assert_eq!((fit.nameservers.len(), left_out.len()), (3, 0));
        let (fit, left_out) = conf("127.0.0.1 10.0.0.10 8.8.8.8 1.2.3.4", "", "").fit();
        assert_eq!(fit.nameservers, list("127.0.0.1 10.0.0.10 8.8.8.8"));
        assert!(left_out[0].ends_with("the applied nameserver line is: 127.0.0.1 10.0.0.10 8.8.8.8"));
    }

    #[test]
    fn a_file_is_written_as_a_kubelets_pod_has_it() {
        let written =
            conf("10.96.0.10 10.96.0.11", "shop.svc.cluster.local cluster.local", "ndots:5").to_string();
        let expected = "search shop.svc.cluster.local cluster.local\nnameserver 10.96.0.10\nnameserver 10.96.0.11\noptions ndots:5\n";
        assert_eq!(written, expected);
        assert_eq!(conf("1.2.3.4", "", "").to_string(), "nameserver 1.2.3.4\n");
        assert_eq!(ResolvConf::parse(&written).to_string(), written);
    }
}
