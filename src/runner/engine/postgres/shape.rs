//! The shape of a statement while its tokens go by: how deep in parentheses and routine bodies it is,
//! whether `COPY` data follows it, how many rows an `INSERT` holds.

use super::quote::Event;

/// Words that matter to the shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keyword {
    Atomic,
    Begin,
    By,
    Case,
    Copy,
    Create,
    Default,
    End,
    From,
    Function,
    Insert,
    Or,
    Partition,
    Procedure,
    Replace,
    Stdin,
    Table,
    Unlogged,
    Values,
}

fn keyword(word: &[u8]) -> Option<Keyword> {
    Some(match word {
        b"atomic" => Keyword::Atomic,
        b"begin" => Keyword::Begin,
        b"by" => Keyword::By,
        b"case" => Keyword::Case,
        b"copy" => Keyword::Copy,
        b"create" => Keyword::Create,
        b"default" => Keyword::Default,
        b"end" => Keyword::End,
        b"from" => Keyword::From,
        b"function" => Keyword::Function,
        b"insert" => Keyword::Insert,
        b"or" => Keyword::Or,
        b"partition" => Keyword::Partition,
        b"procedure" => Keyword::Procedure,
        b"replace" => Keyword::Replace,
        b"stdin" => Keyword::Stdin,
        b"table" => Keyword::Table,
        b"unlogged" => Keyword::Unlogged,
        b"values" => Keyword::Values,
        _ => return None,
    })
}

/// How `COPY` says where its data comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum CopyFrom {
    /// It is no `COPY`, or not from the script.
    #[default]
    Elsewhere,
    /// `FROM stdin` and nothing behind it.
    Script,
    /// `FROM stdin` with options, which dump tools do not write.
    ScriptWithOptions,
}

/// What is known of a statement so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Shape {
    /// Tokens so far.
    pub(super) tokens: u64,
    words: u64,
    /// The first words, where they matter.
    first: [Option<Keyword>; 4],
    /// The token before, where it is a word that matters.
    previous: Option<Keyword>,
    depth: u64,
    /// `BEGIN ATOMIC` and `CASE` that wait for their `END`.
    bodies: u64,
    pub(super) copy: CopyFrom,
    /// In the tuples of an `INSERT`; the next parenthesis opens one.
    tuples: bool,
    tuple_next: bool,
    pub(super) rows: u64,
    pub(super) partitioned: bool,
}

impl Shape {
    /// Whether a semicolon here ends the statement.
    ///
    /// psql counts every `BEGIN` of a routine's definition, so it reads on to the end of the script where
    /// a column or a function is called `begin`; only `BEGIN ATOMIC` is a body.
    pub(super) fn ends(&self) -> bool {
        self.depth == 0 && self.bodies == 0
    }

    /// Takes a token that ends nothing; `word` is the text of a word, lower case.
    pub(super) fn take(&mut self, event: Event, word: &[u8]) {
        match event {
            Event::Word => self.word(word),
            Event::Open => self.open(),
            Event::Close => self.close(),
            Event::Comma => self.comma(),
            Event::Semicolon | Event::Other | Event::LongTag => {
                self.token(None);
            }
            Event::Part
            | Event::Blank
            | Event::Comment { .. }
            | Event::BlockComment { .. }
            | Event::Backslash => {}
        }
    }

    fn word(&mut self, word: &[u8]) {
        let keyword = keyword(word);
        if let Some(place) = usize::try_from(self.words).ok().and_then(|at| self.first.get_mut(at)) {
            *place = keyword;
        }
        self.words += 1;
        let previous = self.token(keyword);
        if self.depth > 0 {
            return;
        }
        let [first, second, ..] = self.first;
        match (keyword, previous) {
            (Some(Keyword::Atomic), Some(Keyword::Begin)) if self.is_routine() => self.bodies += 1,
            (Some(Keyword::Case), _) if self.bodies > 0 => self.bodies += 1,
            (Some(Keyword::End), _) => self.bodies = self.bodies.saturating_sub(1),
            (Some(Keyword::Stdin), Some(Keyword::From)) if first == Some(Keyword::Copy) => {
                self.copy = CopyFrom::Script;
            }
            (Some(Keyword::By), Some(Keyword::Partition)) => {
                self.partitioned = first == Some(Keyword::Create)
                    && matches!(second, Some(Keyword::Table | Keyword::Unlogged));
            }
            (Some(Keyword::Values), before) if first == Some(Keyword::Insert) => {
                self.rows += u64::from(before == Some(Keyword::Default));
                self.tuples = before != Some(Keyword::Default);
                self.tuple_next = self.tuples;
            }
            _ => {}
        }
    }

    fn open(&mut self) {
        let tuple = self.depth == 0 && self.tuple_next;
        self.token(None);
        self.rows += u64::from(tuple);
        self.depth += 1;
    }

    fn close(&mut self) {
        self.token(None);
        self.depth = self.depth.saturating_sub(1);
    }

    fn comma(&mut self) {
        self.token(None);
        self.tuple_next = self.tuples && self.depth == 0;
    }

    fn token(&mut self, keyword: Option<Keyword>) -> Option<Keyword> {
        self.tokens += 1;
        self.tuple_next = false;
        if self.copy == CopyFrom::Script {
            self.copy = CopyFrom::ScriptWithOptions;
        }
        std::mem::replace(&mut self.previous, keyword)
    }

    /// `CREATE [OR REPLACE] {FUNCTION | PROCEDURE}`.
    fn is_routine(&self) -> bool {
        let is_kind = |word| matches!(word, Some(Keyword::Function | Keyword::Procedure));
        match self.first {
            [Some(Keyword::Create), Some(Keyword::Or), Some(Keyword::Replace), kind]
            | [Some(Keyword::Create), kind, ..] => is_kind(kind),
            _ => false,
        }
    }
}
