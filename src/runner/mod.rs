//! The pipeline: source → meter → cipher → codec → format → engine. No Kubernetes, no environment,
//! no wall clock: what depends on the time gets it as an argument.

pub mod cancel;
pub mod catalog;
pub mod cipher;
pub mod codec;
pub mod engine;
pub mod fault;
pub mod format;
pub mod inventory;
pub mod journal;
pub mod keyring;
pub mod keys;
pub mod meter;
pub mod pipe;
pub mod pod;
pub mod progress;
pub mod read;
pub mod run;
pub mod select;
pub mod source;
pub mod tar;
