//! One integration crate, without a cluster.

mod generated;
