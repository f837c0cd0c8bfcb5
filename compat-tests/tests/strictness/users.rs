//! Credentials of users.

use kafka_protocol::messages::alter_user_scram_credentials_request::{
    ScramCredentialDeletion, ScramCredentialUpsertion,
};
use kafka_protocol::messages::describe_user_scram_credentials_request::UserName;
use kafka_protocol::messages::{
    AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse, DescribeUserScramCredentialsRequest,
    DescribeUserScramCredentialsResponse,
};
use milena_compat_tests::Server;
use milena_compat_tests::wait::{self, PATIENCE};

use crate::{compare, text};

/// Kafka answers in the order of a hash table.
fn alter(
    server: &Server,
    deletions: &[(&str, i8)],
    upsertions: &[(&str, i8, i32)],
) -> AlterUserScramCredentialsResponse {
    let deletions = deletions.iter().map(|(user, mechanism)| {
        ScramCredentialDeletion::default().with_name(text(user)).with_mechanism(*mechanism)
    });
    let upsertions = upsertions.iter().map(|(user, mechanism, iterations)| {
        ScramCredentialUpsertion::default()
            .with_name(text(user))
            .with_mechanism(*mechanism)
            .with_iterations(*iterations)
            .with_salt("salt".into())
            .with_salted_password(if user.ends_with("empty") { "".into() } else { "password".into() })
    });
    let request = AlterUserScramCredentialsRequest::default()
        .with_deletions(deletions.collect())
        .with_upsertions(upsertions.collect());
    let mut answer = server.wire().call(0, &request);
    answer.results.sort_by(|a, b| a.user.cmp(&b.user));
    answer
}

fn describe(server: &Server, users: Option<&[&str]>) -> DescribeUserScramCredentialsResponse {
    let users =
        users.map(|users| users.iter().map(|user| UserName::default().with_name(text(user))).collect());
    let request = DescribeUserScramCredentialsRequest::default().with_users(users);
    let mut answer = server.wire().call(0, &request);
    answer.results.sort_by(|a, b| a.user.cmp(&b.user));
    for result in &mut answer.results {
        result.credential_infos.sort_by_key(|info| info.mechanism);
    }
    answer
}

#[test]
fn credentials_for_scram() {
    compare(|server, answers| {
        answers.note("nobody has any", describe(server, None));
        answers.note("nobody named", describe(server, Some(&[])));
        answers.note("unknown users", describe(server, Some(&["a", "b", "b"])));
        answers.note(
            "several at once",
            alter(
                server,
                &[("absent", 1), ("odd", 7), ("", 1), ("both", 1)],
                &[
                    ("few", 1, 4095),
                    ("many", 2, 16385),
                    ("zero", 0, 4096),
                    ("good", 1, 4096),
                    ("twice", 1, 4096),
                    ("twice", 2, 4096),
                    ("both", 1, 4096),
                    ("empty", 1, 4096),
                ],
            ),
        );
        answers.note("another mechanism", alter(server, &[], &[("good", 2, 8192)]));
        answers.note("changed", alter(server, &[], &[("good", 1, 5000), ("ürsula/x", 1, 4096)]));
        wait::until(PATIENCE, "the broker to have heard", || {
            (describe(server, None).results.len() == 2).then_some(())
        });
        answers.note("all of them", describe(server, None));
        answers.note("one by one", describe(server, Some(&["good", "ürsula/x", "none", "good"])));
        answers.note("taken back", alter(server, &[("good", 1), ("ürsula/x", 1)], &[]));
        answers.note("taken back again", alter(server, &[("good", 1)], &[]));
        wait::until(PATIENCE, "the broker to have heard", || {
            (describe(server, None).results.len() == 1).then_some(())
        });
        answers.note("what is left", describe(server, None));
        answers.note("the last", alter(server, &[("good", 2)], &[]));
        wait::until(PATIENCE, "the broker to have heard", || {
            describe(server, None).results.is_empty().then_some(())
        });
    });
}
