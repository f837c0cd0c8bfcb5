//! ApiVersions: 18, v0–4. What this broker serves, and its features; derived from the table.
//!
//! Behaviour: version 0 of Produce is listed although it is not served, because librdkafka turns features off without
//! it (KAFKA-18659). A version that is not served is answered as version 0 with error 35 and this key only (KIP-511).
//! Versions: 1 throttle time, 3 flexible, client software (KIP-511) and features (KIP-584), 4 lists features whose
//! minimum level is 0 (KAFKA-17011). It must never write a tag that holds its default: librdkafka up to 2.0 cannot
//! skip it.

use std::ops::RangeInclusive;

use bytes::{Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::api_versions_response::{ApiVersion, FinalizedFeatureKey, SupportedFeatureKey};
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use kafka_protocol::protocol::{Encodable, StrBytes};
use milena_coordinator::controller::SUPPORTED_FEATURES;
use milena_coordinator::image::MetadataImage;
use parking_lot::Mutex;

use super::{Cx, Encoded, EndpointKind, Outcome, Row, Software, TABLE};

pub const VERSIONS: RangeInclusive<i16> = 0..=4;

/// First version with the client's software and with features.
const FEATURES: i16 = 3;
/// First version at which clients can read a minimum level of 0.
const LEVEL_ZERO: i16 = 4;
const PRODUCE: i16 = 0;

/// Encoded answers, one per version and kind of listener, made again when the finalized features change.
#[derive(Debug, Default)]
pub struct EncodedVersions {
    brokers: Mutex<Slots>,
    controllers: Mutex<Slots>,
}

type Slots = [Option<(i64, Bytes)>; LEVEL_ZERO as usize + 1];

impl EncodedVersions {
    fn get(&self, version: i16, endpoint: EndpointKind, image: &MetadataImage) -> Bytes {
        let epoch = image.features.epoch;
        let mut slots = match endpoint {
            EndpointKind::Broker => self.brokers.lock(),
            EndpointKind::Controller => self.controllers.lock(),
        };
        let slot = &mut slots[usize::try_from(version).expect("versions are in the range of the row")];
        match slot {
            Some((made_at, body)) if *made_at == epoch => body.clone(),
            _ => {
                let body = encode(&response(version, endpoint, image), version);
                *slot = Some((epoch, body.clone()));
                body
            }
        }
    }
}

pub fn handle(cx: &Cx<'_>, request: ApiVersionsRequest) -> Outcome<Encoded> {
    if cx.version >= FEATURES {
        let software =
            Software { name: request.client_software_name, version: request.client_software_version };
        if !is_plain(&software.name) || !is_plain(&software.version) {
            let refusal = refuse(&ApiVersionsRequest::default(), ResponseError::InvalidRequest.code());
            return Encoded(encode(&refusal, cx.version)).into();
        }
        // A client may ask twice on a connection; it is the same client.
        let _ = cx.caller.software.set(software);
    }
    Encoded(cx.broker.encoded_versions.get(cx.version, cx.caller.endpoint, &cx.image)).into()
}

pub fn refuse(_request: &ApiVersionsRequest, code: i16) -> ApiVersionsResponse {
    ApiVersionsResponse::default().with_error_code(code)
}

/// The answer to a version that is not served, to be written as version 0.
#[must_use]
pub fn unsupported_version() -> Encoded {
    let range = ApiVersion::default()
        .with_api_key(super::API_VERSIONS)
        .with_min_version(*VERSIONS.start())
        .with_max_version(*VERSIONS.end());
    let response = refuse(&ApiVersionsRequest::default(), ResponseError::UnsupportedVersion.code());
    Encoded(encode(&response.with_api_keys(vec![range]), 0))
}

fn response(version: i16, endpoint: EndpointKind, image: &MetadataImage) -> ApiVersionsResponse {
    let keys = TABLE.iter().filter(|row| !row.hidden && row.is_at(endpoint)).map(listed).collect();
    let supported = SUPPORTED_FEATURES
        .iter()
        .filter(|(_, levels)| version >= LEVEL_ZERO || *levels.start() > 0)
        .map(|(name, levels)| {
            SupportedFeatureKey::default()
                .with_name(StrBytes::from_static_str(name))
                .with_min_version(*levels.start())
                .with_max_version(*levels.end())
        });
    let finalized = image.features.levels.iter().filter(|(_, level)| **level > 0).map(|(name, level)| {
        FinalizedFeatureKey::default()
            .with_name(StrBytes::from_string(name.clone()))
            .with_min_version_level(*level)
            .with_max_version_level(*level)
    });
    let response = ApiVersionsResponse::default().with_api_keys(keys);
    if version < FEATURES {
        return response;
    }
    response
        .with_supported_features(supported.collect())
        .with_finalized_features_epoch(image.features.epoch)
        .with_finalized_features(finalized.collect())
}

fn listed(row: &Row) -> ApiVersion {
    let min = if row.key == PRODUCE { 0 } else { *row.versions.start() };
    ApiVersion::default().with_api_key(row.key).with_min_version(min).with_max_version(*row.versions.end())
}

fn encode(response: &ApiVersionsResponse, version: i16) -> Bytes {
    let mut body = BytesMut::new();
    response.encode(&mut body, version).expect("no field is set that the version lacks");
    body.freeze()
}

/// Kafka's pattern for names and versions: letters, digits, and '-' or '.' between them.
fn is_plain(text: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    edge(bytes.first())
        && edge(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kafka_protocol::protocol::Decodable;
    use milena_coordinator::image::Features;
    use proptest::prelude::*;

    use super::*;
    use crate::api::testing;

    fn image(epoch: i64) -> MetadataImage {
        let levels = [("metadata.version".to_owned(), 30), ("group.version".to_owned(), 0)];
        let mut image = MetadataImage::default();
        image.features = Features { epoch, version: 0, levels: Arc::new(levels.into()) };
        image
    }

    fn answered(version: i16, body: Bytes) -> ApiVersionsResponse {
        let mut body = body;
        let response = ApiVersionsResponse::decode(&mut body, version).unwrap();
        assert!(body.is_empty());
        response
    }

    #[test]
    fn every_row_that_is_not_hidden_is_listed_in_the_order_of_keys() {
        for version in VERSIONS {
            let response =
                answered(version, EncodedVersions::default().get(version, EndpointKind::Broker, &image(4)));
            let keys: Vec<i16> = response.api_keys.iter().map(|api| api.api_key).collect();
            let expected: Vec<i16> = TABLE
                .iter()
                .filter(|row| !row.hidden && row.is_at(EndpointKind::Broker))
                .map(|row| row.key)
                .collect();
            assert_eq!(keys, expected);
            assert!(keys.is_sorted());
            for api in response.api_keys {
                let row = crate::api::row(api.api_key).unwrap();
                assert_eq!(api.max_version, *row.versions.end());
                assert_eq!(api.min_version, if api.api_key == 0 { 0 } else { *row.versions.start() });
            }
        }
    }

    #[test]
    fn features_travel_from_version_3_and_level_0_is_not_finalized() {
        let old = answered(2, EncodedVersions::default().get(2, EndpointKind::Broker, &image(4)));
        assert!(old.supported_features.is_empty() && old.finalized_features.is_empty());
        let new = answered(3, EncodedVersions::default().get(3, EndpointKind::Broker, &image(4)));
        assert_eq!(new.finalized_features_epoch, 4);
        let finalized: Vec<_> =
            new.finalized_features.iter().map(|f| (&*f.name, f.max_version_level)).collect();
        assert_eq!(finalized, [("metadata.version", 30)]);
        let supported: Vec<_> =
            new.supported_features.iter().map(|f| (f.min_version, f.max_version)).collect();
        assert_eq!(supported, [(7, 30)]);
    }

    #[test]
    fn no_tag_holds_its_default() {
        let mut unknown = MetadataImage::default();
        unknown.features.epoch = -1;
        let body = EncodedVersions::default().get(3, EndpointKind::Broker, &unknown);
        // Error, keys of 7 bytes each, throttle time; then one tag only, the supported features.
        let keys = TABLE.iter().filter(|row| !row.hidden && row.is_at(EndpointKind::Broker)).count();
        let tags = 2 + 1 + 7 * keys + 4;
        assert!(keys < 127 && body[tags..].starts_with(&[1, 0]));
    }

    #[test]
    fn an_answer_is_encoded_again_when_the_features_change() {
        let encoded = EncodedVersions::default();
        let first = encoded.get(4, EndpointKind::Broker, &image(1));
        assert_eq!(first.as_ptr(), encoded.get(4, EndpointKind::Broker, &image(1)).as_ptr());
        assert_ne!(first, encoded.get(4, EndpointKind::Broker, &image(2)));
    }

    #[test]
    fn software_names_are_kept_and_odd_ones_refused() {
        let broker = crate::state::BrokerState::idle();
        let caller = testing::caller();
        let ask = |name: &str| {
            let request = ApiVersionsRequest::default()
                .with_client_software_name(StrBytes::from_string(name.to_owned()))
                .with_client_software_version(StrBytes::from_static_str("4.3.1"));
            let Outcome::Now(Encoded(body)) = handle(&testing::cx(&broker, &caller, 3), request) else {
                panic!("answers at once");
            };
            answered(3, body).error_code
        };
        for odd in ["", "-a", "a.", "a b", "ä", "a_b"] {
            assert_eq!(ask(odd), ResponseError::InvalidRequest.code(), "{odd:?}");
        }
        assert_eq!(caller.software.get(), None);
        assert_eq!(ask("apache-kafka-java"), 0);
        assert_eq!(&*caller.software.get().unwrap().name, "apache-kafka-java");
    }

    proptest! {
        #[test]
        fn an_unserved_version_is_answered_as_version_0(version in 5i16..) {
            let mut frame = vec![0, 18];
            frame.extend(version.to_be_bytes());
            frame.extend([0, 0, 0, 9, 0xff, 0xff, 0]);
            let answer = testing::served(&crate::state::BrokerState::idle(), &frame);
            prop_assert_eq!(&answer[..8], &[0, 0, 0, 16, 0, 0, 0, 9]);
            let response = answered(0, Bytes::copy_from_slice(&answer[8..]));
            prop_assert_eq!(response.error_code, 35);
            let api = &response.api_keys[0];
            prop_assert_eq!((response.api_keys.len(), api.api_key, api.min_version, api.max_version), (1, 18, 0, 4));
        }
    }
}
