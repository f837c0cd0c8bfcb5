//! Connections over real sockets, against a service of a few one-letter requests.

mod moves;
mod run;
mod tls;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{BufMut, Bytes};
use milena_storage::fs::{Fs, Open, RealFs};
use parking_lot::Mutex;
use rustix::net::sockopt;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use smallvec::SmallVec;
use tokio::sync::oneshot;

use super::frame::{FileSlice, Frame, FrameBuilder};
use super::listener::{BindError, Bound, ListenerConfig, NEAR_BUFFER, Net, Protection, bind, reserve};
use super::workers::Workers;
use super::*;
use crate::api::context::EndpointKind;
use crate::clock::Clock;
use crate::settings::{ConnectionSettings, NetworkSettings};

/// Nothing here takes nearly as long; a test that would hang fails instead.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a client has to wait that used too much.
const PAUSE_MS: u32 = 400;

/// Requests: a letter, then a name that comes back. `n` now, `l` when released by name, `0` no answer,
/// `c` close, `f` the file, `x` fails after a wait, `b` a big answer, `t` now, and then the client has to wait, `q` has to wait
/// without an answer. Those that begin with `+` go together, and are what follows it.
#[derive(Default)]
struct Toy {
    started: AtomicUsize,
    waiting: Mutex<BTreeMap<Vec<u8>, oneshot::Sender<()>>>,
    file: Option<FileSlice>,
    /// The first bytes of every request, in the order in which they were started.
    order: Mutex<Vec<Bytes>>,
    /// The threads that started them.
    threads: Mutex<Vec<String>>,
    /// How many requests were started together, each time that it was more than one.
    runs: Mutex<Vec<usize>>,
    /// Seconds.
    uptime: AtomicU64,
}

impl Toy {
    fn release(&self, name: &[u8]) {
        let clock = Clock::new();
        while clock.uptime() < PATIENCE {
            if let Some(sender) = self.waiting.lock().remove(name) {
                let _ = sender.send(());
                return;
            }
            std::thread::yield_now();
        }
        panic!("request {name:?} never came");
    }

    fn later(&self) {
        self.uptime.fetch_add(1, Ordering::SeqCst);
    }

    fn wait_for_started(&self, count: usize) {
        let clock = Clock::new();
        while self.started.load(Ordering::SeqCst) < count {
            assert!(clock.uptime() < PATIENCE, "only {:?} requests started", self.started);
            std::thread::yield_now();
        }
    }
}

fn echo(name: &[u8]) -> Frame {
    let mut out = FrameBuilder::new(7, false, name.len());
    out.buffer().put_slice(name);
    out.finish().unwrap()
}

impl Service for Toy {
    fn serve(&self, _caller: &Caller, frame: Bytes) -> Served {
        self.started.fetch_add(1, Ordering::SeqCst);
        let frame = if frame[0] == b'+' { frame.slice(1..) } else { frame };
        let name = frame.slice(1..);
        self.order.lock().push(frame.slice(..frame.len().min(4)));
        self.threads.lock().push(std::thread::current().name().unwrap_or_default().to_owned());
        match frame[0] {
            b'n' => Served::Now(echo(&name)),
            b'l' => {
                let (sender, released) = oneshot::channel();
                self.waiting.lock().insert(name.to_vec(), sender);
                Served::Later(Box::pin(async move {
                    let _ = released.await;
                    Ok(echo(&name))
                }))
            }
            b'x' => Served::Later(Box::pin(async {
                tokio::task::yield_now().await;
                Err(Closing::Panicked { api: "Toy", version: 0 })
            })),
            b'b' => Served::Now(echo(&[0; 32 << 10])),
            b't' => Served::Now(Frame { pause_ms: PAUSE_MS, ..echo(&name) }),
            b'q' => Served::Now(Frame { pause_ms: PAUSE_MS, chunks: SmallVec::new(), len: 0 }),
            b'0' => Served::Nothing,
            b'f' => {
                let mut out = FrameBuilder::new(7, false, 0);
                out.buffer().put_slice(b"<");
                out.put_file(self.file.clone().unwrap()).unwrap();
                out.buffer().put_slice(b">");
                Served::Now(out.finish().unwrap())
            }
            _ => Served::Close(Closing::Asked),
        }
    }

