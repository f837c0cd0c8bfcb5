//! Quotas of clients: which limit holds for whom, and which clients share it (`ClientQuotaManager.DefaultQuotaCallback`).
//!
//! Must never count what clients do: that is the brokers' business, each for itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Configs;

/// What may be limited, in the order in which Kafka tells several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum QuotaKey {
    RequestPercentage = 0,
    ProducerByteRate = 1,
    ConsumerByteRate = 2,
    ControllerMutationRate = 3,
    /// The only one of an address.
    ConnectionCreationRate = 4,
}

/// Whose quota it is; an empty name stands for everybody who has none of their own, as everywhere below `/config`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum QuotaEntity {
    Client(Arc<str>),
    Ip(Arc<str>),
    User(Arc<str>),
    UserClient(Arc<str>, Arc<str>),
}

/// All quotas of a cluster that has any.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClientQuotas {
    entities: BTreeMap<QuotaEntity, Vec<(QuotaKey, f64)>>,
    limits: [Limits; QuotaKey::OF_CLIENTS],
    connections: Level,
}

/// The limits of one key, by level.
#[derive(Clone, Debug, Default, PartialEq)]
struct Limits {
    clients: Level,
    users: Level,
    clients_of: BTreeMap<Arc<str>, Level>,
}

/// Limits by name, and the one of all others.
#[derive(Clone, Debug, Default, PartialEq)]
struct Level {
    named: BTreeMap<Arc<str>, f64>,
    default: Option<f64>,
}

/// Who is counted together: a part that does not matter is the empty name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sharing {
    pub by_user: bool,
    pub by_client: bool,
}

impl QuotaKey {
    pub const ALL: [Self; 5] = [
        Self::RequestPercentage,
        Self::ProducerByteRate,
        Self::ConsumerByteRate,
        Self::ControllerMutationRate,
        Self::ConnectionCreationRate,
    ];
    /// The keys of users and clients come first.
    pub const OF_CLIENTS: usize = 4;

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::RequestPercentage => "request_percentage",
            Self::ProducerByteRate => "producer_byte_rate",
            Self::ConsumerByteRate => "consumer_byte_rate",
            Self::ControllerMutationRate => "controller_mutation_rate",
            Self::ConnectionCreationRate => "connection_creation_rate",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.name() == name)
    }
}

impl QuotaEntity {
    /// Whether it is an address, which has other keys than users and clients.
    #[must_use]
    pub fn is_ip(&self) -> bool {
        matches!(self, Self::Ip(_))
    }

    /// Its parts as the protocol calls them; `None` stands for everybody else.
    #[must_use]
    pub fn parts(&self) -> Vec<(&'static str, Option<&Arc<str>>)> {
        let named = |name| Some(name).filter(|name: &&Arc<str>| !name.is_empty());
        match self {
            Self::Client(client) => vec![("client-id", named(client))],
            Self::Ip(ip) => vec![("ip", named(ip))],
            Self::User(user) => vec![("user", named(user))],
            Self::UserClient(user, client) => vec![("client-id", named(client)), ("user", named(user))],
        }
    }
}

/// The quotas among the configs of one entity; what is no number limits nothing.
pub(super) fn values(entity: &QuotaEntity, configs: &Configs) -> Vec<(QuotaKey, f64)> {
    let of_entity = |key: &QuotaKey| (*key == QuotaKey::ConnectionCreationRate) == entity.is_ip();
    let value = |key: QuotaKey| Some((key, configs.get(key.name())?.parse().ok()?));
    QuotaKey::ALL.into_iter().filter(of_entity).filter_map(value).collect()
}

impl ClientQuotas {
    /// `None` if nobody has any.
    pub(super) fn of(entities: impl Iterator<Item = (QuotaEntity, Vec<(QuotaKey, f64)>)>) -> Option<Self> {
        let mut quotas = Self::default();
        for (entity, values) in entities.filter(|(_, values)| !values.is_empty()) {
            for (key, limit) in &values {
                match (quotas.limits.get_mut(*key as usize), &entity) {
                    (Some(limits), QuotaEntity::Client(client)) => limits.clients.set(client, *limit),
                    (Some(limits), QuotaEntity::User(user)) => limits.users.set(user, *limit),
                    (Some(limits), QuotaEntity::UserClient(user, client)) => {
                        limits.clients_of.entry(Arc::clone(user)).or_default().set(client, *limit);
                    }
                    (None, QuotaEntity::Ip(ip)) => quotas.connections.set(ip, *limit),
                    _ => {}
                }
            }
            quotas.entities.insert(entity, values);
        }
        (!quotas.entities.is_empty()).then_some(quotas)
    }

