//! From the tree to everybody: builds the next image, makes this broker ready for it, publishes it.
//!
//! Building happens where commands are applied and touches memory only. Getting ready may open files, so it runs on
//! the blocking pool, and changes that arrive meanwhile are merged into the next round. Must never publish an older
//! image after a newer one, nor one that a follower is not ready for.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arc_swap::ArcSwap;
use milena_coordinator::ensemble::Observer;
use milena_coordinator::image::{Delta, MetadataImage};
use milena_coordinator::tree::{Change, SessionId, Tree, Zxid};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, watch};

use crate::blocking;

/// Hears of changes of the tree before anybody can read them; see `Observer::changing`.
pub trait TreeWatcher: Send + Sync {
    /// With no changes the tree as a whole is new.
    fn changing(&self, tree: &Tree, changes: &[Change]);

    /// Another node serves these sessions, and has heard of them lately.
    fn heard(&self, sessions: &[SessionId]);
}

/// Two images that follow each other.
#[derive(Clone, Debug)]
pub struct ImageChange {
    pub old: Arc<MetadataImage>,
    pub new: Arc<MetadataImage>,
    pub delta: Arc<Delta>,
}

/// Keeps a part of the broker in step with the image.
pub trait Follower: Send {
    /// Runs before handlers see the new image: opens what it promises, such as the logs of new partitions. May
    /// block.
    fn prepare(&mut self, _change: &ImageChange) {}

    /// Runs when handlers see the new image: lets go of what it no longer names, and starts work. May block.
    fn published(&mut self, _change: &ImageChange) {}
}

/// The image of the last applied command, and what has changed since the published one.
#[derive(Default)]
pub(super) struct Slot {
    state: Mutex<SlotState>,
    changed: Notify,
}

#[derive(Default)]
struct SlotState {
    newest: Arc<MetadataImage>,
    /// Bounded by the number of names in the cluster, however slow the followers are.
    unpublished: Option<Delta>,
}

impl Slot {
    pub(super) fn newest(&self) -> Arc<MetadataImage> {
        Arc::clone(&self.state.lock().newest)
    }

    fn put(&self, image: MetadataImage, delta: Delta) {
        let mut state = self.state.lock();
        state.newest = Arc::new(image);
        state.unpublished.get_or_insert_default().merge(delta);
        drop(state);
        self.changed.notify_one();
    }

    fn take(&self) -> Option<(Arc<MetadataImage>, Delta)> {
        let mut state = self.state.lock();
        let delta = state.unpublished.take()?;
        Some((Arc::clone(&state.newest), delta))
    }
}

/// Hears of applied commands and builds images.
pub(super) struct ImageBuilder {
    slot: Arc<Slot>,
    watcher: Option<Arc<dyn TreeWatcher>>,
}

impl ImageBuilder {
    pub(super) fn new(slot: Arc<Slot>, watcher: Option<Arc<dyn TreeWatcher>>) -> Self {
        Self { slot, watcher }
    }
}

impl Observer for ImageBuilder {
    fn changing(&mut self, tree: &Tree, changes: &[Change]) {
        if let Some(watcher) = &self.watcher {
            watcher.changing(tree, changes);
        }
    }

    fn applied(&mut self, tree: &Tree, changes: &[Change], _zxid: Zxid) {
        let before = self.slot.newest();
        if changes.is_empty() {
            let image = MetadataImage::from_tree(tree);
            // What is gone is as different as what is new.
            let mut delta = Delta::everything(&before);
            delta.merge(Delta::everything(&image));
            self.slot.put(image, delta);
        } else {
            let (image, delta) = before.apply(tree, changes);
            self.slot.put(image, delta);
        }
    }
}

/// The one writer of the published image.
pub(super) struct Publisher {
    slot: Arc<Slot>,
    image: Arc<ArcSwap<MetadataImage>>,
    followers: Vec<Box<dyn Follower>>,
    published: watch::Sender<Zxid>,
}

impl Publisher {
    pub(super) fn new(
        slot: Arc<Slot>,
        image: Arc<ArcSwap<MetadataImage>>,
        followers: Vec<Box<dyn Follower>>,
        published: watch::Sender<Zxid>,
    ) -> Self {
        Self { slot, image, followers, published }
    }

    /// Runs until every handle of the service is gone.
    pub(super) async fn run(mut self, mut incoming: mpsc::Receiver<Box<dyn Follower>>) {
        let slot = Arc::clone(&self.slot);
        loop {
            tokio::select! {
                () = slot.changed.notified() => {}
                follower = incoming.recv() => match follower {
                    Some(follower) => self.welcome(follower).await,
                    None => return,
                },
            }
            while let Some((new, delta)) = slot.take() {
                let change = ImageChange { old: self.image.load_full(), new, delta: Arc::new(delta) };
                self.publish(change).await;
            }
        }
    }

    async fn publish(&mut self, change: ImageChange) {
        if !change.delta.is_empty() {
            self.tell(change.clone(), |follower, change| follower.prepare(change)).await;
        }
        self.image.store(Arc::clone(&change.new));
        if !change.delta.is_empty() {
            self.tell(change.clone(), |follower, change| follower.published(change)).await;
        }
        self.published.send_replace(change.new.zxid);
    }

    async fn welcome(&mut self, mut follower: Box<dyn Follower>) {
        let new = self.image.load_full();
        let delta = Arc::new(Delta::everything(&new));
        let change = ImageChange { old: Arc::default(), new, delta };
        let told = blocking::spawn(move || {
            guarded("prepare", || follower.prepare(&change));
            guarded("published", || follower.published(&change));
            follower
        });
        if let Ok(follower) = told.await {
            self.followers.push(follower);
        }
    }

    async fn tell(&mut self, change: ImageChange, how: fn(&mut dyn Follower, &ImageChange)) {
        if self.followers.is_empty() {
            return;
        }
        let mut followers = std::mem::take(&mut self.followers);
        let told = blocking::spawn(move || {
            for follower in &mut followers {
                guarded("change", || how(follower.as_mut(), &change));
            }
            followers
        });
        // The closure does not panic, so only a runtime that is shutting down ends here.
        if let Ok(followers) = told.await {
            self.followers = followers;
        }
    }
}

/// One follower's panic must not keep the others, or the next image, from being told.
fn guarded(what: &str, run: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(run)).is_err() {
        tracing::error!(what, "a follower of the metadata image panicked");
    }
}
