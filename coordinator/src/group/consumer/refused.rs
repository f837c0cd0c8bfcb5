//! Why a request of a member is refused: the code, and the words that Kafka has for it.
//!
//! Must never reach a client without its code.

use kafka_protocol::error::ResponseError;

#[derive(Debug)]
pub(super) struct Refused {
    pub(super) error: ResponseError,
    pub(super) message: String,
}

impl Refused {
    pub(super) fn new(error: ResponseError, message: impl Into<String>) -> Self {
        Self { error, message: message.into() }
    }

    pub(super) fn unknown_member(member: &str, group: &str) -> Self {
        let message = format!("Member {member} is not a member of group {group}.");
        Self::new(ResponseError::UnknownMemberId, message)
    }
}
