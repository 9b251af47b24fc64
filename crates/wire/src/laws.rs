//! What the tests of this crate share: fixed seeds, splits, and JSON whose order is kept.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};

/// Returns the configuration of a law: so many cases, the same ones every time.
pub(crate) fn cases(count: u32) -> Config {
    Config {
        cases: count,
        rng_seed: RngSeed::Fixed(0x1f5e_ed00),
        failure_persistence: None,
        ..Config::default()
    }
}

/// Returns lengths of pieces into which bytes are to be cut, over and over.
pub(crate) fn cuts() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        Just(vec![1]),
        Just(vec![usize::MAX]),
        vec(1_usize..8, 1..12),
        vec(1_usize..200, 1..12),
    ]
}

/// Cuts `bytes` into pieces of these lengths, over and over.
pub(crate) fn cut<'a>(bytes: &'a [u8], lengths: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = bytes;
    lengths.iter().cycle().map_while(move |&length| {
        let (piece, left) = rest.split_at_checked(length).unwrap_or((rest, b""));
        rest = left;
        (!piece.is_empty()).then_some(piece)
    })
}

/// A JSON value whose members have an order.
#[derive(Clone, Debug)]
pub(crate) enum Tree {
    Null,
    Bool(bool),
    Count(u64),
    Real(f64),
    Text(String),
    List(Vec<Tree>),
    Members(Vec<(String, Tree)>),
}

impl Tree {
    /// Returns it as JSON, with spaces of every kind where `space` says so.
    pub(crate) fn print(&self, space: Space) -> Vec<u8> {
        let mut out = Vec::new();
        self.print_to(space, &mut out);
        out
    }

    fn print_to(&self, space: Space, out: &mut Vec<u8>) {
        let gap: &[u8] = if space == Space::Wide { b" \n\t\r" } else { b"" };
        let scalar = |out: &mut Vec<u8>, value: serde_json::Value| {
            serde_json::to_writer(out, &value).unwrap();
        };
        out.extend_from_slice(gap);
        match self {
            Self::Null => out.extend_from_slice(b"null"),
            Self::Bool(value) => scalar(out, (*value).into()),
            Self::Count(value) => scalar(out, (*value).into()),
            Self::Real(value) => scalar(out, (*value).into()),
            Self::Text(value) => scalar(out, value.as_str().into()),
            Self::List(values) => {
                out.push(b'[');
                for (index, value) in values.iter().enumerate() {
                    out.extend_from_slice(if index == 0 { b"" } else { b"," });
                    value.print_to(space, out);
                }
                out.extend_from_slice(gap);
                out.push(b']');
            }
            Self::Members(members) => {
                out.push(b'{');
                for (index, (key, value)) in members.iter().enumerate() {
                    out.extend_from_slice(if index == 0 { b"" } else { b"," });
                    out.extend_from_slice(gap);
                    scalar(out, key.as_str().into());
                    out.extend_from_slice(gap);
                    out.push(b':');
                    value.print_to(space, out);
                }
                out.extend_from_slice(gap);
                out.push(b'}');
            }
        }
        out.extend_from_slice(gap);
    }
}

/// How JSON is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Space {
    None,
    Wide,
}

pub(crate) fn space() -> impl Strategy<Value = Space> {
    prop_oneof![Just(Space::None), Just(Space::Wide)]
}

/// Returns texts with everything that JSON escapes.
pub(crate) fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z ]{0,20}",
        r#"[a-z"\\/\n\r\t\x00-\x1f{}\[\]:,é你😀]{0,12}"#,
        any::<String>(),
    ]
}

/// Returns any JSON value.
pub(crate) fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        Just(Tree::Null),
        any::<bool>().prop_map(Tree::Bool),
        any::<u64>().prop_map(Tree::Count),
        any::<f64>().prop_filter("finite", |x| x.is_finite()).prop_map(Tree::Real),
        text().prop_map(Tree::Text),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Tree::List),
            vec((text(), inner), 0..5).prop_map(Tree::Members),
        ]
    })
}

/// Changes `text` at a few places: a byte replaced, removed or put in, or the end cut off.
pub(crate) fn mutated(mut text: Vec<u8>, changes: &[(usize, u8, u8)]) -> Vec<u8> {
    for &(place, how, byte) in changes {
        let place = place % text.len().max(1);
        match how % 4 {
            _ if text.is_empty() => text.push(byte),
            0 => text[place] = byte,
            1 => drop(text.remove(place)),
            2 => text.insert(place, byte),
            _ => text.truncate(place),
        }
    }
    text
}

/// Returns changes for [`mutated`], with a liking for the bytes that matter in JSON.
pub(crate) fn changes() -> impl Strategy<Value = Vec<(usize, u8, u8)>> {
    let byte = prop_oneof![
        prop::sample::select(br#"{}[],:"\u/0123456789.eE+-tfn "#.to_vec()),
        any::<u8>(),
    ];
    vec((any::<usize>(), any::<u8>(), byte), 1..4)
}

/// Says what `serde_json` says, but for the cases in which the reader is laxer by design.
pub(crate) fn well_formed(text: &[u8]) -> Option<bool> {
    match serde_json::from_slice::<serde_json::Value>(text) {
        Ok(_) => Some(true),
        Err(error) => {
            let why = error.to_string();
            let lax = ["surrogate", "hex escape", "number out of range"];
            if lax.iter().any(|lax| why.contains(lax)) { None } else { Some(false) }
        }
    }
}
