//! One run: a queue of what happens when, in virtual time, all of it from one seed.
//!
//! Must never wait for anything real.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use milena_coordinator::replica::{Outcome, Proposal};
use milena_coordinator::transaction::{Name, TransactionVersion};
use milena_storage::ids::{Offset, Timestamp};

use crate::Bug;
use crate::cluster::{BROKERS, Cluster, DATA, PARTITIONS};
use crate::copier::{Copier, Next, Phase};
use crate::dice::Dice;
use crate::letters::{Letter, Node, Question};

/// How long brokers and copiers are in trouble, and how long it may take then until all is at rest.
const TROUBLE_MS: i64 = 12_000;
const REST_MS: i64 = 60_000;
/// How far a broker's clock may be off, in those runs in which clocks are.
const SKEW_MS: usize = 1_000;
pub(crate) const IDS: [&str; 3] = ["a", "b", "c"];

pub(crate) enum Event {
    Deliver(Node, Node, Letter),
    /// No answer has come for this call.
    Timeout(usize, u64),
    /// A copier asks, if it is still at the same turn.
    Ask(usize, u64, Question),
    /// A copier goes on after the end of its transaction.
    GoOn(usize),
    Pull(usize, usize),
    Wake(usize),
    Read(usize),
    /// A broker tells the controller what its leaders propose.
    Propose(usize),
    /// A proposal arrives, of the leader that this is.
    Alter(usize, usize, Proposal),
    /// What became of it arrives.
    Settle(usize, usize, Proposal, Outcome),
    Trouble,
    Kill(usize),
    /// As a kill, and what was not synced is gone.
    LosePower(usize),
    /// As a kill, and everything is gone.
    LoseDisk(usize),
    /// A broker's disks are full.
    Fill(usize),
    /// They have room again.
    MakeRoom(usize),
    /// A broker cleans its logs of coordinators' records.
    Clean(usize),
    Restart(usize),
    /// A broker stops in order, after others have taken over from it; those behind it follow when it is back.
    Roll(usize),
    Stop(usize),
    /// A process stands still for so long.
    Pause(usize, i64),
    Mend(Vec<(usize, usize)>),
    /// The controller looks for who is heard.
    Look,
    /// Another broker becomes the controller, if that is needed.
    TakeOver(usize),
    /// Replicas of a partition move.
    Reassign(usize),
    /// Leadership goes where it is preferred.
    Prefer,
    Learn(usize),
    /// A copier starts that takes over an id.
    Start(usize),
}

/// What has come to pass, so that a test can tell that something did.
#[derive(Default, Debug)]
pub(crate) struct Tally {
    pub(crate) committed: usize,
    pub(crate) aborted: usize,
    pub(crate) fenced: usize,
    pub(crate) given_up: usize,
    pub(crate) kills: usize,
    pub(crate) cuts: usize,
    pub(crate) pauses: usize,
    pub(crate) stops: usize,
    pub(crate) disk_losses: usize,
    /// Controllers after the first.
    pub(crate) take_overs: usize,
    /// Moves of replicas that were begun, and leaders that had to go for one.
    pub(crate) moves: usize,
    pub(crate) expired: usize,
    pub(crate) zombies: usize,
    pub(crate) elections: usize,
    pub(crate) lost: usize,
    pub(crate) doubled: usize,
    /// Transactions that older clients have committed.
    pub(crate) older: usize,
    /// Losses of power, and the offsets that went with them.
    pub(crate) power_losses: usize,
    pub(crate) unsynced: usize,
    /// Cleanings that left less than there was.
    pub(crate) cleaned: usize,
    pub(crate) rotations: usize,
    /// Disks that were full.
    pub(crate) filled: usize,
    /// Batches that a full disk refused.
    pub(crate) refused: usize,
}

