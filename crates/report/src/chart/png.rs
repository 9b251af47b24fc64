//! Pictures as PNG files: painted at twice their size, in the colours of the SVG files.
//!
//! Text is set in `DejaVu` Sans Condensed, which this program carries, so that a picture is the
//! same on every machine. A character that the font lacks is an empty box.

use tiny_skia::{
    Color, FillRule, LineCap, LineJoin, Paint, Path, PathBuilder, Pixmap, Rect, Stroke, StrokeDash,
    Transform,
};
use ttf_parser::{Face, OutlineBuilder};

use super::picture::{Anchor, Ink, Picture, Shape};
use super::svg::{STYLE, fill, stroke};

/// Pixels for each pixel of the picture: sharp on dense screens and on paper.
const SCALE: f64 = 2.0;

/// The longest side that is painted, in pixels of the file.
const SIDE_MAX: f64 = 16_384.0;

/// Returns the picture as the content of a file.
pub(crate) fn file(picture: &Picture) -> Vec<u8> {
    paint(picture).encode_png().expect("memory takes every picture")
}

fn paint(picture: &Picture) -> Pixmap {
    let side = |length: f64| (f64::from(finite(length)) * SCALE).ceil().clamp(1.0, SIDE_MAX) as u32;
    let pixels = Pixmap::new(side(picture.width), side(picture.height));
    let mut pixels = pixels.expect("sides are above 0 and bounded");
    pixels.fill(colour(&fill(Ink::Ground)));
    let mut canvas = Canvas {
        pixels,
        regular: face(dejavu::sans_condensed::regular()),
        bold: face(dejavu::sans_condensed::bold()),
    };
    for shape in &picture.shapes {
        canvas.put(shape);
    }
    canvas.pixels
}

fn face(font: &'static [u8]) -> Face<'static> {
    Face::parse(font, 0).expect("the font that this program carries is whole")
}

/// Returns the colour that the style gives to a class.
fn colour(class: &str) -> Color {
    let digits = [format!(".{class}{{fill:#"), format!(".{class}{{stroke:#")];
    let digits = digits.iter().find_map(|rule| STYLE.split_once(rule.as_str()));
    let (digits, _) = digits.and_then(|(_, rest)| rest.split_once('}')).expect("it has a colour");
    // Three digits are short for six, each doubled.
    let each = if digits.len() == 3 { 1 } else { 2 };
    let part = |index: usize| {
        let digits = digits[index * each..(index + 1) * each].repeat(2 / each);
        u8::from_str_radix(&digits, 16).expect("the style's colours are hexadecimal")
    };
    Color::from_rgba8(part(0), part(1), part(2), u8::MAX)
}

/// What shapes are painted on, and what text is set with.
struct Canvas {
    pixels: Pixmap,
    regular: Face<'static>,
    bold: Face<'static>,
}

impl Canvas {
    fn put(&mut self, shape: &Shape) {
        match shape {
            Shape::Line { points, ink, width, dashed } => {
                let dash = dashed.and_then(|on| StrokeDash::new(vec![on as f32; 2], 0.0));
                let stroke = Stroke {
                    width: *width as f32,
                    line_cap: LineCap::Round,
                    line_join: LineJoin::Round,
                    dash,
                    ..Stroke::default()
                };
                self.trace(outline(points).finish(), *ink, &stroke);
            }
            Shape::Area { points, ink, opacity } => {
                let mut path = outline(points);
                path.close();
                self.fill(path.finish(), *ink, *opacity);
            }
            Shape::Rect { at, size, ink, opacity, .. } => {
                let [x, y, w, h] = [at[0], at[1], size[0], size[1]].map(finite);
                let rect = Rect::from_xywh(x, y, w.max(0.0), h.max(0.0));
                self.fill(rect.map(PathBuilder::from_rect), *ink, *opacity);
            }
            Shape::Dot { at, radius, ink, .. } => {
                let [x, y, r] = [at[0], at[1], *radius].map(finite);
                self.fill(PathBuilder::from_circle(x, y, r), *ink, 1.0);
            }
            Shape::Text { at, text, ink, anchor, size, bold } => {
                let face = if *bold { &self.bold } else { &self.regular };
                let path = set(face, text, at.map(finite), *size as f32, *anchor);
                self.fill(path, *ink, 1.0);
            }
        }
    }

    /// Fills an outline, where there is one.
    fn fill(&mut self, path: Option<Path>, ink: Ink, opacity: f64) {
        let Some(path) = path else { return };
        let mut colour = colour(&fill(ink));
        colour.apply_opacity(opacity as f32);
        self.pixels.fill_path(&path, &painted(colour), FillRule::Winding, scaled(), None);
    }

    /// Draws along a path, where there is one.
    fn trace(&mut self, path: Option<Path>, ink: Ink, with: &Stroke) {
        let Some(path) = path else { return };
        let paint = painted(colour(&stroke(ink)));
        self.pixels.stroke_path(&path, &paint, with, scaled(), None);
    }
}

fn painted(colour: Color) -> Paint<'static> {
    let mut paint = Paint::default();
    paint.set_color(colour);
    paint
}

fn scaled() -> Transform {
    Transform::from_scale(SCALE as f32, SCALE as f32)
}

