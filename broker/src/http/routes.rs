//! The one table of what the HTTP port serves.
//!
//! A route is a row here and a handler elsewhere; the description in `docs/openapi.json` follows. Must never hold a handler.

use hyper::Method;

use super::route::{Answer, Route};
use super::{clock, health, metrics, openapi};

const fn told(status: u16, what: &'static str, schema: &'static str) -> Answer {
    Answer { status, what, schema: Some(schema) }
}

const fn text(status: u16, what: &'static str) -> Answer {
    Answer { status, what, schema: None }
}

pub(super) static ROUTES: &[Route] = &[
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
        path: "/openapi.json",
        name: "openapi",
        summary: "This description.",
        body: None,
        answers: &[told(200, "An OpenAPI 3.1 document.", "Document")],
        handle: openapi::page,
    },
];
