//! The shards over real partitions on a simulated disk.
