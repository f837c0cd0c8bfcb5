//! DescribeAcls: 29, v1–3.
//!
//! Behaviour: without an authorizer SECURITY_DISABLED, in Kafka's words, which kafka-acls prints.
//! Versions: 2 flexible.

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{DescribeAclsRequest, DescribeAclsResponse};
use kafka_protocol::protocol::StrBytes;

use super::{Cx, Outcome};

pub const VERSIONS: RangeInclusive<i16> = 1..=3;

pub fn handle(_cx: &Cx<'_>, _request: DescribeAclsRequest) -> Outcome<DescribeAclsResponse> {
    DescribeAclsResponse::default()
        .with_error_code(ResponseError::SecurityDisabled.code())
        .with_error_message(Some(StrBytes::from_static_str("No Authorizer is configured on the broker")))
        .into()
}
