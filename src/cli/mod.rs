//! The command line.

pub mod crds;
pub mod list;
pub mod manifest;
pub mod storage_url;
