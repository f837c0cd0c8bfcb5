//! A broker for a test in Rust: a port of its own, data that is gone with it.
//!
//! It must never share a directory or a port with another.

use std::sync::Arc;

use milena_storage::fs::UnsyncedFs;

use super::{Broker, StartError};
use crate::ephemeral::EphemeralDirectory;
use crate::net::workers::Workers;
use crate::settings::{Problem, Settings, SettingsError, Source};

impl Broker {
    /// Starts a broker that is a whole cluster, on a free port of 127.0.0.1, with its data in memory; it goes when the broker is
    /// stopped or dropped. Must be called on a tokio runtime that lives as long as the broker.
    ///
    /// The memory is `/dev/shm`; if that has less than 1 GiB free, or if `TMPDIR` is set, it is the temporary directory, in which
    /// nothing is ever synced.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), milena::broker::StartError> {
    /// let broker = milena::Broker::ephemeral().await?;
    /// // Any Kafka client takes this as its bootstrap.servers.
    /// assert!(broker.bootstrap_servers().starts_with("127.0.0.1:"));
    /// broker.stop().await;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn ephemeral() -> Result<Self, StartError> {
        Self::ephemeral_with(&[]).await
    }

    /// The same with settings of Kafka's names, for example `("num.partitions", "3")`; listeners may be among them.
    pub async fn ephemeral_with(pairs: &[(&str, &str)]) -> Result<Self, StartError> {
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        Self::ephemeral_among(Arc::new(Workers::start(count)?), pairs).await
    }

    /// The same on threads that others may use, too. Nothing is synced: the data goes with the broker.
    pub(crate) async fn ephemeral_among(
        workers: Arc<Workers>,
        pairs: &[(&str, &str)],
    ) -> Result<Self, StartError> {
        let directory = EphemeralDirectory::new()?;
        let data = directory.path().join("data").display().to_string();
        let mut all = vec![("listeners", "PLAINTEXT://127.0.0.1:0")];
        all.extend_from_slice(pairs);
        all.push(("log.dirs", &data));
        let settings = Settings::from_pairs(&all).map_err(wrong)?;
        let mut broker = Self::start_among(workers, Arc::new(UnsyncedFs::default()), settings).await?;
        broker.directory = Some(directory);
        Ok(broker)
    }
}

fn wrong(what: String) -> StartError {
    let problems = vec![Problem::of_source(Source::Override, what)];
    StartError::Settings(SettingsError { problems })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn two_brokers_in_one_process_share_nothing_and_leave_nothing() {
        let first = Broker::ephemeral_with(&[("milena.create.topics", "a:2:1")]).await.expect("a broker");
        let second = Broker::ephemeral().await.expect("another");
        assert_ne!(first.bootstrap_servers(), second.bootstrap_servers());
        assert_ne!(first.cluster_id(), second.cluster_id());
        let partitions =
            |broker: &Broker| broker.state().image.load().topic("a").map(|topic| topic.partitions.len());
        assert_eq!((partitions(&first), partitions(&second)), (Some(2), None));
        let path = |broker: &Broker| broker.directory.as_ref().expect("it is ephemeral").path().to_owned();
        let paths = [path(&first), path(&second)];
        assert!(paths.iter().all(|path| path.join("data").is_dir()));
        first.stop().await;
        drop(second);
        assert!(paths.iter().all(|path| !path.exists()), "{paths:?}");
    }

    /// Long enough for tasks that were told to end, on a busy machine.
    const PATIENCE: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn nothing_holds_on_to_a_broker_that_was_stopped() {
        let broker = Broker::ephemeral_with(&[("milena.create.topics", "a:2:1")]).await.expect("a broker");
        let state = Arc::downgrade(broker.state());
        let partitions = Arc::downgrade(&broker.state().partitions);
        let groups = Arc::downgrade(&broker.state().shards);
        let transactions = Arc::downgrade(&broker.state().transactions.shards);
        broker.stop().await;
        let holders = || {
            [
                state.strong_count(),
                partitions.strong_count(),
                groups.strong_count(),
                transactions.strong_count(),
            ]
        };
        let gone = async {
            while holders() != [0; 4] {
                tokio::task::yield_now().await;
            }
        };
        assert!(timeout(PATIENCE, gone).await.is_ok(), "held by so many: {:?}", holders());
    }

    #[tokio::test]
    async fn what_is_wrong_with_the_settings_is_told() {
        let fault = |started: Result<Broker, StartError>| started.err().expect("no broker").to_string();
        let of_value = fault(Broker::ephemeral_with(&[("num.partitions", "none")]).await);
        assert!(of_value.contains("num.partitions"), "{of_value}");
        let of_topic = fault(Broker::ephemeral_with(&[("milena.create.topics", "a/b:1:1")]).await);
        assert!(of_topic.contains("start-up topic 'a/b'"), "{of_topic}");
    }
}
