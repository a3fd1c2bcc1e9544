//! What is created on the cluster, from a plan. Pure: no client, no clock.

pub mod job;
mod order;
pub mod pod;

pub use job::{ORDER_LIMIT_BYTES, job, ttl_seconds};
pub use order::{nonce, targets};

/// What the operator's settings say of every runner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunnerImage {
    /// The image, by tag or digest.
    pub image: String,
    /// `imagePullPolicy`.
    pub pull_policy: String,
}
