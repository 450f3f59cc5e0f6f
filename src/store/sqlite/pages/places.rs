//! Where the vectors of a table lie: its tree, walked from the root, in the order of the keys.

use std::fs::File;
use std::ops::Range;

use super::format::{self, Cell, Layout, Node};
use crate::error::{Error, Kind, Result};
use crate::platform::files;

/// What is looked for: blobs of one length in one column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// Page number of the table's root.
    pub root: u32,
    /// The column's number among those that are stored.
    pub field: usize,
    pub length: usize,
}

/// Some pages of the table, and the rows that begin in its leaves among them.
#[derive(Debug, Default)]
pub(super) struct Pages {
    /// Numbers of the pages, and their bytes one after the other.
    pub numbers: Vec<u32>,
    pub bytes: Vec<u8>,
    /// In the order of the keys: those that hold what is looked for.
    pub rows: Vec<Place>,
    /// Of one row after the other: where in `bytes` it lies.
    parts: Vec<Range<usize>>,
}

/// Where one row's vector lies.
#[derive(Debug)]
pub(super) struct Place {
    pub rowid: i64,
    parts: Range<usize>,
}

impl Pages {
    /// A row's vector; put together in `room` if it lies in several parts.
    pub fn read<'p>(&'p self, place: &Place, room: &'p mut Vec<u8>) -> &'p [u8] {
        let parts = self.parts.get(place.parts.clone()).unwrap_or_default();
        let mut found = parts.iter().map(|part| self.bytes.get(part.clone()).unwrap_or_default());
        if let [_] = parts {
            return found.next().unwrap_or_default();
        }
        room.clear();
        found.for_each(|part| room.extend(part));
        room
    }

    /// Writes over a row's vector; whether it is as long as that.
    pub fn write(&mut self, place: usize, vector: &[u8]) -> bool {
        let parts = self.rows.get(place).map(|place| place.parts.clone()).unwrap_or_default();
        let mut rest = vector;
        for part in self.parts.get(parts).unwrap_or_default() {
            let (Some(to), Some((from, behind))) =
                (self.bytes.get_mut(part.clone()), rest.split_at_checked(part.len()))
            else {
                return false;
            };
            to.copy_from_slice(from);
            rest = behind;
        }
        rest.is_empty()
    }

    /// Writes all pages to where they lie in a file.
    pub fn save(&self, layout: Layout, file: &File) -> std::io::Result<()> {
        let mut done = 0;
        // Neighbours at once.
        for run in self.numbers.chunk_by(|a, b| a.checked_add(1) == Some(*b)) {
            let bytes = done * layout.page..(done + run.len()) * layout.page;
            if let (Some(first), Some(bytes)) = (run.first(), self.bytes.get(bytes)) {
                files::write_all_at(file, bytes, layout.offset(*first))?;
            }
            done += run.len();
        }
        Ok(())
    }
}

/// A set of pages.
#[derive(Debug)]
pub(super) struct PageSet(Vec<u64>);

impl PageSet {
    fn insert(&mut self, number: u32) -> bool {
        let (word, bit) = (number as usize / 64, 1 << (number % 64));
        let Some(word) = self.0.get_mut(word) else { return false };
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    fn has(&self, number: u32) -> bool {
        self.0.get(number as usize / 64).is_some_and(|word| word & (1 << (number % 64)) != 0)
    }

    /// Ranges of pages, by number, of the file that are not in it.
    pub fn others(&self, layout: Layout) -> impl Iterator<Item = Range<u32>> {
        let end = layout.count.saturating_add(1);
        let mut from = 1;
        std::iter::from_fn(move || {
            let start = (from..end).find(|number| !self.has(*number))?;
            from = (start..end).find(|number| self.has(*number)).unwrap_or(end);
            Some(start..from)
        })
    }
}

/// A walk through a table.
pub(super) struct Walk<'f> {
    file: &'f File,
    table: &'f str,
    layout: Layout,
    wanted: Wanted,
    /// On the way from the root: what is still to be visited on each level, the next one last.
    ahead: Vec<Vec<u32>>,
    /// Pages that were handed out. A damaged tree may lead in circles.
    seen: PageSet,
}

impl<'f> Walk<'f> {
    pub fn new(file: &'f File, table: &'f str, layout: Layout, wanted: Wanted) -> Self {
        let seen = PageSet(vec![0; layout.count as usize / 64 + 1]);
        Walk { file, table, layout, wanted, ahead: vec![vec![wanted.root]], seen }
    }

    fn damaged(&self, number: u32) -> Error {
        let found = format!("page {number} of table `{}` is damaged", self.table);
        Error::new(Kind::Damaged, found)
            .hint("recover the file (`sqlite3 FILE .recover`) or restore it from a copy")
    }

