//! Tests of the crate from outside: recorded responses, and the cost of a chunk.

#[cfg(test)]
mod allocations;
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod fuzzed;
#[cfg(test)]
mod goldens;
