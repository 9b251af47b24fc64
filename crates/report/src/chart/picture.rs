//! What a drawn chart consists of.

use std::collections::BTreeSet;

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

    /// Draws a cross, in place of what is there.
    pub(crate) fn cross(&mut self, [x, y]: [f64; 2], ink: Ink, note: String) {
        const ARM: f64 = 4.0;
        let radius = ARM + 1.0;
        self.shapes.push(Shape::Dot { at: [x, y], radius, ink: Ink::Ground, note });
        self.line(vec![[x - ARM, y - ARM], [x + ARM, y + ARM]], ink, 2.0);
        self.line(vec![[x - ARM, y + ARM], [x + ARM, y - ARM]], ink, 2.0);
    }

    /// Sets a text over what is drawn, which shows through faintly.
    pub(crate) fn label(&mut self, [x, y]: [f64; 2], text: &str, ink: Ink, anchor: Anchor) {
        let width = text_width(text);
        let left = match anchor {
            Anchor::Start => x,
            Anchor::Middle => x - width / 2.0,
            Anchor::End => x - width,
        };
        let (at, size) = ([left - 2.0, y - 10.0], [width + 4.0, 13.0]);
        let (opacity, note) = (0.8, String::new());
        self.shapes.push(Shape::Rect { at, size, ink: Ink::Ground, opacity, note });
        self.text([x, y], text, ink, anchor);
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
    let narrow = |c: char| if "iljtf.,:;'|()[] ".contains(c) { 4.0 } else { 7.2 };
    text.chars().map(|c| if c.is_ascii() { narrow(c) } else { 9.0 }).sum()
}

/// Cuts a text to a width in its middle: names that begin alike are told apart by their ends.
pub(crate) fn fit_middle(text: &str, width: f64) -> String {
    let text = crate::text::clean(text);
    if text_width(&text) <= width {
        return text;
    }
    let every: Vec<char> = text.chars().collect();
    let cut = |kept: usize| -> String {
        let (head, tail) = (kept / 3, kept - kept / 3);
        let ends = [&every[..head], &['…'], &every[every.len() - tail..]];
        ends.concat().into_iter().collect()
    };
    let fitting = (0..every.len()).rev().map(cut).find(|text| text_width(text) <= width);
    fitting.unwrap_or_default()
}

/// What stands below or above things beside one another to say which is which.
pub(crate) struct Labels {
    /// One for each.
    pub(crate) shown: Vec<String>,
    /// What the labels mean, where they are numbers.
    key: Vec<String>,
}

impl Labels {
    /// The height of a line of the key.
    const LINE: f64 = 16.0;

    /// Returns the names, cut to the room that each has. Where so little cannot tell them apart
    /// they are numbered from `first`, with a key of this width.
    pub(crate) fn of(names: &[String], first: usize, room: f64, width: f64) -> Self {
        if let Some(shown) = fit_beside(names, room) {
            return Self { shown, key: Vec::new() };
        }
        let numbers = (first..first + names.len()).map(|number| number.to_string());
        let lines = numbers.clone().zip(names).map(|(number, name)| format!("{number}: {name}"));
        Self { shown: numbers.collect(), key: lines.map(|line| fit_middle(&line, width)).collect() }
    }

    /// Returns the height of the key.
    pub(crate) fn height(&self) -> f64 {
        Self::LINE * self.key.len() as f64
    }

    /// Draws the key, its first line at this height.
    pub(crate) fn draw_key(&self, picture: &mut Picture, top: f64) {
        for (index, line) in self.key.iter().enumerate() {
            let at = [4.0, top + Self::LINE * index as f64];
            picture.text(at, line, Ink::Faint, Anchor::Start);
        }
    }
}

/// Cuts names that stand beside one another to a width each, so that they are told apart: each in
/// its middle, or else without what all of them end with, begin with, or both. Nothing where none
/// of that tells them apart.
fn fit_beside(names: &[String], width: f64) -> Option<Vec<String>> {
    let names: Vec<_> = names.iter().map(|name| crate::text::clean(name)).collect();
    let [head, tail] = alike(&names);
    let ways = [[0, 0], [0, tail], [head, 0], [head, tail]].map(|way| without(&names, way));
    let cut = |way: &Vec<String>| -> Vec<String> {
        way.iter().map(|name| fit_middle(name, width)).collect()
    };
    let is_whole = |way: &&Vec<String>| cut(way) == **way;
    let ways = ways.iter().take(1).chain(ways.iter().filter(is_whole)).chain(&ways);
    let distinct = |names: &[String]| names.iter().collect::<BTreeSet<_>>().len();
    ways.map(cut).find(|cut| distinct(cut) == distinct(&names))
}

