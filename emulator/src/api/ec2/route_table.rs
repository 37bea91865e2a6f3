//! DescribeRouteTables.

use super::describe::{self, Kind, Question};
use super::filter::one;
use super::{digits, error};
use crate::api::model::ec2::{
    DescribeRouteTablesRequest, DescribeRouteTablesResult, Route, RouteOrigin, RouteState, RouteTable,
    RouteTableAssociation, RouteTableAssociationState, RouteTableAssociationStateCode,
};
use crate::api::{Context, Error, Operation};
use crate::engine::vpc::Vpc;

/// Shows the route tables: the local route, and the others with their targets by address.
#[derive(Debug)]
pub(super) struct Describe;

const KIND: Kind<RouteTable> = Kind {
    operation: Describe::NAME,
    id: |table| table.route_table_id.as_deref(),
    not_found: (error::ROUTE_TABLE_NOT_FOUND, "routeTable ID"),
    fields: &[
        (&["route-table-id"], |table| one(table.route_table_id.as_ref())),
        (&["vpc-id"], |table| one(table.vpc_id.as_ref())),
        (&["owner-id"], |table| one(table.owner_id.as_ref())),
        (&["association.main"], |table| associations(table).flat_map(|of| one(of.main.as_ref())).collect()),
        (&["association.subnet-id"], |table| {
            associations(table).flat_map(|of| one(of.subnet_id.as_ref())).collect()
        }),
        (&["association.route-table-id"], |table| {
            associations(table).flat_map(|of| one(of.route_table_id.as_ref())).collect()
        }),
        (&["association.route-table-association-id"], |table| {
            associations(table).flat_map(|of| one(of.route_table_association_id.as_ref())).collect()
        }),
        (&["route.destination-cidr-block"], |table| {
            routes(table).flat_map(|route| one(route.destination_cidr_block.as_ref())).collect()
        }),
        (&["route.gateway-id"], |table| {
            routes(table).flat_map(|route| one(route.gateway_id.as_ref())).collect()
        }),
        (&["route.origin"], |table| routes(table).flat_map(|route| one(route.origin.as_ref())).collect()),
        (&["route.state"], |table| routes(table).flat_map(|route| one(route.state.as_ref())).collect()),
    ],
    most: 100,
};

fn associations(table: &RouteTable) -> impl Iterator<Item = &RouteTableAssociation> {
    table.associations.iter().flatten()
}

fn routes(table: &RouteTable) -> impl Iterator<Item = &Route> {
    table.routes.iter().flatten()
}

impl Operation for Describe {
    const NAME: &'static str = "DescribeRouteTables";

    type Input = DescribeRouteTablesRequest;
    type Output = DescribeRouteTablesResult;

    async fn handle(
        context: &Context,
        input: DescribeRouteTablesRequest,
    ) -> Result<DescribeRouteTablesResult, Error> {
        let DescribeRouteTablesRequest { dry_run, filters, max_results, next_token, route_table_ids } = input;
        let (vpc, _) = describe::vpc(context).await?;
        let question = Question { dry_run, ids: route_table_ids, filters, max_results, next_token };
        let (tables, next_token) = describe::answer(question, &KIND, shown(&vpc, context.account()))?;
        Ok(DescribeRouteTablesResult { route_tables: Some(tables), next_token })
    }
}

/// The first is the main one: associated with the VPC, and so with the subnets that have no other one.
fn shown(vpc: &Vpc, account: &str) -> Vec<RouteTable> {
    let local = Route {
        destination_cidr_block: Some(vpc.cidr.to_string()),
        gateway_id: Some("local".to_owned()),
        origin: Some(RouteOrigin::CreateRouteTable),
        state: Some(RouteState::Active),
        ..Route::default()
    };
    let table = |(place, table): (usize, &crate::engine::vpc::RouteTable)| {
        let id = &table.route_table_id;
        let association = |of: &str, subnet_id: Option<&String>| RouteTableAssociation {
            route_table_association_id: Some(format!("rtbassoc-{}", digits(of))),
            route_table_id: Some(id.clone()),
            main: Some(subnet_id.is_none()),
            subnet_id: subnet_id.cloned(),
            association_state: Some(RouteTableAssociationState {
                state: Some(RouteTableAssociationStateCode::Associated),
                status_message: None,
            }),
            ..RouteTableAssociation::default()
        };
        let associations = if place == 0 {
            vec![association(&vpc.vpc_id, None)]
        } else {
            let subnets = vpc.subnets.iter().filter(|subnet| subnet.route_table_id == *id);
            subnets.map(|subnet| association(&subnet.subnet_id, Some(&subnet.subnet_id))).collect()
        };
        let others = table.routes.iter().map(|route| Route {
            destination_cidr_block: Some(route.destination.to_string()),
            ip_address: Some(route.via.to_string()),
            origin: Some(RouteOrigin::CreateRoute),
            state: Some(RouteState::Active),
            ..Route::default()
        });
        RouteTable {
            route_table_id: Some(id.clone()),
            vpc_id: Some(vpc.vpc_id.clone()),
            owner_id: Some(account.to_owned()),
            associations: Some(associations),
            propagating_vgws: Some(Vec::new()),
            routes: Some(std::iter::once(local.clone()).chain(others).collect()),
            tags: Some(Vec::new()),
        }
    };
    vpc.route_tables.iter().enumerate().map(table).collect()
}
