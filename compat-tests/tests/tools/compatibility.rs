//! ClientCompatibilityTest: Kafka's own check of a broker from outside, with everything that it can ask for.

use milena_compat_tests::Server;

#[test]
fn the_client_compatibility_test_succeeds_with_all_features() {
    // It creates a topic called "newtopic", so it needs a broker of its own.
    let server = Server::start_default();
    let tool = server.tool("client-compatibility-test").line(
        "--topic compatibility --num-cluster-nodes 1 --offsets-for-times-supported true --cluster-id-supported true \
         --expect-record-too-large-exception false --create-topics-supported true --describe-acls-supported true \
         --describe-configs-supported true --idempotent-producer-supported true",
    );
    let told = tool.ok();
    assert!(told.contains("SUCCESS."), "{told}");
}
