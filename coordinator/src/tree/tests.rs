//! The tree against ZooKeeper's semantics, one behaviour per test.
