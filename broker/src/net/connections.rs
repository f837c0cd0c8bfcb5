//! Who may connect, and when: limits on open connections and on their rate (KIP-402, KIP-612; `ConnectionQuotas`).
//!
//! Must never block a thread: who has to wait gets a future. Must never keep a limit that has been changed.

use std::collections::BTreeMap;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::addresses::{AddressRates, Addresses};
use crate::quotas::rate::{Rate, RateWindow};
use crate::settings::{ConnectionSettings, ListenerLimits};

/// The limits that hold at the moment. Host names in exceptions are resolved, which may block.
#[derive(Clone, Debug)]
struct Limits {
    settings: ConnectionSettings,
    per_ip_overrides: BTreeMap<IpAddr, usize>,
}

/// The open connections of a broker.
#[derive(Debug)]
pub(super) struct Connections {
    state: Mutex<State>,
    /// A connection has ended, or a limit has changed.
    freed: Notify,
}

#[derive(Debug)]
struct State {
    limits: Limits,
    rate: Rate,
    listeners: BTreeMap<Arc<str>, OfListener>,
    by_ip: BTreeMap<IpAddr, usize>,
    addresses: Addresses,
    open: BTreeMap<u64, (Arc<str>, Arc<Life>)>,
    next: u64,
}

#[derive(Debug, Default)]
struct OfListener {
    open: usize,
    rate: Rate,
}

/// What is known of one connection besides its count.
#[derive(Debug, Default)]
pub(super) struct Life {
    /// When its last request began, in nanoseconds of uptime: connections are used within the same millisecond.
    used: AtomicU64,
    task: Mutex<Option<AbortHandle>>,
    ending: AtomicBool,
}

/// One counted connection; it counts until this is dropped.
#[derive(Debug)]
pub(super) struct Counted {
    connections: Arc<Connections>,
    id: u64,
    listener: Arc<str>,
    ip: IpAddr,
    life: Arc<Life>,
}

impl Connections {
    pub(super) fn new(settings: &ConnectionSettings) -> Arc<Self> {
        let state = State {
            limits: Limits::of(settings),
            rate: Rate::default(),
            listeners: BTreeMap::new(),
            by_ip: BTreeMap::new(),
            addresses: Addresses::default(),
            open: BTreeMap::new(),
            next: 0,
        };
        Arc::new(Self { state: Mutex::new(state), freed: Notify::new() })
    }

    /// A listener begins to accept.
    pub(super) fn add_listener(&self, name: &Arc<str>) {
        self.state.lock().listeners.entry(Arc::clone(name)).or_default();
    }

    /// New limits hold from now on: who waits is let in, and if too many are open, the ones used least recently end.
    pub(super) fn set(&self, settings: &ConnectionSettings) {
        let limits = Limits::of(settings);
        let mut state = self.state.lock();
        if state.limits.settings == limits.settings {
            return;
        }
        state.limits = limits;
        let ending = state.excess();
        drop(state);
        ending.iter().for_each(|life| life.end());
        self.freed.notify_waiters();
    }

    /// Counts a connection that has come and tells how long it has to wait for the sake of the rates.
    pub(super) fn pace(&self, listener: &Arc<str>, now: Duration) -> Duration {
        let mut state = self.state.lock();
        let State { limits, rate, listeners, .. } = &mut *state;
        let protected = limits.protects(listener, listeners.len());
        let broker = limits.settings.max_creation_rate;
        let window = limits.window();
        let by_broker = if protected { Duration::ZERO } else { rate.count(now, per_second(broker), window) };
        let limit = limits.of_listener(listener).max_creation_rate;
        let listener = listeners.entry(Arc::clone(listener)).or_default();
        by_broker.max(listener.rate.count(now, per_second(limit), window))
    }

