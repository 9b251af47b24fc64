//! Output text, kept only while the run goes: what a tokenizer must count once the run is over.
//!
//! Text never reaches a finished record, which thus holds nothing that a model said.

use infermark_terms::RequestId;

use crate::encoding::{Bytes, put_bytes, put_varint};
use crate::journal::Row;
use crate::schema::Schema;

/// A piece of one request's output text; its pieces in their order are the whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextPiece {
    /// Whose.
    pub request: RequestId,
    /// The piece. It may begin or end within a character.
    pub text: Vec<u8>,
}

impl TextPiece {
    /// The longest piece, so that a journal's frames stay bounded.
    pub(crate) const BYTES_MAX: usize = 64 * 1024;
}

impl Row for TextPiece {
    const JOURNAL: Schema = Schema::new("infermark.journal.text", 1);

    type Before = ();

    fn put(&self, (): &mut (), out: &mut Vec<u8>) {
        put_varint(self.request.0, out);
        put_bytes(&self.text, out);
    }

    fn take((): &mut (), from: &mut Bytes<'_>) -> Option<Self> {
        let request = RequestId(from.take_varint()?);
        let text = from.take_bytes()?.to_vec();
        Some(Self { request, text })
    }
}
