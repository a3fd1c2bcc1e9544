//! Reinstate restores databases from backups, declaratively.
//!
//! The modules below stand in the order in which data goes through them: what the user writes
//! ([`api`]), the request with every reference resolved ([`plan`]), the pipeline that carries it out
//! ([`runner`]), and what is reported back ([`report`]). [`cli`] calls them; [`reason`] and
//! [`secret`] serve all of them. `ARCHITECTURE.md` has the map.

pub mod api;
pub mod cli;
pub mod journal;
pub mod operator;
pub mod plan;
pub mod reason;
pub mod report;
pub mod runner;
pub mod secret;
