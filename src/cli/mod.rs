//! The command line.

pub mod crds;
pub mod manifest;
pub mod new;
