//! The one table of what the HTTP port serves.
//!
//! A route is a row here and a handler elsewhere; the description in `docs/openapi.json` follows. Must never hold a handler.

use hyper::Method;

use super::Port;
use super::route::{Answer, Route};
use super::{clock, clusters, faults, groups, health, metrics, openapi, reset};

const fn told(status: u16, what: &'static str, schema: &'static str) -> Answer {
    Answer { status, what, schema: Some(schema) }
}

const fn text(status: u16, what: &'static str) -> Answer {
    Answer { status, what, schema: None }
}

pub(super) static ROUTES: &[Route<Port>] = &[
    Route {
        method: Method::GET,
        path: "/healthz",
        name: "healthz",
        summary: "Whether the process lives: it does if it answers.",
        body: None,
        answers: &[text(200, "It lives.")],
        handle: health::healthz,
    },
    Route {
        method: Method::GET,
        path: "/readyz",
        name: "readyz",
        summary: "Whether clients are served: the broker is registered, partitions have leaders, coordinators answer.",
        body: None,
        answers: &[told(200, "It serves.", "Readiness"), told(503, "It does not, and why.", "Readiness")],
        handle: health::readyz,
    },
    Route {
        method: Method::GET,
        path: "/metrics",
        name: "metrics",
        summary: "Metrics in Prometheus' text form, with the names of the JMX exporter and of kafka_exporter.",
        body: None,
        answers: &[text(200, "The metrics.")],
        handle: metrics::metrics,
    },
    Route {
        method: Method::GET,
        path: "/v1/clock",
        name: "clock",
        summary: "The broker's time.",
        body: None,
        answers: &[told(200, "The time, and by how much it was moved.", "Clock")],
        handle: clock::show,
    },
    Route {
        method: Method::POST,
        path: "/v1/clock/advance",
        name: "advanceClock",
        summary: "Moves the broker's clock on: retention, sessions and transactions time out as if so much time had passed.",
        body: Some("Advance"),
        answers: &[
            told(200, "The time since.", "Clock"),
            told(400, "What is wrong with the body.", "Problem"),
        ],
        handle: clock::advance,
    },
    Route {
        method: Method::GET,
        path: "/v1/faults",
        name: "faults",
        summary: "The rules that stand, with what each has seen and struck.",
        body: None,
        answers: &[told(200, "The rules, in the order in which they are asked.", "FaultRules")],
        handle: faults::list,
    },
    Route {
        method: Method::POST,
        path: "/v1/faults",
        name: "addFault",
        summary: "Adds a rule behind the others. The first that strikes a request decides.",
        body: Some("FaultRule"),
        answers: &[
            told(201, "The rule, with its id.", "CountedFaultRule"),
            told(400, "What is wrong with it.", "Problem"),
        ],
        handle: faults::add,
    },
    Route {
        method: Method::DELETE,
        path: "/v1/faults",
        name: "clearFaults",
        summary: "Takes all rules away.",
        body: None,
        answers: &[told(200, "The rules that stood.", "FaultRules")],
        handle: faults::clear,
    },
    Route {
        method: Method::GET,
        path: "/v1/faults/{id}",
        name: "fault",
        summary: "One rule, with what it has seen and struck.",
        body: None,
        answers: &[
            told(200, "The rule.", "CountedFaultRule"),
            told(404, "There is none of this id.", "Problem"),
        ],
        handle: faults::show,
    },
    Route {
        method: Method::DELETE,
        path: "/v1/faults/{id}",
        name: "removeFault",
        summary: "Takes a rule away.",
        body: None,
        answers: &[
            told(200, "The rule that stood.", "CountedFaultRule"),
            told(404, "There is none of this id.", "Problem"),
        ],
        handle: faults::remove,
    },
    Route {
        method: Method::POST,
        path: "/v1/reset",
        name: "reset",
        summary: "Empties the cluster: topics, groups and transactions are gone when this is answered.",
        body: Some("Reset"),
        answers: &[
            told(200, "It is empty.", "ResetDone"),
            told(400, "What is wrong with the body.", "Problem"),
            told(503, "It is not, and why.", "Problem"),
        ],
        handle: reset::reset,
    },
    Route {
        method: Method::GET,
        path: "/v1/clusters",
        name: "clusters",
        summary: "The clusters that were made here.",
        body: None,
        answers: &[told(200, "They.", "Clusters")],
        handle: clusters::list,
    },
    Route {
        method: Method::POST,
        path: "/v1/clusters",
        name: "createCluster",
        summary: "Starts a fresh, empty cluster of one broker on a port of its own.",
        body: Some("NewCluster"),
        answers: &[
            told(201, "It serves.", "Cluster"),
            told(400, "What is wrong with its settings.", "Problem"),
            told(409, "There are too many.", "Problem"),
        ],
        handle: clusters::create,
    },
    Route {
        method: Method::DELETE,
        path: "/v1/clusters/{id}",
        name: "dropCluster",
        summary: "Stops a cluster and removes what it holds.",
        body: None,
        answers: &[told(200, "It is gone.", "Cluster"), told(404, "There is none of this id.", "Problem")],
        handle: clusters::drop_one,
    },
    Route {
        method: Method::POST,
        path: "/v1/groups/{group}/rebalance",
        name: "rebalance",
        summary: "Has all members of a group join again; members of the consumer protocol are assigned anew.",
        body: None,
        answers: &[
            told(200, "They will be told with their next heartbeat.", "Group"),
            told(404, "This broker knows no such group.", "Problem"),
            told(409, "The group has no members.", "Problem"),
            told(503, "Its coordinator does not serve, or is another broker.", "Problem"),
        ],
        handle: groups::rebalance,
    },
    Route {
        method: Method::GET,
        path: "/openapi.json",
        name: "openapi",
        summary: "This description.",
        body: None,
        answers: &[told(200, "An OpenAPI 3.1 document.", "Document")],
        handle: openapi::page,
    },
];
