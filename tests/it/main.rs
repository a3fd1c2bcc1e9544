//! Reinstate against the real parts that it meets: backups, storage servers, proxies with faults.
//!
//! One crate, so that the library is linked once. `tests/parts/install.sh` brings what is started
//! here. A part that is missing is a failure that says so, never a skipped test.
#![allow(
    clippy::allow_attributes,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::format_collect,
    clippy::format_push_string,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::too_many_lines,
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "tests start servers, look at the environment, may stop at the first surprise, and share parts"
)]

mod age_vectors;
mod architecture;
mod chart;
mod cli;
mod contrib;
mod dbackup;
mod examples;
mod generated;
mod manifests;
mod new;
mod parts;
mod plans;
mod postgres;
mod postgres_readers;
mod properties;
mod rule_cases;
mod rules;
mod runner;
mod s3;
mod sqlite;
mod support;
