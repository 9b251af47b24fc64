//! Rows as journals write them where nothing is gained by leaning on the row before.
//!
//! ```text
//! present u64, little endian: bit i for column i
//! then the values in the columns' order:
//! integers and flags as varints, real numbers as f64, strings with their length
//! ```

use crate::columnar::{Access, Columnar};
use crate::encoding::{Bytes, put_bytes, put_varint};

/// The bytes of the set of a row's columns.
const PRESENT: usize = size_of::<u64>();

/// Appends a row.
pub(crate) fn put<R: Columnar>(row: &R, out: &mut Vec<u8>) {
    const { assert!(R::COLUMNS.len() < u64::BITS as usize, "the set of columns is one u64") };
    let mut present = 0_u64;
    let start = out.len();
    out.extend_from_slice(&[0; PRESENT]);
    for (index, column) in R::COLUMNS.iter().enumerate() {
        match column.access {
            Access::Integer { get, .. } => match get(row) {
                Some(value) => put_varint(value.cast_unsigned(), out),
                None => continue,
            },
            Access::Real { get, .. } => out.extend_from_slice(&get(row).to_le_bytes()),
            Access::Flag { get, .. } => put_varint(u64::from(get(row)), out),
            Access::Text { get, .. } => put_bytes(get(row).as_bytes(), out),
        }
        present |= 1 << index;
    }
    out[start..start + PRESENT].copy_from_slice(&present.to_le_bytes());
}

/// Reads the next row, or nothing if the bytes are not one.
pub(crate) fn take<R: Columnar>(from: &mut Bytes<'_>) -> Option<R> {
    let present = u64::from_le_bytes(*from.take_array()?);
    if present >> R::COLUMNS.len() != 0 {
        return None;
    }
    let mut row = R::blank();
    for (index, column) in R::COLUMNS.iter().enumerate() {
        if present & (1 << index) == 0 {
            continue;
        }
        match column.access {
            Access::Integer { set, .. } => set(&mut row, from.take_varint()?.cast_signed())?,
            Access::Real { set, .. } => set(&mut row, f64::from_le_bytes(*from.take_array()?)),
            Access::Flag { set, .. } => set(&mut row, from.take_varint()? != 0),
            Access::Text { set, .. } => set(&mut row, str::from_utf8(from.take_bytes()?).ok()?)?,
        }
    }
    Some(row)
}
