//! Several Milena processes as one cluster: the quorum, its tools, the loss of its leader.
//!
//! Only Milena: how Apache Kafka's processes find each other differs. A test must never look into a node.

mod leader_loss;
mod operating;
mod quorum;
mod quotas;
mod serving;
mod suspects;
mod throttled;
mod unclean;
mod usurped;
mod zookeeper;

use kafka_protocol::protocol::StrBytes;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}
