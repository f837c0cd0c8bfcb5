//! DescribeUserScramCredentials: 50, v0. Which mechanisms a user has credentials for, with their iterations (KIP-554).
//!
//! Behaviour: no user named is all that have credentials; a user named twice, or without credentials, is an error of
//! that user (`ScramImage.describe`). Salts and keys are never told.
//! Versions: 0 flexible.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_user_scram_credentials_response::{
    CredentialInfo, DescribeUserScramCredentialsResult,
};
use kafka_protocol::messages::{DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse};
use kafka_protocol::protocol::StrBytes;
use milena_coordinator::controller::{Refusal, ScramMechanism, iterations};
use milena_coordinator::image::{ConfigKind, MetadataImage};

use super::{Cx, Outcome};

pub const VERSIONS: RangeInclusive<i16> = 0..=0;

pub fn handle(
    cx: &Cx<'_>,
    request: DescribeUserScramCredentialsRequest,
) -> Outcome<DescribeUserScramCredentialsResponse> {
    let mut asked: BTreeMap<StrBytes, usize> = BTreeMap::new();
    for user in request.users.unwrap_or_default() {
        *asked.entry(user.name).or_default() += 1;
    }
    let results: Vec<_> = if asked.is_empty() {
        let users = cx.image.configs(ConfigKind::User);
        let users = users.map(|(name, _)| describe(&cx.image, StrBytes::from_string(name.to_string())));
        users.filter_map(Result::ok).collect()
    } else {
        let describe = |(user, times): (StrBytes, usize)| {
            let found = if times > 1 { Err(twice(&user)) } else { describe(&cx.image, user.clone()) };
            found.unwrap_or_else(|refusal| refused(user, &refusal))
        };
        asked.into_iter().map(describe).collect()
    };
    // Kafka leaves the messages as they are, which for its generated classes is the empty string.
    let answer = DescribeUserScramCredentialsResponse::default().with_results(results);
    answer.with_error_message(Some(StrBytes::from_static_str(""))).into()
}

fn describe(image: &MetadataImage, user: StrBytes) -> Result<DescribeUserScramCredentialsResult, Refusal> {
    let of = |mechanism: ScramMechanism| {
        let iterations = iterations(image, &user, mechanism)?;
        Some(CredentialInfo::default().with_mechanism(mechanism.code()).with_iterations(iterations))
    };
    let infos: Vec<_> = ScramMechanism::ALL.into_iter().filter_map(of).collect();
    if infos.is_empty() {
        let message = format!("Attempt to describe a user credential that does not exist: {user}");
        return Err(Refusal::new(ResponseError::ResourceNotFound, message));
    }
    let result = DescribeUserScramCredentialsResult::default().with_user(user);
    Ok(result.with_error_message(Some(StrBytes::from_static_str(""))).with_credential_infos(infos))
}

fn twice(user: &StrBytes) -> Refusal {
    let message =
        format!("Cannot describe SCRAM credentials for the same user twice in a single request: {user}");
    Refusal::new(ResponseError::DuplicateResource, message)
}

fn refused(user: StrBytes, refusal: &Refusal) -> DescribeUserScramCredentialsResult {
    DescribeUserScramCredentialsResult::default()
        .with_user(user)
        .with_error_code(refusal.code.code())
        .with_error_message(refusal.wire_message())
}
