//! What of the tree is Kafka's own: the controller writes it, clients read it.
//!
//! Must never allow by accident: a new root of Kafka's needs a line here before the controller writes below it.

/// Roots that only the controller, or the super user, changes (Kafka 3.9, `ZkData`).
const KAFKAS: &[&str] = &[
    "/admin",
    "/brokers",
    "/cluster",
    "/config",
    "/consumers",
    "/controller",
    "/controller_epoch",
    "/delegation_token",
    "/feature",
    "/isr_change_notification",
    "/kafka-acl",
    "/kafka-acl-changes",
    "/kafka-acl-extended",
    "/kafka-acl-extended-changes",
    "/latest_producer_id_block",
    "/log_dir_event_notification",
    "/migration",
];

/// Roots that hold secrets (`ZkData.SensitiveRootPaths`).
const SECRET: &[&str] = &["/config/brokers", "/config/users", "/delegation_token"];

pub(super) fn is_kafkas(path: &str) -> bool {
    KAFKAS.iter().any(|root| is_at_or_below(path, root))
}

/// Whether only the super user may see it.
pub(super) fn is_secret(path: &str) -> bool {
    SECRET.iter().any(|root| is_at_or_below(path, root))
}

fn is_at_or_below(path: &str, root: &str) -> bool {
    path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use milena_coordinator::image::paths;

    use super::*;

    #[test]
    fn everything_that_the_controller_writes_is_guarded() {
        let singles = [
            paths::CLUSTER_ID,
            paths::CONTROLLER,
            paths::CONTROLLER_EPOCH,
            paths::FEATURE,
            paths::PRODUCER_IDS,
        ];
        for path in paths::FOLDERS.into_iter().chain(singles) {
            assert!(is_kafkas(path), "{path}");
        }
    }

    #[test]
    fn names_that_only_begin_alike_are_free() {
        for path in ["/", "/brokers2", "/controllers/x", "/zookeeper", "/config-x", "/a/config"] {
            assert!(!is_kafkas(path), "{path}");
        }
        assert!(is_secret("/config/users/alice") && !is_secret("/config/topics/t"));
    }
}