/// What is no place is at the edge, as in the SVG.
fn finite(value: f64) -> f32 {
    if value.is_finite() { value as f32 } else { 0.0 }
}

fn outline(points: &[[f64; 2]]) -> PathBuilder {
    let mut path = PathBuilder::new();
    for (index, [x, y]) in points.iter().map(|point| point.map(finite)).enumerate() {
        if index == 0 {
            path.move_to(x, y);
        } else {
            path.line_to(x, y);
        }
    }
    path
}

/// Returns the outlines of a line of text.
fn set(face: &Face<'_>, text: &str, at: [f32; 2], size: f32, anchor: Anchor) -> Option<Path> {
    let scale = size / f32::from(face.units_per_em());
    let glyphs: Vec<_> = text.chars().map(|c| face.glyph_index(c).unwrap_or_default()).collect();
    let advance = |glyph| f32::from(face.glyph_hor_advance(glyph).unwrap_or(0)) * scale;
    let width: f32 = glyphs.iter().copied().map(advance).sum();
    let start = match anchor {
        Anchor::Start => at[0],
        Anchor::Middle => at[0] - width / 2.0,
        Anchor::End => at[0] - width,
    };
    let mut pen = Pen { path: PathBuilder::new(), at: [start, at[1]], scale };
    for glyph in glyphs {
        // A space has no outline.
        let _: Option<ttf_parser::Rect> = face.outline_glyph(glyph, &mut pen);
        pen.at[0] += advance(glyph);
    }
    pen.path.finish()
}

/// Draws glyphs, whose outlines are in the font's units and point upwards.
struct Pen {
    path: PathBuilder,
    at: [f32; 2],
    scale: f32,
}

impl Pen {
    fn x(&self, x: f32) -> f32 {
        self.at[0] + x * self.scale
    }

    fn y(&self, y: f32) -> f32 {
        self.at[1] - y * self.scale
    }
}

impl OutlineBuilder for Pen {
    fn move_to(&mut self, x: f32, y: f32) {
        self.path.move_to(self.x(x), self.y(y));
    }

    fn line_to(&mut self, x: f32, y: f32) {
        self.path.line_to(self.x(x), self.y(y));
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        self.path.quad_to(self.x(x1), self.y(y1), self.x(x), self.y(y));
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let (one, other) = ([self.x(x1), self.y(y1)], [self.x(x2), self.y(y2)]);
        self.path.cubic_to(one[0], one[1], other[0], other[1], self.x(x), self.y(y));
    }

    fn close(&mut self) {
        self.path.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHITE: [u8; 4] = [255; 4];

    fn pixel(pixels: &Pixmap, x: u32, y: u32) -> [u8; 4] {
        let at = pixels.pixel(x, y).unwrap();
        [at.red(), at.green(), at.blue(), at.alpha()]
    }

    #[test]
    fn a_picture_is_painted_at_twice_its_size_in_the_colours_of_the_style() {
        let mut picture = Picture::new(40.0, 20.0, "a square");
        let (at, size) = ([10.0, 5.0], [10.0, 10.0]);
        let note = String::new();
        picture.shapes.push(Shape::Rect { at, size, ink: Ink::Series(6), opacity: 1.0, note });
        let pixels = paint(&picture);
        assert_eq!((pixels.width(), pixels.height()), (80, 40));
        // The palette begins anew after its last colour.
        assert_eq!(pixel(&pixels, 30, 20), [0x00, 0x72, 0xb2, 0xff]);
        assert_eq!(pixel(&pixels, 50, 20), WHITE);
    }

    #[test]
    fn every_ink_has_a_colour() {
        let inks = [Ink::Text, Ink::Faint, Ink::Grid, Ink::Ground, Ink::Bad];
        for ink in inks.into_iter().chain((0..7).map(Ink::Series)) {
            let (inside, line) = (colour(&fill(ink)), colour(&stroke(ink)));
            assert!(inside.is_opaque() && line.is_opaque());
        }
        assert_eq!(colour(&fill(Ink::Ground)), Color::WHITE);
    }

    #[test]
    fn text_is_set_where_its_anchor_says() {
        let inked = |anchor| {
            let mut picture = Picture::new(100.0, 20.0, "");
            picture.text([50.0, 15.0], "p99", Ink::Text, anchor);
            let pixels = paint(&picture);
            let columns = (0..200).filter(|&x| (0..40).any(|y| pixel(&pixels, x, y) != WHITE));
            (columns.clone().min().unwrap(), columns.max().unwrap())
        };
        let (start, middle, end) = (Anchor::Start, Anchor::Middle, Anchor::End);
        assert!(inked(start).0 >= 100 && inked(end).1 <= 100);
        let (left, right) = inked(middle);
        assert!((i64::from(left + right) - 200).abs() <= 4, "{left} {right}");
    }

    #[test]
    fn what_is_no_place_and_what_has_no_size_can_be_painted() {
        let mut picture = Picture::new(0.0, f64::NAN, "");
        picture.line(vec![[f64::NAN, 1.0], [2.0, f64::INFINITY]], Ink::Bad, 1.0);
        picture.line(vec![[1.0, 1.0]], Ink::Bad, 1.0);
        picture.text([0.0, 0.0], "\u{4e00} ", Ink::Text, Anchor::Start);
        assert!(file(&picture).starts_with(b"\x89PNG\r\n\x1a\n"));
    }
}
