//! Access lists: who may do what to a node, and which lists a node may have.
//!
//! ZooKeeper's rules (`ZooKeeperServer.checkACL`, `PrepRequestProcessor.fixupACL`) for the schemes world, auth, digest
//! and ip. Must never see a password: a digest identity arrives as `user:digest`, whoever lists it has compared it.

use core::net::IpAddr;
use std::sync::Arc;

use super::command::{Acl, Acls, Code};

/// What an entry of an access list allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Perms(pub u32);

impl Perms {
    pub const READ: Self = Self(1);
    pub const WRITE: Self = Self(2);
    pub const CREATE: Self = Self(4);
    pub const DELETE: Self = Self(8);
    pub const ADMIN: Self = Self(16);
    /// Either is enough to see an access list.
    pub const READ_OR_ADMIN: Self = Self(17);
}

/// One proven identity of a client.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id {
    /// `ip`, `digest`, or `super`, which may do everything.
    pub scheme: String,
    pub id: String,
}

/// All identities of a client; shared by its requests.
pub type Ids = Arc<[Id]>;

/// The access lists that decide who hears of a change: the node's own, and that of its parent, whose children changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guards {
    pub node: Acls,
    pub parent: Acls,
}

/// Whether one of the identities is the super user.
#[must_use]
pub fn is_super(ids: &[Id]) -> bool {
    ids.iter().any(|id| id.scheme == "super")
}

/// Whether somebody with these identities may do any of `perms`.
#[must_use]
pub fn permits(acl: &[Acl], perms: Perms, ids: &[Id]) -> bool {
    let is_open = |entry: &Acl| entry.scheme == "world" && entry.id == "anyone";
    let allows = |entry: &Acl| entry.perms & perms.0 != 0;
    acl.iter().filter(|entry| allows(entry)).any(|entry| {
        is_open(entry)
            || ids.iter().any(|id| id.scheme == entry.scheme && matches(&id.scheme, &id.id, &entry.id))
    }) || acl.is_empty()
        || is_super(ids)
}

/// The list that a node gets when a client asks for `acl`: without repetitions, with `auth` replaced by the client's
/// own identities. Refused if it is empty or has an entry that nobody could match.
pub fn fix(acl: &[Acl], ids: &[Id]) -> Result<Vec<Acl>, Code> {
    let mut fixed = Vec::with_capacity(acl.len());
    for (at, entry) in acl.iter().enumerate() {
        if acl[..at].contains(entry) {
            continue;
        }
        match entry.scheme.as_str() {
            "world" if entry.id == "anyone" => fixed.push(entry.clone()),
            "auth" => {
                let own = ids.iter().filter(|id| id.scheme == "digest");
                let before = fixed.len();
                fixed.extend(own.map(|id| Acl {
                    perms: entry.perms,
                    scheme: id.scheme.clone(),
                    id: id.id.clone(),
                }));
                if fixed.len() == before {
                    return Err(Code::InvalidAcl);
                }
            }
            "digest" if is_digest(&entry.id) => fixed.push(entry.clone()),
            "ip" if network(&entry.id).is_some() => fixed.push(entry.clone()),
            _ => return Err(Code::InvalidAcl),
        }
    }
    if fixed.is_empty() { Err(Code::InvalidAcl) } else { Ok(fixed) }
}

/// The list as somebody without ADMIN sees it: digests show their users only.
#[must_use]
pub fn masked(acl: &[Acl]) -> Vec<Acl> {
    let mask = |entry: &Acl| match entry.id.split_once(':') {
        Some((user, _)) if entry.scheme == "digest" => Acl { id: format!("{user}:x"), ..entry.clone() },
        _ => entry.clone(),
    };
    acl.iter().map(mask).collect()
}

fn matches(scheme: &str, id: &str, expression: &str) -> bool {
    if scheme == "ip" { within(id, expression) } else { id == expression }
}

/// Java's `split(":").length == 2`, which drops empty parts at the end.
fn is_digest(id: &str) -> bool {
    let parts: Vec<&str> = id.trim_end_matches(':').split(':').collect();
    parts.len() == 2
}

