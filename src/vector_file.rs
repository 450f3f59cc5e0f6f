//! Vector files (`.npy`): read in blocks, written as a stream into a temporary file that replaces the
//! target at the end.
//!
//! Format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>, versions 1 to 3,
//! little-endian f2 and f4, C order, two axes. Everything else is refused with the numpy line that
//! makes a readable file.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use ndarray::{Array2, ArrayView2};

use crate::error::{Error, Kind, Result};
use crate::platform::{bytes, files};

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// Longest header that is read; numpy writes 118 bytes for two axes.
const MAX_HEADER: usize = 1 << 16;
/// Bytes before the rows of a file that [`NpyWriter`] makes; a multiple of 64, as the format wants.
const HEADER: usize = 128;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Element {
    F2,
    F4,
}

impl Element {
    fn bytes(self) -> usize {
        match self {
            Element::F2 => 2,
            Element::F4 => 4,
        }
    }
}

/// Reads a `.npy` file of vectors block by block.
#[derive(Debug)]
pub struct NpyReader {
    file: BufReader<File>,
    path: PathBuf,
    element: Element,
    /// Rows of the file.
    pub rows: usize,
    /// Components of a row.
    pub dimension: usize,
    left: usize,
}

impl NpyReader {
    /// Opens the file and checks its header against its length.
    ///
    /// # Errors
    /// [`Kind::NotFound`], [`Kind::Damaged`] for a file that breaks the format or is cut,
    /// [`Kind::Unsupported`] for another type, order or number of axes.
    pub fn open(path: &Path) -> Result<Self> {
        let place = |e: Error| e.context(format!("`{}`", path.display()));
        let file = File::open(path).map_err(|cause| Error::io("open", path, cause))?;
        let length = file.metadata().map_err(|cause| Error::io("read", path, cause))?.len();
        let mut file = BufReader::with_capacity(1 << 20, file);
        let (header, start) = read_header(&mut file).map_err(place)?;
        let Header { element, rows, dimension } = parse_header(&header).map_err(place)?;
        let wanted = (rows as u64)
            .checked_mul(dimension as u64)
            .and_then(|n| n.checked_mul(element.bytes() as u64))
            .and_then(|n| n.checked_add(start as u64));
        if wanted != Some(length) {
            return Err(place(damaged(format!(
                "{rows} x {dimension} values do not fit a file of {length} bytes; it is cut or damaged"
            ))));
        }
        Ok(NpyReader { file, path: path.to_owned(), element, rows, dimension, left: rows })
    }

    /// The next at most `max` rows, `None` after the last.
    ///
    /// # Errors
    /// [`Kind::Io`] if the file cannot be read to its end.
    pub fn next_block(&mut self, max: usize) -> Result<Option<Array2<f32>>> {
        let count = max.max(1).min(self.left);
        if count == 0 {
            return Ok(None);
        }
        let mut bytes = vec![0; count * self.dimension * self.element.bytes()];
        self.file.read_exact(&mut bytes).map_err(|cause| Error::io("read", &self.path, cause))?;
        self.left -= count;
        let values: Vec<f32> = match self.element {
            Element::F2 => bytes::halves(&bytes),
            Element::F4 => bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        };
        Array2::from_shape_vec((count, self.dimension), values)
            .map(Some)
            .map_err(|cause| Error::new(Kind::Internal, "a block has another shape").because(cause))
    }

    /// All rows that are left.
    pub fn read_all(mut self) -> Result<Array2<f32>> {
        let left = self.left;
        Ok(self.next_block(left)?.unwrap_or_else(|| Array2::zeros((0, self.dimension))))
    }
}

struct Header {
    element: Element,
    rows: usize,
    dimension: usize,
}

/// The header's text, and where the rows start.
fn read_header(file: &mut impl Read) -> Result<(String, usize)> {
    let cut = |_| damaged("it ends within its header".to_owned());
    let mut prefix = [0; 8];
    file.read_exact(&mut prefix).map_err(cut)?;
    let [magic @ .., major, _minor] = prefix;
    if magic != *MAGIC {
        return Err(damaged("no npy file: its first bytes are others".to_owned())
            .hint("give a .npy file, as np.save of Python writes it"));
    }
    let (length, start) = match major {
        1 => {
            let mut bytes = [0; 2];
            file.read_exact(&mut bytes).map_err(cut)?;
            (usize::from(u16::from_le_bytes(bytes)), 10)
        }
        2 | 3 => {
            let mut bytes = [0; 4];
            file.read_exact(&mut bytes).map_err(cut)?;
            (u32::from_le_bytes(bytes) as usize, 12)
        }
        _ => return Err(Error::new(Kind::Unsupported, format!("npy format version {major}, wanted 1 to 3"))),
    };
    if length > MAX_HEADER {
        return Err(damaged(format!("a header of {length} bytes, at most {MAX_HEADER} are read")));
    }
    let mut header = vec![0; length];
    file.read_exact(&mut header).map_err(cut)?;
    match String::from_utf8(header) {
        Ok(header) => Ok((header, start + length)),
        Err(_) => Err(damaged("its header is no text".to_owned())),
    }
}

