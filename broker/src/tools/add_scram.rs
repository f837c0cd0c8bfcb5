//! `--add-scram` of `kafka-storage format`: `SCRAM-SHA-256=[name=alice,password=secret]` (ScramParser of Kafka 4.3.1).
//!
//! Must never write a password anywhere.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use milena_coordinator::controller::{ScramCredential, ScramMechanism};
use uuid::Uuid;

use crate::adopt::FormattedUser;
use crate::security::sasl::salted_password;

const DEFAULT_ITERATIONS: i32 = 4096;
const MAX_ITERATIONS: i32 = 16384;

/// The user of one argument, or Kafka's words for what is wrong with it.
pub(super) fn parse(argument: &str) -> Result<FormattedUser, String> {
    let argument = argument.trim();
    let (mechanism, config) = argument
        .split_once('=')
        .ok_or_else(|| format!("Failed to find equals sign in SCRAM argument '{argument}'"))?;
    let mechanism = ScramMechanism::ALL
        .into_iter()
        .find(|known| known.name() == mechanism)
        .ok_or_else(|| format!("The add-scram mechanism {mechanism} is not supported."))?;
    let config = config.strip_prefix('[').ok_or("Expected configuration string to start with [")?;
    let config = config.strip_suffix(']').ok_or("Expected configuration string to end with ]")?;
    let mut parts = config.split(',').map(part).collect::<Result<BTreeMap<_, _>, _>>()?;
    let name = parts.remove("name").ok_or("You must supply 'name' to add-scram")?.to_owned();
    let given_salt = match parts.remove("salt") {
        None => None,
        Some(text) => {
            Some(STANDARD.decode(text).map_err(|_| format!("Failed to decode given salt: {text}"))?)
        }
    };
    let iterations = match parts.remove("iterations") {
        None => DEFAULT_ITERATIONS,
        Some(text) => text.parse().map_err(|_| format!("Failed to parse iterations count: {text}"))?,
    };
    let (password, salted) = (parts.remove("password"), parts.remove("saltedpassword"));
    if password.is_none() && salted.is_none() {
        return Err("You must supply one of 'password' or 'saltedpassword' to add-scram".to_owned());
    }
    if password.is_none() && given_salt.is_none() {
        return Err("You must supply 'salt' with 'saltedpassword' to add-scram".to_owned());
    }
    if !parts.is_empty() {
        let names: Vec<&str> = parts.into_keys().collect();
        return Err(format!("Unknown SCRAM configurations: {}", names.join(", ")));
    }
    check(iterations, mechanism)?;
    let salt = given_salt.unwrap_or_else(|| Uuid::new_v4().into_bytes().to_vec());
    let salted = match (password, salted) {
        (Some(password), _) => salted_password(mechanism, password, &salt, iterations.unsigned_abs()),
        (None, salted) => {
            let text = salted.unwrap_or_default();
            STANDARD.decode(text).map_err(|_| format!("Failed to decode given saltedPassword: {text}"))?
        }
    };
    let credential = ScramCredential::of_salted(mechanism, &salt, iterations, &salted);
    Ok(FormattedUser { name, mechanism, credential })
}

fn check(iterations: i32, mechanism: ScramMechanism) -> Result<(), String> {
    let shown = mechanism.name().replace('-', "_");
    if iterations < DEFAULT_ITERATIONS {
        return Err(format!(
            "The 'iterations' value must be >= {DEFAULT_ITERATIONS} for add-scram using {shown}"
        ));
    }
    if iterations > MAX_ITERATIONS {
        return Err(format!(
            "The 'iterations' value must be <= {MAX_ITERATIONS} for add-scram using {shown}"
        ));
    }
    Ok(())
}

/// `key=value`, the value perhaps in quotes.
fn part(text: &str) -> Result<(&str, &str), String> {
    let (key, value) =
        text.split_once('=').ok_or_else(|| format!("No equals sign found in SCRAM component: {text}"))?;
    let unquoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    Ok((key, unquoted.unwrap_or(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_made_of_a_password_or_of_what_it_was_salted_to() {
        let user =
            parse(r#"SCRAM-SHA-256=[name="alice",salt="c2FsdA==",password="it=s",iterations=4097]"#).unwrap();
        assert_eq!((user.name.as_str(), user.mechanism), ("alice", ScramMechanism::Sha256));
        assert_eq!((user.credential.iterations, user.credential.salt.as_slice()), (4097, &b"salt"[..]));
        let salted = salted_password(ScramMechanism::Sha256, "it=s", b"salt", 4097);
        let again = format!(
            "SCRAM-SHA-256=[name=alice,salt=c2FsdA==,saltedpassword={},iterations=4097]",
            STANDARD.encode(salted)
        );
        assert!(parse(&again).unwrap().credential == user.credential);
        assert_eq!(parse("SCRAM-SHA-512=[name=a,password=b]").unwrap().credential.stored_key.len(), 64);
    }

    #[test]
    fn what_is_wrong_is_told_in_kafkas_words() {
        let check = |argument: &str, expected: &str| {
            assert_eq!(parse(argument).err().as_deref(), Some(expected), "{argument}");
        };
        check("x", "Failed to find equals sign in SCRAM argument 'x'");
        check("SCRAM-SHA-1=[]", "The add-scram mechanism SCRAM-SHA-1 is not supported.");
        check("SCRAM-SHA-256=name=a", "Expected configuration string to start with [");
        check("SCRAM-SHA-256=[name=a", "Expected configuration string to end with ]");
        check("SCRAM-SHA-256=[password=a]", "You must supply 'name' to add-scram");
        check("SCRAM-SHA-256=[name]", "No equals sign found in SCRAM component: name");
        check("SCRAM-SHA-256=[name=a]", "You must supply one of 'password' or 'saltedpassword' to add-scram");
        check(
            "SCRAM-SHA-256=[name=a,saltedpassword=AA==]",
            "You must supply 'salt' with 'saltedpassword' to add-scram",
        );
        check("SCRAM-SHA-256=[name=a,password=b,c=d]", "Unknown SCRAM configurations: c");
        check(
            "SCRAM-SHA-512=[name=a,password=b,iterations=10]",
            "The 'iterations' value must be >= 4096 for add-scram using SCRAM_SHA_512",
        );
        check("SCRAM-SHA-256=[name=a,password=b,iterations=x]", "Failed to parse iterations count: x");
    }
}