fn within(address: &str, expression: &str) -> bool {
    let (Ok(address), Some((base, bits))) = (address.parse::<IpAddr>(), network(expression)) else {
        return false;
    };
    let (own, base, width) = match (address, base) {
        (IpAddr::V4(own), IpAddr::V4(base)) => (u128::from(own.to_bits()), u128::from(base.to_bits()), 32),
        (IpAddr::V6(own), IpAddr::V6(base)) => (own.to_bits(), base.to_bits(), 128),
        _ => return false,
    };
    let shift = width - bits;
    // A shift by all bits is none in Rust; nothing is left to compare then.
    shift >= 128 || own >> shift == base >> shift
}

/// `address` or `address/bits`.
fn network(expression: &str) -> Option<(IpAddr, u32)> {
    let (address, bits) = match expression.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (expression, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let width = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.map_or(Some(width), |bits| bits.parse().ok())?;
    (bits <= width).then_some((address, bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acl(perms: u32, scheme: &str, id: &str) -> Acl {
        Acl { perms, scheme: scheme.into(), id: id.into() }
    }

    fn id(scheme: &str, id: &str) -> Id {
        Id { scheme: scheme.into(), id: id.into() }
    }

    #[test]
    fn an_entry_permits_whom_it_names_what_it_names() {
        let list = [acl(1, "world", "anyone"), acl(6, "digest", "u:d"), acl(16, "ip", "10.0.0.0/8")];
        let cases = [
            (Perms::READ, vec![], true),
            (Perms::WRITE, vec![], false),
            (Perms::WRITE, vec![id("digest", "u:other")], false),
            (Perms::WRITE, vec![id("digest", "v:x"), id("digest", "u:d")], true),
            (Perms::DELETE, vec![id("digest", "u:d")], false),
            (Perms::DELETE, vec![id("super", "")], true),
            (Perms::ADMIN, vec![id("ip", "10.255.0.1")], true),
            (Perms::ADMIN, vec![id("ip", "11.0.0.1")], false),
            (Perms::READ_OR_ADMIN, vec![], true),
        ];
        for (perms, ids, expected) in cases {
            assert_eq!(permits(&list, perms, &ids), expected, "{perms:?} {ids:?}");
        }
    }

    #[test]
    fn networks_are_compared_by_their_bits() {
        for (address, expression, expected) in [
            ("1.2.3.4", "1.2.3.4", true),
            ("1.2.3.4", "1.2.3.5", false),
            ("1.2.3.4", "9.9.9.9/0", true),
            ("1.2.3.4", "1.2.0.0/16", true),
            ("1.2.3.4", "::/0", false),
            ("::1", "::/0", true),
            ("fe80::1", "fe80::/10", true),
            ("1.2.3.4", "1.2.3.4/33", false),
        ] {
            assert_eq!(within(address, expression), expected, "{address} in {expression}");
        }
    }

    #[test]
    fn lists_are_fixed_or_refused() {
        let me = [id("ip", "1.1.1.1"), id("digest", "u:d")];
        let open = acl(31, "world", "anyone");
        let own = acl(3, "digest", "u:d");
        assert_eq!(fix(&[open.clone(), open.clone()], &[]), Ok(vec![open.clone()]));
        assert_eq!(fix(&[acl(3, "auth", "")], &me), Ok(vec![own.clone()]));
        assert_eq!(fix(&[acl(3, "auth", "")], &me[..1]), Err(Code::InvalidAcl));
        assert_eq!(fix(&[acl(1, "ip", "1.2.3.4/24"), own.clone()], &[]).map(|list| list.len()), Ok(2));
        for bad in ["", "u", "u:", "u:d:e"] {
            assert_eq!(fix(&[acl(1, "digest", bad)], &[]), Err(Code::InvalidAcl), "{bad}");
        }
        for bad in
            [acl(1, "world", "all"), acl(1, "ip", "1.2.3"), acl(1, "ip", "1.2.3.4/99"), acl(1, "sasl", "x")]
        {
            assert_eq!(fix(std::slice::from_ref(&bad), &me), Err(Code::InvalidAcl), "{bad:?}");
        }
        assert_eq!(fix(&[], &me), Err(Code::InvalidAcl));
    }

    #[test]
    fn digests_are_masked() {
        let list = [acl(1, "digest", "u:secret"), acl(1, "world", "anyone")];
        assert_eq!(masked(&list), [acl(1, "digest", "u:x"), acl(1, "world", "anyone")]);
    }
}
