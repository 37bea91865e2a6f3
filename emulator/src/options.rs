//! The command line: `neargate serve`, `doctor`, `clean`, `cost`, `version`. Every option has an environment variable.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::builder::{BoolishValueParser, NonEmptyStringValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::cost::By;
use crate::cost::prices::INSTANCE_TYPE;

/// The `--data-dir` that stands for a private temporary directory.
pub const MEMORY: &str = ":memory:";

/// AWS Fargate on your own machine: Amazon ECS and CloudWatch Logs on an endpoint of your own, tasks as local Docker
/// containers under real vCPU and memory limits.
#[derive(Debug, Parser)]
#[command(
    name = "neargate",
    version,
    after_help = "Start it and point any AWS client at it:\n
  neargate serve
  export AWS_ENDPOINT_URL=http://127.0.0.1:4566 AWS_DEFAULT_REGION=us-east-1
  export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test
  aws ecs list-clusters

If something does not work, `neargate doctor` reports what, and how to fix it."
)]
pub struct Options {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the AWS endpoint until SIGINT or SIGTERM
    ///
    /// Tasks keep running when it ends and are adopted when it starts again on the same data directory, unless it is
    /// ephemeral. A second signal ends it at once. The log goes to stderr; NEARGATE_LOG sets its level: error, warn, info,
    /// debug, trace, or a filter such as neargate::engine=debug.
    Serve(Serve),
    /// Check what works on this machine, and print how to fix what does not
    Doctor(Doctor),
    /// Remove containers, networks and cgroups left behind by Neargate processes that are no longer running
    Clean(Clean),
    /// Print what the tasks of a running neargate cost, and what they would cost on EC2
    ///
    /// Billed by Fargate's public prices from the image pull to the stop, for at least a minute; running tasks are billed until
    /// now.
    Cost(Cost),
    /// Print the version
    Version,
}

/// The options of `serve`.
#[derive(Clone, Debug, Args)]
pub struct Serve {
    /// Address to listen on; port 0 takes a free one, and the line `neargate: listening on http://…` on stdout names it. Every
    /// program that can reach it can start containers, so keep it on loopback
    #[arg(long, env = "NEARGATE_LISTEN", value_name = "ADDRESS:PORT", default_value = "127.0.0.1:4566", value_parser = listen)]
    pub listen: SocketAddr,

    /// Directory for clusters, task definitions, tasks and logs; `:memory:` is a private temporary directory,
    /// removed at exit [default: neargate in the user's data folder]
    #[arg(long, env = "NEARGATE_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// Region of unsigned requests; a signed request names its region itself
    #[arg(long, env = "NEARGATE_REGION", value_name = "REGION", default_value = "us-east-1", value_parser = region)]
    pub region: String,

    /// Account id in every ARN: 12 digits
    #[arg(long, env = "NEARGATE_ACCOUNT", value_name = "ID", default_value = "000000000000", value_parser = account)]
    pub account: String,

    /// The container engine, such as unix:///var/run/docker.sock or tcp://127.0.0.1:2375 [default: $DOCKER_HOST, else
    /// Docker's own socket]
    #[arg(long, env = "NEARGATE_DOCKER_HOST", value_name = "URL")]
    pub docker_host: Option<String>,

    /// End tasks, networks and idle sandboxes at exit instead of leaving the tasks running; implied by `:memory:`
    #[arg(long, env = "NEARGATE_EPHEMERAL", value_parser = BoolishValueParser::new())]
    pub ephemeral: bool,

    /// Take over the tasks of a data directory that was copied or restored from a backup, and whose original no longer runs.
    /// Without it such a copy shows them as stopped
    #[arg(long, env = "NEARGATE_ADOPT", value_parser = BoolishValueParser::new())]
    pub adopt: bool,

    /// TOML file that describes the VPC: subnets, route tables, DHCP options, security groups. Ids that are not in it are
    /// refused, as on AWS
    #[arg(long, env = "NEARGATE_VPC", value_name = "FILE", conflicts_with = "vpc_from_kind")]
    pub vpc: Option<PathBuf>,

    /// Put tasks into the network of a running kind cluster: the node network is the subnet, and tasks reach the cluster's
    /// Services, pods and names
    #[arg(long, env = "NEARGATE_VPC_FROM_KIND", value_name = "CLUSTER", value_parser = NonEmptyStringValueParser::new())]
    pub vpc_from_kind: Option<String>,

    /// Refuse unknown subnets and security groups, as AWS does, instead of replacing them by the default ones
    #[arg(long, env = "NEARGATE_STRICT_VPC", value_parser = BoolishValueParser::new())]
    pub strict_vpc: bool,

    /// Show the state ACTIVATING between PENDING and RUNNING
    #[arg(long, env = "NEARGATE_ACTIVATING", value_parser = BoolishValueParser::new())]
    pub activating: bool,

    /// Sandboxes kept ready in the first subnet and in each subnet in use, so that a task does not wait for its network. After
    /// a burst there are as many as it needed at once, at most 32, for six minutes. An idle sandbox costs about 4 MB of
    /// memory, nearly all of it the container engine's (`ps` counts shared pages too, and shows 15 MB). 0 creates each on demand
    #[arg(long, env = "NEARGATE_SANDBOX_POOL", value_name = "COUNT", default_value_t = 16)]
    pub sandbox_pool: usize,

