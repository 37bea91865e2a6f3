//! Golden pairs: `golden/<name>.pod.yaml` beside `golden/<name>.task.json`, what the pod becomes.
//!
//! `NEARGATE_RENEW_GOLDEN=1 cargo test -p neargate-provider --test golden` rewrites the second of each pair; the change is then
//! reviewed as a diff.

use std::{env, fs, path::Path};

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use neargate_provider::{
    options::{Layer, Options},
    translate::{Note, Settings, translate},
};
use serde_json::{Value, json};

/// With an init image if the pod's file asks for one, by an annotation that only this test reads.
fn settings(pod: &Pod) -> Settings {
    let layer = Layer {
        node_ip: Some("192.0.2.1".to_owned()),
        subnets: Some("subnet-12345678".into()),
        security_groups: Some("sg-12345678".into()),
        execution_role_arn: Some("arn:aws:iam::000000000000:role/execution".to_owned()),
        log_group: Some("/pods".to_owned()),
        init_image: pod.annotations().get("golden/init-image").cloned(),
        cluster_dns: Some("10.96.0.10".into()),
        ..Layer::default()
    };
    let options = Options::try_from(layer).expect("valid options");
    Settings::new(options.fargate, options.node, "us-east-1", "00000000-0000-4000-8000-000000000000")
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
                    Note::NotEnforced { fields } => json!({ "notEnforced": fields }),
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
            differences.push(format!("{name}: is {becomes}\nbut the file has {expected}"));
        }
    }
    assert!(pods >= 10, "the golden pods are missing");
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
