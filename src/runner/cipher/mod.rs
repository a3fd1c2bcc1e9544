//! Opening encrypted backups: age, and AES-256-GCM as DBackup writes it.
//!
//! A cipher takes a reader and a key and gives a reader of plain text. Which key fits is decided by
//! the cipher's own proof, never by what the output looks like.

mod age;
mod armor;
mod gcm;

pub use age::{AgeFile, AgeKey, is_age};
pub use gcm::{GcmReader, Key as AesKey, MAX_MESSAGE_BYTES, OnMismatch, TAG_BYTES, TagPlace, Tagger};