pub(crate) struct Run {
    pub(crate) dice: Dice,
    pub(crate) cluster: Cluster,
    queue: BinaryHeap<Reverse<(i64, u64)>>,
    events: BTreeMap<u64, Event>,
    count: u64,
    pub(crate) copiers: Vec<Copier>,
    /// The copier that has an id now.
    pub(crate) newest: Vec<usize>,
    /// Until when the followers of a partition stand still.
    pub(crate) stalled: Vec<i64>,
    /// The coordinator is to die halfway through its markers.
    pub(crate) aimed: bool,
    /// What readers of committed records have seen of each partition, and where they are.
    pub(crate) seen: Vec<(Vec<String>, Offset)>,
    pub(crate) tally: Tally,
}

impl Run {
    pub(crate) fn new(seed: u64, bug: Option<Bug>) -> Self {
        let mut dice = Dice::new(seed);
        let level = TransactionVersion([2, 2, 1, 0][dice.roll(4)]);
        // Half of the runs begin with producers whose epochs are nearly used up.
        let worn = dice.percent(50);
        let worn = IDS.map(|id| (id, i16::MAX - 1 - dice.ms(0, 12) as i16)).into_iter().filter(|_| worn);
        let worn: Vec<_> = worn.collect();
        let skewed = dice.percent(50);
        let mut run = Self {
            dice,
            cluster: Cluster::new(level, &worn, bug),
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            count: 0,
            copiers: Vec::new(),
            newest: vec![usize::MAX; IDS.len()],
            stalled: vec![0; PARTITIONS],
            aimed: false,
            seen: vec![(Vec::new(), Offset(0)); DATA],
            tally: Tally::default(),
        };
        for broker in 0..BROKERS {
            if skewed {
                run.cluster.brokers[broker].skew = run.dice.ms(0, 2 * SKEW_MS) - SKEW_MS as i64;
            }
            run.after(50, Event::Wake(broker));
            run.after(400, Event::Clean(broker));
            run.after(20, Event::Propose(broker));
            (0..PARTITIONS).for_each(|at| run.after(1, Event::Pull(at, broker)));
        }
        (0..IDS.len()).for_each(|id| run.after(1, Event::Start(id)));
        (0..DATA).for_each(|at| run.after(100, Event::Read(at)));
        run.after(20, Event::Look);
        run.after(500, Event::Trouble);
        run
    }

    /// Runs until all is at rest.
    ///
    /// # Errors
    /// When it does not come to rest.
    pub(crate) fn finish(&mut self) -> Result<(), String> {
        while let Some(Reverse((at, number))) = self.queue.pop() {
            let event = self.events.remove(&number).expect("each event happens once");
            self.cluster.now = Timestamp(at);
            self.happens(event);
            if self.aimed {
                self.strike();
            }
            self.post();
            if at > TROUBLE_MS && self.is_over() {
                self.tally.elections = self.cluster.elections();
                self.tally.rotations = self.cluster.rotations;
                self.tally.refused = self.cluster.refused;
                return Ok(());
            }
            if at > TROUBLE_MS + REST_MS {
                let phases: Vec<Phase> = self.copiers.iter().map(|copier| copier.phase).collect();
                return Err(format!("it does not come to rest: {phases:?}\n{}", self.cluster.told()));
            }
        }
        unreachable!("replicas pull for ever")
    }

    fn is_over(&self) -> bool {
        let started = self.newest.iter().all(|newest| *newest != usize::MAX);
        started && self.copiers.iter().all(Copier::is_over) && self.cluster.is_at_rest()
    }

    pub(crate) fn is_troubled(&self) -> bool {
        self.cluster.now.0 < TROUBLE_MS
    }

    pub(crate) fn after(&mut self, ms: i64, event: Event) {
        self.count += 1;
        self.queue.push(Reverse((self.cluster.now.0 + ms, self.count)));
        self.events.insert(self.count, event);
    }

    /// Letters that were written go on their way: late, lost or twice while there is trouble.
    fn post(&mut self) {
        for (from, to, letter) in std::mem::take(&mut self.cluster.outbox) {
            let troubled = self.is_troubled();
            if self.cluster.prompt.contains(&letter.call()) {
                self.after(1, Event::Deliver(from, to, letter));
                continue;
            }
            if troubled && self.dice.percent(3) {
                self.tally.lost += 1;
                continue;
            }
            if troubled && self.dice.percent(3) {
                self.tally.doubled += 1;
                let late = self.dice.ms(1, 4_000);
                self.after(late, Event::Deliver(from, to, letter.clone()));
            }
            let late =
                if troubled && self.dice.percent(4) { self.dice.ms(100, 4_000) } else { self.dice.ms(1, 8) };
            self.after(late, Event::Deliver(from, to, letter));
        }
    }

