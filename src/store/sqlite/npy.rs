//! Numpy files (.npy) in a value: one axis, little-endian numbers. Layout: the NumPy Enhancement Proposal 1.

use half::f16;

use super::encoding::{MOST_COMPONENTS, half};

const MAGIC: &[u8] = b"\x93NUMPY";
/// Headers are padded to multiples of this, with a line break at the end.
const ALIGNMENT: usize = 64;

/// The numbers of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    F16,
    F32,
    F64,
}

impl Number {
    fn bytes(self) -> usize {
        match self {
            Number::F16 => 2,
            Number::F32 => 4,
            Number::F64 => 8,
        }
    }
}

/// What stands before the numbers.
pub(super) struct Header {
    pub number: Number,
    pub length: usize,
    start: usize,
}

impl Header {
    /// Reads the header of a whole file; `None` for another shape, order or kind of numbers, and for a wrong length.
    pub fn read(bytes: &[u8]) -> Option<Header> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let (version, rest) = rest.split_first_chunk::<2>()?;
        let (length, start): (usize, usize) = match version[0] {
            1 => (usize::from(u16::from_le_bytes(*rest.first_chunk()?)), 10),
            2 | 3 => (usize::try_from(u32::from_le_bytes(*rest.first_chunk()?)).ok()?, 12),
            _ => return None,
        };
        let end = start.checked_add(length).filter(|end| *end <= bytes.len() && length < 4096)?;
        let text = std::str::from_utf8(bytes.get(start..end)?).ok()?;
        let number = match entry(text, "'descr':")? {
            "'<f2'" => Number::F16,
            "'<f4'" => Number::F32,
            "'<f8'" => Number::F64,
            _ => return None,
        };
        let shape = text.split_once("'shape':")?.1.split_once('(')?.1.split_once(')')?.0;
        let mut axes = shape.split(',').map(str::trim).filter(|axis| !axis.is_empty());
        let length: usize = axes.next()?.parse().ok()?;
        let whole = length <= MOST_COMPONENTS && end + length * number.bytes() == bytes.len();
        (axes.next().is_none() && whole).then_some(Header { number, length, start: end })
    }

    /// Appends the numbers of the file that this header was read from.
    pub fn decode(&self, bytes: &[u8], out: &mut Vec<f32>) -> Option<()> {
        let numbers = bytes.get(self.start..)?;
        match self.number {
            Number::F16 => out.extend(numbers.as_chunks().0.iter().map(|c| f16::from_le_bytes(*c).to_f32())),
            Number::F32 => out.extend(numbers.as_chunks().0.iter().map(|c| f32::from_le_bytes(*c))),
            Number::F64 => out.extend(numbers.as_chunks().0.iter().map(|c| f64::from_le_bytes(*c) as f32)),
        }
        Some(())
    }
}

/// Value behind a name in the header, up to the comma.
fn entry<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    Some(text.split_once(name)?.1.split_once(',')?.0.trim())
}

/// Bytes of a file of so many numbers, as numpy writes it.
pub(super) fn length(number: Number, numbers: usize) -> usize {
    header(number, numbers).len() + numbers * number.bytes()
}

/// A file of one axis, as numpy writes it.
pub(super) fn write(number: Number, vector: &[f32]) -> Vec<u8> {
    let mut bytes = header(number, vector.len());
    match number {
        Number::F16 => bytes.extend(vector.iter().flat_map(|x| half(*x).to_le_bytes())),
        Number::F32 => bytes.extend(vector.iter().flat_map(|x| x.to_le_bytes())),
        Number::F64 => bytes.extend(vector.iter().flat_map(|x| f64::from(*x).to_le_bytes())),
    }
    bytes
}

/// What stands before the numbers.
fn header(number: Number, numbers: usize) -> Vec<u8> {
    let name = match number {
        Number::F16 => "<f2",
        Number::F32 => "<f4",
        Number::F64 => "<f8",
    };
    let mut header = format!("{{'descr': '{name}', 'fortran_order': False, 'shape': ({},), }}", numbers);
    let padding = (MAGIC.len() + 4 + header.len() + 1).next_multiple_of(ALIGNMENT);
    while MAGIC.len() + 4 + header.len() + 1 < padding {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = MAGIC.to_vec();
    bytes.extend([1, 0]);
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes
}
