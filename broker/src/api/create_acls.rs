//! CreateAcls: 30, v1–3.
//!
//! Behaviour: without an authorizer SECURITY_DISABLED for each of them.
//! Versions: 2 flexible.

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_acls_response::AclCreationResult;
use kafka_protocol::messages::{CreateAclsRequest, CreateAclsResponse};
use kafka_protocol::protocol::StrBytes;

use super::{Cx, Outcome};

pub const VERSIONS: RangeInclusive<i16> = 1..=3;

pub fn handle(_cx: &Cx<'_>, request: CreateAclsRequest) -> Outcome<CreateAclsResponse> {
    let refused = AclCreationResult::default()
        .with_error_code(ResponseError::SecurityDisabled.code())
        .with_error_message(Some(StrBytes::from_static_str("No Authorizer is configured.")));
    CreateAclsResponse::default().with_results(vec![refused; request.creations.len()]).into()
}