    /// Before KIP-890, part 2, nothing in EndTxn, TxnOffsetCommit and WriteTxnMarkers tells the transaction that they are meant for from
    /// the next one of the same epoch. So these go with the connection that whoever waits for their answer closes when it
    /// waits no longer.
    fn is_gone_with_its_connection(&self, from: Node, letter: &Letter) -> bool {
        let Letter::Ask { call, question, .. } = letter else { return false };
        match (from, question) {
            (
                Node::Copier(copier),
                Question::End { of, .. } | Question::Commit { of, .. } | Question::Join { of, .. },
            ) => !of.bumps && !self.copiers[copier].open.contains_key(call),
            (Node::Broker(broker), Question::Mark { order, .. }) => {
                let host = self.cluster.brokers[broker].transactions.as_ref();
                let waits =
                    host.is_some_and(|host| host.works.iter().any(|work| work.calls.contains_key(call)));
                !order.version.supports_epoch_bump() && !waits
            }
            _ => false,
        }
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Deliver(from, to, letter) => self.deliver(from, to, letter),
            Event::Timeout(copier, call) => self.times_out(copier, call),
            Event::Ask(copier, turn, question) => {
                if self.copiers[copier].turn == turn {
                    self.ask(copier, vec![question]);
                }
            }
            Event::GoOn(copier) => self.goes_on(copier),
            Event::Pull(at, broker) => {
                if self.cluster.now.0 >= self.stalled[at] {
                    self.cluster.pull(at, broker);
                }
                let next = self.dice.ms(3, 15);
                self.after(next, Event::Pull(at, broker));
            }
            Event::Wake(broker) => {
                if self.cluster.runs(broker) {
                    self.cluster.wake(broker);
                }
                self.after(100, Event::Wake(broker));
            }
            Event::Clean(broker) => {
                if self.cluster.runs(broker) && self.is_troubled() {
                    self.tally.cleaned += self.cluster.clean(broker);
                }
                let next = self.dice.ms(200, 1_500);
                self.after(next, Event::Clean(broker));
            }
            Event::Read(at) => {
                self.read(at);
                let next = self.dice.ms(20, 200);
                self.after(next, Event::Read(at));
            }
            Event::Start(id) => self.start(id),
            other => self.changes(other),
        }
    }

    fn deliver(&mut self, from: Node, to: Node, letter: Letter) {
        match to {
            // What is sent to a process that stands still waits for it.
            Node::Broker(broker) if self.cluster.brokers[broker].paused > self.cluster.now.0 => {
                let still = self.cluster.brokers[broker].paused - self.cluster.now.0;
                self.after(still, Event::Deliver(from, to, letter));
            }
            Node::Broker(broker) => {
                let unheard = matches!(from, Node::Broker(sender) if !self.cluster.is_linked(sender, broker));
                if self.cluster.brokers[broker].alive
                    && !unheard
                    && !self.is_gone_with_its_connection(from, &letter)
                {
                    self.cluster.deliver(broker, letter);
                }
            }
            Node::Copier(copier) => {
                let Letter::Answer { call, answer } = letter else { return };
                let next = self.copiers[copier].hear(call, answer, self.cluster.now, &mut self.dice);
                self.follow(copier, next);
            }
        }
    }

    fn follow(&mut self, copier: usize, next: Next) {
        let turn = self.copiers[copier].turn;
        match next {
            Next::Nothing => {}
            Next::Again(question) => {
                let pause = self.dice.ms(10, 60);
                self.after(pause, Event::Ask(copier, turn, question));
            }
            Next::Ask(questions) => {
                // A process may stand still for longer than its transaction lasts, and go on as if nothing were.
                let still = self.is_troubled() && self.dice.percent(2);
                let pause = if still { self.dice.ms(500, 5_000) } else { 0 };
                for question in questions {
                    self.after(pause, Event::Ask(copier, turn, question));
                }
            }
            Next::Ended => {
                match self.copiers[copier].phase {
                    Phase::Ending { commit: true } => {
                        self.tally.committed += 1;
                        self.tally.older += usize::from(!self.copiers[copier].bumps);
                    }
                    _ => self.tally.aborted += 1,
                }
                let pause = self.dice.ms(1, 150);
                self.after(pause, Event::GoOn(copier));
            }
            Next::Fenced => self.fenced(copier),
        }
    }

    /// Whoever had the id last starts anew; a zombie is gone.
    fn fenced(&mut self, copier: usize) {
        self.tally.fenced += 1;
        self.end(copier, Phase::Dead);
        if let Some(id) = self.newest.iter().position(|newest| *newest == copier) {
            let pause = self.dice.ms(10, 300);
            self.newest[id] = usize::MAX;
            self.after(pause, Event::Start(id));
        }
    }

    pub(crate) fn end(&mut self, copier: usize, phase: Phase) {
        let _ = self.copiers[copier].begin(phase, self.cluster.now, &mut self.dice);
    }

    fn start(&mut self, id: usize) {
        let copier = self.copiers.len();
        self.newest[id] = copier;
        let bumps = self.cluster.level.supports_epoch_bump() && self.dice.percent(70);
        self.copiers.push(Copier::new(Name::from(IDS[id]), bumps, self.cluster.now));
        let questions = self.copiers[copier].begin(Phase::Init, self.cluster.now, &mut self.dice);
        self.ask(copier, questions);
    }

    fn goes_on(&mut self, copier: usize) {
        if self.copiers[copier].is_over() {
            return;
        }
        let next = if self.is_troubled() { self.copiers[copier].after_the_end() } else { Phase::Finished };
        let questions = self.copiers[copier].begin(next, self.cluster.now, &mut self.dice);
        self.ask(copier, questions);
    }

    /// Sends to whom the controller names; where nobody leads, the time-out comes.
    fn ask(&mut self, copier: usize, questions: Vec<Question>) {
        for question in questions {
            if self.copiers[copier].is_over() {
                return;
            }
            let call = self.cluster.next_call();
            let at = match &question {
                Question::Produce { partition, .. } => *partition,
                Question::Commit { .. } | Question::Position(_) => crate::cluster::OFFSETS,
                _ => crate::cluster::STATE,
            };
            let asked = question.clone();
            self.copiers[copier].open.insert(call, question);
            let patience = self.dice.ms(300, 600);
            self.after(patience, Event::Timeout(copier, call));
            // A client's metadata may be old.
            let leader = self.cluster.leader(at).filter(|_| !(self.is_troubled() && self.dice.percent(5)));
            let to = leader.unwrap_or_else(|| self.dice.roll(BROKERS));
            let from = Node::Copier(copier);
            let letter = Letter::Ask { from, call, question: asked };
            self.cluster.outbox.push((from, Node::Broker(to), letter));
        }
    }

    fn times_out(&mut self, copier: usize, call: u64) {
        if !self.copiers[copier].open.contains_key(&call) {
            return;
        }
        if let Some(questions) = self.copiers[copier].gives_up(self.cluster.now, &mut self.dice) {
            self.tally.given_up += 1;
            return self.ask(copier, questions);
        }
        let question = self.copiers[copier].open.remove(&call).expect("it is open");
        self.ask(copier, vec![question]);
    }

    /// A consumer of committed records asks any broker that believes to lead.
    fn read(&mut self, at: usize) {
        let first = self.dice.roll(BROKERS);
        let order = (0..BROKERS).map(|one| (one + first) % BROKERS);
        let mut able = order.filter(|&broker| self.cluster.runs(broker) && self.cluster.leads(broker, at));
        let Some(broker) = able.next() else { return };
        let replica = &self.cluster.brokers[broker].replicas[at];
        let (seen, from) = &mut self.seen[at];
        if *from <= replica.end() {
            let (records, next) = replica.committed(*from, self.cluster.bug);
            seen.extend(records);
            *from = next;
        }
    }
}
