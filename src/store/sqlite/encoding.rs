//! How one vector is written as one value: read, written, and recognised.

use half::f16;
use rusqlite::types::{Value, ValueRef};

use super::npy;
use crate::platform::bytes;

/// A way to write a vector as one value of SQLite. Numbers in blobs are little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    F32,
    F64,
    F16,
    /// Signed bytes, times the number in another column of the row.
    Int8Scaled,
    /// Signed bytes over \[-1, 1\] in 255 steps, cut off towards zero as sqlite-vec's `vec_quantize_int8(x, 'unit')` does it,
    /// so that vectors that come later are rounded alike; read as the middle of what is cut off to the same byte.
    Int8Unit,
    /// One bit for each component, lowest first: above zero or not.
    Bit,
    /// A JSON array of numbers.
    Json,
    /// A numpy file (.npy) of one axis.
    Npy(npy::Number),
}

/// Largest vector that is believed.
pub(super) const MOST_COMPONENTS: usize = 1 << 16;

impl Encoding {
    /// Name, as it is given in `encoding=`.
    pub fn name(self) -> &'static str {
        match self {
            Encoding::F32 => "f32",
            Encoding::F64 => "f64",
            Encoding::F16 => "f16",
            Encoding::Int8Scaled => "int8-scaled",
            Encoding::Int8Unit => "int8",
            Encoding::Bit => "bit",
            Encoding::Json => "json",
            Encoding::Npy(_) => "npy",
        }
    }

    /// The encoding that is called `name`. Of numpy files the numbers have to be looked at: f32 stands for all.
    pub fn of_name(name: &str) -> Option<Encoding> {
        ALL.into_iter().find(|encoding| encoding.name() == name)
    }

    /// Components of the vector in `value`; `None` if it is none in this encoding.
    pub fn dimension(self, value: ValueRef<'_>) -> Option<usize> {
        let whole =
            |bytes: &[u8], size: usize| bytes.len().is_multiple_of(size).then_some(bytes.len() / size);
        let dimension = match (self, value) {
            (Encoding::F32, ValueRef::Blob(b)) => whole(b, 4),
            (Encoding::F64, ValueRef::Blob(b)) => whole(b, 8),
            (Encoding::F16, ValueRef::Blob(b)) => whole(b, 2),
            (Encoding::Int8Scaled | Encoding::Int8Unit, ValueRef::Blob(b)) => Some(b.len()),
            (Encoding::Bit, ValueRef::Blob(b)) => Some(b.len() * 8),
            (Encoding::Npy(number), ValueRef::Blob(b)) => {
                npy::Header::read(b).filter(|header| header.number == number).map(|header| header.length)
            }
            (Encoding::Json, ValueRef::Text(t)) => json(t).map(|numbers| numbers.len()),
            _ => None,
        };
        dimension.filter(|d| (1..=MOST_COMPONENTS).contains(d))
    }

    /// Bytes of a blob with a vector of `dimension` components; `None` where it is no blob.
    pub fn length(self, dimension: usize) -> Option<usize> {
        match self {
            Encoding::F32 => Some(4 * dimension),
            Encoding::F64 => Some(8 * dimension),
            Encoding::F16 => Some(2 * dimension),
            Encoding::Int8Scaled | Encoding::Int8Unit => Some(dimension),
            Encoding::Bit => Some(dimension.div_ceil(8)),
            Encoding::Npy(number) => Some(npy::length(number, dimension)),
            Encoding::Json => None,
        }
    }

    /// Appends the vector in `value` to `out`; `scale` is the number in the other column. `None`: it is no vector of this
    /// encoding, and nothing was appended.
    pub fn decode(self, value: ValueRef<'_>, scale: Option<f64>, out: &mut Vec<f32>) -> Option<usize> {
        let dimension = self.dimension(value)?;
        match (self, value) {
            (Encoding::F32, ValueRef::Blob(b)) => {
                out.extend(b.as_chunks().0.iter().map(|c| f32::from_le_bytes(*c)));
            }
            (Encoding::F64, ValueRef::Blob(b)) => {
                out.extend(b.as_chunks().0.iter().map(|c| f64::from_le_bytes(*c) as f32));
            }
            (Encoding::F16, ValueRef::Blob(b)) => {
                out.extend(b.as_chunks().0.iter().map(|c| f16::from_le_bytes(*c).to_f32()));
            }
            (Encoding::Int8Scaled, ValueRef::Blob(b)) => {
                let scale = scale?;
                out.extend(b.iter().map(|c| (f64::from(c.cast_signed()) * scale) as f32));
            }
            (Encoding::Int8Unit, ValueRef::Blob(b)) => {
                let middle = |c: i8| f32::from(c) + 0.5 * f32::from(c.signum());
                out.extend(b.iter().map(|c| (middle(c.cast_signed()) + 128.0) * UNIT_STEP - 1.0));
            }
            (Encoding::Bit, ValueRef::Blob(b)) => {
                let bits = b.iter().flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1));
                out.extend(bits.map(|bit| if bit == 1 { 1.0 } else { -1.0 }));
            }
            (Encoding::Npy(_), ValueRef::Blob(b)) => npy::Header::read(b)?.decode(b, out)?,
            (Encoding::Json, ValueRef::Text(t)) => out.extend(json(t)?.into_iter().map(|x| x as f32)),
            _ => return None,
        }
        Some(dimension)
    }

    /// `vector` as a value, and the number for the other column if this encoding has one. Components have to be finite.
    pub fn encode(self, vector: &[f32]) -> (Value, Option<f64>) {
        let blob = match self {
            Encoding::F32 => bytes::of_f32(vector).to_vec(),
            Encoding::F64 => vector.iter().flat_map(|x| f64::from(*x).to_le_bytes()).collect(),
            Encoding::F16 => vector.iter().flat_map(|x| half(*x).to_le_bytes()).collect(),
            Encoding::Int8Scaled => {
                let largest = vector.iter().fold(0f32, |most, x| most.max(x.abs()));
                let scale = if largest > 0.0 { f64::from(largest) / 127.0 } else { 1.0 };
                let byte = |x: &f32| ((f64::from(*x) / scale).round() as i8).cast_unsigned();
                return (Value::Blob(vector.iter().map(byte).collect()), Some(scale));
            }
            Encoding::Int8Unit => {
                // A conversion cuts off towards zero, and stays in the range.
                let byte = |x: &f32| ((x + 1.0) / UNIT_STEP - 128.0) as i8;
                vector.iter().map(|x| byte(x).cast_unsigned()).collect()
            }
            Encoding::Bit => {
                let byte = |bits: &[f32]| {
                    bits.iter().enumerate().fold(0, |byte, (at, x)| byte | u8::from(*x > 0.0) << at)
                };
                vector.chunks(8).map(byte).collect()
            }
            Encoding::Npy(number) => npy::write(number, vector),
            Encoding::Json => return (Value::Text(write_json(vector)), None),
        };
        (Value::Blob(blob), None)
    }

    /// Makes of a vector what comes back after it was written.
    pub fn round(self, vector: &mut [f32]) {
        if self.is_exact() {
            return;
        }
        let (value, scale) = self.encode(vector);
        let mut rounded = Vec::with_capacity(vector.len());
        if self.decode((&value).into(), scale, &mut rounded) == Some(vector.len()) {
            vector.copy_from_slice(&rounded);
        }
    }

    /// Whether a finite f32 comes back as it was.
    pub fn is_exact(self) -> bool {
        match self {
            Encoding::F32 | Encoding::F64 | Encoding::Json => true,
            Encoding::Npy(number) => number != npy::Number::F16,
            Encoding::F16 | Encoding::Int8Scaled | Encoding::Int8Unit | Encoding::Bit => false,
        }
    }

    /// Whether every other component is what the lower half of a wider number that was rounded leaves.
    fn is_half_of_a_wider(self, all: &[f32]) -> bool {
        let empty = |x: &f32| match self {
            // A number of 32 bits that was rounded to 16 has 13 bits or more that are not set.
            Encoding::F16 => f16::from_f32(*x).to_bits().trailing_zeros() >= 13,
            _ => *x == 0.0,
        };
        all.iter().step_by(2).all(empty) || all.iter().skip(1).step_by(2).all(empty)
    }

    /// Whether `values` look like vectors in this encoding: numbers of a likely size, of which hardly any is not finite.
    /// Bytes alone say nothing: int8 and bits are never recognised.
    pub fn is_likely(self, values: &[Value]) -> bool {
        if matches!(self, Encoding::Int8Scaled | Encoding::Int8Unit | Encoding::Bit) {
            return false;
        }
        let mut all = Vec::new();
        let whole = values.iter().all(|value| self.decode(value.into(), None, &mut all).is_some());
        let likely = |x: &&f32| **x == 0.0 || (1e-7..1e3).contains(&x.abs());
        let counted = all.iter().filter(likely).count();
        whole
            && all.len() >= 2 * values.len()
            && counted * 100 >= all.len() * 99
            && !self.is_half_of_a_wider(&all)
    }
}

