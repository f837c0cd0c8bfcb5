//! ApiVersions (key 18, v0–4; KIP-35, KIP-511, KIP-584): what this broker serves, and its features.
//!
//! Derived from the table; must never list what is not served.

use std::ops::RangeInclusive;

use bytes::{Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use kafka_protocol::protocol::Encodable;

use super::{Cx, Encoded, Outcome, TABLE};

pub const VERSIONS: RangeInclusive<i16> = 0..=4;

/// Encoded answers; empty until first asked for.
#[derive(Debug, Default)]
pub struct EncodedVersions {}

pub fn handle(cx: &Cx<'_>, _request: ApiVersionsRequest) -> Outcome<Encoded> {
    let keys = TABLE.iter().filter(|row| !row.hidden).map(|row| api(row.key, &row.versions)).collect();
    let response = ApiVersionsResponse::default().with_api_keys(keys);
    let mut body = BytesMut::new();
    response.encode(&mut body, cx.version).expect("every field exists in every version");
    Outcome::Now(Encoded(body.freeze()))
}

/// KIP-511: the answer to a version that is not served, to be encoded as version 0.
#[must_use]
pub fn unsupported_version() -> Encoded {
    let response = ApiVersionsResponse::default()
        .with_error_code(ResponseError::UnsupportedVersion.code())
        .with_api_keys(vec![api(18, &VERSIONS)]);
    let mut body = BytesMut::new();
    response.encode(&mut body, 0).expect("version 0 has these fields");
    Encoded(Bytes::from(body))
}

fn api(key: i16, versions: &RangeInclusive<i16>) -> ApiVersion {
    ApiVersion::default()
        .with_api_key(key)
        .with_min_version(*versions.start())
        .with_max_version(*versions.end())
}
