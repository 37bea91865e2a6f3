//! Options: flag over environment over file over default, and files that are refused in one clear line.

use std::{
    env,
    fmt::Write as _,
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use clap::{CommandFactory, Parser};
use neargate_provider::options::{self, Architecture, Arguments, Certificate, Init, Layer, Options, file};

/// The old Fargate provider's file, from its own example.
const OLD_FILE: &str = r#"
Region = "us-west-2"
ClusterName = "virtual-kubelet"
Subnets = ["subnet-12345678"]
SecurityGroups = ["sg-12345678"]
AssignPublicIPv4Address = true
ExecutionRoleArn = ""
CloudWatchLogGroupName = ""
PlatformVersion = "1.4.0"
OperatingSystem = "Linux"
CPU = "8"
Memory = "16Gi"
Pods = "10"
"#;

fn arguments(words: &[&str]) -> Arguments {
    let ip = ["neargate-provider", "--node-ip", "192.0.2.1"];
    Arguments::parse_from(ip.iter().chain(words))
}

fn resolve(words: &[&str], file: &str) -> Result<Options, String> {
    let file = file::parse(file, "fargate.toml").map_err(|error| error.to_string())?;
    arguments(words).layer.over(file).try_into().map_err(|error: options::Error| error.to_string())
}

#[test]
fn the_old_providers_file_is_read_as_it_is() {
    let options = resolve(&[], OLD_FILE).expect("a valid file");
    let fargate = options.fargate;
    assert_eq!(fargate.region.as_deref(), Some("us-west-2"));
    assert_eq!(fargate.cluster, "virtual-kubelet");
    assert_eq!(fargate.subnets, ["subnet-12345678"]);
    assert_eq!(fargate.security_groups, ["sg-12345678"]);
    assert!(fargate.assign_public_ip);
    assert_eq!((fargate.execution_role_arn, fargate.log_group), (None, None), "an empty text is none");
    assert_eq!(fargate.platform_version, "1.4.0");
    let capacity = options.registration.capacity;
    assert_eq!([capacity.cpu.0, capacity.memory.0, capacity.pods.0], ["8", "16Gi", "10"]);
}

#[test]
fn both_spellings_and_bare_numbers_are_understood() {
    let file = "Cluster = \"c\"\nSubnetIDs = \"subnet-1\"\nSecurityGroupIds = [\"sg-1\"]\nCPU = 4\nPods = 5\nArchitecture = \"ARM64\"";
    let options = resolve(&[], file).expect("a valid file");
    assert_eq!(options.fargate.cluster, "c");
    assert_eq!(options.fargate.subnets, ["subnet-1"]);
    assert_eq!(options.fargate.security_groups, ["sg-1"]);
    assert_eq!(options.fargate.architecture, Architecture::Arm64);
    assert_eq!(options.registration.capacity.cpu.0, "4");
}

#[test]
fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
    let options = resolve(&["--cluster", "flag", "--pods", "7", "--subnets", "subnet-a,subnet-b"], OLD_FILE)
        .expect("valid");
    assert_eq!(options.fargate.cluster, "flag");
    assert_eq!(options.fargate.subnets, ["subnet-a", "subnet-b"]);
    assert_eq!(options.registration.capacity.pods.0, "7");
    assert_eq!(options.registration.capacity.cpu.0, "8", "the file's");
    assert_eq!(options.node.name, "fargate", "the default");
    assert_eq!(options.kubelet.port, 10250);
    assert_eq!(options.kubelet.address, Ipv4Addr::new(192, 0, 2, 1), "the node's InternalIP");
    let taint = &options.registration.taints[0];
    assert_eq!(
        (taint.key.as_str(), taint.value.as_deref(), taint.effect.as_str()),
        ("virtual-kubelet.io/provider", Some("aws"), "NoSchedule")
    );
}

