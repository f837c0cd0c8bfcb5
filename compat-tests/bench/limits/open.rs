//! Latency at a fixed rate, from the moment at which a record was to be sent to its arrival at a consumer that waits for it.
//!
//! The load is open: a record is sent at its time, whatever became of those before it, and a record that had to wait is counted with
//! its wait. One thread sends and receives, woken by a timer that keeps its times. It must never leave out a record that was late.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use kafka_protocol::messages::{FetchResponse, ResponseHeader};
use kafka_protocol::protocol::Decodable;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};

use crate::bare::ANSWER;
use crate::requests::{self, FETCH};

/// Records in a second, each with 1,000 bytes of value and in a request of its own.
pub(crate) const RATE: u32 = 5_000;
/// The last record is there within this time, or it is lost.
const PATIENCE: Duration = Duration::from_secs(20);
const PIECE: usize = 1 << 20;

/// Where records go to and come from.
pub(crate) enum Route<'a> {
    /// A bare loop passes on what it gets.
    Bare,
    /// The only partition of a topic, which has so many records already.
    Topic(&'a str, i64),
}

/// Sends for so long, and gives what each record took in milliseconds, in their order.
pub(crate) fn run(to: SocketAddr, route: &Route<'_>, frame: &[u8], lasts: Duration) -> io::Result<Vec<f64>> {
    let count = (lasts.as_secs_f64() * f64::from(RATE)) as usize;
    let mut flow = Flow {
        producer: connect(to)?,
        consumer: connect(to)?,
        frame,
        unsent: 0,
        sent: 0,
        acknowledged: Answers::default(),
        fetched: Answers::default(),
        took: Vec::with_capacity(count),
    };
    let step = Duration::from_secs(1) / RATE;
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let timer = timer(step)?;
    let watch = |fd: &dyn AsFd, key: u64, flags: epoll::EventFlags| {
        epoll::add(&poll, fd.as_fd(), epoll::EventData::new_u64(key), flags)
    };
    let edges = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
    watch(&timer, 0, epoll::EventFlags::IN)?;
    watch(&flow.producer, 1, edges)?;
    watch(&flow.consumer, 2, edges)?;
    flow.ask(route)?;
    let begin = Instant::now();
    let intended = |number: usize| begin + step * u32::try_from(number + 1).unwrap_or(u32::MAX);
    let mut due = 0;
    let mut events = Vec::with_capacity(4);
    while flow.took.len() < count {
        if begin.elapsed() > lasts + PATIENCE {
            let (got, code) = (flow.took.len(), ErrorKind::TimedOut);
            return Err(io::Error::new(code, format!("only {got} of {count} records came back")));
        }
        events.clear();
        let patience = Timespec { tv_sec: 1, tv_nsec: 0 };
        epoll::wait(&poll, spare_capacity(&mut events), Some(&patience))?;
        for event in &events {
            match event.data.u64() {
                0 => {
                    let _ = rustix::io::read(&timer, &mut [0; 8])?;
                    let now = Instant::now();
                    while due < count && intended(due) <= now {
                        due += 1;
                        flow.unsent += 1;
                    }
                }
                1 => flow.take_acknowledgements()?,
                _ => flow.take_records(route, &intended)?,
            }
        }
        flow.send()?;
    }
    Ok(flow.took)
}

fn timer(step: Duration) -> io::Result<OwnedFd> {
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
    let every = Timespec { tv_sec: 0, tv_nsec: step.subsec_nanos().into() };
    timerfd_settime(&timer, TimerfdTimerFlags::empty(), &Itimerspec { it_interval: every, it_value: every })?;
    Ok(timer)
}

fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(to)?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// One producer and one consumer.
struct Flow<'a> {
    producer: TcpStream,
    consumer: TcpStream,
    frame: &'a [u8],
    /// Requests whose time has come and that are not sent to their end, and how much of the first is.
    unsent: usize,
    sent: usize,
    acknowledged: Answers,
    fetched: Answers,
    took: Vec<f64>,
}

