//! DescribeDhcpOptions.

use super::describe::{self, Kind, Question};
use super::error;
use super::filter::one;
use crate::api::model::ec2::{
    AttributeValue, DescribeDhcpOptionsRequest, DescribeDhcpOptionsResult, DhcpConfiguration, DhcpOptions,
};
use crate::api::{Context, Error, Operation};

/// Shows the VPC's DHCP options: its name servers and search domains.
#[derive(Debug)]
pub(super) struct Describe;

const KIND: Kind<DhcpOptions> = Kind {
    operation: Describe::NAME,
    id: |options| options.dhcp_options_id.as_deref(),
    not_found: (error::DHCP_OPTION_NOT_FOUND, "dhcpOption ID"),
    fields: &[
        (&["dhcp-options-id"], |options| one(options.dhcp_options_id.as_ref())),
        (&["owner-id"], |options| one(options.owner_id.as_ref())),
        (&["key"], |options| configurations(options).flat_map(|of| one(of.key.as_ref())).collect()),
        (&["value"], |options| {
            let values = configurations(options).flat_map(|of| of.values.iter().flatten());
            values.flat_map(|value| one(value.value.as_ref())).collect()
        }),
    ],
    most: 1000,
};

fn configurations(options: &DhcpOptions) -> impl Iterator<Item = &DhcpConfiguration> {
    options.dhcp_configurations.iter().flatten()
}

impl Operation for Describe {
    const NAME: &'static str = "DescribeDhcpOptions";

    type Input = DescribeDhcpOptionsRequest;
    type Output = DescribeDhcpOptionsResult;

    async fn handle(
        context: &Context,
        input: DescribeDhcpOptionsRequest,
    ) -> Result<DescribeDhcpOptionsResult, Error> {
        let DescribeDhcpOptionsRequest { dry_run, filters, max_results, next_token, dhcp_options_ids } =
            input;
        let (vpc, _) = describe::vpc(context).await?;
        let mut servers: Vec<String> =
            vpc.dhcp_options.domain_name_servers.iter().map(ToString::to_string).collect();
        if servers.is_empty() {
            servers.push("AmazonProvidedDNS".to_owned());
        }
        let written = [("domain-name", vpc.dhcp_options.domain_names), ("domain-name-servers", servers)];
        let written = written.into_iter().filter(|(_, values)| !values.is_empty());
        let shown = DhcpOptions {
            dhcp_options_id: Some(vpc.dhcp_options.dhcp_options_id),
            dhcp_configurations: Some(written.map(|(key, values)| configuration(key, values)).collect()),
            owner_id: Some(context.account().to_owned()),
            tags: Some(Vec::new()),
        };
        let question = Question { dry_run, ids: dhcp_options_ids, filters, max_results, next_token };
        let (options, next_token) = describe::answer(question, &KIND, vec![shown])?;
        Ok(DescribeDhcpOptionsResult { dhcp_options: Some(options), next_token })
    }
}

fn configuration(key: &str, values: Vec<String>) -> DhcpConfiguration {
    DhcpConfiguration {
        key: Some(key.to_owned()),
        values: Some(values.into_iter().map(|value| AttributeValue { value: Some(value) }).collect()),
    }
}
