//! Transactional ids that nobody uses any more are forgotten; one with an open transaction never is.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::ListTransactionsRequest;
use milena_compat_tests::server::Setup;
use milena_compat_tests::{Server, Target, wait};

use super::requests::{error, init, open_transaction};

fn listed(server: &Server) -> Vec<String> {
    let answer = server.wire().call(0, &ListTransactionsRequest::default());
    answer.transaction_states.iter().map(|state| state.transactional_id.to_string()).collect()
}

#[test]
fn an_id_is_forgotten_when_its_time_and_its_transaction_are_over() {
    let setup = Setup::of(Target::chosen()).set("transactional.id.expiration.ms", "1500");
    let server = setup.set("transaction.remove.expired.transaction.cleanup.interval.ms", "200").start();
    let open = open_transaction(&server, "stays", "stays");
    let done = open_transaction(&server, "goes", "goes");
    assert_eq!(error(done.end(&server, true).error_code), None);
    wait::until(wait::PATIENCE, "the id is forgotten", || {
        (!listed(&server).contains(&"goes".to_owned())).then_some(())
    });
    assert_eq!(listed(&server), ["stays"]);
    let late = done.end(&server, true);
    assert_eq!(error(late.error_code), Some(ResponseError::InvalidProducerIdMapping));
    let (producer_id, epoch) = init(&server, "goes");
    assert!(producer_id != done.producer_id && epoch == 0, "{producer_id}/{epoch} is another producer");
    assert_eq!(error(open.end(&server, true).error_code), None);
}
