//! The SQLite engine on real files, beside real applications, and killed at bad moments.

mod apps;
mod dumps;
mod harness;
mod kills;
mod targets;