    fn goes_with_others(&self, frame: &[u8]) -> bool {
        frame[0] == b'+'
    }

    fn serve_run(&self, caller: &Caller, frames: Vec<Bytes>) -> Vec<Served> {
        self.runs.lock().push(frames.len());
        frames.into_iter().map(|frame| self.serve(caller, frame)).collect()
    }

    fn uptime(&self) -> Duration {
        Duration::from_secs(self.uptime.load(Ordering::SeqCst))
    }
}

struct Server {
    toy: Arc<Toy>,
    net: Net,
    address: SocketAddr,
    workers: Workers,
}

fn settings() -> NetworkSettings {
    NetworkSettings {
        listen_backlog: 1024,
        send_buffer_bytes: None,
        receive_buffer_bytes: None,
        request_max_bytes: 1 << 20,
        queued_max_bytes: None,
        connections: ConnectionSettings { max_idle: None, ..ConnectionSettings::default() },
        request_timeout: PATIENCE,
        failed_authentication_delay: Duration::ZERO,
    }
}

fn start(settings: &NetworkSettings, toy: Toy) -> Server {
    let bound = bind(&listener("127.0.0.1", 0), settings.listen_backlog).unwrap();
    serve(settings, toy, bound, 2)
}

fn serve(settings: &NetworkSettings, toy: Toy, bound: Bound, threads: usize) -> Server {
    serve_protected(settings, toy, bound, threads, &Protection::default())
}

fn serve_protected(
    settings: &NetworkSettings,
    toy: Toy,
    bound: Bound,
    threads: usize,
    protection: &Protection,
) -> Server {
    let toy = Arc::new(toy);
    let workers = Workers::start(threads).unwrap();
    let net = Net::new(settings, Arc::clone(&toy) as Arc<dyn Service>, &workers);
    let address = bound.address;
    net.serve(bound, protection).unwrap();
    Server { toy, net, address, workers }
}

fn listener(host: &str, port: u16) -> ListenerConfig {
    ListenerConfig { name: "PLAINTEXT".into(), host: host.to_owned(), port }
}

impl Server {
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn stop(&self, grace: Duration) {
        let handle = self.workers.handles().next().unwrap().clone();
        handle.block_on(self.net.stop(grace));
    }
}

fn frame(body: &[u8]) -> Vec<u8> {
    let mut out = (body.len() as i32).to_be_bytes().to_vec();
    out.extend(body);
    out
}

fn answer(stream: &mut impl Read) -> Vec<u8> {
    let mut head = [0; 8];
    stream.read_exact(&mut head).unwrap();
    let size = i32::from_be_bytes(head[..4].try_into().unwrap()) as usize;
    assert_eq!(head[4..], [0, 0, 0, 7]);
    let mut body = vec![0; size - 4];
    stream.read_exact(&mut body).unwrap();
    body
}

