//! AssignReplicasToDirs: 73, v0. A broker tells the controller in which of its log directories replicas lie (KIP-858).
//!
//! Behaviour: a replica in a directory that does not serve is led by others at once (`ReplicationControlManager.handleAssignReplicasToDirs`).
//! Brokers of this kind send it over their link; here it is for whoever asks a controller. Decisions: `controller::assign_replicas_to_dirs`.

use std::ops::RangeInclusive;

use kafka_protocol::messages::{AssignReplicasToDirsRequest, AssignReplicasToDirsResponse};
use milena_coordinator::controller::{self, Refusal};

use super::{Cx, Outcome};

pub const VERSIONS: RangeInclusive<i16> = 0..=0;

pub fn handle(cx: &Cx<'_>, request: AssignReplicasToDirsRequest) -> Outcome<AssignReplicasToDirsResponse> {
    let quorum = match cx.broker.quorum() {
        Ok(quorum) => quorum.clone(),
        Err(refusal) => return refuse(&refusal).into(),
    };
    Outcome::later(async move {
        let answers = quorum.assign_replicas_to_dirs(request).await;
        answers.map_or_else(|refusal| refuse(&refusal), controller::assigned)
    })
}

fn refuse(refusal: &Refusal) -> AssignReplicasToDirsResponse {
    AssignReplicasToDirsResponse::default().with_error_code(refusal.code.code())
}
