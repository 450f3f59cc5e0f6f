//! SQLite's file format, as far as it takes to find a value in a row of a table: <https://www.sqlite.org/fileformat2.html>.
//!
//! Every number here may come from a damaged file: `None` means that it is one.

/// Largest header of a record that is read: that of a table with as many columns as SQLite can be built to allow.
const HEADER: usize = 9 * 32_768;

/// How the file is cut into pages. Their numbers begin with 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Bytes of a page.
    pub page: usize,
    pub count: u32,
}

impl Layout {
    /// Of a file of so many bytes that begins with `header`; none: its pages cannot be written past SQLite, because something
    /// else has room at their ends, where checksums may stand.
    pub fn of(header: &[u8], bytes: u64) -> Option<Layout> {
        let page = match u16_at(header, 16)? {
            1 => 1 << 16,
            page => usize::from(page),
        };
        let whole = page.is_power_of_two() && page >= 512 && bytes.is_multiple_of(page as u64);
        let count = u32::try_from(bytes.checked_div(page as u64)?).ok()?;
        (whole && header.get(20) == Some(&0)).then_some(Layout { page, count })
    }

    /// Where a page begins.
    pub fn offset(self, number: u32) -> u64 {
        u64::from(number.saturating_sub(1)) * self.page as u64
    }
}

/// A page of a table's tree.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// Page numbers of what lies below, in the order of the keys.
    Interior(Vec<u32>),
    /// Where the rows begin inside the page, in the order of the keys.
    Leaf(Vec<usize>),
}

impl Node {
    pub fn of(page: &[u8]) -> Option<Node> {
        let cells = usize::from(u16_at(page, 3)?);
        let pointers =
            |header: usize| (0..cells).map(move |at| u16_at(page, header + 2 * at).map(usize::from));
        match page.first()? {
            5 => {
                let below = pointers(12).map(|at| u32_at(page, at?));
                below.chain([u32_at(page, 8)]).collect::<Option<_>>().map(Node::Interior)
            }
            13 => pointers(8).collect::<Option<_>>().map(Node::Leaf),
            _ => None,
        }
    }
}

/// A row as it lies in a leaf.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cell {
    pub rowid: i64,
    /// Bytes of the whole record.
    pub payload: usize,
    /// Where its first bytes lie inside the page, and how many of them.
    pub start: usize,
    pub local: usize,
    /// The page with the bytes behind these.
    pub overflow: Option<u32>,
}

impl Cell {
    /// The one that begins at `at`.
    pub fn of(page: &[u8], at: usize) -> Option<Cell> {
        let (payload, first) = varint(page.get(at..)?)?;
        let (rowid, second) = varint(page.get(at + first..)?)?;
        let (payload, start) = (usize::try_from(payload).ok()?, at + first + second);
        let (local, overflow) = match payload <= page.len() - 35 {
            true => (payload, None),
            false => {
                let least = (page.len() - 12) * 32 / 255 - 23;
                let fitting = least + (payload - least) % (page.len() - 4);
                let local = if fitting <= page.len() - 35 { fitting } else { least };
                (local, Some(u32_at(page, start + local)?))
            }
        };
        (start + local <= page.len()).then_some(Cell {
            rowid: rowid.cast_signed(),
            payload,
            start,
            local,
            overflow,
        })
    }
}

/// Bytes of the header of a record that begins with `record`.
pub(super) fn header_length(record: &[u8]) -> Option<usize> {
    let (length, own) = varint(record)?;
    usize::try_from(length).ok().filter(|length| (own..=HEADER).contains(length))
}

/// Where the blob in column number `field` of a record begins, and its length; `Some(None)`: there is none.
pub(super) fn blob(header: &[u8], field: usize) -> Option<Option<(usize, usize)>> {
    let (_, mut at) = varint(header)?;
    let mut start = header.len();
    for _ in 0..field {
        let Some(rest) = header.get(at..).filter(|rest| !rest.is_empty()) else { return Some(None) };
        let (kind, length) = varint(rest)?;
        at += length;
        start = start.checked_add(stored(kind)?)?;
    }
    // A row that was written before the column was added ends early.
    let Some(rest) = header.get(at..).filter(|rest| !rest.is_empty()) else { return Some(None) };
    let (kind, _) = varint(rest)?;
    let is_blob = kind >= 12 && kind.is_multiple_of(2);
    Some(if is_blob { Some((start, stored(kind)?)) } else { None })
}

/// Bytes of a value of such a type.
fn stored(kind: u64) -> Option<usize> {
    Some(match kind {
        0 | 8 | 9 => 0,
        1..=4 => kind as usize,
        5 => 6,
        6 | 7 => 8,
        10 | 11 => return None,
        _ => usize::try_from((kind - 12) / 2).ok()?,
    })
}

/// A number, and how many bytes it takes.
fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0u64;
    for at in 0..8 {
        let byte = *bytes.get(at)?;
        value = value << 7 | u64::from(byte & 0x7f);
        if byte < 0x80 {
            return Some((value, at + 1));
        }
    }
    Some((value << 8 | u64::from(*bytes.get(8)?), 9))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|two| u16::from_be_bytes(*two))
}

/// Four bytes as a page's number.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|four| u32::from_be_bytes(*four))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_take_one_to_nine_bytes() {
        assert_eq!(varint(&[0x7f]), Some((127, 1)));
        assert_eq!(varint(&[0x81, 0x00, 9]), Some((128, 2)));
        assert_eq!(varint(&[0xff; 9]), Some((u64::MAX, 9)));
        assert_eq!([varint(&[]), varint(&[0x80]), varint(&[0x80; 8])], [None; 3]);
    }

    #[test]
    fn a_blob_lies_behind_the_values_before_it() {
        // A rowid's place, two bytes of an integer, a text of three bytes, a blob of four.
        let header = [5, 0, 2, 13 + 2 * 3, 12 + 2 * 4];
        assert_eq!(blob(&header, 3), Some(Some((5 + 2 + 3, 4))));
        assert_eq!([blob(&header, 2), blob(&header, 4), blob(&header, 9)], [Some(None); 3]);
        assert_eq!([blob(&[3, 10, 12], 1), blob(&[2, 0x80], 0)], [None; 2], "no such types");
    }

    #[test]
    fn layouts_that_others_write_into_are_left_alone() {
        let mut header = [0; 100];
        (header[16], header[17]) = (0x10, 0);
        assert_eq!(Layout::of(&header, 8192), Some(Layout { page: 4096, count: 2 }));
        assert_eq!(Layout::of(&header, 8193), None);
        header[20] = 8;
        assert_eq!(Layout::of(&header, 8192), None);
    }

    #[test]
    fn broken_pages_are_no_nodes() {
        let mut leaf = vec![0; 512];
        (leaf[0], leaf[4]) = (13, 1);
        (leaf[8], leaf[9]) = (1, 0);
        assert_eq!(Node::of(&leaf), Some(Node::Leaf(vec![256])));
        leaf[3] = 0xff;
        assert_eq!(Node::of(&leaf), None, "more rows than a page holds");
        assert_eq!([Node::of(&[]), Node::of(&[13]), Node::of(&[2; 512])], [const { None }; 3]);
        leaf[256..266].fill(0xff);
        assert_eq!(Cell::of(&leaf, 256), None, "longer than any record");
        assert_eq!(Cell::of(&leaf, 600), None);
    }
}
