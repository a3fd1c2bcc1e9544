//! The request with every reference resolved.
