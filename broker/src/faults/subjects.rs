//! What a request is about: topics with partitions, and groups, read off its body by the guard's shapes.
//!
//! Must never be asked for while no rule wants to know.

use milena_coordinator::image::MetadataImage;
use uuid::Uuid;

use crate::net::guard::{self, Shape, Visit};

/// Arrays whose elements are topics.
const TOPICS: &[&str] = &["topics", "topic_data", "topic_partitions", "v3_and_below_topics"];
/// Fields of such an element that name it.
const NAMES: &[&str] = &["name", "topic"];
/// Arrays whose elements are partitions.
const PARTITIONS: &[&str] = &["partitions", "partition_data"];
/// Fields of such an element that number it.
const INDEXES: &[&str] = &["index", "partition", "partition_index"];
/// Lists of numbers in a topic.
const INDEX_LISTS: &[&str] = &["partition_indexes", "partitions"];
/// Lists of names.
const NAME_LISTS: &[&str] = &["topic_names", "subscribed_topic_names"];
/// Fields and lists of groups; FindCoordinator's keys are transactional ids, too.
const GROUPS: &[&str] = &["group_id", "groups", "group_ids", "groups_names", "key", "coordinator_keys"];

/// A request, as rules see it.
pub struct Asked<'a> {
    pub key: i16,
    pub client_id: &'a str,
    pub connection: u64,
    /// Reads the body, if a rule wants to know.
    pub subjects: &'a dyn Fn() -> Subjects,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subjects {
    /// With `None` where a topic is named without partitions.
    pub topics: Vec<(String, Option<i32>)>,
    pub groups: Vec<String>,
}

impl Subjects {
    /// Of a body that has passed the guard.
    #[must_use]
    pub fn of(shape: &'static Shape, version: i16, body: &[u8], image: &MetadataImage) -> Self {
        let mut reader = Reader { image, path: Vec::new(), topic: None, found: Self::default() };
        // It has passed already.
        let _ = guard::visit(shape, version, body, &mut reader);
        reader.close_topic();
        reader.found
    }
}

struct Reader<'a> {
    image: &'a MetadataImage,
    path: Vec<&'static str>,
    /// The topic that is being read, and whether partitions of it were.
    topic: Option<(String, bool)>,
    found: Subjects,
}

impl Reader<'_> {
    fn close_topic(&mut self) {
        if let Some((topic, false)) = self.topic.take() {
            self.found.topics.push((topic, None));
        }
    }

    fn open_topic(&mut self, name: String) {
        self.close_topic();
        self.topic = Some((name, false));
    }

    fn partitions(&mut self, bytes: &[u8]) {
        let Some((topic, had)) = &mut self.topic else { return };
        for index in bytes.as_chunks::<4>().0 {
            *had = true;
            self.found.topics.push((topic.clone(), Some(i32::from_be_bytes(*index))));
        }
    }
}

impl Visit for Reader<'_> {
    fn open(&mut self, array: &'static str) {
        self.path.push(array);
    }

    fn close(&mut self) {
        self.path.pop();
    }

    fn value(&mut self, field: &'static str, bytes: &[u8]) {
        let text = || String::from_utf8_lossy(bytes).into_owned();
        let within = self.path.last().copied().unwrap_or_default();
        if GROUPS.contains(&field) {
            self.found.groups.push(text());
        } else if NAME_LISTS.contains(&field) {
            self.found.topics.push((text(), None));
        } else if TOPICS.contains(&within) && NAMES.contains(&field) && !bytes.is_empty() {
            self.open_topic(text());
        } else if TOPICS.contains(&within) && field == "topic_id" {
            let id = Uuid::from_slice(bytes).unwrap_or_default();
            if let Some(topic) = self.image.topic_by_id(id) {
                self.open_topic(topic.name.to_string());
            }
        } else if (PARTITIONS.contains(&within) && INDEXES.contains(&field))
            || (TOPICS.contains(&within) && INDEX_LISTS.contains(&field))
        {
            self.partitions(bytes);
        }
    }
}
