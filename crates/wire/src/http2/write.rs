//! What a server writes.

use ringline_h2::HeaderField;

use super::frame::{Kind, flag, push_frame};
use super::head::push_block;

/// Whether something follows on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    /// This is all.
    Yes,
    /// More is to come.
    No,
}

impl Last {
    fn flag(self) -> u8 {
        if self == Self::Yes { flag::END_STREAM } else { 0 }
    }
}

/// Appends the head of a response on a stream.
pub fn start_response(
    out: &mut Vec<u8>,
    stream: u32,
    status: u16,
    headers: &[(&str, &str)],
    last: Last,
) {
    let named = headers.iter().map(|(name, value)| HeaderField::new(name.to_lowercase(), *value));
    let fields: Vec<_> =
        [HeaderField::new(":status", status.to_string())].into_iter().chain(named).collect();
    let mut block = Vec::new();
    push_block(&mut block, &fields);
    push_frame(out, Kind::Headers, flag::END_HEADERS | last.flag(), stream, &block);
}

/// Appends a piece of a response's body, of at most 16,384 bytes.
pub fn write_data(out: &mut Vec<u8>, stream: u32, bytes: &[u8], last: Last) {
    push_frame(out, Kind::Data, last.flag(), stream, bytes);
}