/// Parses `{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }`.
fn parse_header(header: &str) -> Result<Header> {
    let value = |key: &str| -> Result<&str> {
        let quoted = [format!("'{key}'"), format!("\"{key}\"")];
        let rest = quoted.iter().find_map(|q| header.split_once(q.as_str())).map(|(_, rest)| rest);
        let rest = rest.and_then(|r| r.trim_start().strip_prefix(':')).map(str::trim_start);
        rest.ok_or_else(|| damaged(format!("its header has no `{key}`")))
    };
    let fix = "in Python: np.save(path, np.ascontiguousarray(x, dtype=np.float32))";
    let unsupported = |what: String| Error::new(Kind::Unsupported, what).hint(fix);

    let descr = value("descr")?;
    let descr = match descr.split(['\'', '"']).nth(1) {
        Some(name) if descr.starts_with(['\'', '"']) => name,
        _ => return Err(unsupported("values that are structures, wanted float16 or float32".to_owned())),
    };
    let element = match descr {
        "<f4" => Element::F4,
        "<f2" => Element::F2,
        _ => return Err(unsupported(format!("values of type {descr:?}, wanted <f2 or <f4"))),
    };
    let order = value("fortran_order")?;
    if order.starts_with("True") {
        return Err(unsupported("values in Fortran order, wanted C order".to_owned()));
    } else if !order.starts_with("False") {
        return Err(damaged("its header does not tell the order of values".to_owned()));
    }
    let shape = value("shape")?.strip_prefix('(').and_then(|s| s.split_once(')')).map(|(inside, _)| inside);
    let shape = shape.ok_or_else(|| damaged("its header has no shape".to_owned()))?;
    let axes = shape.split(',').map(str::trim).filter(|axis| !axis.is_empty());
    let axes: Option<Vec<usize>> = axes.map(|axis| axis.trim_end_matches('L').parse().ok()).collect();
    match axes.as_deref() {
        Some(&[rows, dimension]) if dimension > 0 => Ok(Header { element, rows, dimension }),
        Some(&[_, _]) => Err(damaged("rows of 0 components".to_owned())),
        Some(axes) => {
            Err(Error::new(Kind::Unsupported, format!("{} axes, wanted 2 (rows x components)", axes.len()))
                .hint("in Python: np.save(path, x.reshape(len(x), -1))"))
        }
        None => Err(damaged("its shape is not of numbers".to_owned())),
    }
}

fn damaged(message: String) -> Error {
    Error::new(Kind::Damaged, message)
}

/// Writes a float32 `.npy` file row by row. Nothing is at the target before [`NpyWriter::finish`].
#[derive(Debug)]
pub struct NpyWriter {
    file: BufWriter<tempfile::NamedTempFile>,
    path: PathBuf,
    dimension: usize,
    rows: usize,
}

impl NpyWriter {
    /// Begins a file of rows of `dimension` components, in the folder of `path`.
    ///
    /// # Errors
    /// [`Kind::CannotWrite`], [`Kind::NotFound`] for a missing folder.
    pub fn create(path: &Path, dimension: usize) -> Result<Self> {
        let folder = files::parent(path);
        let file = files::temporary_in(&folder).map_err(|cause| Error::io("write in", &folder, cause))?;
        let mut writer = NpyWriter {
            file: BufWriter::with_capacity(1 << 20, file),
            path: path.to_owned(),
            dimension,
            rows: 0,
        };
        writer.bytes(&[0; HEADER])?;
        Ok(writer)
    }

    /// Appends rows.
    ///
    /// # Errors
    /// [`Kind::Mismatch`] for another dimension, [`Kind::CannotWrite`] on a full disk.
    pub fn write(&mut self, rows: ArrayView2<f32>) -> Result<()> {
        if rows.ncols() != self.dimension {
            return Err(Error::new(
                Kind::Mismatch,
                format!("rows of {} components for a file of {}", rows.ncols(), self.dimension),
            ));
        }
        for row in rows.rows() {
            for value in row {
                self.bytes(&value.to_le_bytes())?;
            }
        }
        self.rows += rows.nrows();
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|cause| Error::io("write", &self.path, cause))
    }

    /// Makes the file durable and puts it at its place. Returns the number of rows.
    ///
    /// # Errors
    /// [`Kind::CannotWrite`]; the target is then as it was.
    pub fn finish(mut self) -> Result<usize> {
        let header = format!(
            "{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}",
            self.rows, self.dimension
        );
        let mut head = Vec::with_capacity(HEADER);
        head.extend_from_slice(MAGIC);
        head.extend_from_slice(&[1, 0]);
        head.extend_from_slice(&((HEADER - 10) as u16).to_le_bytes());
        head.extend_from_slice(header.as_bytes());
        head.resize(HEADER - 1, b' ');
        head.push(b'\n');
        let path = self.path.clone();
        let failed = |cause| Error::io("write", &path, cause);
        self.file.seek(SeekFrom::Start(0)).map_err(failed)?;
        self.bytes(&head)?;
        let file = self.file.into_inner().map_err(|cause| failed(cause.into_error()))?;
        file.as_file().sync_all().map_err(failed)?;
        files::persist(file, &path).map_err(failed)?;
        files::sync_folder(&files::parent(&path))?;
        Ok(self.rows)
    }
}

#[cfg(test)]
#[path = "vector_file_tests.rs"]
mod tests;
