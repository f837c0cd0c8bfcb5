//! GetTelemetrySubscriptions: 71, v0 (KIP-714). Which metrics a client should push.
//!
//! Behaviour: left out of ApiVersions, as Kafka does while no telemetry plugin is configured. Who asks all the same
//! is given an id and an empty subscription. Unlike Kafka's, the answer keeps no state, so that asking too often is
//! not refused (ClientMetricsManager).

use std::ops::RangeInclusive;

use kafka_protocol::messages::{GetTelemetrySubscriptionsRequest, GetTelemetrySubscriptionsResponse};
use uuid::Uuid;

use super::{Cx, Outcome};

pub const VERSIONS: RangeInclusive<i16> = 0..=0;

/// Kafka's default for a client that no subscription matches.
const PUSH_INTERVAL_MS: i32 = 300_000;
/// CRC-32C of that subscription as Kafka writes it: `[]300000`.
const EMPTY_SUBSCRIPTION: i32 = 0xd4c7_5bde_u32.cast_signed();
/// zstd, lz4, gzip, snappy: Kafka's order.
const COMPRESSIONS: [i8; 4] = [4, 3, 1, 2];

pub fn handle(
    cx: &Cx<'_>,
    request: GetTelemetrySubscriptionsRequest,
) -> Outcome<GetTelemetrySubscriptionsResponse> {
    let asked = request.client_instance_id;
    let id = if asked.is_nil() { Uuid::new_v4() } else { asked };
    let max_bytes = cx.broker.settings.load().fetch().telemetry_max_bytes;
    GetTelemetrySubscriptionsResponse::default()
        .with_client_instance_id(id)
        .with_subscription_id(subscription(id))
        .with_accepted_compression_types(COMPRESSIONS.to_vec())
        .with_push_interval_ms(PUSH_INTERVAL_MS)
        .with_telemetry_max_bytes(i32::try_from(max_bytes).unwrap_or(i32::MAX))
        .with_delta_temporality(true)
        .into()
}

pub fn refuse(_request: &GetTelemetrySubscriptionsRequest, code: i16) -> GetTelemetrySubscriptionsResponse {
    GetTelemetrySubscriptionsResponse::default().with_error_code(code)
}

/// The subscription's checksum mixed with the id's hash, as Java hashes a UUID.
pub(super) fn subscription(id: Uuid) -> i32 {
    let (high, low) = id.as_u64_pair();
    let mixed = high ^ low;
    EMPTY_SUBSCRIPTION ^ ((mixed >> 32) ^ mixed) as u32 as i32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing;
    use crate::state::BrokerState;

    fn ask(id: Uuid) -> GetTelemetrySubscriptionsResponse {
        let (broker, caller) = (BrokerState::idle(), testing::caller());
        let request = GetTelemetrySubscriptionsRequest::default().with_client_instance_id(id);
        let Outcome::Now(response) = handle(&testing::cx(&broker, &caller, 0), request) else {
            panic!("answers at once");
        };
        response
    }

    #[test]
    fn a_new_client_gets_an_id_and_nothing_to_push() {
        let response = ask(Uuid::nil());
        assert!(!response.client_instance_id.is_nil() && response.requested_metrics.is_empty());
        assert_eq!((response.push_interval_ms, response.telemetry_max_bytes), (300_000, 1 << 20));
    }

    #[test]
    fn a_known_client_keeps_its_id_and_subscription() {
        let id = Uuid::from_u128(0x1111_2222_3333_4444_5555_6666_7777_8888);
        let (first, second) = (ask(id), ask(id));
        assert_eq!((first.client_instance_id, first.subscription_id), (id, second.subscription_id));
    }
}
