//! The tar format, and the directory format that its owner has packed into a TAR: `toc.dat`, a file for
//! the data of each table and for each large object, lists of the large objects.
//!
//! `pg_dump -Ft` writes `toc.dat` first. Who packs a directory gets the files in any order: then a first
//! reading only keeps `toc.dat`, and a second one is given it in advance. Names are compared, and never
//! opened.

use std::sync::Arc;

use super::block::Block;
use super::contents::{CONTENTS_LIMIT_BYTES, too_large};
use super::entry::{Entry, Format};
use super::fields::corrupt;
use super::names::{self, File};
use super::objects::Objects;
use super::reader::{Event, named};
use super::toc::Toc;
use crate::reason::Reason;
use crate::runner::codec::BlockCodec;
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::tar::{Kind, Member, Piece, TarFeed};

type Give<'g> = dyn FnMut(Event<'_>) -> Result<()> + 'g;

/// Reads a TAR of `pg_dump`'s files.
#[derive(Debug)]
pub(super) struct FilesReader {
    tar: TarFeed,
    files: Files,
}

/// The file that is open.
#[derive(Debug, Default)]
enum Open {
    /// None, or one that is not looked at.
    #[default]
    Skipped,
    /// `toc.dat`, of which so many bytes have come.
    Contents(usize),
    /// Data of the entry at this place.
    Data(usize, Block),
    /// A large object.
    Object(u32, Block),
    /// A list of large objects.
    List,
}

/// What is known of the files.
#[derive(Debug, Default)]
struct Files {
    toc: Toc,
    /// `toc.dat` as an earlier reading found it.
    given: Option<Arc<[u8]>>,
    /// `toc.dat` of this reading, kept because data came before it.
    kept: Vec<u8>,
    /// Data came before the table of contents.
    late: bool,
    /// `toc.dat` has been there.
    has_contents: bool,
    /// The folder of the first file, which must be that of all.
    folder: Option<String>,
    open: Open,
    objects: Objects,
    /// Place of the entry whose block of large objects is open.
    block: Option<usize>,
}

impl FilesReader {
    /// `given` is the table of contents, where an earlier reading found it behind data.
    pub(super) fn new(given: Option<Arc<[u8]>>) -> Self {
        Self { tar: TarFeed::default(), files: Files { given, ..Files::default() } }
    }

    /// Memory that the table of contents takes, in bytes.
    pub(super) fn contents_bytes(&self) -> u64 {
        let files = &self.files;
        let raw = files.given.as_ref().map_or(files.kept.len(), |given| given.len());
        files.toc.bytes() + files.objects.bytes() + raw as u64
    }

    /// The table of contents, where it came behind data.
    pub(super) fn late_contents(&self) -> Option<Arc<[u8]>> {
        let kept = || self.files.late.then(|| Arc::from(self.files.kept.as_slice()));
        self.files.given.clone().or_else(kept)
    }

    /// The next bytes.
    pub(super) fn feed(&mut self, bytes: &[u8], give: &mut Give<'_>) -> Result<()> {
        let Self { tar, files } = self;
        files.take_given(give)?;
        tar.feed(bytes, &mut |piece| match piece {
            Piece::Begin(member) => files.begin(member, give),
            Piece::Bytes(bytes) => files.bytes(bytes, give),
            Piece::End => files.end(give),
        })
    }

    /// The end of the TAR: a fault where a file is missing.
    pub(super) fn finish(&mut self, give: &mut Give<'_>) -> Result<()> {
        self.tar.finish()?;
        self.files.finish(give)
    }
}

impl Files {
    /// Begins with the table of contents that is known already.
    fn take_given(&mut self, give: &mut Give<'_>) -> Result<()> {
        match &self.given {
            Some(given) if !self.toc.is_whole() => {
                self.toc.feed(given)?;
                self.tell_contents(give)
            }
            _ => Ok(()),
        }
    }

    fn tell_contents(&self, give: &mut Give<'_>) -> Result<()> {
        let Some(header) = self.toc.header().filter(|_| self.toc.is_whole()) else {
            return Err(self.toc.truncated());
        };
        if header.format != Format::Files {
            return Err(corrupt("its toc.dat is that of another format"));
        }
        give(Event::Contents(header, self.toc.entries()))
    }

    fn begin(&mut self, member: &Member, give: &mut Give<'_>) -> Result<()> {
        self.open = Open::Skipped;
        match member.kind {
            Kind::File => {}
            Kind::Folder => return names::split(&member.name).map(drop),
            Kind::Symlink | Kind::Other(_) => {
                let what = format!("{:?} in the archive is not a regular file", member.name);
                return Err(Fault::new(Stage::Inspect, Reason::UnsafeContent, what));
            }
        }
        let (folder, name) = names::split(&member.name)?;
        if self.folder.get_or_insert_with(|| folder.to_owned()) != folder {
            return Err(corrupt(format!(
                "its files lie in several folders, {:?} in another one",
                member.name
            )));
        }
        let file = names::file(name)
            .ok_or_else(|| corrupt(format!("{:?} in it is no file that pg_dump writes", member.name)))?;
        if file == File::Contents {
            if std::mem::replace(&mut self.has_contents, true) {
                return Err(corrupt("it has toc.dat twice"));
            }
            self.open = Open::Contents(0);
        } else if file == File::Script {
            // The same as the table of contents says, for psql.
        } else if !self.toc.is_whole() || self.late {
            self.late = true;
        } else {
            self.begin_data(file, member, give)?;
        }
        Ok(())
    }