/// Whether the server closed the connection without a further answer.
fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 1]) {
        Ok(0) => true,
        Ok(_) => false,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn answers_keep_the_order_when_one_in_the_middle_waits() {
    let server = start(&settings(), Toy::default());
    let mut client = server.connect();
    let requests = [&frame(b"na")[..], &frame(b"lb"), &frame(b"nc"), &frame(b"ld"), &frame(b"ne")].concat();
    client.write_all(&requests).unwrap();
    assert_eq!(answer(&mut client), b"a");
    server.toy.wait_for_started(5);
    server.toy.release(b"d");
    server.toy.release(b"b");
    for expected in [b"b", b"c", b"d", b"e"] {
        assert_eq!(answer(&mut client), expected);
    }
}

#[test]
fn who_used_too_much_is_answered_first_and_then_has_to_wait() {
    let server = start(&settings(), Toy::default());
    let pause = Duration::from_millis(PAUSE_MS.into());
    let (mut client, clock) = (server.connect(), Clock::new());
    client.write_all(&[&frame(b"ta")[..], &frame(b"nb"), &frame(b"q"), &frame(b"nc")].concat()).unwrap();
    assert_eq!(answer(&mut client), b"a");
    let mut other = server.connect();
    other.write_all(&frame(b"nx")).unwrap();
    assert_eq!(answer(&mut other), b"x", "others do not wait");
    assert_eq!(answer(&mut client), b"b");
    assert!(clock.uptime() >= pause, "{:?}", clock.uptime());
    assert_eq!(answer(&mut client), b"c");
    assert!(clock.uptime() >= pause * 2, "{:?}", clock.uptime());
}

#[test]
fn a_request_without_answer_leaves_no_gap() {
    let server = start(&settings(), Toy::default());
    let mut client = server.connect();
    client.write_all(&[frame(b"0"), frame(b"na"), frame(b"0"), frame(b"nb")].concat()).unwrap();
    assert_eq!(answer(&mut client), b"a");
    assert_eq!(answer(&mut client), b"b");
}

#[test]
fn a_refused_request_closes_after_the_answers_before_it() {
    let server = start(&settings(), Toy::default());
    let mut client = server.connect();
    client.write_all(&[frame(b"la"), frame(b"nb"), frame(b"c"), frame(b"nz")].concat()).unwrap();
    server.toy.release(b"a");
    assert_eq!(answer(&mut client), b"a");
    assert_eq!(answer(&mut client), b"b");
    assert!(is_closed(&mut client));
}

#[test]
fn a_request_that_fails_later_closes_after_the_answers_before_it() {
    let server = start(&settings(), Toy::default());
    let mut client = server.connect();
    client.write_all(&[frame(b"la"), frame(b"x"), frame(b"lb"), frame(b"nz")].concat()).unwrap();
    server.toy.wait_for_started(4);
    server.toy.release(b"a");
    assert_eq!(answer(&mut client), b"a");
    assert!(is_closed(&mut client));
}

#[test]
fn sizes_that_cannot_be_close_the_connection() {
    let server = start(&settings(), Toy::default());
    for size in [-1i32, i32::MIN, i32::MAX, (1 << 20) + 1, i32::from_be_bytes(*b"GET ")] {
        let mut client = server.connect();
        client.write_all(&size.to_be_bytes()).unwrap();
        assert!(is_closed(&mut client), "size {size}");
    }
    let mut client = server.connect();
    let largest = [b"n".to_vec(), vec![5; (1 << 20) - 1]].concat();
    client.write_all(&frame(&largest)).unwrap();
    assert_eq!(answer(&mut client), largest[1..]);
}

#[test]
fn a_frame_may_arrive_byte_by_byte() {
    let server = start(&settings(), Toy::default());
    let mut client = server.connect();
    client.set_nodelay(true).unwrap();
    for byte in [frame(b"nslow"), frame(b"nagain")].concat() {
        client.write_all(&[byte]).unwrap();
    }
    assert_eq!(answer(&mut client), b"slow");
    assert_eq!(answer(&mut client), b"again");
}

#[test]
fn a_client_that_has_sent_its_last_byte_gets_its_answers() {
    let server = start(&settings(), Toy::default());
    let mut client = server.connect();
    client.write_all(&[frame(b"la"), frame(b"nb")].concat()).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    server.toy.release(b"a");
    assert_eq!(answer(&mut client), b"a");
    assert_eq!(answer(&mut client), b"b");
    assert!(is_closed(&mut client));
}

#[test]
fn a_thousand_connections_are_served_and_forgotten() {
    // Both ends of every connection are descriptors of this process.
    let limits = getrlimit(Resource::Nofile);
    let enough = limits.current.map_or(4096, |current| current.max(4096));
    setrlimit(Resource::Nofile, Rlimit { current: Some(enough), ..limits }).unwrap();
    let server = start(&settings(), Toy::default());
    let mut clients: Vec<_> = (0..1000).map(|_| server.connect()).collect();
    for (index, client) in clients.iter_mut().enumerate() {
        client.write_all(&frame(format!("n{index}").as_bytes())).unwrap();
    }
    for (index, client) in clients.iter_mut().enumerate() {
        assert_eq!(answer(client), index.to_string().as_bytes());
    }
    assert_eq!(server.net.connections(), 1000);
    drop(clients);
    wait_for_connections(&server, 0);
}

#[test]
fn the_window_bounds_what_one_connection_starts() {
    let server = start(&settings(), Toy::default());
    let mut client = server.connect();
    let count = window::MAX_WAITING + 50;
    let name = |index: usize| format!("{index:04}");
    let requests: Vec<u8> = (0..count).flat_map(|i| frame(format!("l{}", name(i)).as_bytes())).collect();
    client.write_all(&requests).unwrap();
    server.toy.wait_for_started(window::MAX_WAITING);
    // Another connection on the same core proves that this one had its turns.
    for _ in 0..4 {
        let mut other = server.connect();
        other.write_all(&frame(b"nx")).unwrap();
        assert_eq!(answer(&mut other), b"x");
    }
    assert_eq!(server.toy.started.load(Ordering::SeqCst), window::MAX_WAITING + 4);
    for index in 0..count {
        server.toy.release(name(index).as_bytes());
        assert_eq!(answer(&mut client), name(index).as_bytes());
    }
}

#[test]
fn a_client_that_does_not_read_stops_being_served_until_it_does() {
    let server = start(&settings(), Toy::default());
    let mut client = server.connect();
    let mut writer = client.try_clone().unwrap();
    let body = [b"n".to_vec(), vec![3; 256 << 10]].concat();
    let sent = body.clone();
    let thread = std::thread::spawn(move || {
        for _ in 0..200 {
            writer.write_all(&frame(&sent)).unwrap();
        }
    });
    server.toy.wait_for_started(16);
    for _ in 0..200 {
        assert_eq!(answer(&mut client), body[1..]);
    }
    thread.join().unwrap();
}

#[test]
fn a_stream_of_large_answers_gives_others_their_turn() {
    // Both have sent everything before anything is served, on one thread.
    let bound = bind(&listener("127.0.0.1", 0), 10).unwrap();
    let mut large = TcpStream::connect(bound.address).unwrap();
    let mut small = TcpStream::connect(bound.address).unwrap();
    for stream in [&large, &small] {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
    }
    large.write_all(&frame(b"bbig").repeat(60)).unwrap();
    small.write_all(&frame(b"nsml")).unwrap();
    let server = serve(&settings(), Toy::default(), bound, 1);
    assert_eq!(answer(&mut small), b"sml");
    for _ in 0..60 {
        assert_eq!(answer(&mut large).len(), 32 << 10);
    }
    let order = server.toy.order.lock();
    let place = order.iter().position(|name| &name[..] == b"nsml").unwrap();
    assert!(place < 10, "the small request waited for {place} large ones");
}

#[test]
fn file_slices_arrive_between_the_bytes_around_them() {
    let dir = tempfile::tempdir().unwrap();
    let content: Vec<u8> = (0..3_000_000u32).map(|i| (i % 251) as u8).collect();
    let path = dir.path().join("log");
    std::fs::write(&path, &content).unwrap();
    let file = RealFs.open(&path, Open::Read).unwrap();
    for (position, len) in [(5, 100), (1, 64 << 10), (17, 2_500_000)] {
        let slice = FileSlice { file: Arc::clone(&file), position, len };
        let server = start(&settings(), Toy { file: Some(slice), ..Toy::default() });
        let mut client = server.connect();
        client.write_all(&[frame(b"na"), frame(b"f"), frame(b"f"), frame(b"nz")].concat()).unwrap();
        assert_eq!(answer(&mut client), b"a");
        for _ in 0..2 {
            let body = answer(&mut client);
            assert_eq!((body[0], body[body.len() - 1], body.len()), (b'<', b'>', len + 2));
            assert_eq!(body[1..=len], content[position as usize..][..len]);
        }
        assert_eq!(answer(&mut client), b"z");
    }
}

#[test]
fn a_silent_connection_is_closed_but_not_one_that_waits_for_an_answer() {
    let mut settings = settings();
    settings.connections.max_idle = Some(Duration::from_millis(200));
    let server = start(&settings, Toy::default());
    let mut waiting = server.connect();
    waiting.write_all(&frame(b"la")).unwrap();
    server.toy.wait_for_started(1);
    let mut silent = server.connect();
    assert!(is_closed(&mut silent));
    server.toy.release(b"a");
    assert_eq!(answer(&mut waiting), b"a");
    assert!(is_closed(&mut waiting));
}

#[test]
fn an_address_may_not_have_too_many_connections() {
    let mut settings = settings();
    settings.connections.max_per_ip = 2;
    let server = start(&settings, Toy::default());
    let mut clients = [server.connect(), server.connect()];
    for client in &mut clients {
        client.write_all(&frame(b"na")).unwrap();
        assert_eq!(answer(client), b"a");
    }
    assert!(is_closed(&mut server.connect()));
}

#[test]
fn above_the_total_a_client_waits_for_room() {
    let mut settings = settings();
    settings.connections.max = 1;
    let server = start(&settings, Toy::default());
    let mut first = server.connect();
    first.write_all(&frame(b"na")).unwrap();
    assert_eq!(answer(&mut first), b"a");
    let mut second = server.connect();
    second.write_all(&frame(b"nb")).unwrap();
    assert_eq!(server.net.connections(), 1);
    drop(first);
    assert_eq!(answer(&mut second), b"b");
}

/// The socket of a connection that ends closes before its count goes.
fn wait_for_connections(server: &Server, count: usize) {
    let clock = Clock::new();
    while server.net.connections() != count {
        assert!(clock.uptime() < PATIENCE, "{} connections are open", server.net.connections());
        std::thread::yield_now();
    }
}

#[test]
fn a_lower_total_closes_who_was_silent_longest_and_a_higher_one_lets_the_next_in() {
    let server = start(&settings(), Toy::default());
    let mut clients = [server.connect(), server.connect(), server.connect()];
    for client in clients.iter_mut().rev() {
        client.write_all(&frame(b"na")).unwrap();
        assert_eq!(answer(client), b"a");
        // The next one is used later by the clock that decides.
        server.toy.later();
    }
    let limit = |max| ConnectionSettings { max, ..settings().connections };
    server.net.limits().set(&limit(2));
    assert!(is_closed(&mut clients[2]));
    let mut next = server.connect();
    next.write_all(&frame(b"nb")).unwrap();
    clients[1].write_all(&frame(b"nc")).unwrap();
    assert_eq!(answer(&mut clients[1]), b"c");
    wait_for_connections(&server, 2);
    server.net.limits().set(&limit(3));
    assert_eq!(answer(&mut next), b"b");
}

#[test]
fn large_requests_take_turns_when_memory_is_short() {
    let mut settings = settings();
    settings.queued_max_bytes = Some(1);
    let server = start(&settings, Toy::default());
    let body = [b"n".to_vec(), vec![8; (1 << 20) - 1]].concat();
    let address = server.address;
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let body = body.clone();
            std::thread::spawn(move || {
                let mut client = TcpStream::connect(address).unwrap();
                client.set_read_timeout(Some(PATIENCE)).unwrap();
                client.write_all(&frame(&body)).unwrap();
                assert_eq!(answer(&mut client), body[1..]);
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
}

#[test]
fn stopping_finishes_what_is_started_and_closes_the_rest() {
    let server = start(&settings(), Toy::default());
    let mut idle = server.connect();
    let mut waiting = server.connect();
    let mut stuck = server.connect();
    waiting.write_all(&frame(b"la")).unwrap();
    stuck.write_all(&frame(b"lnever")).unwrap();
    server.toy.wait_for_started(2);
    std::thread::scope(|scope| {
        let stopping = scope.spawn(|| server.stop(Duration::from_millis(300)));
        assert!(is_closed(&mut idle));
        server.toy.release(b"a");
        assert_eq!(answer(&mut waiting), b"a");
        assert!(is_closed(&mut waiting));
        assert!(is_closed(&mut stuck));
        stopping.join().unwrap();
    });
    assert_eq!(server.net.connections(), 0);
    assert!(TcpStream::connect(server.address).is_err());
}

/// The send buffer of a connection that came from there, and of one for which the system was asked for [`NEAR_BUFFER`].
fn send_buffers(configured: Option<usize>, ip: [u8; 4]) -> (usize, usize) {
    let workers = Workers::start(1).unwrap();
    let settings = NetworkSettings { send_buffer_bytes: configured, ..settings() };
    let dealer = Net::new(&settings, Arc::new(Toy::default()), &workers)
        .dealer(&"PLAINTEXT".into(), EndpointKind::Broker);
    let handle = workers.handles().next().unwrap().clone();
    handle.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        let accepted = stream::TcpStream::Real(accepted);
        dealer.prepare(&accepted, ip.into()).unwrap();
        let stream::TcpStream::Real(accepted) = accepted else { unreachable!("it was just made") };
        let set = sockopt::socket_send_buffer_size(&accepted).unwrap();
        sockopt::set_socket_send_buffer_size(&accepted, NEAR_BUFFER).unwrap();
        (set, sockopt::socket_send_buffer_size(&accepted).unwrap())
    })
}

#[test]
fn a_client_on_this_machine_gets_a_send_buffer_of_its_own() {
    const KAFKAS: Option<usize> = Some(102_400);
    let (near, far) = ([127, 0, 0, 1], [192, 0, 2, 1]);
    let (set, asked) = send_buffers(KAFKAS, near);
    assert_eq!(set, asked);
    let (system, _) = send_buffers(None, near);
    assert_ne!(system, asked);
    assert_eq!(send_buffers(KAFKAS, far).0, system, "it would be held up");
    for from in [near, far] {
        let (set, asked) = send_buffers(Some(50_000), from);
        assert!(set < asked && set != system, "what is configured holds: {set}");
    }
}

#[test]
fn a_port_that_is_only_reserved_refuses_clients() {
    let first = reserve(&listener("127.0.0.1", 0)).unwrap();
    assert!(TcpStream::connect(first.address).is_err());
    let second = reserve(&listener("127.0.0.1", first.address.port()));
    first.listen(10).unwrap();
    assert!(TcpStream::connect(first.address).is_ok());
    // Whether the system lets two reserve it or not: only one gets it.
    let lost = second.and_then(|second| second.listen(10)).unwrap_err();
    assert!(matches!(lost, BindError::InUse { .. }), "{lost}");
}

#[test]
fn a_port_in_use_is_named_with_its_listener() {
    let first = bind(&listener("127.0.0.1", 0), 10).unwrap();
    let error = bind(&listener("127.0.0.1", first.address.port()), 10).unwrap_err();
    assert!(matches!(error, BindError::InUse { .. }));
    let port = first.address.port();
    assert!(
        error
            .to_string()
            .starts_with(&format!("listener PLAINTEXT://127.0.0.1:{port}: port {port} is in use"))
    );
}

#[test]
fn wildcards_names_and_literals_are_bound() {
    for host in ["", "0.0.0.0", "::", "[::]"] {
        let bound = bind(&listener(host, 0), 10).unwrap();
        assert!(bound.address.ip().is_unspecified() && bound.address.port() > 0);
        TcpStream::connect(("127.0.0.1", bound.address.port())).unwrap();
    }
    let bound = bind(&listener("localhost", 0), 10).unwrap();
    TcpStream::connect(("localhost", bound.address.port())).unwrap();
    assert!(matches!(bind(&listener("no-such-host.invalid", 0), 10), Err(BindError::Host { .. })));
}
