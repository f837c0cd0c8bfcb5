//! A broker inside a Rust program: started on a free port in a directory of its own, stopped when Enter is pressed.
//!
//! It must never need more than the public API.

use std::io::{self, Read, Write};

use milena::Broker;
use milena::settings::Settings;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let log_dirs = dir.path().to_string_lossy().into_owned();
    let settings =
        Settings::from_pairs(&[("log.dirs", &log_dirs), ("listeners", "PLAINTEXT://127.0.0.1:0")])?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let broker = Broker::start(settings).await?;
        writeln!(io::stdout(), "serving on {}", broker.bootstrap_servers())?;
        tokio::task::spawn_blocking(|| io::stdin().read(&mut [0; 1])).await??;
        broker.stop().await;
        Ok(())
    })
}
