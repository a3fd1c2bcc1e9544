//! The order that the operator gives to the runner of one attempt, and where things lie in its pod.
//!
//! It is written into an annotation of the pod and reaches the runner as a file. It holds names of
//! Secrets, never their values, so everybody who may read the pod may read it.

use serde::{Deserialize, Serialize};

use super::{PlanVersion, RestorePlan};

/// One attempt of one `DatabaseRestore`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Order {
    /// Always this program's; another one is refused when an order is read.
    pub version: PlanVersion,
    /// Uid of the `DatabaseRestore`.
    pub uid: String,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// What a request for the progress must carry in its header [`pod::NONCE_HEADER`].
    pub nonce: String,
    /// What is to be done.
    #[serde(default)]
    pub task: Task,
    /// The backup that an earlier attempt has looked at; another one now is `SourceChanged`.
    pub pinned: Option<Pinned>,
    /// What an earlier attempt has loaded and verified; then only the switch is left to do.
    pub held: Option<Held>,
    /// The run.
    pub plan: RestorePlan,
}

/// What is to be done with a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Task {
    /// To carry it out; with [`Order::held`], only its switch.
    #[default]
    Restore,
    /// To remove what runs left beside its target: loads of dead runs, [`Order::held`], and kept
    /// previous databases whose time is over.
    Discard,
    /// To put a kept previous database back in the target's place, as a restore of its own.
    Revert {
        /// Its name, as the status shows it.
        previous: String,
    },
}

/// The stored object that an earlier attempt has looked at, as far as its store tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pinned {
    /// Path below the storage; it stands in for `backup.latest` too.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Entity tag.
    pub etag: Option<String>,
    /// Version.
    pub version_id: Option<String>,
}

/// What a run with `switch: Hold` has left beside the target for the one that switches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Held {
    /// Names of the shadows in the order of the targets, as the status shows them. Each holds a digest of
    /// what was verified.
    pub shadows: Vec<String>,
    /// The token of the plan that was carried out; another one now is `PlanChanged`. It is computed
    /// from [`Order::pinned`] where that is given, so that the backup need not be there any more.
    pub token: String,
}

/// Where things lie in the runner's pod.
pub mod pod {
    /// Name of the container.
    pub const CONTAINER: &str = "restore";
    /// The [`super::Order`] as JSON.
    pub const ORDER_FILE: &str = "/run/reinstate/order/order.json";
    /// One folder for each Secret, one file for each of its keys. A Secret that is not there is an
    /// empty folder.
    pub const SECRETS_FOLDER: &str = "/run/reinstate/secrets";
    /// One folder for each volume claim.
    pub const CLAIMS_FOLDER: &str = "/claims";
    /// The journal: see [`crate::journal`].
    pub const JOURNAL_FILE: &str = "/dev/termination-log";
    /// Port of the progress.
    pub const PROGRESS_PORT: u16 = 9402;
    /// Path of the progress.
    pub const PROGRESS_PATH: &str = "/progress";
    /// Header that carries [`super::Order::nonce`].
    pub const NONCE_HEADER: &str = "x-reinstate-nonce";
}
