//! The operations that a caller may do on a resource, as Kafka answers them without an authorizer: all that the
//! resource knows (`AuthHelper.authorizedOperations`).
//!
//! Must never be answered to a caller that did not ask: then it is [`NOT_ASKED`].

/// What the field holds when the request did not ask for it.
pub const NOT_ASKED: i32 = i32::MIN;
/// READ, WRITE, CREATE, DELETE, ALTER, DESCRIBE, DESCRIBE_CONFIGS, ALTER_CONFIGS.
pub const TOPIC: i32 = bits(&[3, 4, 5, 6, 7, 8, 10, 11]);
/// CREATE, ALTER, DESCRIBE, CLUSTER_ACTION, DESCRIBE_CONFIGS, ALTER_CONFIGS, IDEMPOTENT_WRITE.
pub const CLUSTER: i32 = bits(&[5, 7, 8, 9, 10, 11, 12]);
/// READ, DELETE, DESCRIBE, DESCRIBE_CONFIGS, ALTER_CONFIGS.
pub const GROUP: i32 = bits(&[3, 6, 8, 10, 11]);

const fn bits(operations: &[u32]) -> i32 {
    let (mut field, mut at) = (0, 0);
    while at < operations.len() {
        field |= 1 << operations[at];
        at += 1;
    }
    field
}
