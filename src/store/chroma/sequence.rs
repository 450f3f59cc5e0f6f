//! Sequence numbers as every release wrote them.

use rusqlite::types::ValueRef;

/// A sequence number as any release wrote it: an integer, or 8 or 24 bytes big-endian.
pub(super) fn read(value: ValueRef<'_>) -> Option<i64> {
    match value {
        ValueRef::Integer(n) => Some(n),
        ValueRef::Blob(bytes) => {
            let start = bytes.len().checked_sub(8)?;
            let (high, low) = bytes.split_at_checked(start)?;
            let low = <[u8; 8]>::try_from(low).ok()?;
            if high.iter().any(|b| *b != 0) {
                return None;
            }
            i64::try_from(u64::from_be_bytes(low)).ok()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_of_every_release() {
        assert_eq!(read(ValueRef::Integer(7)), Some(7));
        assert_eq!(read(ValueRef::Blob(&[0, 0, 0, 0, 0, 0, 1, 2])), Some(258));
        let mut wide = [0u8; 24];
        wide[23] = 9;
        assert_eq!(read(ValueRef::Blob(&wide)), Some(9));
        assert_eq!(read(ValueRef::Blob(&[1, 2])), None);
        assert_eq!(read(ValueRef::Null), None);
    }
}
