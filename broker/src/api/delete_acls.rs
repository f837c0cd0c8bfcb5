//! DeleteAcls: 31, v1–3.
//!
//! Behaviour: without an authorizer SECURITY_DISABLED for each filter.
//! Versions: 2 flexible.

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::delete_acls_response::DeleteAclsFilterResult;
use kafka_protocol::messages::{DeleteAclsRequest, DeleteAclsResponse};
use kafka_protocol::protocol::StrBytes;

use super::{Cx, Outcome};

pub const VERSIONS: RangeInclusive<i16> = 1..=3;

pub fn handle(_cx: &Cx<'_>, request: DeleteAclsRequest) -> Outcome<DeleteAclsResponse> {
    let refused = DeleteAclsFilterResult::default()
        .with_error_code(ResponseError::SecurityDisabled.code())
        .with_error_message(Some(StrBytes::from_static_str("No Authorizer is configured.")));
    DeleteAclsResponse::default().with_filter_results(vec![refused; request.filters.len()]).into()
}