#[test]
fn a_variable_wins_over_the_file_and_a_flag_over_the_variable() {
    // Its own process: the environment of this one is shared by all tests.
    let provider = env!("CARGO_BIN_EXE_neargate-provider");
    let run = |words: &[&str], variables: &[(&str, &str)]| {
        let output = std::process::Command::new(provider)
            .args(words)
            .envs(variables.iter().copied())
            .env("NEARGATE_PROVIDER_KUBECONFIG", "/nowhere")
            .output()
            .expect("the provider runs");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("fargate.toml");
    std::fs::write(&file, "Subnets = [\"subnet-1\"]\nPods = \"no number\"").expect("a file");
    let file = file.to_str().expect("a plain path");
    assert!(run(&["--config", file], &[]).contains("\"no number\""), "the file's");
    let variable = [("NEARGATE_PROVIDER_PODS", "the variable's"), ("NEARGATE_PROVIDER_CONFIG", file)];
    assert!(run(&[], &variable).contains("\"the variable's\""));
    assert!(run(&["--pods", "the flag's"], &variable).contains("\"the flag's\""));
}

#[test]
fn an_invalid_value_is_refused_in_one_line_that_says_where() {
    let cases: &[(&[&str], &str, &str)] = &[
        (
            &[],
            "Subnets = [\"subnet-1\"]\nClusterNam = \"c\"",
            "fargate.toml, line 2: unknown field `ClusterNam`",
        ),
        (&[], "Subnets = [\"subnet-1\"\nRegion = 3", "fargate.toml, line 2"),
        (&[], "", "option --subnets is needed"),
        (&[], "Subnets = [\"s\"]\nOperatingSystem = \"Windows\"", "\"Windows\" is not Linux"),
        (
            &["--cpu", "many"],
            "Subnets = [\"s\"]",
            "option --cpu: \"many\" is not a Kubernetes quantity above zero",
        ),
        (&["--pods", "0"], "Subnets = [\"s\"]", "option --pods: \"0\" is not"),
        (&["--log-group", "/pods"], "Subnets = [\"s\"]", "option --execution-role-arn is needed"),
        (
            &["--node-name", "My_Node"],
            "Subnets = [\"s\"]",
            "option --node-name: \"My_Node\" is not a node name",
        ),
        (
            &["--node-taints", "a=b:Never"],
            "Subnets = [\"s\"]",
            "option --node-taints: \"a=b:Never\" is not key=value:Effect",
        ),
        (
            &["--node-labels", "alone"],
            "Subnets = [\"s\"]",
            "option --node-labels: \"alone\" is not key=value",
        ),
        (&["--tls-cert-file", "a.crt"], "Subnets = [\"s\"]", "option --tls-private-key-file is needed"),
        (
            &["--kubelet-address", "here"],
            "Subnets = [\"s\"]",
            "option --kubelet-address: \"here\" is not an IP address",
        ),
        (
            &["--cluster-dns", "kube-dns"],
            "Subnets = [\"s\"]",
            "option --cluster-dns: \"kube-dns\" is not an IP address",
        ),
        (
            &["--cluster-domain", "cluster_local"],
            "Subnets = [\"s\"]",
            "option --cluster-domain: \"cluster_local\" is not a DNS domain",
        ),
        (&["--security-groups", "1,2,3,4,5,6"], "Subnets = [\"s\"]", "at most 5 groups"),
    ];
    for (words, file, expected) in cases {
        let error = resolve(words, file).expect_err(expected);
        assert!(error.contains(expected), "{words:?} with {file:?}: {error}");
        assert_eq!(error.lines().count(), 1, "one line: {error}");
    }
}

#[test]
fn a_kubelets_files_are_written_only_with_an_image_to_write_them() {
    let options =
        |words: &[&str], file: &str| resolve(&[&["--subnets", "s"], words].concat(), file).expect("valid");
    assert_eq!(options(&["--cluster-dns", "10.96.0.10"], "").fargate.init, None);
    let file = "InitImage = \"init:1\"\nClusterDNS = \"10.96.0.10\"\nDeletionCost = -100";
    let init = Init {
        image: "init:1".to_owned(),
        cluster_domain: "example.org".to_owned(),
        cluster_dns: vec![Ipv4Addr::new(10, 96, 0, 10).into()],
    };
    let fargate = options(&["--cluster-domain", "example.org"], file).fargate;
    assert_eq!((fargate.init, fargate.deletion_cost), (Some(init), Some(-100)));
    let fargate = options(&["--init-image", "init:2", "--deletion-cost", "-5"], file).fargate;
    let init = fargate.init.expect("an image");
    assert_eq!((init.image.as_str(), init.cluster_domain.as_str()), ("init:2", "cluster.local"));
    assert_eq!(fargate.deletion_cost, Some(-5));
}

#[test]
fn lists_can_be_emptied_and_files_come_in_pairs() {
    let words = ["--subnets", "s", "--node-taints", "", "--node-labels", "zone=a,rack=b"];
    let pair = ["--tls-cert-file", "a.crt", "--tls-private-key-file", "a.key", "--client-ca-file", "ca.crt"];
    let options = resolve(&[&words[..], &pair[..]].concat(), "").expect("valid");
    assert_eq!(options.registration.taints, []);
    assert_eq!(options.registration.labels.len(), 2);
    let certificate = Certificate { cert: PathBuf::from("a.crt"), key: PathBuf::from("a.key") };
    assert_eq!(options.kubelet.certificate, Some(certificate));
    assert_eq!(options.kubelet.client_ca, Some(PathBuf::from("ca.crt")));
}

/// Flag, keys in the file, meaning, default: of each option, in the order of the help.
fn documented() -> Vec<[String; 4]> {
    let command = Arguments::command();
    let row = |&(name, keys): &(&str, &[&str])| {
        let option =
            command.get_arguments().find(|option| option.get_id() == name).expect("an option of that name");
        let value = option.get_value_names().expect("a value")[0].as_str();
        let help = option.get_help().expect("a help text").to_string();
        let (meaning, default) = help.split_once(" [default: ").unwrap_or((&help, ""));
        let flag = format!("--{} {value}", option.get_long().expect("a flag"));
        [flag, keys.join("`, `"), meaning.to_owned(), default.trim_end_matches(']').to_owned()]
    };
    Layer::KEYS.iter().map(row).collect()
}

/// `NEARGATE_RENEW_GOLDEN=1` writes the table.
#[test]
fn the_readme_has_the_table_of_the_options() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = fs::read_to_string(&readme).expect("provider/README.md");
    let mut table = "\n| flag | key in the file | | default |\n| --- | --- | --- | --- |\n".to_owned();
    for [flag, keys, meaning, default] in documented() {
        let default =
            if default.is_empty() || default.contains(' ') { default } else { format!("`{default}`") };
        writeln!(table, "| `{flag}` | `{keys}` | {meaning} | {default} |").expect("a String takes all");
    }
    let (before, rest) = text.split_once("<!-- options -->").expect("where the table begins");
    let (current, after) = rest.split_once("<!-- /options -->").expect("where the table ends");
    if env::var_os("NEARGATE_RENEW_GOLDEN").is_some() {
        fs::write(&readme, format!("{before}<!-- options -->{table}<!-- /options -->{after}"))
            .expect("a writable README");
    } else {
        assert_eq!(current, table, "NEARGATE_RENEW_GOLDEN=1 writes it");
    }
}

#[test]
fn the_default_that_the_help_names_is_the_one_that_is_used() {
    let file = "Subnets = [\"s\"]\nInitImage = \"init:1\"";
    let taken = resolve(&[], file).expect("valid");
    let values: Vec<_> = documented()
        .into_iter()
        .filter(|[_, _, _, default]| !default.is_empty() && !default.contains(' '))
        .map(|[flag, _, _, default]| (flag.split(' ').next().expect("a flag").to_owned(), default))
        .collect();
    assert!(values.len() >= 11, "{values:?}");
    for (flag, default) in values {
        assert_eq!(resolve(&[&format!("{flag}={default}")], file).as_ref(), Ok(&taken), "{flag} {default}");
    }
}
