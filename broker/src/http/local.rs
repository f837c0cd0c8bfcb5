//! What `milena cluster` serves over HTTP: its brokers, and stopping, killing and starting them.
//!
//! Must never touch a process: orders go to the one loop that owns them.

use std::sync::Arc;

use hyper::{Method, StatusCode};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use super::Desk;
use super::route::{Answer, Asked, Reply, Route};
use crate::api::BoxFuture;

/// Where orders go.
pub(crate) struct LocalCluster {
    pub(crate) orders: mpsc::Sender<Order>,
}

/// What is asked of the loop that owns the brokers.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) what: What,
    /// Told of all brokers when it is done, or why it cannot be.
    pub(crate) done: oneshot::Sender<Result<Vec<Shown>, String>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum What {
    Show,
    /// SIGTERM, until it has ended.
    Stop(i32),
    /// SIGKILL, until it has ended.
    Kill(i32),
    /// With its settings and its ports, until it serves.
    Start(i32),
}

/// One broker.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(crate) struct Shown {
    pub(crate) id: i32,
    pub(crate) bootstrap_servers: String,
    /// The process, if it runs.
    pub(crate) pid: Option<i32>,
}

#[derive(Serialize)]
struct Brokers {
    brokers: Vec<Shown>,
}

impl Desk for LocalCluster {
    fn routes() -> &'static [Route<Self>] {
        ROUTES
    }
}

const ANSWERS: &[Answer] = &[
    Answer { status: 200, what: "It is done; the brokers.", schema: Some("Brokers") },
    Answer { status: 404, what: "There is no such broker.", schema: Some("Problem") },
    Answer { status: 409, what: "It cannot be done now, and why.", schema: Some("Problem") },
];

pub(super) static ROUTES: &[Route<LocalCluster>] = &[
    Route {
        method: Method::GET,
        path: "/v1/brokers",
        name: "brokers",
        summary: "The brokers of a local cluster (milena cluster --http).",
        body: None,
        answers: &[Answer { status: 200, what: "The brokers.", schema: Some("Brokers") }],
        handle: |desk, _| order(desk, Some(What::Show)),
    },
    Route {
        method: Method::POST,
        path: "/v1/brokers/{id}/stop",
        name: "stopBroker",
        summary: "Stops a broker of a local cluster and waits for its end. Its ports stay its own.",
        body: None,
        answers: ANSWERS,
        handle: |desk, asked| order(desk, id(&asked).map(What::Stop)),
    },
    Route {
        method: Method::POST,
        path: "/v1/brokers/{id}/kill",
        name: "killBroker",
        summary: "Kills a broker of a local cluster, as kill -9 does.",
        body: None,
        answers: ANSWERS,
        handle: |desk, asked| order(desk, id(&asked).map(What::Kill)),
    },
    Route {
        method: Method::POST,
        path: "/v1/brokers/{id}/start",
        name: "startBroker",
        summary: "Starts a broker of a local cluster again, on the same ports, and waits until it serves.",
        body: None,
        answers: ANSWERS,
        handle: |desk, asked| order(desk, id(&asked).map(What::Start)),
    },
];

fn id(asked: &Asked) -> Option<i32> {
    asked.path.first()?.parse().ok()
}

fn order(desk: Arc<LocalCluster>, what: Option<What>) -> BoxFuture<Reply> {
    Box::pin(async move {
        let Some(what) = what else {
            return Reply::problem(StatusCode::NOT_FOUND, "a broker's id is a number");
        };
        let (done, answer) = oneshot::channel();
        // Whoever owns the brokers ends only with the process.
        if desk.orders.send(Order { what, done }).await.is_err() {
            return Reply::problem(StatusCode::CONFLICT, "the cluster stops");
        }
        match answer.await {
            Ok(Ok(brokers)) => Reply::json(StatusCode::OK, &Brokers { brokers }),
            Ok(Err(why)) if why == NO_SUCH => Reply::problem(StatusCode::NOT_FOUND, &why),
            Ok(Err(why)) => Reply::problem(StatusCode::CONFLICT, &why),
            Err(_) => Reply::problem(StatusCode::CONFLICT, "the cluster stops"),
        }
    })
}

/// Why an order for a broker that is not of the cluster is refused.
pub(crate) const NO_SUCH: &str = "there is no such broker";
