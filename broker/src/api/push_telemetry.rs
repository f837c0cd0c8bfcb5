//! PushTelemetry: 72, v0 (KIP-714). Metrics of a client.
//!
//! Behaviour: checked as Kafka checks it, then dropped, for there is no plugin that wants them. Left out of ApiVersions
//! for the same reason. As with the subscription, no state is kept: neither the push interval nor a terminated client is
//! held against anybody (ClientMetricsManager).

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{PushTelemetryRequest, PushTelemetryResponse};
use uuid::Uuid;

use super::get_telemetry_subscriptions::subscription;
use super::{Cx, Outcome};

pub const VERSIONS: RangeInclusive<i16> = 0..=0;

/// Java's reserved ids: zero and one.
const RESERVED: [Uuid; 2] = [Uuid::from_u128(0), Uuid::from_u128(1)];
/// None, gzip, snappy, lz4, zstd.
const COMPRESSIONS: RangeInclusive<i8> = 0..=4;

pub fn handle(cx: &Cx<'_>, request: PushTelemetryRequest) -> Outcome<PushTelemetryResponse> {
    let max_bytes = cx.broker.settings.load().fetch().telemetry_max_bytes;
    match check(&request, max_bytes) {
        Ok(()) => PushTelemetryResponse::default().into(),
        Err(error) => refuse(&request, error.code()).into(),
    }
}

pub fn refuse(_request: &PushTelemetryRequest, code: i16) -> PushTelemetryResponse {
    PushTelemetryResponse::default().with_error_code(code)
}

fn check(request: &PushTelemetryRequest, max_bytes: usize) -> Result<(), ResponseError> {
    if RESERVED.contains(&request.client_instance_id) {
        Err(ResponseError::InvalidRequest)
    } else if request.subscription_id != subscription(request.client_instance_id) {
        Err(ResponseError::UnknownSubscriptionId)
    } else if !COMPRESSIONS.contains(&request.compression_type) {
        Err(ResponseError::UnsupportedCompressionType)
    } else if request.metrics.len() > max_bytes {
        Err(ResponseError::TelemetryTooLarge)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_push_is_checked_in_the_order_of_kafka() {
        let id = Uuid::from_u128(77);
        let good = PushTelemetryRequest::default()
            .with_client_instance_id(id)
            .with_subscription_id(subscription(id))
            .with_metrics(vec![0; 10].into());
        assert_eq!(check(&good, 10), Ok(()));
        let reserved = good.clone().with_client_instance_id(Uuid::from_u128(1));
        assert_eq!(check(&reserved, 10), Err(ResponseError::InvalidRequest));
        let unknown = good.clone().with_subscription_id(subscription(id) + 1).with_compression_type(9);
        assert_eq!(check(&unknown, 10), Err(ResponseError::UnknownSubscriptionId));
        let odd = good.clone().with_compression_type(5);
        assert_eq!(check(&odd, 1), Err(ResponseError::UnsupportedCompressionType));
        assert_eq!(check(&good, 9), Err(ResponseError::TelemetryTooLarge));
    }
}
