//! How many connections there may be, in all and from one address.
//!
//! Must never count a connection after it is gone.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

/// Zero as a limit is none, as in ZooKeeper.
#[derive(Debug)]
pub(super) struct Admission {
    total_max: usize,
    per_ip_max: usize,
    open: Mutex<BTreeMap<IpAddr, usize>>,
}

/// An open connection; counted until it is dropped.
#[derive(Debug)]
pub(super) struct Admitted {
    admission: Arc<Admission>,
    ip: IpAddr,
}

impl Admission {
    pub(super) fn new(total_max: usize, per_ip_max: usize) -> Arc<Self> {
        Arc::new(Self { total_max, per_ip_max, open: Mutex::default() })
    }

    pub(super) fn admit(self: &Arc<Self>, ip: IpAddr) -> Option<Admitted> {
        let ip = ip.to_canonical();
        let mut open = self.open.lock();
        let (total, here) = (open.values().sum::<usize>(), open.get(&ip).copied().unwrap_or_default());
        let is_full = |count: usize, max: usize| max > 0 && count >= max;
        if is_full(total, self.total_max) || is_full(here, self.per_ip_max) {
            return None;
        }
        open.insert(ip, here + 1);
        Some(Admitted { admission: Arc::clone(self), ip })
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut open = self.admission.open.lock();
        match open.get_mut(&self.ip) {
            Some(count) if *count > 1 => *count -= 1,
            _ => _ = open.remove(&self.ip),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_hold_until_somebody_leaves() {
        let [one, two]: [IpAddr; 2] = ["127.0.0.1", "127.0.0.2"].map(|ip| ip.parse().unwrap());
        let admission = Admission::new(3, 2);
        let first = admission.admit(one);
        let _second = admission.admit(one).unwrap();
        assert!(admission.admit(one).is_none(), "two from one address");
        let _third = admission.admit(two).unwrap();
        assert!(admission.admit(two).is_none(), "three in all");
        drop(first);
        assert!(admission.admit(two).is_some());
        let unlimited = Admission::new(0, 0);
        let all: Vec<_> = (0..100).map(|_| unlimited.admit(one).unwrap()).collect();
        drop(all);
        assert!(unlimited.open.lock().is_empty());
    }
}
