//! AlterUserScramCredentials: 51, v0. Sets and deletes the passwords' derivatives that SCRAM checks (KIP-554).
//!
//! Behaviour: a user may be named once in a request; what is wrong with one user does not keep the others. Decisions:
//! `controller::alter_user_scram_credentials`.
//! Versions: 0 flexible.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use kafka_protocol::messages::alter_user_scram_credentials_response::AlterUserScramCredentialsResult;
use kafka_protocol::messages::{AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse};
use milena_coordinator::controller::Refusal;

use super::{Cx, Outcome};

pub const VERSIONS: RangeInclusive<i16> = 0..=0;

pub fn handle(
    cx: &Cx<'_>,
    request: AlterUserScramCredentialsRequest,
) -> Outcome<AlterUserScramCredentialsResponse> {
    let quorum = match cx.broker.quorum() {
        Ok(quorum) => quorum.clone(),
        Err(refusal) => return refuse(&request, &refusal).into(),
    };
    Outcome::later(async move {
        match quorum.alter_user_scram_credentials(request.clone()).await {
            Ok(results) => AlterUserScramCredentialsResponse::default().with_results(results),
            Err(refusal) => refuse(&request, &refusal),
        }
    })
}

/// The answer when the request as a whole is refused.
pub fn refuse(
    request: &AlterUserScramCredentialsRequest,
    refusal: &Refusal,
) -> AlterUserScramCredentialsResponse {
    let deleted = request.deletions.iter().map(|deletion| &deletion.name);
    let users: BTreeSet<_> =
        deleted.chain(request.upsertions.iter().map(|upsertion| &upsertion.name)).collect();
    let results = users.into_iter().map(|user| {
        AlterUserScramCredentialsResult::default()
            .with_user(user.clone())
            .with_error_code(refusal.code.code())
            .with_error_message(refusal.wire_message())
    });
    AlterUserScramCredentialsResponse::default().with_results(results.collect())
}
