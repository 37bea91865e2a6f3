//! DescribeAvailabilityZones.

use std::collections::BTreeSet;

use super::describe::{self, Kind, Question, refuse_dry_run};
use super::error;
use super::filter::one;
use crate::api::model::ec2::{
    AvailabilityZone, AvailabilityZoneOptInStatus, AvailabilityZoneState, DescribeAvailabilityZonesRequest,
    DescribeAvailabilityZonesResult,
};
use crate::api::{Context, Error, Operation};

/// Every region has these zones, and those that its subnets are in.
const ZONES: [&str; 3] = ["a", "b", "c"];

/// Shows the zones of the request's region.
#[derive(Debug)]
pub(super) struct Describe;

const KIND: Kind<AvailabilityZone> = Kind {
    operation: Describe::NAME,
    id: |zone| zone.zone_name.as_deref(),
    not_found: (error::INVALID_PARAMETER_VALUE, "availability zone"),
    fields: &[
        (&["zone-name"], |zone| one(zone.zone_name.as_ref())),
        (&["zone-id"], |zone| one(zone.zone_id.as_ref())),
        (&["zone-type"], |zone| one(zone.zone_type.as_ref())),
        (&["region-name"], |zone| one(zone.region_name.as_ref())),
        (&["group-name"], |zone| one(zone.group_name.as_ref())),
        (&["opt-in-status"], |zone| one(zone.opt_in_status.as_ref())),
        (&["state"], |zone| one(zone.state.as_ref())),
    ],
    most: i32::MAX,
};

impl Operation for Describe {
    const NAME: &'static str = "DescribeAvailabilityZones";

    type Input = DescribeAvailabilityZonesRequest;
    type Output = DescribeAvailabilityZonesResult;

    async fn handle(
        context: &Context,
        input: DescribeAvailabilityZonesRequest,
    ) -> Result<DescribeAvailabilityZonesResult, Error> {
        // All zones are opted in: there are no others to include.
        let DescribeAvailabilityZonesRequest {
            all_availability_zones: _,
            dry_run,
            filters,
            zone_ids,
            zone_names,
        } = input;
        refuse_dry_run(dry_run)?;
        let (vpc, _) = describe::vpc(context).await?;
        let letters: BTreeSet<&str> =
            ZONES.into_iter().chain(vpc.subnets.iter().map(|subnet| subnet.zone.as_str())).collect();
        let mut zones: Vec<AvailabilityZone> =
            letters.into_iter().map(|letter| zone(&context.region, letter)).collect();
        zones = chosen(zones, zone_names, "availability zone", |zone| zone.zone_name.as_deref())?;
        zones = chosen(zones, zone_ids, "availability zone-id", |zone| zone.zone_id.as_deref())?;
        let question = Question { filters, ..Question::default() };
        let (zones, _) = describe::answer(question, &KIND, zones)?;
        Ok(DescribeAvailabilityZonesResult { availability_zones: Some(zones) })
    }
}

/// Those that were named, or all.
fn chosen(
    mut zones: Vec<AvailabilityZone>,
    wanted: Option<Vec<String>>,
    called: &str,
    name: fn(&AvailabilityZone) -> Option<&str>,
) -> Result<Vec<AvailabilityZone>, Error> {
    let wanted = wanted.unwrap_or_default();
    let is_there = |wanted: &&String| zones.iter().any(|zone| name(zone) == Some(wanted.as_str()));
    if let Some(unknown) = wanted.iter().find(|wanted| !is_there(wanted)) {
        return Err(Error::new(error::INVALID_PARAMETER_VALUE, format!("Invalid {called}: [{unknown}]")));
    }
    if !wanted.is_empty() {
        zones.retain(|zone| wanted.iter().any(|wanted| name(zone) == Some(wanted.as_str())));
    }
    Ok(zones)
}

fn zone(region: &str, letter: &str) -> AvailabilityZone {
    AvailabilityZone {
        zone_name: Some(format!("{region}{letter}")),
        zone_id: Some(id(region, letter)),
        zone_type: Some("availability-zone".to_owned()),
        region_name: Some(region.to_owned()),
        group_name: Some(format!("{region}-zg-1")),
        network_border_group: Some(region.to_owned()),
        opt_in_status: Some(AvailabilityZoneOptInStatus::OptInNotRequired),
        state: Some(AvailabilityZoneState::Available),
        messages: Some(Vec::new()),
        ..AvailabilityZone::default()
    }
}

/// `use1-az1` for the zone `a` of `us-east-1`: the region's short name and the zone's number (AWS RAM user guide,
/// "Availability Zone IDs").
pub(super) fn id(region: &str, letter: &str) -> String {
    let short = |part: &str| match part {
        "northeast" => "ne".to_owned(),
        "northwest" => "nw".to_owned(),
        "southeast" => "se".to_owned(),
        "southwest" => "sw".to_owned(),
        "north" | "south" | "east" | "west" | "central" | "gov" => part[..1].to_owned(),
        other => other.to_owned(),
    };
    let region: String = region.split('-').map(short).collect();
    let number = letter.bytes().next().map_or(1, |letter| letter.saturating_sub(b'a') + 1);
    format!("{region}-az{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zone_ids_are_awss() {
        for (region, letter, expected) in [
            ("us-east-1", "a", "use1-az1"),
            ("eu-west-1", "b", "euw1-az2"),
            ("ap-southeast-2", "c", "apse2-az3"),
            ("eu-central-1", "a", "euc1-az1"),
            ("us-gov-west-1", "a", "usgw1-az1"),
        ] {
            assert_eq!(id(region, letter), expected);
        }
    }
}
