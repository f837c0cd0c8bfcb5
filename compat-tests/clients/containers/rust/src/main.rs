//! Starts the image through Testcontainers' Rust module and writes and reads one record.
//!
//! Must never know anything of the image but its name.

use std::collections::BTreeMap;
use std::error::Error;

use chrono::DateTime;
use rskafka::client::ClientBuilder;
use rskafka::client::partition::{Compression, UnknownTopicHandling};
use rskafka::record::Record;
use testcontainers::ImageExt;
use testcontainers::runners::AsyncRunner;
use testcontainers_modules::kafka::apache::{KAFKA_PORT, Kafka};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let image = std::env::args().nth(1).ok_or("an image is wanted")?;
    let (name, tag) = image.rsplit_once(':').ok_or("an image with a tag is wanted")?;
    let container = Kafka::default().with_name(name).with_tag(tag).start().await?;
    let address = format!("127.0.0.1:{}", container.get_host_port_ipv4(KAFKA_PORT).await?);
    let client = ClientBuilder::new(vec![address]).build().await?;
    client.controller_client()?.create_topic("greetings", 1, 1, 5_000).await?;
    let partition = client.partition_client("greetings", 0, UnknownTopicHandling::Retry).await?;
    let record = Record {
        key: None,
        value: Some(b"hello".to_vec()),
        headers: BTreeMap::new(),
        timestamp: DateTime::UNIX_EPOCH,
    };
    partition.produce(vec![record], Compression::NoCompression).await?;
    let (records, _) = partition.fetch_records(0, 1..1_000_000, 10_000).await?;
    assert_eq!(records[0].record.value.as_deref(), Some(b"hello".as_slice()));
    println!("ok apache::Kafka");
    Ok(())
}
