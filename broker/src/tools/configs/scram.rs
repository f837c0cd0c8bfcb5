//! SCRAM credentials of users: which they have, new ones of passwords, and none any more.
//!
//! Must never send or show a password: what is sent is what it was salted to.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::alter_user_scram_credentials_request::{
    ScramCredentialDeletion, ScramCredentialUpsertion,
};
use kafka_protocol::messages::describe_user_scram_credentials_request::UserName;
use kafka_protocol::messages::{AlterUserScramCredentialsRequest, DescribeUserScramCredentialsRequest};
use kafka_protocol::protocol::StrBytes;
use milena_coordinator::controller::ScramMechanism;
use uuid::Uuid;

use super::illegal;
use crate::security::sasl::salted_password;
use crate::tools::client::{At, Client, Refused};
use crate::tools::console::Console;
use crate::tools::java;

/// Where nobody says how often (`DefaultScramIterations`), and the least of either mechanism.
const ITERATIONS: i32 = 4096;

/// By the name of a config.
pub(super) fn mechanism(name: &str) -> Option<ScramMechanism> {
    ScramMechanism::ALL.into_iter().find(|known| known.name() == name)
}

/// Shows which credentials these users have, or everybody where nobody is named.
pub(super) fn describe(names: &[&str], client: &mut Client, console: &mut Console) -> Result<(), Refused> {
    let user = |name: &&str| UserName::default().with_name(text(name));
    let users = (!names.is_empty()).then(|| names.iter().map(user).collect());
    let request = DescribeUserScramCredentialsRequest::default().with_users(users);
    let answer = client.call(At::Any, "describeUserScramCredentials", |_| request.clone())?;
    Refused::check(answer.error_code, answer.error_message.as_deref())?;
    for result in answer.results {
        let user = &result.user;
        // Kafka's result leaves those out that have none.
        if result.error_code == ResponseError::ResourceNotFound.code() {
            continue;
        }
        if let Some(refused) = Refused::of(result.error_code, result.error_message.as_deref()) {
            let class = refused.class();
            let simple = class.rsplit('.').next().unwrap_or_default();
            console.say(format_args!(
                "Error retrieving SCRAM credential configs for user-principal '{user}': {simple}: {}",
                refused.message
            ));
            continue;
        }
        let infos: Vec<String> = result
            .credential_infos
            .iter()
            .map(|info| {
                let known = ScramMechanism::ALL.into_iter().find(|known| number(*known) == info.mechanism);
                format!("{}=iterations={}", known.map_or("UNKNOWN", ScramMechanism::name), info.iterations)
            })
            .collect();
        console.say(format_args!(
            "SCRAM credential configs for user-principal '{user}' are {}",
            infos.join(", ")
        ));
    }
    Ok(())
}

/// Gives a user these credentials and takes those.
pub(super) fn alter(
    user: &str,
    added: &[(String, String)],
    deleted: &[&str],
    client: &mut Client,
) -> Result<(), Refused> {
    let mut upsertions = Vec::new();
    for (name, credential) in added {
        let Some(mechanism) = mechanism(name) else { continue };
        let (iterations, password) = parsed(mechanism, credential)?;
        if password.is_empty() {
            let class = "org.apache.kafka.common.errors.UnacceptableCredentialException";
            return Err(Refused::own(class, "Password must not be empty"));
        }
        let salt = [Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes()].concat();
        let salted = salted_password(mechanism, password, &salt, iterations.unsigned_abs());
        upsertions.push(
            ScramCredentialUpsertion::default()
                .with_name(text(user))
                .with_mechanism(number(mechanism))
                .with_iterations(iterations)
                .with_salt(salt.into())
                .with_salted_password(salted.into()),
        );
    }
    let deletion = |mechanism| {
        ScramCredentialDeletion::default().with_name(text(user)).with_mechanism(number(mechanism))
    };
    let deletions = deleted.iter().filter_map(|name| mechanism(name)).map(deletion).collect();
    client.require_brokers()?;
    let request =
        AlterUserScramCredentialsRequest::default().with_deletions(deletions).with_upsertions(upsertions);
    let answer = client.call_controller(
        "alterUserScramCredentials",
        |_| request.clone(),
        |answer| answer.results.iter().map(|result| result.error_code).collect(),
    )?;
    answer
        .results
        .iter()
        .try_for_each(|result| Refused::check(result.error_code, result.error_message.as_deref()))
}

/// `iterations=8192,password=secret`; the iterations may be left out.
fn parsed(mechanism: ScramMechanism, credential: &str) -> Result<(i32, &str), Refused> {
    let unfit = || {
        // Kafka's tool shows it as well: there is no telling which part is the secret.
        let shown = mechanism.name().replace('-', "_");
        illegal(format!("Invalid credential property {shown}={credential}"))
    };
    let (iterations, password) = match credential.strip_prefix("password=") {
        Some(password) => (None, password),
        None => {
            let rest = credential.strip_prefix("iterations=").ok_or_else(unfit)?;
            let (number, rest) = rest.split_once(',').ok_or_else(unfit)?;
            let digits = number.strip_prefix('-').unwrap_or(number);
            if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(unfit());
            }
            (Some(number), rest.strip_prefix("password=").ok_or_else(unfit)?)
        }
    };
    let iterations = match iterations {
        None | Some("-1") => ITERATIONS,
        Some(number) => java::parse_int(number).map_err(illegal)?,
    };
    if iterations < ITERATIONS {
        let told = format!("is less than the minimum {ITERATIONS} required for {}", mechanism.name());
        return Err(illegal(format!("Iterations {iterations} {told}")));
    }
    Ok((iterations, password))
}

fn number(mechanism: ScramMechanism) -> i8 {
    match mechanism {
        ScramMechanism::Sha256 => 1,
        ScramMechanism::Sha512 => 2,
    }
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_a_password_and_perhaps_iterations() {
        let of = |credential: &'static str| {
            parsed(ScramMechanism::Sha256, credential).map_err(|refused| refused.message)
        };
        assert_eq!(of("password=a=b,c"), Ok((4096, "a=b,c")));
        assert_eq!(of("iterations=8192,password=x"), Ok((8192, "x")));
        assert_eq!(of("iterations=-1,password=x"), Ok((4096, "x")));
        let unfit = |credential: &str| Err(format!("Invalid credential property SCRAM_SHA_256={credential}"));
        for credential in ["x", "iterations=1", "iterations=x,password=y", "password", ""] {
            assert_eq!(of(credential), unfit(credential));
        }
        assert_eq!(of("iterations=,password=x"), Err("For input string: \"\"".to_owned()));
        let few = "Iterations 10 is less than the minimum 4096 required for SCRAM-SHA-256";
        assert_eq!(of("iterations=10,password=x"), Err(few.to_owned()));
    }
}
