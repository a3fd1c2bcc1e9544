//! Reinstate on a real Kubernetes node, with the images that the Dockerfile makes.
//!
//! The node is brought up at the first use and ends with this process; see `harness`. `KUBECONFIG`
//! names another cluster to use. A part that is missing is a failure that says so.
#![allow(
    clippy::allow_attributes,
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::format_push_string,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::too_many_lines,
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "tests start servers, look at the environment and share more than each of them uses"
)]

mod chart;
#[path = "../it/chart/table.rs"]
mod chart_table;
mod harness;
mod kills;
mod kubectl;
mod lifecycle;
#[path = "../it/parts/mod.rs"]
mod parts;
mod postgres;
mod rights;
#[path = "../it/rule_cases.rs"]
mod rule_cases;
mod rules;
mod scale;
mod secrets;
mod smoke;
#[path = "../it/support.rs"]
mod support;
mod troubles;
