//! What a drawn chart consists of.

/// What a shape is drawn with. Its colour depends on where the picture is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ink {
    /// Text that is to be read.
    Text,
    /// Text that is there to look up.
    Faint,
    /// Lines behind the data.
    Grid,
    /// The ground of the page.
    Ground,
    /// One of the data's colours; the palette begins anew after its last.
    Series(usize),
    /// What should not have happened.
    Bad,
}

/// On which side of its place a text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// One shape; lengths in pixels from the upper left.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shape {
    /// A line through points.
    Line { points: Vec<[f64; 2]>, ink: Ink, width: f64, dashed: Option<f64> },
    /// A filled outline.
    Area { points: Vec<[f64; 2]>, ink: Ink, opacity: f64 },
    /// A filled rectangle.
    Rect { at: [f64; 2], size: [f64; 2], ink: Ink, opacity: f64, note: String },
    /// A filled circle; the note is what pointing at it shows.
    Dot { at: [f64; 2], radius: f64, ink: Ink, note: String },
    /// A line of text; `at` is on its base line.
    Text { at: [f64; 2], text: String, ink: Ink, anchor: Anchor, size: f64, bold: bool },
}

/// A drawn chart.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Picture {
    pub(crate) width: f64,
    pub(crate) height: f64,
    /// What it shows, for who cannot see it.
    pub(crate) label: String,
    pub(crate) shapes: Vec<Shape>,
}

impl Picture {
    pub(crate) fn new(width: f64, height: f64, label: &str) -> Self {
        Self { width, height, label: label.to_owned(), shapes: Vec::new() }
    }

    pub(crate) fn line(&mut self, points: Vec<[f64; 2]>, ink: Ink, width: f64) {
        self.shapes.push(Shape::Line { points, ink, width, dashed: None });
    }

    pub(crate) fn dashed(&mut self, points: Vec<[f64; 2]>, ink: Ink, width: f64) {
        self.shapes.push(Shape::Line { points, ink, width, dashed: Some(4.0) });
    }

    pub(crate) fn text(&mut self, at: [f64; 2], text: &str, ink: Ink, anchor: Anchor) {
        let text = text.to_owned();
        let size = super::TEXT;
        self.shapes.push(Shape::Text { at, text, ink, anchor, size, bold: false });
    }

    pub(crate) fn heading(&mut self, at: [f64; 2], text: &str, size: f64) {
        let (text, ink, anchor) = (text.to_owned(), Ink::Text, Anchor::Start);
        self.shapes.push(Shape::Text { at, text, ink, anchor, size, bold: true });
    }

    /// Puts another picture onto this one, moved.
    pub(crate) fn place(&mut self, picture: Self, [dx, dy]: [f64; 2]) {
        let move_all = |points: &mut Vec<[f64; 2]>| {
            for point in points.iter_mut() {
                *point = [point[0] + dx, point[1] + dy];
            }
        };
        self.shapes.extend(picture.shapes.into_iter().map(|mut shape| {
            match &mut shape {
                Shape::Line { points, .. } | Shape::Area { points, .. } => move_all(points),
                Shape::Rect { at, .. } | Shape::Dot { at, .. } | Shape::Text { at, .. } => {
                    *at = [at[0] + dx, at[1] + dy];
                }
            }
            shape
        }));
    }
}

/// Returns about how wide a text is drawn: system fonts differ, and this is a generous mean.
pub(crate) fn text_width(text: &str) -> f64 {
    let narrow = |c: char| if "iljtf.,:;'|()[] ".contains(c) { 3.8 } else { 6.9 };
    text.chars().map(|c| if c.is_ascii() { narrow(c) } else { 9.0 }).sum()
}

/// Cuts a text to a width.
pub(crate) fn fit_width(text: &str, width: f64) -> String {
    let mut text = crate::text::clean(text);
    if text_width(&text) <= width {
        return text;
    }
    while !text.is_empty() && text_width(&text) + 9.0 > width {
        let _: Option<char> = text.pop();
    }
    text + "…"
}
