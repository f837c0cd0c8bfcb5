//! `/v1/reset`: empties the cluster of topics, groups and transactions.
//!
//! Must never answer before it is empty, nor take away what the settings or operators have set up.

use std::sync::Arc;

use hyper::StatusCode;
use kafka_protocol::messages::DeleteTopicsRequest;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use serde::{Deserialize, Serialize};

use super::Port;
use super::route::{Asked, Reply};
use crate::api::BoxFuture;
use crate::start_topics;
use crate::state::BrokerState;

/// Rounds: topics may be made while others are deleted.
const ROUNDS: usize = 5;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    /// Make the topics of the settings again.
    #[serde(default)]
    start_topics: bool,
}

#[derive(Serialize)]
struct Done {
    topics_deleted: usize,
}

pub(super) fn reset(port: Arc<Port>, asked: Asked) -> BoxFuture<Reply> {
    Box::pin(async move {
        let wish: Wish = match asked.json() {
            Ok(wish) => wish,
            Err(refused) => return refused,
        };
        let emptied = empty(&port.state).await;
        let emptied = match emptied {
            Ok(topics_deleted) if wish.start_topics => {
                let made = start_topics::make(&port.state).await;
                made.map(|()| topics_deleted).map_err(|error| error.to_string())
            }
            emptied => emptied,
        };
        match emptied {
            Ok(topics_deleted) => {
                tracing::info!(topics_deleted, "the cluster was reset");
                Reply::json(StatusCode::OK, &Done { topics_deleted })
            }
            Err(what) => Reply::problem(StatusCode::SERVICE_UNAVAILABLE, &what),
        }
    })
}

/// Groups and transactions go with the internal topics that hold them.
async fn empty(state: &BrokerState) -> Result<usize, String> {
    let mut deleted = 0;
    for _ in 0..ROUNDS {
        let quorum = state.quorum().map_err(|refusal| refusal.to_string())?;
        let image = state.image.load_full();
        if image.topic_count() == 0 {
            return Ok(deleted);
        }
        // By id: a topic of the same name that is made meanwhile is looked at in the next round.
        let topics =
            image.topics().map(|topic| DeleteTopicState::default().with_name(None).with_topic_id(topic.id));
        let request =
            DeleteTopicsRequest::default().with_topics(topics.collect()).with_timeout_ms(TIMEOUT_MS);
        let answers = quorum.delete_topics(request).await.map_err(|refusal| refusal.to_string())?;
        let gone = answers.iter().filter(|answer| answer.error_code == 0).count();
        deleted += gone;
        if gone == 0 {
            let why = answers.first().and_then(|answer| answer.error_message.clone());
            return Err(format!(
                "no topic could be deleted: {}",
                why.as_deref().unwrap_or("they change all the time")
            ));
        }
    }
    Err("topics are made as fast as they are deleted".to_owned())
}

const TIMEOUT_MS: i32 = 30_000;
