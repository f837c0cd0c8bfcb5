//! The official 4.3.1 command-line tools, each with a checked result.
//!
//! One test binary, so that the tools share one JVM. Topics carry the test's name: the tests share one broker and run side
//! by side. A test must never assert anything of a topic or group that is not its own.

mod topics;
