//! Room for vectors on large memory pages: walks jump from row to row, and each jump to a small page costs a
//! look-up of its address (building 20,000 x 384 takes about a sixth less processor time).

use memmap2::MmapMut;
use pulp::bytemuck::{try_cast_slice, try_cast_slice_mut};

use crate::error::{Error, Kind, Result};

/// Rows of vectors, one after the other, zeros at first.
pub struct VectorBuffer {
    map: MmapMut,
    components: usize,
}

impl VectorBuffer {
    /// Room for `rows` vectors of `dimension` components.
    ///
    /// # Errors
    /// [`Kind::Refused`] if the system does not grant the memory.
    pub fn zeroed(rows: usize, dimension: usize) -> Result<Self> {
        let none =
            || Error::new(Kind::Refused, format!("no memory for {rows} vectors of {dimension} components"));
        let components = rows.checked_mul(dimension).ok_or_else(none)?;
        let bytes = components.checked_mul(4).ok_or_else(none)?;
        let map = MmapMut::map_anon(bytes.max(4)).map_err(|e| none().because(e))?;
        // A wish: without large pages everything works and takes longer.
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::HugePage);
        Ok(VectorBuffer { map, components })
    }

    /// The vectors, row by row.
    pub fn as_slice(&self) -> &[f32] {
        try_cast_slice(&self.map).ok().and_then(|all: &[f32]| all.get(..self.components)).unwrap_or(&[])
    }

    /// As [`VectorBuffer::as_slice`], to be filled.
    pub fn as_mut_slice(&mut self) -> &mut [f32] {
        let components = self.components;
        try_cast_slice_mut(&mut self.map)
            .ok()
            .and_then(|all: &mut [f32]| all.get_mut(..components))
            .unwrap_or(&mut [])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_of_the_size_asked_for_and_keeps_what_is_put_in() {
        let mut buffer = VectorBuffer::zeroed(3, 5).unwrap();
        assert_eq!(buffer.as_slice(), [0.0; 15]);
        buffer.as_mut_slice()[14] = 2.0;
        assert_eq!(buffer.as_slice()[13..], [0.0, 2.0]);
        assert!(VectorBuffer::zeroed(0, 5).unwrap().as_slice().is_empty());
        assert!(VectorBuffer::zeroed(usize::MAX, 2).is_err());
    }
}
