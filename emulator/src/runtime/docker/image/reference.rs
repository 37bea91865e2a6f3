//! A reference to an image, normalised as Docker does (distribution/reference `ParseDockerRef`).

use std::fmt;

/// `REGISTRY/REPOSITORY` with a tag or a digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    registry: String,
    repository: String,
    version: Version,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Version {
    Tag(String),
    Digest(String),
}

impl Reference {
    /// `None` if the text is not a valid reference.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (text, None),
        };
        // A colon after the last slash is a tag; before it, a registry's port.
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (rest, None),
        };
        let (registry, repository) = match name.split_once('/') {
            Some((first, repository)) if is_registry(first) => (first, repository.to_owned()),
            Some(_) => ("docker.io", name.to_owned()),
            None => ("docker.io", format!("library/{name}")),
        };
        let registry = if registry == "index.docker.io" { "docker.io" } else { registry };
        let version = match (digest, tag) {
            (Some(digest), _) => Version::Digest(digest.to_owned()),
            (None, Some(tag)) => Version::Tag(tag.to_owned()),
            (None, None) => Version::Tag("latest".to_owned()),
        };
        let reference = Self { registry: registry.to_owned(), repository, version };
        // With a digest the tag has no effect, but it has to be valid.
        (reference.is_valid() && tag.is_none_or(is_tag)).then_some(reference)
    }

    pub(super) fn registry(&self) -> &str {
        &self.registry
    }

    /// `docker.io/library/nginx`.
    pub(super) fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// The tag or the digest.
    pub(super) fn version(&self) -> &str {
        match &self.version {
            Version::Tag(version) | Version::Digest(version) => version,
        }
    }

    fn is_valid(&self) -> bool {
        let is_part = |part: &str| {
            part.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
                && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c))
        };
        let is_digest = |digest: &str| {
            digest.split_once(':').is_some_and(|(algorithm, hash)| {
                let is_word =
                    |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric());
                algorithm.split(['+', '.', '_', '-']).all(is_word)
                    && hash.len() >= 32
                    && hash.chars().all(|c| c.is_ascii_hexdigit())
            })
        };
        is_host(&self.registry)
            && self.repository.split('/').all(is_part)
            && match &self.version {
                Version::Tag(tag) => is_tag(tag),
                Version::Digest(digest) => is_digest(digest),
            }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Version::Tag(tag) => write!(f, "{}/{}:{tag}", self.registry, self.repository),
            Version::Digest(digest) => write!(f, "{}/{}@{digest}", self.registry, self.repository),
        }
    }
}

fn is_tag(tag: &str) -> bool {
    tag.len() <= 128
        && tag.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && tag.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

/// A host name or IPv4 address, with or without a port (distribution/reference `DomainRegexp`); an IPv6 address is in brackets.
fn is_host(registry: &str) -> bool {
    let (host, port) = match registry.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (registry, None),
    };
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    let is_address = |host: &str| {
        let inside = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        inside.is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok())
    };
    (host.split('.').all(is_label) || is_address(host))
        && port.is_none_or(|port| !port.is_empty() && port.chars().all(|c| c.is_ascii_digit()))
}

/// The first part of a name is a registry if it looks like a host.
fn is_registry(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':']) || first.chars().any(|c| c.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_normalised_as_docker_does() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (text, expected) in [
            ("nginx", "docker.io/library/nginx:latest"),
            ("nginx:1.27", "docker.io/library/nginx:1.27"),
            ("neargate/fixture", "docker.io/neargate/fixture:latest"),
            ("index.docker.io/library/nginx", "docker.io/library/nginx:latest"),
            ("localhost/x", "localhost/x:latest"),
            ("localhost:5000/x", "localhost:5000/x:latest"),
            ("127.0.0.1:5000/a/b:v1", "127.0.0.1:5000/a/b:v1"),
            ("[::1]:5000/a/b:v1", "[::1]:5000/a/b:v1"),
            ("public.ecr.aws/docker/library/busybox:1", "public.ecr.aws/docker/library/busybox:1"),
            (&format!("nginx:1.27@{digest}"), &format!("docker.io/library/nginx@{digest}")),
        ] {
            assert_eq!(Reference::parse(text).map(|r| r.to_string()).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn an_invalid_reference_is_refused() {
        for text in
            ["", "Nginx", "nginx:", "nginx:a b", "a//b", "nginx@sha256:short", "https://example.com/x", "/x"]
        {
            assert_eq!(Reference::parse(text), None, "{text:?}");
        }
        for text in
            ["../containers/name", "./x", "..:5000/x", "a..b/x", "-a.b/x", "a.b:port/x", "a.b:/x", "[::z]/x"]
        {
            assert_eq!(Reference::parse(text), None, "no registry has the name of {text:?}");
        }
        let hash = "0123456789abcdef0123456789abcdef";
        for text in [
            format!("nginx@/../../containers/name/json?x:{hash}"),
            format!("nginx@sha256+:{hash}"),
            format!("nginx:a?b@sha256:{hash}"),
        ] {
            assert_eq!(Reference::parse(&text), None, "{text:?}");
        }
        assert!(Reference::parse(&format!("nginx:1@sha256+b64.x:{hash}")).is_some());
    }
}
