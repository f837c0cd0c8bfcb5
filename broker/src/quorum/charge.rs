//! Charges clients for what they have the controller create and delete (KIP-599), here or at the node that leads.
//!
//! What travels is the request with its payer before it, under a key that only clusters use that have such quotas; the answer has the
//! time to wait before it. Must never charge for another broker's own requests.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use kafka_protocol::error::ResponseError;
use milena_coordinator::controller::{Ctx, Refusal};

use super::Quorum;
use super::forward::own;
use crate::clock::Clock;
use crate::quotas::mutations::{Mutations, Payer};

/// Who pays for one decision.
pub(super) struct Bill {
    payer: Option<Payer>,
    mutations: Arc<Mutations>,
    clock: Arc<Clock>,
}

impl Quorum {
    /// A handle for what a client is charged for; nobody is without a payer.
    #[must_use]
    pub fn charged_to(&self, payer: Option<&Payer>) -> Self {
        Self { payer: payer.cloned(), ..self.clone() }
    }

    pub(super) fn bill(&self) -> Bill {
        Bill {
            payer: self.payer.clone(),
            mutations: Arc::clone(&self.shared.mutations),
            clock: Arc::clone(&self.shared.clock),
        }
    }

    /// As [`Quorum::ask_controller`], with the payer, who learns how long to wait.
    pub(super) async fn ask_charged(
        &self,
        payer: &Payer,
        key: i16,
        version: i16,
        body: &[u8],
    ) -> Result<Option<Bytes>, Refusal> {
        let mut question = Vec::with_capacity(body.len() + 64);
        payer.encode(&mut question);
        question.put_i16(key);
        question.put_i16(version);
        question.put_slice(body);
        let Some(mut answer) = self.ask_controller(own::CHARGED, 0, &question).await? else {
            return Ok(None);
        };
        let wait = answer.try_get_u32().map_err(|_| Refusal::bare(ResponseError::UnknownServerError))?;
        payer.has_to_wait(wait);
        Ok(Some(answer))
    }

    /// Decides what another broker passed on for a client.
    pub(super) async fn answer_charged(&self, mut question: Bytes) -> Result<Bytes, Refusal> {
        let malformed = || Refusal::bare(ResponseError::InvalidRequest);
        let payer = Payer::decode(&mut question).ok_or_else(malformed)?;
        let key = question.try_get_i16().map_err(|_| malformed())?;
        let version = question.try_get_i16().map_err(|_| malformed())?;
        let answer = self.charged_to(Some(&payer)).answer_kafkas(key, version, question).await?;
        let mut out = Vec::with_capacity(answer.len() + 4);
        out.put_i32(payer.wait_ms());
        out.put_slice(&answer);
        Ok(out.into())
    }
}

impl Bill {
    /// Lets a decision take from what the payer has left.
    pub(super) fn pay<R>(&self, ctx: &mut Ctx<'_>, decide: impl FnOnce(&mut Ctx<'_>) -> R) -> R {
        let image = ctx.image;
        let (Some(payer), Some(quotas)) = (&self.payer, image.quotas()) else { return decide(ctx) };
        let now: Duration = self.clock.uptime();
        ctx.allowance = self.mutations.open(quotas, payer, now);
        let decided = decide(ctx);
        if let Some(allowance) = ctx.allowance.take() {
            self.mutations.close(quotas, payer, &allowance, now);
        }
        decided
    }
}
