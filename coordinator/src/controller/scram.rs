//! Credentials for SCRAM: set and deleted here, kept where ZooKeeper kept them, `/config/users/<user>` (KIP-554;
//! `ScramControlManager`).
//!
//! Must never keep or tell a password or what it was salted to: only the two keys that a check needs.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::AlterUserScramCredentialsRequest;
use kafka_protocol::messages::alter_user_scram_credentials_request::{
    ScramCredentialDeletion, ScramCredentialUpsertion,
};
use kafka_protocol::messages::alter_user_scram_credentials_response::AlterUserScramCredentialsResult;
use kafka_protocol::protocol::StrBytes;
use sha2::{Digest, Sha256, Sha512};

use super::{Ctx, Item, Plan, Refusal, fence};
use crate::image::nodes::{ConfigNodeJson, to_json};
use crate::image::{ConfigKind, Configs, MetadataImage, paths};
use crate::tree::Op;

/// RFC 5802 with one of two hashes (`ScramMechanism`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScramMechanism {
    Sha256,
    Sha512,
}

/// Fewer make passwords cheap to guess, more make each check dear (`ScramMechanism.minIterations` and
/// `ScramControlManager.MAX_ITERATIONS`).
const ITERATIONS: std::ops::RangeInclusive<i32> = 4096..=16384;

/// What becomes of one user.
type Change<'a> = Result<Altered<'a>, Refusal>;

#[derive(Clone, Copy)]
enum Altered<'a> {
    Delete(&'a ScramCredentialDeletion),
    Set(&'a ScramCredentialUpsertion),
}

impl ScramMechanism {
    pub const ALL: [Self; 2] = [Self::Sha256, Self::Sha512];

    /// The number on the wire.
    #[must_use]
    pub fn code(self) -> i8 {
        match self {
            Self::Sha256 => 1,
            Self::Sha512 => 2,
        }
    }

    /// The SASL name, which is also the key in the user's config.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "SCRAM-SHA-256",
            Self::Sha512 => "SCRAM-SHA-512",
        }
    }

    /// The mechanism of a number; `None` where there is none.
    #[must_use]
    pub fn from_code(code: i8) -> Option<Self> {
        Self::ALL.into_iter().find(|mechanism| mechanism.code() == code)
    }
}

/// What a check of a password needs (`ScramCredential`).
#[derive(Clone, PartialEq, Eq)]
pub struct ScramCredential {
    pub salt: Vec<u8>,
    pub stored_key: Vec<u8>,
    pub server_key: Vec<u8>,
    pub iterations: i32,
}

impl ScramCredential {
    /// The keys of a password that was salted already.
    #[must_use]
    pub fn of_salted(mechanism: ScramMechanism, salt: &[u8], iterations: i32, password: &[u8]) -> Self {
        let (stored_key, server_key) = match mechanism {
            ScramMechanism::Sha256 => {
                let hmac = |text: &[u8]| {
                    let mut mac =
                        Hmac::<Sha256>::new_from_slice(password).expect("any length of key will do");
                    mac.update(text);
                    mac.finalize().into_bytes()
                };
                (Sha256::digest(hmac(CLIENT_KEY)).to_vec(), hmac(SERVER_KEY).to_vec())
            }
            ScramMechanism::Sha512 => {
                let hmac = |text: &[u8]| {
                    let mut mac =
                        Hmac::<Sha512>::new_from_slice(password).expect("any length of key will do");
                    mac.update(text);
                    mac.finalize().into_bytes()
                };
                (Sha512::digest(hmac(CLIENT_KEY)).to_vec(), hmac(SERVER_KEY).to_vec())
            }
        };
        Self { salt: salt.to_vec(), stored_key, server_key, iterations }
    }

    /// As ZooKeeper kept it (`ScramCredentialUtils.credentialToString`).
    #[must_use]
    pub fn to_text(&self) -> String {
        format!(
            "salt={},stored_key={},server_key={},iterations={}",
            STANDARD.encode(&self.salt),
            STANDARD.encode(&self.stored_key),
            STANDARD.encode(&self.server_key),
            self.iterations
        )
    }

    /// `None` for what is no credential.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts: BTreeMap<&str, &str> =
            text.split(',').filter_map(|part| part.split_once('=')).collect();
        let mut bytes = |name: &str| STANDARD.decode(parts.remove(name)?).ok();
        let (salt, stored_key, server_key) = (bytes("salt")?, bytes("stored_key")?, bytes("server_key")?);
        Some(Self { salt, stored_key, server_key, iterations: parts.get("iterations")?.parse().ok()? })
    }
}