/// Every encoding; of numpy files each kind of number.
pub(super) const ALL: [Encoding; 10] = [
    Encoding::F32,
    Encoding::F64,
    Encoding::F16,
    Encoding::Int8Scaled,
    Encoding::Int8Unit,
    Encoding::Bit,
    Encoding::Json,
    Encoding::Npy(npy::Number::F32),
    Encoding::Npy(npy::Number::F64),
    Encoding::Npy(npy::Number::F16),
];

/// What one step of [`Encoding::Int8Unit`] is worth.
const UNIT_STEP: f32 = 2.0 / 255.0;

/// The nearest number of 16 bits that is finite.
pub(super) fn half(x: f32) -> f16 {
    f16::from_f32(x.clamp(f16::MIN.to_f32(), f16::MAX.to_f32()))
}

/// Numbers of a JSON array; `None` for anything else.
fn json(text: &[u8]) -> Option<Vec<f64>> {
    serde_json::from_slice(text).ok()
}

fn write_json(vector: &[f32]) -> String {
    let mut text = String::with_capacity(vector.len() * 12);
    for x in vector {
        text.push(if text.is_empty() { '[' } else { ',' });
        text.push_str(&x.to_string());
    }
    if text.is_empty() {
        text.push('[');
    }
    text.push(']');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const UNIT: [f32; 8] = [0.25, -0.5, 0.125, 0.0, -0.75, 0.1, 0.3, -0.06];

    #[test]
    fn what_is_written_is_read_back() {
        for encoding in ALL {
            let (value, scale) = encoding.encode(&UNIT);
            let mut read = Vec::new();
            assert_eq!(encoding.decode((&value).into(), scale, &mut read), Some(8), "{encoding:?}");
            let mut rounded = UNIT;
            encoding.round(&mut rounded);
            assert_eq!(read, rounded, "{encoding:?}");
            assert_eq!(encoding.encode(&rounded).0, value, "{encoding:?}: rounding twice is rounding once");
            assert_eq!(encoding.is_exact(), rounded == UNIT, "{encoding:?}");
            let near = match encoding {
                Encoding::Bit => 1.0,
                Encoding::Int8Unit => UNIT_STEP,
                _ => 0.004,
            };
            assert!(read.iter().zip(UNIT).all(|(a, b)| (a - b).abs() <= near), "{encoding:?}: {read:?}");
            assert_eq!(encoding.dimension((&value).into()), Some(8));
            if let (Some(length), Value::Blob(blob)) = (encoding.length(8), &value) {
                assert_eq!(blob.len(), length, "{encoding:?}");
            }
        }
    }

    #[test]
    fn bytes_by_hand() {
        assert_eq!(Encoding::F32.encode(&[1.0]).0, Value::Blob(vec![0, 0, 128, 63]));
        assert_eq!(Encoding::F16.encode(&[1.0, 1e9]).0, Value::Blob(vec![0, 60, 255, 123]));
        assert_eq!(Encoding::Json.encode(&[0.1, -2.0]).0, Value::Text("[0.1,-2]".into()));
        assert_eq!(Encoding::Bit.encode(&[1.0, -1.0, 0.0, 2.0]).0, Value::Blob(vec![0b1001]));
        assert_eq!(Encoding::Int8Unit.encode(&[-1.0, 1.0]).0, Value::Blob(vec![0x80, 0x7e]));
        assert_eq!(
            Encoding::Int8Scaled.encode(&[-2.0, 1.0]),
            (Value::Blob(vec![0x81, 0x40]), Some(2.0 / 127.0))
        );
    }

    /// Values as a column has them, rounded to so many bits of mantissa first.
    fn column(encoding: Encoding, bits: u32) -> Vec<Value> {
        let mut state = 7u64;
        let mut unit = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let x = ((state >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * 0.1;
            f32::from_bits(x.to_bits() >> (23 - bits) << (23 - bits))
        };
        (0..SAMPLES).map(|_| encoding.encode(&std::array::from_fn::<f32, 64, _>(|_| unit())).0).collect()
    }

    const SAMPLES: usize = 8;

    #[test]
    fn each_encoding_is_taken_for_itself_alone() {
        let floats = [Encoding::F32, Encoding::F64, Encoding::F16, Encoding::Json];
        let files = [npy::Number::F16, npy::Number::F32, npy::Number::F64].map(Encoding::Npy);
        for encoding in floats.into_iter().chain(files) {
            for bits in [23, 10, 7] {
                let values = column(encoding, bits);
                let likely: Vec<_> = ALL.into_iter().filter(|other| other.is_likely(&values)).collect();
                assert_eq!(likely, [encoding], "{bits} bits of mantissa");
            }
        }
        let noise: Vec<Value> =
            (0..32u32).map(|n| Value::Blob(n.wrapping_mul(2_654_435_761).to_be_bytes().repeat(4))).collect();
        assert!(ALL.iter().all(|encoding| !encoding.is_likely(&noise)));
        assert!(ALL.iter().all(|encoding| !encoding.is_likely(&[Value::Blob(vec![0; 64])])));
    }

    proptest! {
        #[test]
        fn any_value_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80), text in ".{0,40}") {
            for encoding in ALL {
                for value in [ValueRef::Blob(&bytes), ValueRef::Text(text.as_bytes()), ValueRef::Integer(3)] {
                    let mut out = Vec::new();
                    let found = encoding.decode(value, Some(0.5), &mut out);
                    prop_assert_eq!(found.unwrap_or(0), out.len());
                    prop_assert_eq!(found, encoding.dimension(value));
                }
            }
        }
    }
}
