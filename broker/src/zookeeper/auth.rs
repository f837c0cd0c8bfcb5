//! Who a client proves to be (`addauth`): digest with a user and password, and ip, which proves nothing new.
//!
//! Must never keep or print a password; what is compared and kept is its digest.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use milena_coordinator::tree::Id;
use sha1::{Digest as _, Sha1};

/// Identities of one connection: far more than a client proves, few enough to be compared at each request.
const IDS_MAX: usize = 64;

pub(super) enum Proof {
    /// All identities from now on.
    Known(Vec<Id>),
    Failed,
}

/// Adds what `proof` proves to the identities that the client has.
pub(super) fn prove(scheme: &str, proof: &[u8], known: &[Id], super_digest: Option<&str>) -> Proof {
    let mut ids = known.to_vec();
    let mut add = |scheme: &str, id: &str| {
        if !ids.iter().any(|known| known.scheme == scheme && known.id == id) {
            ids.push(Id { scheme: scheme.to_owned(), id: id.to_owned() });
        }
    };
    match scheme {
        "digest" => {
            let digest = digest(proof);
            if super_digest == Some(digest.as_str()) {
                add("super", "");
            }
            add("digest", &digest);
        }
        "ip" => {}
        _ => return Proof::Failed,
    }
    if ids.len() > IDS_MAX { Proof::Failed } else { Proof::Known(ids) }
}

/// `user:` and the base64 of the SHA-1 of `user:password` (`DigestAuthenticationProvider.generateDigest`).
fn digest(proof: &[u8]) -> String {
    let proof = String::from_utf8_lossy(proof);
    let user = proof.split(':').next().unwrap_or_default();
    format!("{user}:{}", STANDARD.encode(Sha1::digest(proof.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(scheme: &str, proof: &str, super_digest: Option<&str>) -> Option<Vec<String>> {
        match prove(scheme, proof.as_bytes(), &[], super_digest) {
            Proof::Known(ids) => Some(ids.into_iter().map(|id| format!("{}:{}", id.scheme, id.id)).collect()),
            Proof::Failed => None,
        }
    }

    #[test]
    fn digests_are_zookeepers() {
        // `DigestAuthenticationProvider.main("super:test")` prints this.
        let digest = "super:D/InIHSb7yEEbrWz8b9l71RjZJU=";
        assert_eq!(ids("digest", "super:test", None), Some(vec![format!("digest:{digest}")]));
        let both = vec!["super:".to_owned(), format!("digest:{digest}")];
        assert_eq!(ids("digest", "super:test", Some(digest)), Some(both));
        assert_eq!(ids("digest", "super:wrong", Some(digest)).unwrap().len(), 1);
    }

    #[test]
    fn schemes_without_a_provider_fail() {
        assert_eq!(ids("ip", "", None), Some(vec![]));
        for scheme in ["world", "sasl", "super", "x509", ""] {
            assert_eq!(ids(scheme, "x", None), None, "{scheme}");
        }
    }
}