/// Returns with how many bytes all names begin, and with how many they end, in whole words.
fn alike(names: &[String]) -> [usize; 2] {
    let is_edge = |c: char| !c.is_alphanumeric() && c != '.';
    let Some(first) = names.first() else { return [0; 2] };
    let edges = || first.char_indices().filter(|(_, c)| is_edge(*c));
    let heads = edges().map(|(at, c)| &first[..at + c.len_utf8()]);
    let head = heads.rev().find(|head| names.iter().all(|name| name.starts_with(head)));
    let head = head.map_or(0, str::len);
    let mut tails = edges().map(|(at, _)| &first[at..]);
    // What is between them is of every name.
    let ends = |name: &String, tail: &str| name.len() > head + tail.len() && name.ends_with(tail);
    let tail = tails.find(|tail| names.iter().all(|name| ends(name, tail)));
    [head, tail.map_or(0, str::len)]
}

/// Returns names without so many bytes of their beginning and end.
fn without(names: &[String], [head, tail]: [usize; 2]) -> Vec<String> {
    let mark = |bytes: usize| if bytes > 0 { "…" } else { "" };
    let inner = names.iter().map(|name| &name[head..name.len() - tail]);
    inner.map(|inner| format!("{}{inner}{}", mark(head), mark(tail))).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_begin_alike_are_still_told_apart_where_they_are_cut() {
        let (one, other) = ("engine engine-0.1.0, input 128", "engine engine-0.1.0, input 1024");
        assert_eq!(fit_middle(one, 500.0), one);
        let [one, other] = [one, other].map(|name| fit_middle(name, 90.0));
        assert!(one.ends_with("input 128") && other.ends_with("put 1024"), "{one}, {other}");
        assert!(one.starts_with("eng") && one.contains('…'), "{one}");
        for width in [0.0, 5.0, 20.0, 90.0] {
            assert!(text_width(&fit_middle("wwwwwwwwwwwwwwwwww", width)) <= width);
        }
    }

    #[test]
    fn names_beside_one_another_are_told_apart_wherever_they_differ() {
        let labels = |names: &[&str], width| {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            let labels = Labels::of(&names, 5, width, 150.0);
            (labels.shown, labels.key)
        };
        let beside = |names: &[&str], width| {
            let (shown, key) = labels(names, width);
            assert_eq!(key, [""; 0]);
            assert!(shown.iter().all(|name| text_width(name) <= width), "{shown:?}");
            shown
        };
        let versions = ["vLLM 0.9.1 · llama-3.1-8b", "vLLM 0.10.0 · llama-3.1-8b"];
        assert_eq!(beside(&versions, 500.0), versions);
        assert_eq!(beside(&versions, 110.0), ["vLLM 0.9.1…", "vLLM 0.10.0…"]);
        assert_eq!(beside(&versions, 60.0), ["…0.9.1…", "…0.10.0…"]);
        let sizes = ["llama-3.1-8b-instruct", "llama-3.1-70b-instruct", "llama-3.1-405b-instruct"];
        assert_eq!(beside(&sizes, 60.0), ["…8b…", "…70b…", "…405b…"]);
        let lengths = ["engine engine-0.1.0, input 128", "engine engine-0.1.0, input 1024"];
        assert!(
            beside(&lengths, 90.0)[0].starts_with("eng"),
            "what told them apart before does so"
        );
        assert_eq!(beside(&["one and the same"; 2], 60.0)[1], fit_middle("one and the same", 60.0));
        assert_eq!(beside(&[], 60.0), [""; 0]);
        let (shown, key) = labels(&versions, 20.0);
        assert_eq!(shown, ["5", "6"], "there is too little room");
        assert!(key[0].starts_with("5: vLL") && key[1].ends_with("llama-3.1-8b"), "{key:?}");
        assert!(key.iter().all(|line| text_width(line) <= 150.0), "{key:?}");
    }

    #[test]
    fn a_label_lies_on_the_ground_that_it_covers() {
        let at = |anchor| {
            let mut picture = Picture::new(100.0, 50.0, "");
            picture.label([50.0, 20.0], "name", Ink::Text, anchor);
            let [Shape::Rect { at, size, ink: Ink::Ground, .. }, Shape::Text { .. }] =
                &picture.shapes[..]
            else {
                panic!("{:?}", picture.shapes)
            };
            [at[0], at[0] + size[0]].map(|x| (x * 10.0).round() as i64)
        };
        let width = (10.0 * text_width("name")) as i64;
        assert_eq!(at(Anchor::Start), [480, 520 + width]);
        assert_eq!(at(Anchor::Middle), [480 - width / 2, 520 + width / 2]);
        assert_eq!(at(Anchor::End), [480 - width, 520]);
    }
}