    /// Returns when there is room for one more: above the total, Kafka lets clients wait.
    pub(super) async fn room(&self, listener: &Arc<str>) {
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            if self.state.lock().has_room(listener) {
                return;
            }
            freed.await;
        }
    }

    /// Other rates of addresses hold from now on.
    pub(super) fn set_address_rates(&self, rates: AddressRates) {
        self.state.lock().addresses.set(rates);
    }

    /// How long a connection has to wait, only to be refused, because its address opens too many per second (KIP-612).
    pub(super) fn too_fast(&self, ip: IpAddr, now: Duration) -> Option<Duration> {
        let mut state = self.state.lock();
        let window = state.limits.window();
        state.addresses.too_fast(ip.to_canonical(), now, window)
    }

    /// Counts a connection, or refuses it because its address has too many.
    pub(super) fn admit(self: &Arc<Self>, listener: &Arc<str>, ip: IpAddr, now: Duration) -> Option<Counted> {
        // An IPv4 client that came through an IPv6 socket is the same client.
        let ip = ip.to_canonical();
        let mut state = self.state.lock();
        let limit = state.limits.per_ip_overrides.get(&ip).copied();
        let limit = limit.unwrap_or(state.limits.settings.max_per_ip);
        if state.by_ip.get(&ip).copied().unwrap_or_default() >= limit {
            return None;
        }
        *state.by_ip.entry(ip).or_default() += 1;
        state.listeners.entry(Arc::clone(listener)).or_default().open += 1;
        let id = state.next;
        state.next += 1;
        let life = Arc::new(Life::default());
        life.used(now);
        state.open.insert(id, (Arc::clone(listener), Arc::clone(&life)));
        // The listener between brokers may take the total over its limit; others make room.
        let ending = state.excess();
        drop(state);
        ending.iter().for_each(|life| life.end());
        Some(Counted { connections: Arc::clone(self), id, listener: Arc::clone(listener), ip, life })
    }

    /// Returns when no connection is open.
    pub(super) async fn empty(&self) {
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            if self.open() == 0 {
                return;
            }
            freed.await;
        }
    }

    /// Open connections of each listener.
    pub(super) fn by_listener(&self) -> Vec<(Arc<str>, usize)> {
        let state = self.state.lock();
        state.listeners.iter().map(|(name, listener)| (Arc::clone(name), listener.open)).collect()
    }

    pub(super) fn open(&self) -> usize {
        self.state.lock().open.len()
    }
}

impl State {
    fn has_room(&self, listener: &Arc<str>) -> bool {
        let open = self.listeners.get(listener).map_or(0, |listener| listener.open);
        if open >= self.limits.of_listener(listener).max {
            return false;
        }
        self.limits.protects(listener, self.listeners.len()) || self.open.len() < self.limits.settings.max
    }

    /// Connections that have to end because more are open than allowed, the least recently used first.
    fn excess(&self) -> Vec<Arc<Life>> {
        let ending = self.open.values().filter(|(_, life)| life.is_ending()).count();
        let excess = (self.open.len() - ending).saturating_sub(self.limits.settings.max);
        if excess == 0 {
            return Vec::new();
        }
        let listeners = self.listeners.len();
        let may_end = |listener: &Arc<str>| !self.limits.protects(listener, listeners);
        let candidates = self.open.values().filter(|(name, life)| may_end(name) && !life.is_ending());
        let mut candidates: Vec<_> = candidates.map(|(_, life)| Arc::clone(life)).collect();
        // Each is read once: they go on being used, and a sort may panic at an order that changes.
        candidates.sort_by_cached_key(|life| life.used.load(Ordering::Relaxed));
        candidates.truncate(excess);
        candidates
    }
}

impl Limits {
    fn of(settings: &ConnectionSettings) -> Self {
        Self { settings: settings.clone(), per_ip_overrides: resolve(&settings.max_per_ip_overrides) }
    }

    /// A listener's own limits, by `listener.name.<name>.`, or the broker's, which hold for each listener too.
    fn of_listener(&self, name: &str) -> ListenerLimits {
        let ConnectionSettings { max, max_creation_rate, .. } = self.settings;
        let broker = ListenerLimits { max, max_creation_rate };
        self.settings.by_listener.get(&name.to_lowercase()).copied().unwrap_or(broker)
    }

    /// Brokers have to reach each other however many clients there are.
    fn protects(&self, listener: &str, listeners: usize) -> bool {
        listeners > 1 && self.settings.inter_broker_listener.eq_ignore_ascii_case(listener)
    }

    fn window(&self) -> RateWindow {
        self.settings.rate_window
    }
}

impl Life {
    pub(super) fn used(&self, now: Duration) {
        self.used.store(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Starts the task that serves the connection from now on, to be ended with it. A task that goes on to yet another core at once waits with
    /// that until it is known itself, so that the last one stays known.
    pub(super) fn served_by(&self, start: impl FnOnce() -> AbortHandle) {
        let mut task = self.task.lock();
        *task = Some(start());
        drop(task);
        if self.is_ending() {
            self.end();
        }
    }

    fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }

    /// Kafka, too, drops such a connection with what is under way on it (`Processor.closeExcessConnections`).
    fn end(&self) {
        self.ending.store(true, Ordering::Release);
        if let Some(task) = &*self.task.lock() {
            task.abort();
        }
    }
}

impl Counted {
    pub(super) fn life(&self) -> &Arc<Life> {
        &self.life
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut state = self.connections.state.lock();
        state.open.remove(&self.id);
        if let Some(listener) = state.listeners.get_mut(&self.listener) {
            listener.open -= 1;
        }
        if let Some(count) = state.by_ip.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                state.by_ip.remove(&self.ip);
            }
        }
        drop(state);
        self.connections.freed.notify_waiters();
    }
}

#[expect(clippy::cast_precision_loss, reason = "limits are 32 bits wide")]
fn per_second(limit: usize) -> f64 {
    limit as f64
}

