//! The cluster of the tests, and what a test has in it: a namespace, volumes, buckets, processes.
//!
//! [`cluster`] is the first call of everything: it brings the cluster up where none runs, and takes the
//! calling thread into the cluster's network. Threads and processes that are started from there are in
//! it too, so servers of a test are reached by pods, and pods by the test.

mod audit;
mod cluster;
mod namespace;
pub(crate) mod operator;
mod process;
pub(crate) mod proxy;
pub(crate) mod scene;
pub(crate) mod sealed;
mod storage;
pub(crate) mod target;
mod volume;

use std::time::Duration;

pub(crate) use audit::{Audit, Request};
pub(crate) use cluster::cluster;
pub(crate) use namespace::Namespace;
pub(crate) use operator::Operator;
pub(crate) use process::Process;
pub(crate) use storage::bucket;
pub(crate) use volume::Volume;

/// The images, as the tests load them.
pub(crate) const OPERATOR_IMAGE: &str = "localhost/reinstate/operator:test";
/// The image of the Jobs.
pub(crate) const RUNNER_IMAGE: &str = "localhost/reinstate/runner:test";
/// The user of the images.
pub(crate) const IMAGE_USER: u32 = 65532;

/// Longest wait for anything in the cluster; beside a build on two cores all takes its time.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);
