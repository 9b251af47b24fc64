//! Bytes to protocol and back, without IO, in both roles.
