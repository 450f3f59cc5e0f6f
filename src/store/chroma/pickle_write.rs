//! Writing `index_metadata.pickle` in the two forms that Chroma reads.

use std::io::{self, BufWriter, Write};

/// What a release wants the pickle to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A dict: the Rust engine, 1.0 and later.
    Dict,
    /// An instance of `PersistentData`: the engine in Python, which fails on a dict. It looks up a sequence
    /// number for every record that it deletes or returns; any is right that the queue is past.
    Object {
        /// How far the index has read the queue.
        last: i64,
        /// Whether that is read from here (before 0.5.6) and not from the tables.
        counted: bool,
    },
}

/// What an index says of itself.
pub(super) struct Named<'a> {
    /// Record ids and their labels.
    pub entries: &'a [(&'a str, u64)],
    /// Highest label that was ever given.
    pub total: u64,
    pub dimension: usize,
    pub form: Form,
}

/// Writes the pickle in the form that is asked for.
pub(super) fn write(out: &mut dyn Write, named: &Named<'_>) -> io::Result<()> {
    let Named { entries, total, dimension, form } = *named;
    // Few bytes at a time, and of one type: what is written is not asked for each time.
    let out = &mut BufWriter::with_capacity(1 << 16, out);
    out.write_all(match form {
        Form::Dict => b"\x80\x03}(",
        Form::Object { .. } => {
            b"\x80\x02cchromadb.segment.impl.vector.local_persistent_hnsw\nPersistentData\n)\x81}("
        }
    })?;
    write_text(out, "dimensionality")?;
    write_int(out, i64::try_from(dimension).map_err(io::Error::other)?)?;
    write_text(out, "total_elements_added")?;
    write_label(out, total)?;
    match form {
        Form::Dict => {
            write_text(out, "max_seq_id")?;
            out.write_all(b"N")?;
        }
        Form::Object { last, counted: true } => {
            write_text(out, "max_seq_id")?;
            write_int(out, last)?;
        }
        Form::Object { counted: false, .. } => {}
    }
    write_text(out, "id_to_label")?;
    out.write_all(b"}(")?;
    for (id, label) in entries {
        write_text(out, id)?;
        write_label(out, *label)?;
    }
    out.write_all(b"u")?;
    write_text(out, "label_to_id")?;
    out.write_all(b"}(")?;
    for (id, label) in entries {
        write_label(out, *label)?;
        write_text(out, id)?;
    }
    out.write_all(b"u")?;
    write_text(out, "id_to_seq_id")?;
    out.write_all(b"}")?;
    if let Form::Object { last, .. } = form {
        out.write_all(b"(")?;
        for (id, _) in entries {
            write_text(out, id)?;
            write_int(out, last)?;
        }
        out.write_all(b"u")?;
    }
    out.write_all(match form {
        Form::Dict => b"u.",
        Form::Object { .. } => b"ub.",
    })?;
    out.flush()
}

fn write_label(out: &mut impl Write, label: u64) -> io::Result<()> {
    write_int(out, i64::try_from(label).map_err(io::Error::other)?)
}

pub(super) fn write_text(out: &mut impl Write, text: &str) -> io::Result<()> {
    let length = u32::try_from(text.len()).map_err(io::Error::other)?;
    out.write_all(b"X")?;
    out.write_all(&length.to_le_bytes())?;
    out.write_all(text.as_bytes())
}

pub(super) fn write_int(out: &mut impl Write, value: i64) -> io::Result<()> {
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
