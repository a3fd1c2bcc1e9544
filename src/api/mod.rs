//! What the user writes and reads.