    /// Another host name that requests may use, besides localhost and the address it listens on. Other names are refused
    /// because a web page may have sent the request. May be repeated
    #[arg(long = "allow-host", env = "NEARGATE_ALLOW_HOST", value_name = "NAME", value_delimiter = ',')]
    pub allow_hosts: Vec<String>,

    /// Forward ports of 127.0.0.1 to the ports that running tasks map: the same port if it is free, else another, which
    /// `networkBindings` of DescribeTasks and the log show
    #[arg(long, env = "NEARGATE_PUBLISH_PORTS", value_parser = BoolishValueParser::new())]
    pub publish_ports: bool,

    /// Price table of `neargate cost`, instead of the built-in one
    #[arg(long, env = "NEARGATE_PRICES", value_name = "FILE")]
    pub prices: Option<PathBuf>,

    /// What runs the containers
    #[arg(long, env = "NEARGATE_RUNTIME", value_enum, default_value_t = Runtime::Docker, hide = true)]
    pub runtime: Runtime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Runtime {
    Docker,
    /// No containers: scripted exits and logs.
    Simulated,
}

/// Check what works on this machine, and print how to fix what does not.
#[derive(Clone, Debug, Args)]
pub struct Doctor {
    /// The container engine [default: $DOCKER_HOST, else Docker's own socket]
    #[arg(long, env = "NEARGATE_DOCKER_HOST", value_name = "URL")]
    pub docker_host: Option<String>,

    /// The address that `serve` will listen on
    #[arg(long, env = "NEARGATE_LISTEN", value_name = "ADDRESS:PORT", default_value = "127.0.0.1:4566", value_parser = listen)]
    pub listen: SocketAddr,

    /// The data directory that `serve` will use [default: neargate in the user's data folder]
    #[arg(long, env = "NEARGATE_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// Remove containers, networks and cgroups left behind by Neargate processes that are no longer running.
#[derive(Clone, Debug, Args)]
pub struct Clean {
    /// The container engine [default: $DOCKER_HOST, else Docker's own socket]
    #[arg(long, env = "NEARGATE_DOCKER_HOST", value_name = "URL")]
    pub docker_host: Option<String>,

    /// Clean up after the instance of this data directory only, not after all that are no longer running
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// Print what would be removed, and remove nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Print what the tasks of a running neargate cost, and what they would cost on EC2.
#[derive(Clone, Debug, Args)]
pub struct Cost {
    /// URL of the running neargate
    #[arg(long, env = "AWS_ENDPOINT_URL", value_name = "URL", default_value = "http://127.0.0.1:4566")]
    pub endpoint: String,

    /// What to group by: task, service, cluster or tag:KEY
    #[arg(long, value_name = "WHAT", default_value_t)]
    pub by: By,

    /// The EC2 instance type to compare with
    #[arg(long, value_name = "TYPE", default_value = INSTANCE_TYPE)]
    pub instance_type: String,

    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,

    /// Write a chart of vCPU and dollars over time instead of a table
    #[arg(long, value_name = "FILE", conflicts_with = "json")]
    pub svg: Option<PathBuf>,
}

/// The data directory if none is named: `neargate` in `$XDG_DATA_HOME`, else in `~/.local/share`.
///
/// # Errors
/// Neither `XDG_DATA_HOME` nor `HOME` is set.
pub fn data_dir() -> anyhow::Result<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("XDG_DATA_HOME").or_else(|| set("HOME").map(|home| home.join(".local/share")));
    folder
        .map(|folder| folder.join("neargate"))
        .ok_or_else(|| anyhow::anyhow!("HOME is not set: specify the data directory with --data-dir"))
}

fn listen(text: &str) -> Result<SocketAddr, String> {
    let loopback = |port: &str| Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port.parse().ok()?));
    text.parse()
        .ok()
        .or_else(|| text.strip_prefix("localhost:").and_then(loopback))
        .ok_or_else(|| "an address and a port, such as 127.0.0.1:4566 or [::1]:0".to_owned())
}

fn region(text: &str) -> Result<String, String> {
    let fits = (1..=32).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if fits { Ok(text.to_owned()) } else { Err("a region, such as eu-west-1".to_owned()) }
}

fn account(text: &str) -> Result<String, String> {
    let fits = text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit());
    if fits { Ok(text.to_owned()) } else { Err("an account id has 12 digits".to_owned()) }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Options::command().debug_assert();
    }

    #[test]
    fn serve_listens_on_loopback_by_default() {
        let serve = |arguments: &[&str]| {
            let arguments = ["neargate", "serve"].iter().chain(arguments);
            match Options::try_parse_from(arguments).map(|options| options.command) {
                Ok(Command::Serve(serve)) => Ok(serve),
                Ok(other) => panic!("{other:?}"),
                Err(error) => Err(error),
            }
        };
        assert_eq!(serve(&[]).unwrap().listen, "127.0.0.1:4566".parse().unwrap());
        assert_eq!(serve(&["--listen", "localhost:0"]).unwrap().listen, "127.0.0.1:0".parse().unwrap());
        assert_eq!(serve(&["--listen", "[::1]:80"]).unwrap().listen, "[::1]:80".parse().unwrap());
        for arguments in [["--listen", "4566"], ["--account", "123"], ["--region", "EU"]] {
            assert!(serve(&arguments).is_err(), "{arguments:?}");
        }
    }
}
