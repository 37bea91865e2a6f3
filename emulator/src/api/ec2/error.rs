//! EC2's error codes, which its model does not list. Source: EC2 developer guide, "Error codes for the Amazon EC2 API".

use crate::api::shape::ErrorCode;

/// Not a fault: the request would have succeeded.
pub(super) const DRY_RUN_OPERATION: ErrorCode = ErrorCode::new("DryRunOperation", 412);
pub(super) const INTERNAL_ERROR: ErrorCode = ErrorCode::new("InternalError", 500);
pub(super) const INVALID_PAGINATION_TOKEN: ErrorCode = ErrorCode::new("InvalidPaginationToken", 400);
pub(super) const INVALID_PARAMETER_VALUE: ErrorCode = ErrorCode::new("InvalidParameterValue", 400);

pub(super) const DHCP_OPTION_NOT_FOUND: ErrorCode = ErrorCode::new("InvalidDhcpOptionID.NotFound", 400);
pub(super) const GROUP_NOT_FOUND: ErrorCode = ErrorCode::new("InvalidGroup.NotFound", 400);
pub(super) const NETWORK_INTERFACE_NOT_FOUND: ErrorCode =
    ErrorCode::new("InvalidNetworkInterfaceID.NotFound", 400);
pub(super) const ROUTE_TABLE_NOT_FOUND: ErrorCode = ErrorCode::new("InvalidRouteTableID.NotFound", 400);
pub(super) const SUBNET_NOT_FOUND: ErrorCode = ErrorCode::new("InvalidSubnetID.NotFound", 400);
pub(super) const VPC_NOT_FOUND: ErrorCode = ErrorCode::new("InvalidVpcID.NotFound", 400);
