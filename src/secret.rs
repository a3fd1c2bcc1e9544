//! Values that must never be shown: redacted in `Debug`, wiped from memory when dropped.

use std::fmt;

use zeroize::{Zeroize, Zeroizing};

/// A secret value. It has no `Display` and no `Serialize`; [`Secret::expose`] is the one way in,
/// so a search for that word finds every place that looks at a secret.
#[derive(Clone)]
pub struct Secret<T: Zeroize>(Zeroizing<T>);

impl<T: Zeroize> Secret<T> {
    /// Takes `value` under guard.
    pub fn new(value: T) -> Self {
        Self(Zeroizing::new(value))
    }

    /// The value itself. Callers hand it on to a cipher or a driver, never to a message.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_shows_in_debug_output() {
        let secret = Secret::new(String::from("correct horse"));
        assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "[redacted] Some([redacted])");
        assert_eq!(secret.expose(), "correct horse");
    }
}
