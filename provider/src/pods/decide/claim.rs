//! Checks whether a task's ARN from outside can be one of ours at all.
//!
//! ECS refuses a DescribeTasks as a whole for one id that is malformed or of another region or account. So an id on a pod,
//! where others may write, is compared with the place of our tasks before ECS is asked for it.

/// The place of the provider's tasks.
#[derive(Debug, Clone)]
pub(in crate::pods) struct Home {
    region: String,
    cluster: String,
    /// Partition and account, once ECS has named a task of ours.
    account: Option<(String, String)>,
}

/// `arn:<partition>:ecs:<region>:<account>:task/<cluster>/<id>`: the long form, which every task with tags has.
struct Arn<'a> {
    partition: &'a str,
    region: &'a str,
    account: &'a str,
    cluster: &'a str,
}

impl<'a> Arn<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let ["arn", partition, "ecs", region, account, resource] = parts[..] else { return None };
        let (cluster, id) = resource.strip_prefix("task/")?.split_once('/')?;
        let is_id = matches!(id.len(), 32 | 36) && id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        let is_account = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
        (is_id && is_account).then_some(Self { partition, region, account, cluster })
    }
}

impl Home {
    /// The tasks of `cluster`, a name or an ARN, in `region`.
    pub(in crate::pods) fn new(region: &str, cluster: &str) -> Self {
        let name = cluster.rsplit('/').next().unwrap_or(cluster);
        Self { region: region.to_owned(), cluster: name.to_owned(), account: None }
    }

    /// Learns the account: ECS has named a task of ours by this ARN.
    pub(in crate::pods) fn learn(&mut self, arn: &str) {
        if let (None, Some(arn)) = (&self.account, Arn::parse(arn)) {
            self.account = Some((arn.partition.to_owned(), arn.account.to_owned()));
        }
    }

    /// Whether a task of ours may have this ARN.
    pub(in crate::pods) fn may_have(&self, arn: &str) -> bool {
        Arn::parse(arn).is_some_and(|arn| {
            arn.region == self.region
                && arn.cluster == self.cluster
                && self
                    .account
                    .as_ref()
                    .is_none_or(|(partition, account)| arn.partition == partition && arn.account == account)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_is_ours_by_its_shape_region_cluster_and_account() {
        const OURS: &str = "arn:aws:ecs:eu-west-1:111122223333:task/pods/0123456789abcdef0123456789abcdef";
        for cluster in ["pods", "arn:aws:ecs:eu-west-1:111122223333:cluster/pods"] {
            let mut home = Home::new("eu-west-1", cluster);
            let anothers = OURS.replace("111122223333", "999922223333");
            assert!(home.may_have(OURS));
            assert!(home.may_have(&anothers), "the account is not known yet");
            home.learn(OURS);
            home.learn(&anothers);
            assert!(home.may_have(OURS));
            for arn in [
                "",
                "nonsense",
                "0123456789abcdef0123456789abcdef",
                "arn:aws:ecs:eu-west-1:111122223333:task/pods/",
                "arn:aws:ecs:eu-west-1:111122223333:task/0123456789abcdef0123456789abcdef",
                &OURS.replace("0123", "wxyz"),
                &OURS.replace("task/", "service/"),
                &OURS.replace(":ecs:", ":ec2:"),
                &OURS.replace("eu-west-1", "us-east-1"),
                &OURS.replace("/pods/", "/others/"),
                &OURS.replace("arn:aws:", "arn:aws-cn:"),
                &anothers,
                &format!("{OURS}/more"),
            ] {
                assert!(!home.may_have(arn), "{arn}");
            }
        }
    }
}