    /// Everybody who has any, with what they have.
    pub fn entities(&self) -> impl Iterator<Item = (&QuotaEntity, &[(QuotaKey, f64)])> {
        self.entities.iter().map(|(entity, values)| (entity, values.as_slice()))
    }

    /// Whether anybody has a limit of this key; those of addresses are asked for by themselves.
    #[must_use]
    pub fn limits_any(&self, key: QuotaKey) -> bool {
        self.limits.get(key as usize).is_some_and(|limits| !limits.is_empty())
    }

    /// With whom a client shares its limit of this key.
    #[must_use]
    pub fn sharing(&self, key: QuotaKey, user: &str, client: Option<&str>) -> Sharing {
        self.limits[key as usize].sharing(user, client)
    }

    /// The limit of a client; `None` if it may do as it likes.
    #[must_use]
    pub fn limit(&self, key: QuotaKey, user: &str, client: Option<&str>) -> Option<f64> {
        let limits = &self.limits[key as usize];
        let Sharing { by_user, by_client } = limits.sharing(user, client);
        // A client that does not say who it is has no quota where its name would decide.
        let client = if by_client { client? } else { "" };
        limits.find(if by_user { user } else { "" }, client)
    }

    /// Connections per second of each address that has a limit of its own.
    pub fn connection_rates(&self) -> impl Iterator<Item = (&Arc<str>, f64)> {
        self.connections.named.iter().map(|(ip, rate)| (ip, *rate))
    }

    /// Connections per second of every other address.
    #[must_use]
    pub fn default_connection_rate(&self) -> Option<f64> {
        self.connections.default
    }
}

impl Limits {
    fn is_empty(&self) -> bool {
        self.clients.is_empty() && self.users.is_empty() && self.clients_of.is_empty()
    }

    /// With one level of quotas that level decides; with several the first that has a quota for the client does.
    fn sharing(&self, user: &str, client: Option<&str>) -> Sharing {
        let levels = (!self.clients.is_empty(), !self.users.is_empty(), !self.clients_of.is_empty());
        let (by_user, by_client) = match levels {
            (_, false, false) => (false, true),
            (false, true, false) => (true, false),
            (false, false, true) => (true, true),
            _ => self.first_level(user, client),
        };
        Sharing { by_user, by_client }
    }

    fn first_level(&self, user: &str, client: Option<&str>) -> (bool, bool) {
        let has_client = |user: &str| {
            self.clients_of.get(user).is_some_and(|level| level.default.is_some() || level.has(client))
        };
        if has_client(user) {
            (true, true)
        } else if self.users.has(Some(user)) {
            (true, false)
        } else if has_client("") {
            (true, true)
        } else if self.users.default.is_some() {
            (true, false)
        } else {
            (false, true)
        }
    }

    fn find(&self, user: &str, client: &str) -> Option<f64> {
        match (user.is_empty(), client.is_empty()) {
            (false, false) => {
                let of = |user: &str| self.clients_of.get(user).and_then(|level| level.find(client));
                of(user).or_else(|| of(""))
            }
            (false, true) => self.users.find(user),
            (true, false) => self.clients.find(client),
            (true, true) => None,
        }
    }
}

impl Level {
    fn set(&mut self, name: &Arc<str>, limit: f64) {
        if name.is_empty() {
            self.default = Some(limit);
        } else {
            self.named.insert(Arc::clone(name), limit);
        }
    }

    fn is_empty(&self) -> bool {
        self.default.is_none() && self.named.is_empty()
    }

    fn has(&self, name: Option<&str>) -> bool {
        name.is_some_and(|name| self.named.contains_key(name))
    }

