//! The controller's decisions: a request and the image in, tree operations and answers out.
//!
//! Must never apply anything: a decision counts only once the ensemble has committed its operations, and every
//! group of them checks `/controller_epoch`, so that a deposed controller changes nothing.

mod answer;
mod rules;

pub use answer::{Dice, Refusal};
pub use rules::{ConfigRules, EffectiveConfig};
