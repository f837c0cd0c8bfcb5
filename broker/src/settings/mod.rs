//! Settings: one table of rows, the sources that fill it, and the values that each subsystem gets.
//!
//! Must never hand the map of texts to a subsystem: it gets its typed view by value. Read in this order: `row`
//! (the shape), `rows` (the table), `load` (the sources), `effective` (what holds now), `views` (what a subsystem
//! gets), `describe` (what a client is told), `rules` (what a client may change).

mod cross;
pub mod describe;
mod effective;
mod legacy;
pub mod listeners;
mod load;
mod nearest;
mod problem;
pub mod reference;
pub mod row;
pub mod rows;
mod rules;
pub mod source;
pub mod start_topics;
pub mod value;
mod views;

pub use effective::{Found, Given, Settings, Source};
pub use listeners::{Advertised, Listener, Listeners, SecurityProtocol};
pub use load::{Loaded, Sources, shown};
pub use problem::{Note, NoteLevel, Problem, SettingsError};
pub use source::dev_security::USERS as DEV_USERS;
pub use views::*;
