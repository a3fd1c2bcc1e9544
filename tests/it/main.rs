//! Integration tests: one crate, so that the library is linked once.
#![expect(clippy::disallowed_methods, reason = "tests start real servers and programs")]
#![expect(unreachable_pub, reason = "modules of a test crate share helpers by `pub`")]

mod dbackup;
mod support;