/// The credential of a user; `None` if there is none.
#[must_use]
pub fn scram_credential(
    image: &MetadataImage,
    user: &str,
    mechanism: ScramMechanism,
) -> Option<ScramCredential> {
    ScramCredential::parse(image.config(ConfigKind::User, user)?.get(mechanism.name())?)
}

/// The iterations of a user's credential; `None` if there is none.
#[must_use]
pub fn iterations(image: &MetadataImage, user: &str, mechanism: ScramMechanism) -> Option<i32> {
    scram_credential(image, user, mechanism).map(|credential| credential.iterations)
}

/// Decides on each user by itself; one that is named twice is refused, as nobody could say which holds.
pub fn alter_user_scram_credentials(
    ctx: &mut Ctx<'_>,
    request: &AlterUserScramCredentialsRequest,
) -> Plan<AlterUserScramCredentialsResult> {
    let mut changes: BTreeMap<&StrBytes, Change<'_>> = BTreeMap::new();
    for deletion in &request.deletions {
        note(&mut changes, &deletion.name, || {
            let mechanism = check(&deletion.name, deletion.mechanism)?;
            if iterations(ctx.image, &deletion.name, mechanism).is_none() {
                let message = "Attempt to delete a user credential that does not exist";
                return Err(Refusal::new(ResponseError::ResourceNotFound, message));
            }
            Ok(Altered::Delete(deletion))
        });
    }
    for upsertion in &request.upsertions {
        note(&mut changes, &upsertion.name, || check_upsertion(upsertion).map(|()| Altered::Set(upsertion)));
    }
    changes.into_iter().map(|(user, change)| plan(ctx, user, change)).collect()
}

/// The first refusal of a user stays.
fn note<'a>(
    changes: &mut BTreeMap<&'a StrBytes, Change<'a>>,
    user: &'a StrBytes,
    decide: impl FnOnce() -> Change<'a>,
) {
    match changes.get(user) {
        None => _ = changes.insert(user, decide()),
        Some(Ok(_)) => {
            let message = "A user credential cannot be altered twice in the same request";
            changes.insert(user, Err(Refusal::new(ResponseError::DuplicateResource, message)));
        }
        Some(Err(_)) => {}
    }
}

fn check(user: &str, mechanism: i8) -> Result<ScramMechanism, Refusal> {
    if user.is_empty() {
        return Err(Refusal::new(ResponseError::UnacceptableCredential, "Username must not be empty"));
    }
    let unknown = || Refusal::new(ResponseError::UnsupportedSaslMechanism, "Unknown SCRAM mechanism");
    ScramMechanism::from_code(mechanism).ok_or_else(unknown)
}

fn check_upsertion(upsertion: &ScramCredentialUpsertion) -> Result<(), Refusal> {
    check(&upsertion.name, upsertion.mechanism)?;
    let unacceptable = |message| Err(Refusal::new(ResponseError::UnacceptableCredential, message));
    match upsertion.iterations {
        few if few < *ITERATIONS.start() => unacceptable("Too few iterations"),
        many if many > *ITERATIONS.end() => unacceptable("Too many iterations"),
        // Java's key class refuses it, and Kafka knows no better word for that.
        _ if upsertion.salted_password.is_empty() => Err(Refusal::bare(ResponseError::UnknownServerError)),
        _ => Ok(()),
    }
}

fn plan(ctx: &Ctx<'_>, user: &StrBytes, change: Change<'_>) -> Item<AlterUserScramCredentialsResult> {
    let result = AlterUserScramCredentialsResult::default().with_user(user.clone());
    match change {
        Err(refusal) => Item::answer(
            result.with_error_code(refusal.code.code()).with_error_message(refusal.wire_message()),
        ),
        Ok(altered) => Item { ops: write(ctx, user, altered), result: result.with_error_message(None) },
    }
}

fn write(ctx: &Ctx<'_>, user: &str, altered: Altered<'_>) -> Vec<Op> {
    let mut configs: Configs = ctx.image.config(ConfigKind::User, user).cloned().unwrap_or_default();
    let code = match altered {
        Altered::Delete(deletion) => deletion.mechanism,
        Altered::Set(upsertion) => upsertion.mechanism,
    };
    let mechanism = ScramMechanism::from_code(code).expect("the change was checked");
    match altered {
        Altered::Delete(_) => _ = configs.remove(mechanism.name()),
        Altered::Set(upsertion) => {
            let ScramCredentialUpsertion { salt, iterations, salted_password, .. } = upsertion;
            let credential = ScramCredential::of_salted(mechanism, salt, *iterations, salted_password);
            configs.insert(mechanism.name().to_owned(), credential.to_text());
        }
    }
    let path = paths::config(ConfigKind::User, user);
    let write = match ctx.image.config_version(ConfigKind::User, user) {
        // The node stays while clients have quotas as this user, which lie below it.
        Some(version) if configs.is_empty() && !ctx.image.has_client_folder(user) => {
            Op::delete(path, version)
        }
        Some(version) => Op::set(path, to_json(&ConfigNodeJson::new(configs)), version),
        None => Op::create(path, to_json(&ConfigNodeJson::new(configs))),
    };
    vec![fence(ctx.image), write]
}

