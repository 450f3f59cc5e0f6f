//! Writing `index_metadata.pickle` in the dict form of Chroma 1.x.

use std::io::{self, Write};

/// Writes the dict form, as Chroma 1.x reads it: labels 1..=n in the order of `ids`.
pub(super) fn write(out: &mut dyn Write, ids: &[String], dimension: usize) -> io::Result<()> {
    let count = i64::try_from(ids.len()).map_err(io::Error::other)?;
    out.write_all(b"\x80\x03}(")?;
    write_text(out, "dimensionality")?;
    write_int(out, i64::try_from(dimension).map_err(io::Error::other)?)?;
    write_text(out, "total_elements_added")?;
    write_int(out, count)?;
    write_text(out, "max_seq_id")?;
    out.write_all(b"N")?;
    write_text(out, "id_to_label")?;
    out.write_all(b"}(")?;
    for (id, label) in ids.iter().zip(1..) {
        write_text(out, id)?;
        write_int(out, label)?;
    }
    out.write_all(b"u")?;
    write_text(out, "label_to_id")?;
    out.write_all(b"}(")?;
    for (id, label) in ids.iter().zip(1..) {
        write_int(out, label)?;
        write_text(out, id)?;
    }
    out.write_all(b"u")?;
    write_text(out, "id_to_seq_id")?;
    out.write_all(b"}u.")
}

pub(super) fn write_text(out: &mut dyn Write, text: &str) -> io::Result<()> {
    let length = u32::try_from(text.len()).map_err(io::Error::other)?;
    out.write_all(b"X")?;
    out.write_all(&length.to_le_bytes())?;
    out.write_all(text.as_bytes())
}

pub(super) fn write_int(out: &mut dyn Write, value: i64) -> io::Result<()> {
    match i32::try_from(value) {
        Ok(small) => {
            out.write_all(b"J")?;
            out.write_all(&small.to_le_bytes())
        }
        Err(_) => {
            out.write_all(b"\x8a\x08")?;
            out.write_all(&value.to_le_bytes())
        }
    }
}
