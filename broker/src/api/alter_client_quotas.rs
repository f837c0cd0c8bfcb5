//! AlterClientQuotas: 49, v0–1. Sets and deletes quotas of users, clients and addresses (KIP-546).
//!
//! Behaviour: what is wrong with one entity does not keep the others; addresses may be names of hosts, which are looked up here, as
//! the controller waits for nobody. Decisions: `controller::alter_client_quotas`.
//! Versions: 1 flexible.

use std::net::ToSocketAddrs;
use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::alter_client_quotas_request::EntryData as Asked;
use kafka_protocol::messages::{AlterClientQuotasRequest, AlterClientQuotasResponse};
use kafka_protocol::protocol::StrBytes;
use milena_coordinator::controller::{self, Refusal};

use super::{Cx, Outcome};
use crate::blocking;

pub const VERSIONS: RangeInclusive<i16> = 0..=1;

pub fn handle(cx: &Cx<'_>, request: AlterClientQuotasRequest) -> Outcome<AlterClientQuotasResponse> {
    let quorum = match cx.broker.quorum() {
        Ok(quorum) => quorum.clone(),
        Err(refusal) => return controller::refused_quotas(&request, &refusal).into(),
    };
    Outcome::later(async move {
        let (request, not_found) = without_unknown_hosts(request).await;
        let mut answer = match quorum.alter_client_quotas(request.clone()).await {
            Ok(entries) => AlterClientQuotasResponse::default().with_entries(entries),
            Err(refusal) => controller::refused_quotas(&request, &refusal),
        };
        answer.entries.extend(not_found.entries);
        answer
    })
}

/// The entries that the controller may decide on, and the answers to those whose host nobody knows.
async fn without_unknown_hosts(
    mut request: AlterClientQuotasRequest,
) -> (AlterClientQuotasRequest, AlterClientQuotasResponse) {
    let mut unknown: Vec<StrBytes> = Vec::new();
    let mut hosts: Vec<StrBytes> = request.entries.iter().filter_map(host).cloned().collect();
    if !hosts.is_empty() {
        hosts.sort();
        hosts.dedup();
        let lookup = move || hosts.into_iter().filter(|host| !is_known(host)).collect();
        unknown = blocking::spawn(lookup).await.unwrap_or_default();
    }
    let mut not_found = AlterClientQuotasResponse::default();
    for host_name in unknown {
        let is_of = |entry: &Asked| host(entry) == Some(&host_name);
        let mut refused = request.clone();
        refused.entries.retain(is_of);
        request.entries.retain(|entry| !is_of(entry));
        let message = match refused.entries.len() {
            1 => format!("{host_name} is not a valid IP or resolvable host."),
            _ => format!("Ignoring duplicate entity {}", controller::printed(&refused.entries[0].entity)),
        };
        refused.entries.truncate(1);
        let refusal = Refusal::new(ResponseError::InvalidRequest, message);
        not_found.entries.extend(controller::refused_quotas(&refused, &refusal).entries);
    }
    (request, not_found)
}

/// The name by which an entry names an address, and nothing else.
fn host(entry: &Asked) -> Option<&StrBytes> {
    let is_ip = !entry.entity.is_empty() && entry.entity.iter().all(|part| part.entity_type.as_str() == "ip");
    let name = entry.entity.last().filter(|_| is_ip)?.entity_name.as_ref();
    name.filter(|name| !name.is_empty())
}

fn is_known(host: &StrBytes) -> bool {
    (host.as_str(), 0_u16).to_socket_addrs().is_ok_and(|mut found| found.next().is_some())
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::alter_client_quotas_request::EntityData;

    use super::*;

    fn ip(name: &str) -> Asked {
        let text = |text: &str| StrBytes::from_string(text.into());
        let part = EntityData::default().with_entity_type(text("ip")).with_entity_name(Some(text(name)));
        Asked::default().with_entity(vec![part])
    }

    #[tokio::test]
    async fn hosts_that_nobody_knows_are_answered_here_and_the_others_passed_on() {
        let unknown = "no host has a blank";
        let entries = vec![ip("127.0.0.1"), ip(unknown), ip("::1")];
        let request = AlterClientQuotasRequest::default().with_entries(entries);
        let (passed_on, answered) = without_unknown_hosts(request).await;
        assert_eq!(passed_on.entries, [ip("127.0.0.1"), ip("::1")]);
        let message = answered.entries[0].error_message.as_deref();
        assert_eq!(message, Some("no host has a blank is not a valid IP or resolvable host."));
        let request = AlterClientQuotasRequest::default().with_entries(vec![ip(unknown), ip(unknown)]);
        let (_, answered) = without_unknown_hosts(request).await;
        let messages: Vec<_> = answered.entries.iter().map(|entry| entry.error_message.as_deref()).collect();
        let message = "Ignoring duplicate entity ClientQuotaEntity(entries={ip=no host has a blank})";
        assert_eq!(messages, [Some(message)]);
    }
}
