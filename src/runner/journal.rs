//! Which side of the first write a run is on, and the record of it that outlives the run.
//!
//! An engine tells the journal before every write that could change an existing target, and writes
//! only if the journal could take it. The report's `touched` comes from here and from nowhere else.
//! In a pod every change is a line in the termination file ([`crate::journal`]), so that a run that
//! is killed has said the truth.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{CWD, Mode, OFlags};
use serde::{Deserialize, Serialize};

use crate::journal::{Entry, line};
use crate::reason::Reason;
use crate::report::{RestoreReport, TargetModified};
use crate::runner::fault::{Fault, Result, Stage};

/// Whether an existing target was changed by this run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Touched {
    /// Nothing of an existing target was changed.
    #[default]
    #[serde(rename = "False")]
    No,
    /// The target was changed.
    #[serde(rename = "True")]
    Yes,
    /// The target may have been changed: a write is under way, or its answer was lost.
    Unknown,
}

impl From<Touched> for TargetModified {
    fn from(touched: Touched) -> Self {
        match touched {
            Touched::No => Self::False,
            Touched::Yes => Self::True,
            Touched::Unknown => Self::Unknown,
        }
    }
}

/// The shared record; cheap to clone. Without a file it is kept in memory only.
#[derive(Clone, Debug, Default)]
pub struct Journal(Arc<Mutex<Shared>>);

#[derive(Debug, Default)]
struct Shared {
    touched: Touched,
    file: Option<JournalFile>,
}

impl Journal {
    /// A journal in a file, whose first line is written here.
    pub fn begin(mut file: JournalFile) -> io::Result<Self> {
        file.write(Touched::No, None)?;
        Ok(Self(Arc::new(Mutex::new(Shared { touched: Touched::No, file: Some(file) }))))
    }

    /// Must be called before the first write that changes an existing target for good at once. The
    /// write must not be done where this fails.
    pub fn touch(&self, stage: Stage) -> Result<()> {
        self.intend(Touched::Yes, stage)
    }

    /// Must be called before a write that becomes whole or nothing, such as a transaction or a
    /// rename: until it is known which, the target may have been changed. The write must not be done
    /// where this fails.
    pub fn risk(&self, stage: Stage) -> Result<()> {
        self.intend(Touched::Unknown, stage)
    }

    /// The write that was risked was done.
    pub fn done(&self) {
        self.learn(Touched::Yes);
    }

    /// The write in question was rolled back as a whole: the target is as it was.
    pub fn untouch(&self) {
        self.learn(Touched::No);
    }

    /// Begins a write that becomes whole or nothing, of a run that may have done others: what they have
    /// changed stays changed, whatever becomes of this one. It must not be done where this fails.
    pub fn attempt(&self, stage: Stage) -> Result<Attempt<'_>> {
        let before = self.touched();
        if before != Touched::Yes {
            self.risk(stage)?;
        }
        Ok(Attempt { journal: self, before })
    }

    /// The answer to the deciding write was lost.
    pub fn doubt(&self) {
        self.learn(Touched::Unknown);
    }

    /// An absent target was created whole, so nothing that existed was changed. Only the verdict says
    /// so: before it, a database that appeared must not be taken for a run that wrote nothing.
    pub fn created(&self) {
        self.shared().touched = Touched::No;
    }

    /// The state now.
    pub fn touched(&self) -> Touched {
        self.shared().touched
    }

    /// Writes the last line, where there is a file.
    pub fn conclude(&self, verdict: RestoreReport) -> io::Result<()> {
        let mut shared = self.shared();
        let touched = shared.touched;
        shared.file.as_mut().map_or(Ok(()), |file| file.write(touched, Some(verdict)))
    }

    /// Before a write: what the file does not say must not happen.
    fn intend(&self, touched: Touched, stage: Stage) -> Result<()> {
        let mut shared = self.shared();
        if let Some(file) = &mut shared.file {
            file.write(touched, None).map_err(|error| {
                let message = "failed to write the journal, so the target was left alone";
                Fault::new(stage, Reason::InternalError, message).caused_by(error)
            })?;
        }
        shared.touched = touched;
        Ok(())
    }

    /// After a write: what is known counts, whether the file can take it or not.
    fn learn(&self, touched: Touched) {
        let mut shared = self.shared();
        shared.touched = touched;
        if let Some(file) = &mut shared.file
            && let Err(error) = file.write(touched, None)
        {
            tracing::error!("failed to write the journal: {error}");
        }
    }

    /// A journal whose file takes nothing more, as on a full disk.
    #[cfg(test)]
    pub(crate) fn broken() -> Self {
        let file = JournalFile::open(Path::new("/dev/full"), "u-1", 1).ok();
        Self(Arc::new(Mutex::new(Shared { touched: Touched::No, file })))
    }

    fn shared(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A write that becomes whole or nothing, under way.
#[must_use = "what became of the write is told to it"]
pub struct Attempt<'j> {
    journal: &'j Journal,
    before: Touched,
}

