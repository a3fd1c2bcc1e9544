//! The `reinstate` binary.

fn main() {}