    fn find(&self, name: &str) -> Option<f64> {
        self.named.get(name).copied().or(self.default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: QuotaKey = QuotaKey::ProducerByteRate;

    fn quotas(entities: &[(QuotaEntity, f64)]) -> ClientQuotas {
        let entities = entities.iter().map(|(entity, limit)| (entity.clone(), vec![(KEY, *limit)]));
        ClientQuotas::of(entities).unwrap()
    }

    fn user(user: &str) -> QuotaEntity {
        QuotaEntity::User(user.into())
    }

    fn client(client: &str) -> QuotaEntity {
        QuotaEntity::Client(client.into())
    }

    fn both(user: &str, client: &str) -> QuotaEntity {
        QuotaEntity::UserClient(user.into(), client.into())
    }

    #[test]
    fn of_eight_levels_the_first_that_fits_decides() {
        let mut levels = vec![
            both("u", "c"),
            both("u", ""),
            user("u"),
            both("", "c"),
            both("", ""),
            user(""),
            client("c"),
            client(""),
        ];
        let by = [(1, 1), (1, 1), (1, 0), (1, 1), (1, 1), (1, 0), (0, 1), (0, 1)];
        for by in by {
            let all: Vec<_> =
                levels.iter().zip(1..).map(|(level, limit)| (level.clone(), f64::from(limit))).collect();
            let quotas = quotas(&all);
            assert_eq!(quotas.limit(KEY, "u", Some("c")), Some(1.0), "{levels:?}");
            let Sharing { by_user, by_client } = quotas.sharing(KEY, "u", Some("c"));
            assert_eq!((u8::from(by_user), u8::from(by_client)), by, "{levels:?}");
            levels.remove(0);
        }
    }

    #[test]
    fn with_one_level_everybody_is_counted_by_it_and_who_has_no_quota_is_free() {
        let of_client = quotas(&[(client("c"), 5.0)]);
        assert_eq!(of_client.limit(KEY, "u", Some("other")), None);
        assert_eq!(of_client.sharing(KEY, "u", Some("other")), Sharing { by_user: false, by_client: true });
        let of_user = quotas(&[(user("u"), 5.0)]);
        assert_eq!(of_user.limit(KEY, "u", None), Some(5.0));
        assert_eq!(of_user.sharing(KEY, "v", Some("c")), Sharing { by_user: true, by_client: false });
        let of_both = quotas(&[(both("u", "c"), 5.0)]);
        assert_eq!(of_both.limit(KEY, "u", Some("d")), None);
        assert_eq!(of_both.sharing(KEY, "v", Some("d")), Sharing { by_user: true, by_client: true });
    }

    #[test]
    fn a_client_without_a_name_is_limited_as_its_user_only() {
        let quotas = quotas(&[(client(""), 5.0), (user("u"), 6.0)]);
        assert_eq!(quotas.limit(KEY, "v", None), None);
        assert_eq!(quotas.limit(KEY, "u", None), Some(6.0));
        assert_eq!(quotas.limit(KEY, "v", Some("c")), Some(5.0));
    }

    #[test]
    fn keys_are_limited_apart_and_addresses_have_theirs() {
        let quotas = quotas(&[(client("c"), 5.0)]);
        assert!(quotas.limits_any(KEY) && !quotas.limits_any(QuotaKey::ConsumerByteRate));
        let configs: Configs = QuotaKey::ALL.map(|key| (key.name().to_owned(), "7".to_owned())).into();
        let ip = QuotaEntity::Ip("127.0.0.1".into());
        assert_eq!(values(&ip, &configs), [(QuotaKey::ConnectionCreationRate, 7.0)]);
        assert_eq!(values(&user("u"), &configs).len(), QuotaKey::OF_CLIENTS);
        assert_eq!(ClientQuotas::of([(ip.clone(), Vec::new())].into_iter()), None);
        let quotas =
            ClientQuotas::of([(ip, vec![(QuotaKey::ConnectionCreationRate, 7.0)])].into_iter()).unwrap();
        assert_eq!(
            quotas.connection_rates().map(|(ip, rate)| (&**ip, rate)).collect::<Vec<_>>(),
            [("127.0.0.1", 7.0)]
        );
    }
}
