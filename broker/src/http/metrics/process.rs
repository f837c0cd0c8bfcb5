//! What Prometheus' clients tell of every process, read from the system.
//!
//! Must never fail: what cannot be read is left out.

use std::fs;

use rustix::param::{clock_ticks_per_second, page_size};

use super::page::Page;

pub(super) fn write(page: &mut Page) {
    if let Some(stat) = fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(fields) {
        let number = |index: usize| stat.get(index).copied().unwrap_or_default();
        let seconds = (number(USER) + number(SYSTEM)) as f64 / clock_ticks_per_second() as f64;
        page.counter("process_cpu_seconds_total", "Time on processors, user and system.")
            .sample(&[], seconds);
        page.gauge("process_threads", "Threads.").sample(&[], number(THREADS));
        page.gauge("process_virtual_memory_bytes", "Address space.").sample(&[], number(VIRTUAL));
        let resident = number(RESIDENT) * page_size() as u64;
        page.gauge("process_resident_memory_bytes", "Memory that is resident.").sample(&[], resident);
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // The directory itself is open while it is counted.
        page.gauge("process_open_fds", "Open descriptors.").sample(&[], open.count().saturating_sub(1));
    }
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    if let Some(limit) = limit {
        page.gauge("process_max_fds", "Descriptors that may be open.").sample(&[], limit);
    }
}

/// Places in `/proc/self/stat`, counted behind the name in parentheses (proc_pid_stat(5), minus 3).
const USER: usize = 11;
const SYSTEM: usize = 12;
const THREADS: usize = 17;
const VIRTUAL: usize = 20;
const RESIDENT: usize = 21;

/// The numbers behind the name, which may hold spaces itself; what is none counts as 0.
fn fields(stat: &str) -> Option<Vec<u64>> {
    let (_, rest) = stat.rsplit_once(')')?;
    Some(rest.split_whitespace().map(|text| text.parse().unwrap_or(0)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_behind_any_name() {
        let stat = fields("7 (a b) c) S 1 7 7 0 -1 0 0 0 0 0 31 12 0 0 20 0 5 0 99 4096 2");
        let stat = stat.expect("a name in parentheses");
        assert_eq!([USER, SYSTEM, THREADS, VIRTUAL, RESIDENT].map(|index| stat[index]), [31, 12, 5, 4096, 2]);
        let mut page = Page::default();
        write(&mut page);
        assert!(page.finish().contains("\nprocess_resident_memory_bytes "));
    }
}
