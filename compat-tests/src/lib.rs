//! What the tests here share: starting the binary, running tools and clients, waiting for conditions.
//!
//! It must never know anything of the broker that a user could not know.