    /// Reads a page behind the others; returns where it begins.
    fn load(&mut self, number: u32, pages: &mut Pages) -> Result<usize> {
        if number == 0 || number > self.layout.count || !self.seen.insert(number) {
            return Err(self.damaged(number));
        }
        let start = pages.bytes.len();
        pages.bytes.resize(start + self.layout.page, 0);
        let page = pages.bytes.get_mut(start..).unwrap_or_default();
        files::read_exact_at(self.file, page, self.layout.offset(number))
            .map_err(|e| Error::new(Kind::Io, format!("cannot read page {number} of the file")).because(e))?;
        pages.numbers.push(number);
        Ok(start)
    }

    /// The next rows, whole leaves with about so many bytes; `None` behind the last.
    pub fn next(&mut self, most: usize) -> Result<Option<Pages>> {
        let mut pages = Pages { bytes: Vec::with_capacity(most + self.layout.page), ..Pages::default() };
        while pages.bytes.len() < most
            && let Some(level) = self.ahead.last_mut()
        {
            let Some(number) = level.pop() else {
                self.ahead.pop();
                continue;
            };
            let start = self.load(number, &mut pages)?;
            let node = pages.bytes.get(start..).and_then(Node::of);
            match node.ok_or_else(|| self.damaged(number))? {
                Node::Interior(mut below) => {
                    below.reverse();
                    self.ahead.push(below);
                }
                Node::Leaf(cells) => {
                    let mut room = self.layout.page;
                    for at in cells {
                        let page = pages.bytes.get(start..start + self.layout.page);
                        let cell = page.and_then(|page| Cell::of(page, at));
                        let cell = cell.ok_or_else(|| self.damaged(number))?;
                        // Rows that share bytes would take more memory than the file has.
                        room = room.checked_sub(cell.local).ok_or_else(|| self.damaged(number))?;
                        self.row(number, &cell, start, &mut pages)?;
                    }
                }
            }
        }
        Ok((!pages.numbers.is_empty()).then_some(pages))
    }

    /// Finds the vector of a row of the leaf `number`, which begins at `start`.
    fn row(&mut self, number: u32, cell: &Cell, start: usize, pages: &mut Pages) -> Result<()> {
        let mut record = Record {
            parts: Vec::with_capacity(1),
            length: cell.local,
            whole: cell.payload,
            next: cell.overflow,
        };
        let local = start + cell.start..start + cell.start + cell.local;
        record.parts.push(local.clone());
        let length =
            pages.bytes.get(local).and_then(format::header_length).ok_or_else(|| self.damaged(number))?;
        self.grow(&mut record, length, pages)?;
        let mut header = Vec::with_capacity(length);
        for part in record.within(0, length) {
            header.extend(pages.bytes.get(part).unwrap_or_default());
        }
        let blob = format::blob(&header, self.wanted.field).ok_or_else(|| self.damaged(number))?;
        let Some((from, length)) = blob.filter(|(_, length)| *length == self.wanted.length) else {
            return Ok(());
        };
        self.grow(&mut record, from.saturating_add(length), pages)?;
        let first = pages.parts.len();
        pages.parts.extend(record.within(from, length));
        pages.rows.push(Place { rowid: cell.rowid, parts: first..pages.parts.len() });
        Ok(())
    }

    /// Reads on until so many bytes of the record are there.
    fn grow(&mut self, record: &mut Record, length: usize, pages: &mut Pages) -> Result<()> {
        let leaf = pages.numbers.last().copied().unwrap_or_default();
        if length > record.whole {
            return Err(self.damaged(leaf));
        }
        while record.length < length {
            let number = record.next.ok_or_else(|| self.damaged(leaf))?;
            let start = self.load(number, pages)?;
            let more = (self.layout.page - 4).min(record.whole - record.length);
            record.parts.push(start + 4..start + 4 + more);
            record.length += more;
            record.next = format::u32_at(&pages.bytes, start);
        }
        Ok(())
    }

    /// Every page that was handed out.
    pub fn finish(self) -> PageSet {
        self.seen
    }
}

/// A row, as far as it was read.
struct Record {
    parts: Vec<Range<usize>>,
    length: usize,
    /// Bytes of all of it.
    whole: usize,
    next: Option<u32>,
}

impl Record {
    /// Where `length` bytes behind the first `from` lie.
    fn within(&self, from: usize, length: usize) -> impl Iterator<Item = Range<usize>> {
        let end = from + length;
        let mut at = 0;
        self.parts.iter().filter_map(move |part| {
            let (first, behind) = (from.clamp(at, at + part.len()), end.clamp(at, at + part.len()));
            let found = part.start + first - at..part.start + behind - at;
            at += part.len();
            (!found.is_empty()).then_some(found)
        })
    }
}
