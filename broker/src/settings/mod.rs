//! Settings: one table of rows, the sources that fill it, and the values that each subsystem gets.
//!
//! Must never hand the map of texts to a subsystem: it gets its typed view by value. Read in this order: `row`
//! (the shape), `rows` (the table), `effective` (what holds now), `views` (what a subsystem gets), `describe`
//! (what a client is told), `rules` (what a client may change).

pub mod describe;
mod effective;
pub mod row;
pub mod rows;
pub mod value;
mod views;

pub use effective::{Given, Settings, Source};
pub use views::*;