    fn begin_data(&mut self, file: File, member: &Member, give: &mut Give<'_>) -> Result<()> {
        // Compressed with LZ4, an empty large object is an empty file.
        let stored = |codec| if member.size == 0 { BlockCodec::None } else { codec };
        match file {
            File::Data(number, codec) => {
                self.end_objects(give)?;
                let found = self.toc.find(number).filter(|(_, entry)| entry.has_data());
                let Some((place, entry)) = found.filter(|(_, entry)| !entry.is_large_objects()) else {
                    return Err(not_listed(member));
                };
                let block = Block::of_table(entry, stored(codec), self.toc.settings().encoding)?;
                give(Event::Begin(entry))?;
                self.toc.meet(place)?;
                self.open = Open::Data(place, block);
            }
            File::Object(oid, codec) => {
                self.objects.meet(oid)?;
                self.begin_objects(member, give)?;
                give(Event::Object(oid))?;
                self.open = Open::Object(oid, Block::of_object(stored(codec))?);
            }
            File::Objects(number) => {
                let place = self.entry_of_list(number).ok_or_else(|| not_listed(member))?;
                self.toc.meet(place)?;
                self.open = Open::List;
            }
            File::Contents | File::Script => {}
        }
        Ok(())
    }

    /// Place of the entry whose large objects a list names.
    fn entry_of_list(&self, number: Option<u32>) -> Option<usize> {
        match number {
            Some(number) => {
                self.toc.find(number).filter(|(_, entry)| entry.is_large_objects()).map(|(place, _)| place)
            }
            None => self.toc.entries().iter().position(Entry::is_large_objects),
        }
    }

    /// Opens a block of large objects. They come before the list that names them, so it is of the first
    /// entry whose list has not come.
    fn begin_objects(&mut self, member: &Member, give: &mut Give<'_>) -> Result<()> {
        if self.block.is_some() {
            return Ok(());
        }
        let next = self.toc.unmet().find(|(_, entry)| entry.is_large_objects()).map(|(place, _)| place);
        let last = || self.toc.entries().iter().rposition(Entry::is_large_objects);
        let place = next.or_else(last).ok_or_else(|| not_listed(member))?;
        self.block = Some(place);
        self.toc.entries().get(place).map_or(Ok(()), |entry| give(Event::Begin(entry)))
    }

    fn end_objects(&mut self, give: &mut Give<'_>) -> Result<()> {
        if self.block.take().is_some() { give(Event::End(0)) } else { Ok(()) }
    }

    fn bytes(&mut self, bytes: &[u8], give: &mut Give<'_>) -> Result<()> {
        match &mut self.open {
            Open::Skipped => Ok(()),
            Open::Contents(seen) => {
                let from = *seen;
                *seen += bytes.len();
                self.contents(from, bytes)
            }
            Open::Data(place, block) => {
                let entry = self.toc.entries().get(*place);
                block.feed(bytes, give).map_err(|fault| named(fault, entry))
            }
            Open::Object(oid, block) => block.feed(bytes, give).map_err(|fault| of_object(fault, *oid)),
            Open::List => self.objects.list(bytes, self.toc.bytes()),
        }
    }

    /// Bytes of `toc.dat`, the first of which is byte `from` of it.
    fn contents(&mut self, from: usize, bytes: &[u8]) -> Result<()> {
        if let Some(given) = &self.given {
            if given.get(from..from + bytes.len()) == Some(bytes) {
                return Ok(());
            }
            let what = "the archive's toc.dat is not the one that was read before";
            return Err(Fault::new(Stage::Download, Reason::SourceChanged, what));
        }
        if self.late {
            if (self.kept.len() + bytes.len()) as u64 > CONTENTS_LIMIT_BYTES {
                return Err(too_large("too many bytes"));
            }
            self.kept.extend_from_slice(bytes);
        }
        if !self.toc.is_whole() && self.toc.feed(bytes)?.is_none_or(|behind| behind == 0) {
            return Ok(());
        }
        Err(corrupt("something follows the contents in its toc.dat"))
    }

    fn end(&mut self, give: &mut Give<'_>) -> Result<()> {
        match std::mem::take(&mut self.open) {
            Open::Skipped => Ok(()),
            Open::Contents(seen) => match &self.given {
                Some(given) if given.len() == seen => Ok(()),
                Some(_) => Err(corrupt("its toc.dat is shorter than before")),
                None if self.late => self.tell_contents(&mut |_| Ok(())),
                None => self.tell_contents(give),
            },
            Open::Data(place, block) => {
                let entry = self.toc.entries().get(place);
                let rows = block.finish(give).map_err(|fault| named(fault, entry))?;
                give(Event::End(rows))
            }
            Open::Object(oid, block) => {
                block.finish(give).map_err(|fault| of_object(fault, oid))?;
                give(Event::ObjectEnd)
            }
            Open::List => self.objects.end_list(),
        }
    }

    fn finish(&mut self, give: &mut Give<'_>) -> Result<()> {
        self.end_objects(give)?;
        if !self.has_contents {
            return Err(corrupt("it has no toc.dat"));
        }
        if self.late {
            return Ok(());
        }
        if let Some((_, entry)) = self.toc.unmet().next() {
            return Err(corrupt(format!("it has no file with the data of {}", entry.describe())));
        }
        self.objects.finish()
    }
}

fn not_listed(member: &Member) -> Fault {
    corrupt(format!("its toc.dat lists no data for {:?}", member.name))
}

/// The fault with the large object that it is about.
fn of_object(mut fault: Fault, oid: u32) -> Fault {
    if matches!(fault.stage, Stage::Decompress | Stage::Inspect) {
        fault.message = format!("{}, in large object {oid}", fault.message);
    }
    fault
}
