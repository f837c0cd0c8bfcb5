//! UpdateFeatures: 57, v0–2. Raises and lowers finalized feature levels (KIP-584, KIP-1022).
//!
//! Behaviour: all or nothing. Decisions: `controller::update_features`.
//! Versions: 1 kinds of downgrade and dry runs (KIP-778), 2 no results of single features.

use std::ops::RangeInclusive;

use kafka_protocol::messages::update_features_response::UpdatableFeatureResult;
use kafka_protocol::messages::{UpdateFeaturesRequest, UpdateFeaturesResponse};
use milena_coordinator::controller::Refusal;

use super::{Cx, Outcome};

pub const VERSIONS: RangeInclusive<i16> = 0..=2;

/// Last version that lists the features.
const RESULTS: i16 = 1;

pub fn handle(cx: &Cx<'_>, request: UpdateFeaturesRequest) -> Outcome<UpdateFeaturesResponse> {
    let quorum = match cx.broker.quorum() {
        Ok(quorum) => quorum.clone(),
        Err(refusal) => return refuse(&refusal).into(),
    };
    let version = cx.version;
    Outcome::later(async move {
        let features: Vec<_> = request.feature_updates.iter().map(|update| update.feature.clone()).collect();
        let answer = quorum.update_features(request).await.unwrap_or_else(|refusal| refuse(&refusal));
        if answer.error_code != 0 || version > RESULTS {
            return answer;
        }
        let results = features.into_iter().map(|name| UpdatableFeatureResult::default().with_feature(name));
        answer.with_results(results.collect())
    })
}

/// The answer when the controller did not look at it.
fn refuse(refusal: &Refusal) -> UpdateFeaturesResponse {
    UpdateFeaturesResponse::default()
        .with_error_code(refusal.code.code())
        .with_error_message(refusal.wire_message())
}