impl Flow<'_> {
    fn send(&mut self) -> io::Result<()> {
        while self.unsent > 0 {
            match self.producer.write(&self.frame[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
            if self.sent == self.frame.len() {
                (self.sent, self.unsent) = (0, self.unsent - 1);
            }
        }
        Ok(())
    }

    fn take_acknowledgements(&mut self) -> io::Result<()> {
        self.acknowledged.receive(&mut self.producer)?;
        while self.acknowledged.next().is_some() {}
        Ok(())
    }

    /// Notes what has come, and asks for what is next.
    fn take_records(&mut self, route: &Route<'_>, intended: &impl Fn(usize) -> Instant) -> io::Result<()> {
        self.fetched.receive(&mut self.consumer)?;
        let now = Instant::now();
        while let Some(answer) = self.fetched.next() {
            let new = match route {
                Route::Bare => (answer.len() - (ANSWER - 4)) / self.frame.len(),
                Route::Topic(_, first) => {
                    let had = first + self.took.len() as i64;
                    usize::try_from(end(answer)?.map_or(0, |end| end - had)).map_err(io::Error::other)?
                }
            };
            for number in self.took.len()..self.took.len() + new {
                self.took.push(now.saturating_duration_since(intended(number)).as_secs_f64() * 1e3);
            }
            self.ask(route)?;
        }
        Ok(())
    }

    /// A socket has room for a request, since one is under way at a time.
    fn ask(&mut self, route: &Route<'_>) -> io::Result<()> {
        let request = match route {
            Route::Bare => requests::any().frames.remove(0),
            Route::Topic(topic, first) => requests::fetch_from(topic, first + self.took.len() as i64),
        };
        self.consumer.write_all(&request)
    }
}

/// Answers, cut out of what comes.
#[derive(Default)]
struct Answers {
    bytes: Vec<u8>,
    taken: usize,
}

impl Answers {
    /// Reads all that is there.
    fn receive(&mut self, from: &mut TcpStream) -> io::Result<()> {
        self.bytes.drain(..self.taken);
        self.taken = 0;
        loop {
            let filled = self.bytes.len();
            self.bytes.resize(filled + PIECE.min(filled.max(16 << 10)), 0);
            let read = from.read(&mut self.bytes[filled..]);
            self.bytes.truncate(filled + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) => return Err(io::Error::new(ErrorKind::UnexpectedEof, "the connection was closed")),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// The next one that is whole, without its size.
    fn next(&mut self) -> Option<Bytes> {
        let bytes = &self.bytes[self.taken..];
        let size = u32::from_be_bytes(*bytes.first_chunk::<4>()?) as usize;
        let answer = Bytes::copy_from_slice(bytes.get(4..4 + size)?);
        self.taken += 4 + size;
        Some(answer)
    }
}

/// The offset behind the last record of an answer; `None` where it has none.
fn end(mut answer: Bytes) -> io::Result<Option<i64>> {
    let invalid = |what: &str| io::Error::new(ErrorKind::InvalidData, what.to_owned());
    ResponseHeader::decode(&mut answer, 1).map_err(|_| invalid("no answer to a fetch"))?;
    let answer = FetchResponse::decode(&mut answer, FETCH).map_err(|_| invalid("no answer to a fetch"))?;
    let partition = answer.responses.first().and_then(|topic| topic.partitions.first());
    let Some(partition) = partition else { return Ok(None) };
    if answer.error_code != 0 || partition.error_code != 0 {
        return Err(invalid(&format!("a fetch was refused with {}", partition.error_code)));
    }
    Ok(partition.records.clone().and_then(last_batch_end))
}

/// Of whole batches; one that was cut off counts for nothing.
fn last_batch_end(mut records: Bytes) -> Option<i64> {
    /// From the batch's first byte: base offset, length, and where the last record's distance is.
    const LAST_DELTA: usize = 23;
    let mut end = None;
    while records.len() > LAST_DELTA + 4 {
        let base = (&records[..8]).get_i64();
        let length = usize::try_from((&records[8..12]).get_i32()).ok()? + 12;
        if records.len() < length {
            break;
        }
        end = Some(base + i64::from((&records[LAST_DELTA..LAST_DELTA + 4]).get_i32()) + 1);
        records.advance(length);
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_batches_is_behind_their_last_record() {
        let batch = requests::records(3, 100);
        assert_eq!(last_batch_end(batch.clone()), Some(3));
        let mut second = batch.to_vec();
        second[..8].copy_from_slice(&3_i64.to_be_bytes());
        let two = Bytes::from([&batch[..], &second].concat());
        assert_eq!(last_batch_end(two.clone()), Some(6));
        assert_eq!(last_batch_end(two.slice(..two.len() - 1)), Some(3));
        assert_eq!(last_batch_end(Bytes::new()), None);
    }

    #[test]
    fn answers_are_cut_where_they_end() {
        let mut answers = Answers { bytes: vec![0, 0, 0, 2, 7, 8, 0, 0, 0, 1, 9, 0, 0], taken: 0 };
        assert_eq!(answers.next().as_deref(), Some(&[7, 8][..]));
        assert_eq!(answers.next().as_deref(), Some(&[9][..]));
        assert_eq!(answers.next(), None);
        assert_eq!(answers.taken, 11);
    }

    #[test]
    fn a_bare_loop_gives_every_record_its_time() {
        let frame = vec![1; 1_000];
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        // It holds the first record back for 50 ms: those behind it are late, too, and are counted so.
        let serving = std::thread::spawn(move || {
            let (mut producer, _) = listener.accept().expect("a producer");
            let (mut consumer, _) = listener.accept().expect("a consumer");
            let mut request = vec![0; requests::any().frames[0].len()];
            let mut record = vec![0; 1_000];
            for number in 0..500 {
                consumer.read_exact(&mut request).expect("a fetch");
                producer.read_exact(&mut record).expect("a record");
                if number == 0 {
                    milena_compat_tests::wait::at(Instant::now() + Duration::from_millis(50));
                }
                let answer = [&crate::bare::answer(record.len())[..], &record].concat();
                consumer.write_all(&answer).expect("an answer");
            }
            // They stay open until all has been read.
            (producer, consumer)
        });
        let took = run(address, &Route::Bare, &frame, Duration::from_millis(100)).expect("all records");
        let _ = serving.join().expect("served");
        assert_eq!(took.len(), 500);
        assert!(took[0] >= 50.0 && took[100] >= 25.0, "{} and {}", took[0], took[100]);
    }
}
