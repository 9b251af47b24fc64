//! Sends, reads and stamps: the only hot path.
