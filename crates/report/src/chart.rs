//! Charts: what is to be seen becomes shapes, and shapes become SVG or pixels.
//!
//! ```text
//!  Plot ──────┐
//!  Bars ──────┤  draw(width, height)             ┌─▶ inline SVG (the page's colours)
//!  Heat ──────┼───────────────────▶ Picture ─────┼─▶ SVG file  (colours of its own)
//!  Waterfall ─┘                     (shapes)     └─▶ PNG
//! ```
//!
//! # Invariants
//!
//! - A picture is a function of its data: the same data, the same bytes.
//! - Colours are of Okabe and Ito's palette, which colour-blind readers can tell apart, and never
//!   say anything that a label does not.
//! - No shape lies outside its picture, however long a label or large a value is.

mod bars;
mod heat;
mod picture;
mod plot;
pub(crate) mod png;
mod scale;
pub(crate) mod svg;
mod waterfall;

pub(crate) use bars::{Bars, Group};
pub(crate) use heat::Heat;
pub(crate) use picture::{Ink, Picture};
pub(crate) use plot::{Axis, Mark, Plot};
pub(crate) use scale::{Scale, short};
pub(crate) use waterfall::{Flight, Waterfall};

/// The room for the labels of the upright axis: the same in all charts, so that those that stand
/// one above another agree.
const LEFT: f64 = 50.0;

/// The room below for the labels of the level axis and its title.
const BOTTOM: f64 = 36.0;

/// The room above for the title of the upright axis.
const TOP: f64 = 24.0;

/// The size of all text, in pixels.
const TEXT: f64 = 12.0;

/// A chart that can be drawn at any size.
pub(crate) trait Draw {
    /// Draws it at this width, as high as suits it.
    fn draw(&self, width: f64) -> Picture;

    /// Returns its data: headings, and rows of as many cells.
    fn data(&self) -> (Vec<String>, Vec<Vec<String>>);
}
