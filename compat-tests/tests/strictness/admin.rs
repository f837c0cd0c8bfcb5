//! Refused questions about the cluster, and versions that are not served.

use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::describe_topic_partitions_request::TopicRequest as PartitionsTopic;
use kafka_protocol::messages::{
    ApiVersionsRequest, ApiVersionsResponse, DescribeAclsRequest, DescribeClusterRequest,
    DescribeLogDirsRequest, DescribeProducersRequest, DescribeTopicPartitionsRequest,
};
use kafka_protocol::protocol::Decodable;
use milena_compat_tests::wire::frame;

use crate::topics::create_with;
use crate::{compare, text, topic_name};

#[test]
fn questions_about_nothing() {
    compare(|server, answers| {
        create_with(server, "asked-about", &[]);
        let producers = |name: &str, partition: i32| {
            let topic =
                TopicRequest::default().with_name(topic_name(name)).with_partition_indexes(vec![partition]);
            server.wire().call(0, &DescribeProducersRequest::default().with_topics(vec![topic]))
        };
        answers.note("producers of an unknown topic", producers("unasked-about", 0));
        answers.note("producers of an unknown partition", producers("asked-about", 4));
        answers.note("producers of a wrong name", producers("a b", 0));
        answers.note("no producers", producers("asked-about", 0));

        let partitions = |name: &str, limit: i32| {
            let topic = PartitionsTopic::default().with_name(topic_name(name));
            let request = DescribeTopicPartitionsRequest::default()
                .with_topics(vec![topic])
                .with_response_partition_limit(limit);
            server.wire().call(0, &request)
        };
        answers.note("partitions of an unknown topic", partitions("unasked-about", 10));
        answers.note("partitions of a wrong name", partitions("a b", 10));

        let dirs = |name: &str| {
            let topic =
                DescribableLogDirTopic::default().with_topic(topic_name(name)).with_partitions(vec![0, 5]);
            let answer =
                server.wire().call(4, &DescribeLogDirsRequest::default().with_topics(Some(vec![topic])));
            let topics: Vec<_> =
                answer.results.iter().map(|result| (result.error_code, result.topics.clone())).collect();
            (answer.error_code, topics)
        };
        answers.note("directories of an unknown topic", dirs("unasked-about"));
        answers.note("directories of an unknown partition", dirs("asked-about"));

        let cluster = |kind: i8| {
            let answer = server.wire().call(2, &DescribeClusterRequest::default().with_endpoint_type(kind));
            (answer.error_code, answer.error_message, answer.brokers.len())
        };
        answers.note("the brokers", cluster(1));
        answers.note("the controllers, asked of a broker", cluster(2));
        answers.note("an unknown kind of endpoint", cluster(7));

        let acls = DescribeAclsRequest::default()
            .with_resource_type_filter(1)
            .with_pattern_type_filter(1)
            .with_operation(1)
            .with_permission_type(1);
        answers.note("access rules without an authorizer", server.wire().call(3, &acls));
    });
}

#[test]
fn versions_that_are_not_served() {
    compare(|server, answers| {
        // ApiVersions of the future is answered in version 0, with what is served instead.
        let mut wire = server.wire();
        let mut future = frame(1, 4, &ApiVersionsRequest::default());
        future[2..4].copy_from_slice(&99_i16.to_be_bytes());
        wire.send_frame(&future).expect("the broker reads");
        let mut answer = wire.read_frame().expect("the broker answers").slice(4..);
        let answer = ApiVersionsResponse::decode(&mut answer, 0).expect("version 0");
        let listed: Vec<i16> = answer.api_keys.iter().map(|key| key.api_key).collect();
        answers.note("ApiVersions 99", (answer.error_code, listed));

        let named = |name: &str, version: &str| {
            let request = ApiVersionsRequest::default()
                .with_client_software_name(text(name))
                .with_client_software_version(text(version));
            server.wire().call(4, &request).error_code
        };
        answers.note("a good name", named("compat-tests", "1.0"));
        for (name, version) in [("", ""), ("a b", "1"), ("-a", "1"), ("a", "1-")] {
            answers.note(&format!("the name {name:?} {version:?}"), named(name, version));
        }
    });
}
