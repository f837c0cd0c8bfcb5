//! SCRAM (RFC 5802, RFC 7677) as Kafka speaks it: no channel binding, no SASLprep (`ScramSaslServer`, `ScramMessages`).
//!
//! Must never accept a nonce that is not its own (CVE-2024-56128), nor compare a proof in a time that depends on it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use milena_coordinator::controller::{ScramCredential, ScramMechanism};
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;

use super::exchange::{Failure, Known, Outcome};

/// Credentials with fewer are not taken (`ScramMechanism.minIterations`).
pub(super) const MIN_ITERATIONS: i32 = 4096;

/// The server's side of one exchange.
pub(super) struct Scram {
    mechanism: ScramMechanism,
    state: State,
}

enum State {
    First,
    Final(Box<Waiting>),
    Over,
}

/// What the last message is checked against.
struct Waiting {
    user: String,
    credential: ScramCredential,
    nonce: String,
    client_first_bare: String,
    server_first: String,
}

impl Scram {
    pub(super) fn new(mechanism: ScramMechanism) -> Self {
        Self { mechanism, state: State::First }
    }

    pub(super) fn step(&mut self, token: &[u8], known: &Known<'_>) -> Result<Outcome, Failure> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::First => {
                let waiting = first(token, known)?;
                let challenge = waiting.server_first.clone().into_bytes();
                self.state = State::Final(Box::new(waiting));
                Ok(Outcome::Challenge(challenge))
            }
            State::Final(waiting) => self.check(token, *waiting),
            State::Over => Err(hidden("the exchange is over")),
        }
    }

    fn check(&self, token: &[u8], waiting: Waiting) -> Result<Outcome, Failure> {
        let last = ClientFinal::parse(token)?;
        if last.nonce != waiting.nonce {
            return Err(hidden("Invalid client nonce in the final client message."));
        }
        let auth = format!("{},{},{}", waiting.client_first_bare, waiting.server_first, last.without_proof);
        let credential = &waiting.credential;
        let signature = hmac_of(self.mechanism, &credential.stored_key, auth.as_bytes());
        if last.proof.len() != signature.len() {
            return Err(hidden("Invalid client credentials"));
        }
        let client_key: Vec<u8> = last.proof.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        let stored_key = hash(self.mechanism, &client_key);
        if !bool::from(stored_key.ct_eq(&credential.stored_key)) {
            return Err(hidden("Invalid client credentials"));
        }
        let signature = hmac_of(self.mechanism, &credential.server_key, auth.as_bytes());
        let token = format!("v={}", STANDARD.encode(signature)).into_bytes();
        Ok(Outcome::Proved { token, user: waiting.user })
    }
}

fn first(token: &[u8], known: &Known<'_>) -> Result<Waiting, Failure> {
    let first = ClientFirst::parse(token)?;
    if first.by_token {
        return Err(hidden("Token Authentication failed: there are no delegation tokens"));
    }
    let credential = (known.credential)(&first.user)
        .ok_or_else(|| hidden("Authentication failed: Invalid user credentials"))?;
    if !first.asked_for.is_empty() && first.asked_for != first.user {
        let what =
            "Authentication failed: Client requested an authorization id that is different from username";
        return Err(Failure::Told(what.to_owned()));
    }
    if credential.iterations < MIN_ITERATIONS {
        return Err(hidden("the credential has fewer iterations than the mechanism asks for"));
    }
    let nonce = format!("{}{}", first.nonce, known.nonce);
    let server_first =
        format!("r={nonce},s={},i={}", STANDARD.encode(&credential.salt), credential.iterations);
    Ok(Waiting { user: first.user, credential, nonce, client_first_bare: first.bare, server_first })
}

/// `n,[a=authzid],n=user,r=nonce[,extensions]`.
struct ClientFirst {
    asked_for: String,
    user: String,
    nonce: String,
    by_token: bool,
    bare: String,
}

impl ClientFirst {
    fn parse(token: &[u8]) -> Result<Self, Failure> {
        let text = std::str::from_utf8(token).ok();
        text.and_then(Self::read).ok_or_else(|| hidden("Invalid SCRAM client first message format"))
    }

