//! What clusters within a process leave of themselves when they are dropped: nothing.
//!
//! What this process has allocated and not freed is counted, not what is resident: how much an allocator keeps for later is its own business, and
//! differs from run to run. Must never run beside other tests of this program, which allocate meanwhile: it runs as a process of its own.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use super::allocations::{Reader, create, produce_request};
use super::client::{Client, Served};
use super::counting;

/// Set for the process that counts.
const CHILD: &str = "MILENA_COUNTED_CLUSTERS";
const TEST: &str = "clusters::dropped_clusters_leave_nothing";

/// Before anything is counted: tables, pools and lists of free things have their size then.
const WARM_UP: usize = 100;
const ROUNDS: usize = 200;
const ROUNDS_LONG: usize = 1_000;
/// What may be there more at the end than at the beginning, for all rounds together: a table that happens to double, a last task that is not
/// freed yet. Each cluster holds several hundred kilobytes; one kept list entry each would be more than this.
const LEFT_MAX: isize = 16 << 10;
/// For tasks that were told to end, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// So long nothing is allocated and nothing freed when everything has ended; a broker that nobody asks does neither.
const STILL: Duration = Duration::from_millis(300);

#[test]
fn dropped_clusters_leave_nothing() {
    if std::env::var(CHILD).is_ok() {
        return count();
    }
    let program = std::env::current_exe().unwrap();
    let run = Command::new(program).args(["--exact", TEST, "--nocapture"]).env(CHILD, "1").output().unwrap();
    let told = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success() && told.contains("bytes more"), "{told}");
    eprint!("{told}");
}

fn count() {
    let broker = Served::start(&[("milena.http.listener", "127.0.0.1:0")]);
    (0..WARM_UP).for_each(|_| round(broker.http()));
    let rounds =
        if std::env::var("MILENA_LONG").is_ok_and(|value| value == "1") { ROUNDS_LONG } else { ROUNDS };
    let before = settled();
    (0..rounds).for_each(|_| round(broker.http()));
    let left = settled() - before;
    eprintln!("{left} bytes more after {rounds} clusters");
    assert!(left <= LEFT_MAX, "{left} bytes are left of {rounds} clusters");
}

/// Makes a cluster, writes to it, reads from it, and drops it.
fn round(http: SocketAddr) {
    let made: serde_json::Value = serde_json::from_str(&ask(http, "POST", "/v1/clusters", "{}")).unwrap();
    let mut client = Client::of(made["bootstrap_servers"].as_str().unwrap());
    let topic = create(&mut client);
    let written = client.call(13, &produce_request(topic));
    assert_eq!(written.responses[0].partition_responses[0].error_code, 0);
    let mut reader = Reader::new(&mut client, topic, 0);
    reader.ask(&mut client);
    assert_eq!(reader.hear(&mut client), 1);
    drop(client);
    ask(http, "DELETE", &format!("/v1/clusters/{}", made["id"]), "");
}

/// What is allocated once nobody allocates or frees any more.
fn settled() -> isize {
    let deadline = Instant::now() + PATIENCE;
    let (mut seen, mut since) = (counting::live(), Instant::now());
    while since.elapsed() < STILL {
        thread::yield_now();
        let now = counting::live();
        if now != seen {
            assert!(Instant::now() < deadline, "it never comes to rest");
            (seen, since) = (now, Instant::now());
        }
    }
    seen
}

/// The body of a request that is granted.
fn ask(at: SocketAddr, method: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(at).unwrap();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 20"), "{method} {path}: {answer}");
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}
