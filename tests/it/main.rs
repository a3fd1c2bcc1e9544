//! One integration crate, without a cluster.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]
#![expect(clippy::too_many_lines, reason = "a table of cases is as long as it is")]

mod generated;
mod manifests;
mod new;
mod plans;
mod rules;