    fn read(text: &str) -> Option<Self> {
        let (asked_for, rest) = text.strip_prefix("n,")?.split_once(',')?;
        let asked_for = match asked_for {
            "" => "",
            asked_for => asked_for.strip_prefix("a=").filter(|name| is_name(name))?,
        };
        // An extension that is to be understood may come first; Kafka reads it and leaves it out.
        let bare = match rest.strip_prefix("m=") {
            Some(reserved) => {
                let (value, bare) = reserved.split_once(',')?;
                if !is_value(value) {
                    return None;
                }
                bare
            }
            None => rest,
        };
        let (name, rest) = bare.strip_prefix("n=")?.split_once(',')?;
        let mut parts = rest.split(',');
        let nonce = parts.next()?.strip_prefix("r=").filter(|nonce| is_nonce(nonce))?;
        if !is_name(name) {
            return None;
        }
        let mut by_token = false;
        for extension in parts {
            let (key, value) = read_extension(extension)?;
            by_token |= key == "tokenauth" && value.eq_ignore_ascii_case("true");
        }
        Some(Self {
            asked_for: asked_for.to_owned(),
            user: name.replace("=2C", ",").replace("=3D", "="),
            nonce: nonce.to_owned(),
            by_token,
            bare: bare.to_owned(),
        })
    }
}

/// `c=binding,r=nonce[,extensions],p=proof`.
struct ClientFinal {
    nonce: String,
    proof: Vec<u8>,
    without_proof: String,
}

impl ClientFinal {
    fn parse(token: &[u8]) -> Result<Self, Failure> {
        let text = std::str::from_utf8(token).ok();
        text.and_then(Self::read).ok_or_else(|| hidden("Invalid SCRAM client final message format"))
    }

    fn read(text: &str) -> Option<Self> {
        let (without_proof, proof) = text.rsplit_once(",p=")?;
        let proof = STANDARD.decode(proof).ok()?;
        let mut parts = without_proof.split(',');
        // What it binds to is not compared, as in Kafka; the proof covers it.
        STANDARD.decode(parts.next()?.strip_prefix("c=")?).ok()?;
        let nonce = parts.next()?.strip_prefix("r=").filter(|nonce| is_nonce(nonce))?;
        for extension in parts {
            read_extension(extension)?;
        }
        Some(Self { nonce: nonce.to_owned(), proof, without_proof: without_proof.to_owned() })
    }
}

fn read_extension(text: &str) -> Option<(&str, &str)> {
    let (key, value) = text.split_once('=')?;
    let is_key = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphabetic());
    (is_key && is_value(value)).then_some((key, value))
}

fn is_value(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| (1..=0x7f).contains(&byte) && byte != b',')
}

/// A name whose commas and equal signs are written `=2C` and `=3D`.
fn is_name(text: &str) -> bool {
    let rest = text.replace("=2C", "").replace("=3D", "");
    is_value(text) && !rest.contains('=')
}

fn is_nonce(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| (0x21..=0x7e).contains(&byte) && byte != b',')
}

fn hidden(what: &str) -> Failure {
    Failure::Hidden(what.to_owned())
}

/// What a password becomes before keys are made of it (`Hi` of RFC 5802).
#[must_use]
pub fn salted_password(mechanism: ScramMechanism, password: &str, salt: &[u8], iterations: u32) -> Vec<u8> {
    let password = password.as_bytes();
    match mechanism {
        ScramMechanism::Sha256 => {
            let mut salted = [0; 32];
            pbkdf2::pbkdf2::<Hmac<Sha256>>(password, salt, iterations, &mut salted)
                .expect("any length of password will do");
            salted.to_vec()
        }
        ScramMechanism::Sha512 => {
            let mut salted = [0; 64];
            pbkdf2::pbkdf2::<Hmac<Sha512>>(password, salt, iterations, &mut salted)
                .expect("any length of password will do");
            salted.to_vec()
        }
    }
}

pub(super) fn hmac_of(mechanism: ScramMechanism, key: &[u8], text: &[u8]) -> Vec<u8> {
    match mechanism {
        ScramMechanism::Sha256 => {
            let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length of key will do");
            mac.update(text);
            mac.finalize().into_bytes().to_vec()
        }
        ScramMechanism::Sha512 => {
            let mut mac = Hmac::<Sha512>::new_from_slice(key).expect("any length of key will do");
            mac.update(text);
            mac.finalize().into_bytes().to_vec()
        }
    }
}

pub(super) fn hash(mechanism: ScramMechanism, bytes: &[u8]) -> Vec<u8> {
    match mechanism {
        ScramMechanism::Sha256 => Sha256::digest(bytes).to_vec(),
        ScramMechanism::Sha512 => Sha512::digest(bytes).to_vec(),
    }
}
