//! Subscriptions of logical replication, where they are wanted: made last of all, disabled and without their
//! slots, so that a copy takes nothing from the original and does nothing until a person lets it.
//!
//! The load keeps their statements ([`Waiting`]); they run when hooks are done and nothing but the switch is
//! left ([`make()`]). The server drops no database in which there are some, so those on which nothing hangs go
//! before it ([`let_go`]). Connection strings hold passwords: what a server says of them is never shown.

mod make;
mod old;
mod rights;

pub(super) use self::make::make;
pub(super) use self::old::{are_idle, drop_idle, in_the_way, let_go};
pub(super) use self::rights::check;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::statement::Subscription;
use crate::reason::Reason;
use crate::runner::fault::{Fault, Result, Stage};

/// Subscriptions, and statements about them, that are kept of one database.
const PIECES_LIMIT: usize = 1000;
/// Memory for those of a run, in bytes.
const BYTES_LIMIT: usize = 4 << 20;
/// Memory of a statement beside its text, in bytes.
const PIECE_BYTES: usize = 200;

/// What is done about a subscription.
#[derive(Clone, Debug)]
pub(super) enum What {
    /// It is made.
    Make(Subscription),
    /// A comment or a label is put on it, by this statement.
    Say(Vec<u8>),
}

/// A statement that waits.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) what: What,
    /// Where it stands in the backup.
    pub(super) place: String,
    /// Statements that set what its bytes mean.
    pub(super) settings: Vec<Vec<u8>>,
}

impl Piece {
    fn bytes(&self) -> usize {
        let text = match &self.what {
            What::Make(subscription) => subscription.bytes(),
            What::Say(text) => text.len(),
        };
        text + self.place.len() + self.settings.iter().map(Vec::len).sum::<usize>() + PIECE_BYTES
    }
}

/// What is made when all else is done, in the order of the dump.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiting {
    pieces: Vec<Piece>,
    /// Bytes of all that waits in the run.
    bytes: Arc<AtomicUsize>,
}

impl Waiting {
    /// Of one database of a run, in which so many `bytes` wait.
    pub(super) const fn of_run(bytes: Arc<AtomicUsize>) -> Self {
        Self { pieces: Vec::new(), bytes }
    }

    /// Keeps one more.
    pub(super) fn keep(&mut self, piece: Piece) -> Result<()> {
        let more = piece.bytes();
        let bytes = self.bytes.fetch_add(more, Ordering::Relaxed) + more;
        self.pieces.push(piece);
        self.check(bytes)
    }

    fn check(&self, bytes: usize) -> Result<()> {
        if bytes > BYTES_LIMIT || self.pieces.len() > PIECES_LIMIT {
            return Err(too_many(Stage::Restore));
        }
        Ok(())
    }

    /// Takes in those of another part of the same dump.
    pub(super) fn add(&mut self, other: Self) -> Result<()> {
        self.pieces.extend(other.pieces);
        self.check(0)
    }

    fn subscriptions(&self) -> impl Iterator<Item = &Subscription> {
        self.pieces.iter().filter_map(|piece| match &piece.what {
            What::Make(subscription) => Some(subscription),
            What::Say(_) => None,
        })
    }
}

/// More subscriptions than are kept.
fn too_many(stage: Stage) -> Fault {
    let message = format!(
        "subscriptions in the backup are more than {PIECES_LIMIT}, or need more than {} MiB of memory; leave \
         them out (target.objects.subscriptions: Skip)",
        BYTES_LIMIT >> 20
    );
    Fault::new(stage, Reason::LimitExceeded, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comment(bytes: usize) -> Piece {
        Piece { what: What::Say(vec![b'x'; bytes]), place: "line 1".to_owned(), settings: Vec::new() }
    }

    #[test]
    fn what_waits_is_limited_in_number_and_in_bytes() {
        let mut many = Waiting::default();
        for _ in 0..PIECES_LIMIT {
            many.keep(comment(1)).unwrap();
        }
        assert_eq!(many.keep(comment(1)).unwrap_err().reason, Reason::LimitExceeded);
        let mut long = Waiting::default();
        long.keep(comment(BYTES_LIMIT / 2)).unwrap();
        let mut other = Waiting::of_run(Arc::clone(&long.bytes));
        assert_eq!(other.keep(comment(BYTES_LIMIT / 2)).unwrap_err().reason, Reason::LimitExceeded);
        assert_eq!(many.add(other).unwrap_err().reason, Reason::LimitExceeded);
    }
}
