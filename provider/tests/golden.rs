//! Golden pairs: `golden/<name>.pod.yaml` beside `golden/<name>.task.json`, what the pod becomes.
//!
//! `NEARGATE_RENEW_GOLDEN=1 cargo test -p neargate-provider --test golden` writes the second of each pair anew; the change is then
//! read in the diff like any other.

use std::{env, fs, net::Ipv4Addr, path::Path};

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use neargate_provider::{
    options::{self, Architecture},
    translate::{Note, Settings, init::Init, run, translate},
};
use serde_json::{Value, json};

/// With an init image where the pod's file says so, as an annotation that only this test reads.
fn settings(pod: &Pod) -> Settings {
    let init = pod.annotations().get("golden/init-image").map(|image| {
        Init::new(&options::Init {
            image: image.clone(),
            cluster_domain: "cluster.local".to_owned(),
            cluster_dns: vec![Ipv4Addr::new(10, 96, 0, 10).into()],
        })
    });
    Settings {
        cluster: "default".to_owned(),
        region: "us-east-1".to_owned(),
        subnets: vec!["subnet-12345678".to_owned()],
        security_groups: vec!["sg-12345678".to_owned()],
        assign_public_ip: false,
        execution_role_arn: Some("arn:aws:iam::000000000000:role/execution".to_owned()),
        task_role_arn: None,
        log_group: Some("/pods".to_owned()),
        platform_version: "LATEST".to_owned(),
        architecture: Architecture::Amd64,
        node_name: "fargate".to_owned(),
        node_ip: Ipv4Addr::new(192, 0, 2, 1).into(),
        started_by: run::started_by("00000000-0000-4000-8000-000000000000", "fargate"),
        deletion_cost: None,
        init,
    }
}

fn task(pod: &Pod) -> Value {
    match translate(pod, 0, &settings(pod)) {
        Ok(translation) => {
            let notes: Vec<Value> = translation
                .notes
                .iter()
                .map(|note| match note {
                    Note::GracePeriodClamped { asked, given } => {
                        json!({ "gracePeriodClamped": [asked, given] })
                    }
                    Note::LabelsLeftOut { keys } => json!({ "labelsLeftOut": keys }),
                    Note::MissingClusterDns => json!("missingClusterDns"),
                    Note::DnsLimits { message } => json!({ "dnsLimits": message }),
                })
                .collect();
            json!({
                "capacityProvisioned": translation.size.to_string(),
                "notes": notes,
                "registerTaskDefinition": translation.definition,
                "runTask": translation.run,
            })
        }
        Err(unsupported) => json!({ "unsupported": unsupported.reasons }),
    }
}

#[test]
fn every_golden_pod_becomes_the_task_beside_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let renew = env::var_os("NEARGATE_RENEW_GOLDEN").is_some();
    let mut pods = 0;
    let mut differences = Vec::new();
    for entry in fs::read_dir(&folder).expect("the folder of the golden pairs") {
        let path = entry.expect("an entry of it").path();
        let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let Some(name) = file.strip_suffix(".pod.yaml") else { continue };
        pods += 1;
        let yaml = fs::read_to_string(&path).expect("a readable pod");
        let pod: Pod = serde_yaml_ng::from_str(&yaml).unwrap_or_else(|error| panic!("{file}: {error}"));
        let becomes = format!("{:#}\n", task(&pod));
        let golden = folder.join(format!("{name}.task.json"));
        if renew {
            fs::write(&golden, &becomes).expect("a writable folder");
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        if becomes != expected {
            differences.push(format!("{name}: is {becomes}\nbut the file says {expected}"));
        }
    }
    assert!(pods >= 9, "the golden pods are not where they are looked for");
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
