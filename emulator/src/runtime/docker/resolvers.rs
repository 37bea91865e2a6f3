//! The upstream name servers of the engine's resolver, 127.0.0.11 in every sandbox. It queries them from inside the sandbox,
//! through the sandbox's filter, except those that only the host can reach (moby, `libnetwork/internal/resolvconf`).

use std::net::Ipv4Addr;

/// The file with the host's name servers, and systemd-resolved's file with the upstream ones (moby `libnetwork/resolvconf`).
const HOST_FILE: &str = "/etc/resolv.conf";
const SYSTEMD_FILE: &str = "/run/systemd/resolve/resolv.conf";
const SYSTEMD_STUB: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 53);

/// From the `/etc/resolv.conf` that the engine has written for a sandbox: `# ExtServers: [10.0.0.2 host(127.0.0.53)]`, where
/// those with `host` are queried from the host. `None` if the file does not contain them (before Docker 25).
pub(super) fn queried_inside(resolv_conf: &str) -> Option<Vec<Ipv4Addr>> {
    let listed = resolv_conf.lines().find_map(|line| line.trim().strip_prefix("# ExtServers:"))?;
    let listed = listed.trim().trim_start_matches('[').trim_end_matches(']');
    Some(listed.split_whitespace().filter_map(|server| server.parse().ok()).collect())
}

/// From this host's files, which an engine on this host has read.
pub(super) fn of_this_host() -> Vec<Ipv4Addr> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    of_host(&read(HOST_FILE), || read(SYSTEMD_FILE))
}

fn of_host(file: &str, systemd: impl FnOnce() -> String) -> Vec<Ipv4Addr> {
    let mut servers = name_servers(file);
    if servers == [SYSTEMD_STUB] {
        servers = name_servers(&systemd());
    }
    // Those on the host's loopback are queried from the host.
    servers.retain(|server| !server.is_loopback());
    servers
}

fn name_servers(file: &str) -> Vec<Ipv4Addr> {
    let server = |line: &str| {
        let mut words = line.split_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next()?.parse().ok()).flatten()
    };
    file.lines().filter_map(server).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<Ipv4Addr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn the_file_of_a_sandbox_names_those_that_are_queried_from_inside() {
        let file = |servers: &str| {
            format!(
                "nameserver 127.0.0.11\noptions ndots:0\n\n# Based on host file: '/etc/resolv.conf'\n{servers}\n# Overrides: []\n"
            )
        };
        assert_eq!(
            queried_inside(&file("# ExtServers: [10.0.0.2 host(127.0.0.53) host(fe80::1) 10.0.0.3]")),
            Some(addresses(&["10.0.0.2", "10.0.0.3"]))
        );
        assert_eq!(queried_inside(&file("# ExtServers: [host(127.0.0.53)]")), Some(vec![]));
        assert_eq!(queried_inside("nameserver 127.0.0.11\noptions ndots:0\n"), None);
    }

    #[test]
    fn the_hosts_files_are_read_as_the_engine_reads_them() {
        let systemd = || "nameserver 192.0.2.7\nnameserver 2001:db8::1\n".to_owned();
        for (file, expected) in [
            (
                "# mine\nnameserver 192.0.2.1\nsearch example.test\nnameserver 192.0.2.2\n",
                &["192.0.2.1", "192.0.2.2"][..],
            ),
            ("nameserver 127.0.0.53\n", &["192.0.2.7"]),
            ("nameserver 127.0.0.1\nnameserver 192.0.2.1\n", &["192.0.2.1"]),
            ("nameserver 127.0.0.1\n", &[]),
            ("", &[]),
        ] {
            assert_eq!(of_host(file, systemd), addresses(expected), "{file}");
        }
    }
}