impl Attempt<'_> {
    /// It was done.
    pub fn done(self) {
        self.journal.done();
    }

    /// It was rolled back as a whole.
    pub fn undone(self) {
        self.journal.learn(self.before);
    }

    /// The answer was lost.
    pub fn in_doubt(self) {
        if self.before != Touched::Yes {
            self.journal.doubt();
        }
    }
}

/// The termination file of one attempt.
pub struct JournalFile {
    file: File,
    uid: String,
    attempt: u32,
}

impl JournalFile {
    /// Opens the file to append to it.
    pub fn open(path: &Path, uid: &str, attempt: u32) -> io::Result<Self> {
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = rustix::fs::openat(CWD, path, flags, Mode::from_raw_mode(0o644))?;
        Ok(Self { file: File::from(file), uid: uid.to_owned(), attempt })
    }

    /// Appends one line in one piece, so that a reader sees all of it or none.
    fn write(&mut self, touched: Touched, verdict: Option<RestoreReport>) -> io::Result<()> {
        let entry = Entry { uid: self.uid.clone(), attempt: self.attempt, touched: touched.into(), verdict };
        let line = line(&entry);
        let written = loop {
            match self.file.write(&line) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        if written != line.len() {
            return Err(io::Error::new(io::ErrorKind::WriteZero, "the line was cut"));
        }
        // A node that loses power must not forget it. The kubelet needs no sync, so a file system
        // that has none is fine.
        let _ = self.file.sync_data();
        Ok(())
    }
}

impl fmt::Debug for JournalFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "attempt {} of {}", self.attempt, self.uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::last;

    fn journal(path: &Path) -> Journal {
        Journal::begin(JournalFile::open(path, "u-1", 2).unwrap()).unwrap()
    }

    /// What a reader of the file knows now: touched, and whether there is a verdict.
    fn read(path: &Path) -> (TargetModified, bool) {
        let entry = last(&std::fs::read_to_string(path).unwrap(), "u-1", 2).unwrap();
        (entry.touched, entry.verdict.is_some())
    }

    #[test]
    fn every_change_is_a_line_and_a_creation_shows_with_the_verdict_only() {
        type Step = fn(&Journal);
        let touch: Step = |journal| journal.touch(Stage::Restore).unwrap();
        let risk: Step = |journal| journal.risk(Stage::Switch).unwrap();
        for (steps, kept, told) in [
            (vec![], Touched::No, TargetModified::False),
            (vec![touch], Touched::Yes, TargetModified::True),
            (vec![risk], Touched::Unknown, TargetModified::Unknown),
            (vec![risk, Journal::done], Touched::Yes, TargetModified::True),
            (vec![risk, Journal::untouch], Touched::No, TargetModified::False),
            (vec![touch, Journal::doubt], Touched::Unknown, TargetModified::Unknown),
            (vec![risk, Journal::created], Touched::No, TargetModified::Unknown),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("log");
            std::fs::write(&path, "noise of others\n").unwrap();
            let journal = journal(&path);
            for step in &steps {
                step(&journal);
            }
            assert_eq!((journal.touched(), read(&path)), (kept, (told, false)));
            journal.conclude(RestoreReport::begun("ns", "name", jiff::Timestamp::UNIX_EPOCH)).unwrap();
            assert_eq!(read(&path), (kept.into(), true));
        }
    }

    #[test]
    fn what_one_write_has_changed_stays_changed_whatever_becomes_of_the_next() {
        type End = fn(Attempt<'_>);
        let ends: [(End, Touched); 3] = [
            (|it| it.done(), Touched::Yes),
            (|it| it.undone(), Touched::No),
            (|it| it.in_doubt(), Touched::Unknown),
        ];
        for (end, alone) in ends {
            let journal = Journal::default();
            end(journal.attempt(Stage::Switch).unwrap());
            assert_eq!(journal.touched(), alone);
            journal.attempt(Stage::Switch).unwrap().done();
            end(journal.attempt(Stage::Switch).unwrap());
            assert_eq!(journal.touched(), Touched::Yes);
        }
    }

    #[test]
    fn what_the_file_cannot_take_must_not_happen_but_what_happened_is_known() {
        let journal = Journal::broken();
        for fault in [journal.touch(Stage::Restore), journal.risk(Stage::Switch)] {
            assert_eq!(fault.unwrap_err().reason, Reason::InternalError);
            assert_eq!(journal.touched(), Touched::No);
        }
        journal.doubt();
        assert_eq!(journal.touched(), Touched::Unknown);
        assert!(Journal::begin(JournalFile::open(Path::new("/dev/full"), "u-1", 1).unwrap()).is_err());
    }
}