/// Overrides name hosts or addresses; a name that has no address limits nobody, as in Kafka.
fn resolve(overrides: &BTreeMap<String, usize>) -> BTreeMap<IpAddr, usize> {
    overrides
        .iter()
        .filter_map(|(host, limit)| {
            let address = (host.as_str(), 0).to_socket_addrs().ok()?.next()?;
            Some((address.ip().to_canonical(), *limit))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(7);

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn plain() -> Arc<str> {
        "PLAINTEXT".into()
    }

    #[test]
    fn an_address_has_its_own_limit_and_overrides_win() {
        let overrides = [("127.0.0.2".to_owned(), 2)].into();
        let settings =
            ConnectionSettings { max_per_ip: 1, max_per_ip_overrides: overrides, ..Default::default() };
        let counts = Connections::new(&settings);
        let admit = |address: &str| counts.admit(&plain(), ip(address), NOW);
        let first = admit("127.0.0.1").unwrap();
        assert!(admit("127.0.0.1").is_none() && admit("::ffff:127.0.0.1").is_none());
        let others = [admit("127.0.0.2"), admit("127.0.0.2")];
        assert!(others.iter().all(Option::is_some) && admit("127.0.0.2").is_none());
        drop(first);
        assert!(admit("127.0.0.1").is_some());
    }

    #[test]
    fn a_listener_has_its_own_limit_and_the_one_between_brokers_is_never_full_for_the_others_sake() {
        let own = ListenerLimits { max: 1, max_creation_rate: usize::MAX };
        let settings = ConnectionSettings {
            max: 2,
            by_listener: [("small".to_owned(), own)].into(),
            inter_broker_listener: "INTERNAL".to_owned(),
            ..Default::default()
        };
        let counts = Connections::new(&settings);
        let [small, large, internal]: [Arc<str>; 3] = ["SMALL".into(), "LARGE".into(), "INTERNAL".into()];
        [&small, &large, &internal].into_iter().for_each(|name| counts.add_listener(name));
        let has_room = |name| counts.state.lock().has_room(name);
        let _one = counts.admit(&small, ip("127.0.0.1"), NOW).unwrap();
        assert!(!has_room(&small) && has_room(&large) && has_room(&internal));
        let two = counts.admit(&large, ip("127.0.0.1"), NOW * 2).unwrap();
        assert!(!has_room(&large) && has_room(&internal));
        let _three = counts.admit(&internal, ip("127.0.0.1"), NOW * 3).unwrap();
        let ending: Vec<bool> = counts.state.lock().open.values().map(|(_, life)| life.is_ending()).collect();
        assert_eq!(ending, [true, false, false], "the one used least recently makes room");
        assert!(!two.life().is_ending());
    }

    #[test]
    fn a_lower_limit_ends_those_used_least_recently_and_no_more() {
        let counts = Connections::new(&ConnectionSettings::default());
        let admitted: Vec<_> =
            (0..4).map(|n| counts.admit(&plain(), ip("127.0.0.1"), NOW * n).unwrap()).collect();
        admitted[0].life().used(NOW * 9);
        let ending = || admitted.iter().map(|each| each.life().is_ending()).collect::<Vec<_>>();
        counts.set(&ConnectionSettings { max: 2, ..Default::default() });
        assert_eq!(ending(), [false, true, true, false]);
        counts.set(&ConnectionSettings { max: 1, ..Default::default() });
        assert_eq!(ending(), [false, true, true, true]);
    }

    #[tokio::test]
    async fn the_task_that_took_over_last_is_ended() {
        let counts = Connections::new(&ConnectionSettings::default());
        let admitted = counts.admit(&plain(), ip("127.0.0.1"), NOW).unwrap();
        let life = admitted.life();
        let [first, second] = [(); 2].map(|()| tokio::spawn(std::future::pending::<()>()));
        life.served_by(|| {
            assert!(life.task.try_lock().is_none(), "who is started here cannot hand on before it is known");
            first.abort_handle()
        });
        life.served_by(|| second.abort_handle());
        life.end();
        assert!(second.await.unwrap_err().is_cancelled());
        assert!(!first.is_finished());
        let late = tokio::spawn(std::future::pending::<()>());
        life.served_by(|| late.abort_handle());
        assert!(late.await.unwrap_err().is_cancelled(), "it came when the end was said already");
    }

    #[tokio::test]
    async fn a_higher_limit_lets_in_who_waits() {
        let counts = Connections::new(&ConnectionSettings { max: 0, ..Default::default() });
        let waiting = {
            let counts = Arc::clone(&counts);
            tokio::spawn(async move { counts.room(&plain()).await })
        };
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        counts.set(&ConnectionSettings { max: 1, ..Default::default() });
        waiting.await.unwrap();
    }
}
