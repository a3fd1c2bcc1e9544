//! What the user writes and reads: the kinds of `reinstate.dev/v1alpha1`.
//!
//! The types here are the schema: limits, defaults and CEL rules stand beside the field that they
//! guard, and the same rules are applied on a cluster and by `reinstate run`. [`schema`] has the
//! definitions as they are printed. Nothing here resolves, reads or decides anything.

#![expect(unreachable_pub, reason = "`KubeSchema` repeats each struct inside a function")]
#![expect(clippy::duplicated_attributes, reason = "columns share a type; the lint takes that for a mistake")]

pub mod common;
pub mod connection;
pub mod limits;
pub mod profile;
pub mod restore;
pub mod schema;
pub mod storage;

/// The API group of all kinds.
pub const GROUP: &str = "reinstate.dev";
/// The version of all kinds.
pub const VERSION: &str = "v1alpha1";
/// `apiVersion` of all kinds.
pub const API_VERSION: &str = "reinstate.dev/v1alpha1";

pub use common::{Duration, LocalRef, SecretKeySelector};
pub use connection::{DatabaseConnection, DatabaseConnectionSpec, Engine};
pub use profile::{EncryptionProfile, EncryptionProfileSpec};
pub use restore::{DatabaseRestore, DatabaseRestoreSpec, RestoreStatus};
pub use storage::{BackupStorage, BackupStorageSpec};
