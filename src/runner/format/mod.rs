//! What lies inside a decoded backup: which databases, in which dumps.
//!
//! Parsers here read unproven bytes in bounded memory: they give facts or an error, never a panic,
//! and they touch nothing but their input.

pub mod dbackup;
pub mod detect;
pub mod text;
