//! `DatabaseRestore`: one run. Its spec says what is wanted, its status is the history record.
//!
//! All of the spec is immutable but what a person decides on the way (see [`spec`]): a changed wish
//! is a new object, never a second run of this one.

pub mod backup;
pub mod overwrite;
pub mod parts;
pub mod record;
pub mod runner;
pub mod spec;
pub mod status;
pub mod target;

pub use backup::{Backup, Compression, Discovery, Encryption, Format, Latest};
pub use overwrite::{Overwrite, OverwritePolicy};
pub use spec::{DatabaseRestore, DatabaseRestoreSpec, Mode};
pub use status::RestoreStatus;
pub use target::{DatabaseMapping, Target};