const CLIENT_KEY: &[u8] = b"Client Key";
const SERVER_KEY: &[u8] = b"Server Key";

#[cfg(test)]
mod tests {
    use super::super::testing::Stage;
    use super::*;

    fn text(text: &str) -> StrBytes {
        StrBytes::from_string(text.to_owned())
    }

    /// The user of RFC 7677, section 3: `pencil`, salted.
    fn upsertion(user: &str) -> ScramCredentialUpsertion {
        let bytes = |text: &str| STANDARD.decode(text).unwrap().into();
        ScramCredentialUpsertion::default()
            .with_name(text(user))
            .with_mechanism(1)
            .with_iterations(4096)
            .with_salt(bytes("W22ZaJ0SNY7soEsUEjb6gQ=="))
            .with_salted_password(bytes("xKSVEDI6tPlSysH6mUQZOeeOp01r6B3fcJbodRPcYV0="))
    }

    fn deletion(user: &str, mechanism: i8) -> ScramCredentialDeletion {
        ScramCredentialDeletion::default().with_name(text(user)).with_mechanism(mechanism)
    }

    fn alter(
        stage: &mut Stage,
        deletions: Vec<ScramCredentialDeletion>,
        upsertions: Vec<ScramCredentialUpsertion>,
    ) -> Vec<(String, i16)> {
        let request =
            AlterUserScramCredentialsRequest::default().with_deletions(deletions).with_upsertions(upsertions);
        let plan = alter_user_scram_credentials(&mut stage.ctx(), &request);
        let results = stage.run(plan);
        results.iter().map(|result| (result.user.to_string(), result.error_code)).collect()
    }

    #[test]
    fn the_keys_of_a_password_are_kept_as_zookeeper_kept_them() {
        let mut stage = Stage::with_brokers(&[1]);
        assert_eq!(alter(&mut stage, vec![], vec![upsertion("a/b")]), [("a/b".to_owned(), 0)]);
        let kept = &stage.image.config(ConfigKind::User, "a/b").unwrap()["SCRAM-SHA-256"];
        assert_eq!(
            kept,
            "salt=W22ZaJ0SNY7soEsUEjb6gQ==,stored_key=WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,\
             server_key=wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=,iterations=4096"
        );
        assert!(ScramCredential::parse(kept).is_some_and(|credential| credential.to_text() == *kept));
        assert!(ScramCredential::parse("salt=!,stored_key=,server_key=,iterations=1").is_none());
        let longer = upsertion("a/b").with_mechanism(2).with_iterations(8192);
        alter(&mut stage, vec![], vec![longer]);
        assert_eq!(iterations(&stage.image, "a/b", ScramMechanism::Sha256), Some(4096));
        assert_eq!(iterations(&stage.image, "a/b", ScramMechanism::Sha512), Some(8192));
        alter(&mut stage, vec![deletion("a/b", 1)], vec![]);
        assert_eq!(iterations(&stage.image, "a/b", ScramMechanism::Sha256), None);
        alter(&mut stage, vec![deletion("a/b", 2)], vec![]);
        assert_eq!(stage.image.config(ConfigKind::User, "a/b"), None, "nothing is left of the user");
    }

    #[test]
    fn each_user_is_refused_for_itself() {
        let mut stage = Stage::with_brokers(&[1]);
        let code = ResponseError::code;
        let answers = alter(
            &mut stage,
            vec![deletion("absent", 1), deletion("odd", 9), deletion("", 1)],
            vec![
                upsertion("few").with_iterations(4095),
                upsertion("good"),
                upsertion("many").with_iterations(16385),
                upsertion("twice"),
                upsertion("twice").with_mechanism(2),
            ],
        );
        let expected = [
            ("", code(&ResponseError::UnacceptableCredential)),
            ("absent", code(&ResponseError::ResourceNotFound)),
            ("few", code(&ResponseError::UnacceptableCredential)),
            ("good", 0),
            ("many", code(&ResponseError::UnacceptableCredential)),
            ("odd", code(&ResponseError::UnsupportedSaslMechanism)),
            ("twice", code(&ResponseError::DuplicateResource)),
        ];
        assert_eq!(answers, expected.map(|(user, code)| (user.to_owned(), code)));
        assert_eq!(iterations(&stage.image, "good", ScramMechanism::Sha256), Some(4096));
        assert_eq!(iterations(&stage.image, "twice", ScramMechanism::Sha256), None);
    }
}
