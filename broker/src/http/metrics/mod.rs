//! `/metrics`: Prometheus' text form, with names that people have dashboards for.
//!
//! `broker` has those of the JMX exporter, `exporter` those of kafka_exporter, lag included, `process` those of every
//! process. Each broker tells of what it leads and coordinates, so that a cluster's brokers together tell everything once.
//! Must never hold a lock while text is written, nor keep anything for the next time.

mod broker;
mod exporter;
mod groups;
mod page;
mod process;

use std::sync::Arc;

use super::Port;
use super::route::{Asked, Reply};
use crate::api::BoxFuture;
use page::Page;

/// The text form's content type.
const KIND: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) fn metrics(port: Arc<Port>, _: Asked) -> BoxFuture<Reply> {
    Box::pin(async move {
        let groups = groups::gather(&port).await;
        let mut page = Page::default();
        broker::write(&port, &mut page);
        exporter::write(&port.state, &groups, &mut page);
        process::write(&mut page);
        Reply::text(KIND, page.finish())
    })
}
