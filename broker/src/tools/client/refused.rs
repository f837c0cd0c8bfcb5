//! Why a request was not granted: what Kafka's clients throw, as a value.
//!
//! Must never invent a message where the broker sent one.

use std::fmt;

use kafka_protocol::error::ResponseError;

/// An exception of Kafka's clients: its class, and its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::tools) struct Refused {
    /// The broker's error, if it was one's.
    pub error: Option<ResponseError>,
    class: &'static str,
    pub message: String,
    /// What Java's trace has under it, if anything.
    cause: Option<String>,
}

impl Refused {
    /// By the code and the message of an answer.
    pub(in crate::tools) fn of(code: i16, message: Option<&str>) -> Option<Self> {
        let error = ResponseError::try_from_code(code)?;
        let message = message.map_or_else(|| meaning(error), str::to_owned);
        Some(Self { error: Some(error), class: "", message, cause: None })
    }

    /// As `of`, for `?`.
    pub(in crate::tools) fn check(code: i16, message: Option<&str>) -> Result<(), Self> {
        Self::of(code, message).map_or(Ok(()), Err)
    }

    pub(in crate::tools) fn timeout(message: impl Into<String>) -> Self {
        Self {
            error: None,
            class: "org.apache.kafka.common.errors.TimeoutException",
            message: message.into(),
            cause: None,
        }
    }

    /// Something that the client itself does not accept.
    pub(in crate::tools) fn own(class: &'static str, message: impl Into<String>) -> Self {
        Self { error: None, class, message: message.into(), cause: None }
    }

    /// The same with what it came from.
    pub(in crate::tools) fn because(self, cause: impl fmt::Display) -> Self {
        Self { cause: Some(cause.to_string()), ..self }
    }

    /// The same with another message.
    pub(in crate::tools) fn saying(self, message: String) -> Self {
        Self { message, ..self }
    }

    /// The full name of its class in Java.
    pub(in crate::tools) fn class(&self) -> String {
        let Some(error) = self.error else { return self.class.to_owned() };
        format!("org.apache.kafka.common.errors.{}", class_of(error))
    }

    pub(in crate::tools) fn is(&self, error: ResponseError) -> bool {
        self.error == Some(error)
    }
}

/// As `Throwable.toString`, and the cause on a line of its own.
impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.class(), self.message)?;
        self.cause.as_ref().map_or(Ok(()), |cause| write!(f, "\nCaused by: {cause}"))
    }
}

/// The exception of an error, where it is not the error's name with `Exception` behind it.
fn class_of(error: ResponseError) -> String {
    use ResponseError as E;
    match error {
        E::UnknownServerError | E::Unknown(_) => "UnknownServerException".to_owned(),
        E::MessageTooLarge => "RecordTooLargeException".to_owned(),
        E::RecordListTooLarge => "RecordBatchTooLargeException".to_owned(),
        E::TopicAlreadyExists => "TopicExistsException".to_owned(),
        E::InvalidTopicException => "InvalidTopicException".to_owned(),
        E::InvalidConfig => "InvalidConfigurationException".to_owned(),
        E::RequestTimedOut => "TimeoutException".to_owned(),
        E::NonEmptyGroup => "GroupNotEmptyException".to_owned(),
        E::GroupSubscribedToTopic => "GroupSubscribedToTopicException".to_owned(),
        E::TopicAuthorizationFailed => "TopicAuthorizationException".to_owned(),
        E::GroupAuthorizationFailed => "GroupAuthorizationException".to_owned(),
        E::ClusterAuthorizationFailed => "ClusterAuthorizationException".to_owned(),
        E::NetworkException => "NetworkException".to_owned(),
        E::SaslAuthenticationFailed => "SaslAuthenticationException".to_owned(),
        other => format!("{other}Exception"),
    }
}

/// What Kafka's `Errors` says where the broker says nothing.
fn meaning(error: ResponseError) -> String {
    use ResponseError as E;
    let text = match error {
        E::UnknownServerError => "The server experienced an unexpected error when processing the request.",
        E::OffsetOutOfRange => {
            "The requested offset is not within the range of offsets maintained by the server."
        }
        E::UnknownTopicOrPartition => "This server does not host this topic-partition.",
        E::LeaderNotAvailable => {
            "There is no leader for this topic-partition as we are in the middle of a leadership election."
        }
        E::RequestTimedOut => "The request timed out.",
        E::MessageTooLarge => {
            "The request included a message larger than the max message size the server will accept."
        }
        E::NetworkException => "The server disconnected before a response was received.",
        E::CoordinatorLoadInProgress => "The coordinator is loading and hence can't process requests.",
        E::CoordinatorNotAvailable => "The coordinator is not available.",
        E::NotCoordinator => "This is not the correct coordinator.",
        E::InvalidTopicException => "The request attempted to perform an operation on an invalid topic.",
        E::NotEnoughReplicas => "Messages are rejected since there are fewer in-sync replicas than required.",
        E::InvalidGroupId => "The group id is invalid.",
        E::UnknownMemberId => "The coordinator is not aware of this member.",
        E::TopicAlreadyExists => "Topic with this name already exists.",
        E::InvalidConfig => "Configuration is invalid.",
        E::NotController => "This is not the correct controller for this cluster.",
        E::InvalidRequest => {
            "This most likely occurs because of a request being malformed by the client library or the message was \
             sent to an incompatible broker. See the broker logs for more details."
        }
        E::SecurityDisabled => "Security features are disabled.",
        E::NonEmptyGroup => "The group is not empty.",
        E::GroupIdNotFound => "The group id does not exist.",
        E::GroupSubscribedToTopic => {
            "Deleting offsets of a topic is forbidden while the consumer group is actively subscribed to it."
        }
        E::InvalidRecord => "This record has failed the validation on broker and hence will be rejected.",
        E::UnsupportedVersion => "The version of API is not supported.",
        E::UnknownTopicId => "This server does not host this topic ID.",
        E::BrokerIdNotRegistered => "The given broker ID was not registered.",
        E::TopicAuthorizationFailed => "Topic authorization failed.",
        E::GroupAuthorizationFailed => "Group authorization failed.",
        E::ClusterAuthorizationFailed => "Cluster authorization failed.",
        other => return format!("The broker answered {other} (error code {}).", other.code()),
    };
    text.to_owned()
}
