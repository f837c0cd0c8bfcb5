//! `/healthz` and `/readyz`.
//!
//! Must never say ready before a client would be served.

use std::sync::Arc;

use hyper::StatusCode;
use milena_coordinator::image::MetadataImage;
use milena_storage::ids::BrokerId;
use serde::Serialize;

use super::Port;
use super::route::{Asked, Reply};
use crate::api::BoxFuture;

/// How many reasons are told.
const REASONS: usize = 10;

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    /// Why it is not.
    reasons: Vec<String>,
}

pub(super) fn healthz(_: Arc<Port>, _: Asked) -> BoxFuture<Reply> {
    Box::pin(async { Reply::text("text/plain; charset=utf-8", "ok\n".to_owned()) })
}

pub(super) fn readyz(port: Arc<Port>, _: Asked) -> BoxFuture<Reply> {
    Box::pin(async move {
        let state = &port.state;
        let image = state.image.load_full();
        let mut reasons = obstacles(&image, state.id, state.settings.load().node().is_broker);
        let groups = state.shards.loading().into_iter();
        reasons.extend(groups.map(|index| format!("the group coordinator loads __consumer_offsets-{index}")));
        let transactions = state.transactions.shards.loading().into_iter();
        reasons.extend(
            transactions
                .map(|index| format!("the transaction coordinator loads __transaction_state-{index}")),
        );
        reasons.truncate(REASONS);
        let ready = reasons.is_empty();
        let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        Reply::json(status, &Readiness { ready, reasons })
    })
}

/// What of the metadata stands against serving.
fn obstacles(image: &MetadataImage, broker: BrokerId, is_broker: bool) -> Vec<String> {
    let mut reasons = Vec::new();
    if image.controller.is_none() {
        reasons.push("no controller is known".to_owned());
    }
    if is_broker {
        match image.broker(broker) {
            None => reasons.push(format!("broker {broker} is not registered")),
            Some(registered) if registered.fenced => reasons.push(format!("broker {broker} is fenced")),
            Some(_) => {}
        }
    }
    let partitions = image.topics().flat_map(|topic| topic.partitions.iter().map(move |each| (topic, each)));
    let leaderless = partitions.filter(|(_, partition)| partition.leader.is_none());
    reasons.extend(
        leaderless.take(REASONS).map(|(topic, each)| format!("{}-{} has no leader", topic.name, each.index)),
    );
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::{create, with_quorum};

    #[tokio::test]
    async fn who_is_registered_and_has_leaders_is_ready() {
        let broker = with_quorum().await;
        create(&broker, &[("a", 2)]).await;
        let image = broker.image.load_full();
        assert_eq!(obstacles(&image, broker.id, true), Vec::<String>::new());
        assert_eq!(obstacles(&image, BrokerId(7), true), ["broker 7 is not registered"]);
        assert_eq!(
            obstacles(&image, BrokerId(7), false),
            Vec::<String>::new(),
            "a controller registers nothing"
        );
        let nobody = obstacles(&MetadataImage::default(), broker.id, true);
        assert_eq!(nobody, ["no controller is known", "broker 1 is not registered"]);
    }
}
