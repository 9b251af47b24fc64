//! Lines, areas and intervals over two axes.

use super::picture::{Anchor, Ink, Picture, Shape, fit_width, text_width};
use super::{BOTTOM, Draw, LEFT, Scale, TOP};
use crate::figure::figure;

/// The greatest share of the width that labels at the lines' ends may take.
const LABELS_MAX: f64 = 0.25;

/// The least distance between labels, from base line to base line.
const LEADING: f64 = 14.0;

/// The number of rows that a chart's data are shown with at most.
const ROWS_MAX: usize = 300;

/// One axis.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    /// What it shows, with its unit.
    pub(crate) title: String,
    pub(crate) scale: Scale,
}

impl Axis {
    pub(crate) fn new(title: &str, scale: Scale) -> Self {
        Self { title: title.to_owned(), scale }
    }
}

/// One thing to be seen.
#[derive(Clone, Debug)]
pub(crate) enum Mark {
    /// A line through points, with its name beside; a point without a value interrupts it.
    Line { name: String, ink: Ink, points: Vec<(f64, Option<f64>)> },
    /// The same, with a dot at each point.
    Dots { name: String, ink: Ink, points: Vec<(f64, Option<f64>)> },
    /// The area under a line, down to the axis.
    Area { name: String, ink: Ink, points: Vec<(f64, Option<f64>)> },
    /// Points whose value is no result: a cross each, and no line. Those beyond the axis lie at
    /// its end. The name is that of the line that they belong to.
    Struck { name: String, ink: Ink, points: Vec<(f64, f64)> },
    /// Intervals, upright: place, low, high.
    Intervals { ink: Ink, points: Vec<[f64; 3]> },
    /// A stretch of the level axis, shaded, with its name above.
    Stretch { name: String, from: f64, to: f64 },
    /// A value of the level axis, marked.
    Upright { name: String, at: f64 },
    /// A value of the upright axis, marked.
    Level { name: String, at: f64 },
}

/// A line's name, ink and points.
type Named<'a> = (&'a str, Ink, &'a [(f64, Option<f64>)]);

/// A chart over two axes.
#[derive(Clone, Debug)]
pub(crate) struct Plot {
    /// What it shows, in words.
    pub(crate) label: String,
    pub(crate) height: f64,
    /// The room for names at the right, where it is not for the chart to choose: so that charts
    /// that stand one above another agree.
    pub(crate) beside: Option<f64>,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) marks: Vec<Mark>,
}

/// Where the data lie within the picture.
struct Frame<'a> {
    plot: &'a Plot,
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Frame<'_> {
    fn x(&self, value: f64) -> f64 {
        self.left + self.plot.x.scale.place(value) * (self.right - self.left)
    }

    fn y(&self, value: f64) -> f64 {
        self.bottom - self.plot.y.scale.place(value) * (self.bottom - self.top)
    }
}

impl Draw for Plot {
    fn draw(&self, width: f64) -> Picture {
        // An axis without a title is that of the chart below, and is marked there.
        let spare = if self.x.title.is_empty() { BOTTOM - 8.0 } else { 0.0 };
        let height = self.height - spare;
        let mut picture = Picture::new(width, height, &self.label);
        let names = self.names();
        let widest = names.iter().map(|(name, _)| text_width(name)).fold(0.0, f64::max) + 14.0;
        let room = self.beside.unwrap_or(if names.len() > 1 { widest } else { 14.0 });
        let has_room = room < width * LABELS_MAX;
        let beside = has_room && widest <= room.max(14.0);
        let right = width - if has_room { room } else { 14.0 };
        let is_alone = beside || names.len() < 2;
        let (top, rows) = if is_alone { (TOP, vec![]) } else { self.key(width) };
        let bottom = height - BOTTOM + spare;
        let frame = Frame { plot: self, left: LEFT, right, top, bottom };
        for (name, ink, at) in &rows {
            swatch(&mut picture, *at, *ink);
            picture.text([at[0] + 16.0, at[1]], name, Ink::Text, Anchor::Start);
        }
        axes(&mut picture, &frame);
        for mark in &self.marks {
            draw(&mut picture, &frame, mark);
        }
        for mark in &self.marks {
            name_place(&mut picture, &frame, mark);
        }
        if beside && names.len() > 1 {
            label_ends(&mut picture, &frame);
        }
        picture
    }

    fn data(&self) -> (Vec<String>, Vec<Vec<String>>) {
        let lines: Vec<_> = self.marks.iter().filter_map(Mark::line).collect();
        let mut places: Vec<f64> = Vec::new();
        for (_, _, points) in &lines {
            places.extend(points.iter().map(|point| point.0));
        }
        places.extend(self.marks.iter().flat_map(Mark::struck).map(|point| point.0));
        places.sort_by(f64::total_cmp);
        places.dedup();
        let every = places.len().div_ceil(ROWS_MAX).max(1);
        let cell = |name: &str, points: &[(f64, Option<f64>)], place: f64| {
            let known = points.iter().find(|point| point.0.total_cmp(&place).is_eq());
            let struck = self.struck(name).find(|point| point.0.total_cmp(&place).is_eq());
            match (struck, known.and_then(|point| point.1)) {
                (Some((_, value)), _) => format!("{} ×", figure(*value)),
                (None, value) => value.map_or_else(String::new, figure),
            }
        };
        let rows = places.into_iter().step_by(every).map(|place| {
            let values = lines.iter().map(|(name, _, points)| cell(name, points, place));
            std::iter::once(figure(place)).chain(values).collect()
        });
        let title = &self.y.title;
        let heads = lines.iter().map(|(name, ..)| match lines.len() {
            1 => title.clone(),
            _ => format!("{name}: {title}"),
        });
        (std::iter::once(self.x.title.clone()).chain(heads).collect(), rows.collect())
    }
}

impl Mark {
    /// Returns the points that are struck out.
    fn struck(&self) -> &[(f64, f64)] {
        match self {
            Self::Struck { points, .. } => points,
            Self::Line { .. }
            | Self::Dots { .. }
            | Self::Area { .. }
            | Self::Intervals { .. }
            | Self::Stretch { .. }
            | Self::Upright { .. }
            | Self::Level { .. } => &[],
        }
    }

    /// Returns the values of a line.
    pub(crate) fn values(&self) -> impl Iterator<Item = f64> + '_ {
        let points = self.line().map_or(&[][..], |(_, _, points)| points);
        points.iter().filter_map(|point| point.1)
    }

    fn line(&self) -> Option<Named<'_>> {
        match self {
            Self::Line { name, ink, points }
            | Self::Dots { name, ink, points }
            | Self::Area { name, ink, points } => Some((name, *ink, points)),
            Self::Struck { .. }
            | Self::Intervals { .. }
            | Self::Stretch { .. }
            | Self::Upright { .. }
            | Self::Level { .. } => None,
        }
    }
}

impl Plot {
    /// Returns the points of the line of this name that are struck out.
    fn struck(&self, line: &str) -> impl Iterator<Item = &(f64, f64)> {
        let of = move |mark: &&Mark| matches!(mark, Mark::Struck { name, .. } if name == line);
        self.marks.iter().filter(of).flat_map(Mark::struck)
    }

    /// Returns the names that must be told apart.
    fn names(&self) -> Vec<(&str, Ink)> {
        self.marks.iter().filter_map(Mark::line).map(|(name, ink, _)| (name, ink)).collect()
    }

    /// Lays a key out above the data, in as many rows as it takes; returns where the data begin.
    fn key(&self, width: f64) -> (f64, Vec<(String, Ink, [f64; 2])>) {
        let (mut at, mut rows) = ([4.0, TOP + 6.0], Vec::new());
        for (name, ink) in self.names() {
            let name = fit_width(name, width - 40.0);
            let room = text_width(&name) + 30.0;
            if at[0] > 4.0 && at[0] + room > width {
                at = [4.0, at[1] + LEADING + 2.0];
            }
            rows.push((name, ink, at));
            at[0] += room;
        }
        (at[1] + 10.0, rows)
    }
}

fn swatch(picture: &mut Picture, [x, y]: [f64; 2], ink: Ink) {
    let (at, size) = ([x, y - 8.0], [11.0, 8.0]);
    picture.shapes.push(Shape::Rect { at, size, ink, opacity: 1.0, note: String::new() });
}

fn axes(picture: &mut Picture, frame: &Frame<'_>) {
    let Frame { plot, left, right, top, bottom } = *frame;
    let (title, width) = (&plot.y.title, picture.width);
    picture.text([2.0, 11.0], &fit_width(title, width - 8.0), Ink::Faint, Anchor::Start);
    for (value, label) in plot.y.scale.ticks(((bottom - top) / 42.0) as usize + 1) {
        let y = frame.y(value);
        picture.line(vec![[left, y], [right, y]], Ink::Grid, 1.0);
        picture.text([left - 6.0, y + 4.0], &label, Ink::Faint, Anchor::End);
    }
    let is_marked_below = plot.x.title.is_empty();
    let mut reach = f64::NEG_INFINITY;
    for (value, label) in plot.x.scale.ticks(((right - left) / 64.0) as usize + 1) {
        let (x, half) = (frame.x(value), text_width(&label) / 2.0);
        if is_marked_below {
            picture.line(vec![[x, top], [x, bottom]], Ink::Grid, 1.0);
            continue;
        }
        picture.line(vec![[x, bottom], [x, bottom + 4.0]], Ink::Faint, 1.0);
        if x - half > reach + 9.0 && x + half <= width {
            picture.text([x, bottom + 17.0], &label, Ink::Faint, Anchor::Middle);
            reach = x + half;
        }
    }
    picture.line(vec![[left, bottom], [right, bottom]], Ink::Faint, 1.0);
    let title = fit_width(&plot.x.title, right);
    picture.text([right, bottom + 32.0], &title, Ink::Faint, Anchor::End);
}

fn draw(picture: &mut Picture, frame: &Frame<'_>, mark: &Mark) {
    let at = |(x, y): (f64, f64)| [frame.x(x), frame.y(y)];
    match mark {
        Mark::Line { ink, points, .. } => draw_line(picture, frame, *ink, points),
        Mark::Dots { name, ink, points } => {
            for stretch in stretches(points) {
                picture.line(stretch.iter().copied().map(at).collect(), *ink, 1.75);
                picture.shapes.extend(stretch.into_iter().map(|(x, y)| Shape::Dot {
                    at: at((x, y)),
                    radius: 3.25,
                    ink: *ink,
                    note: format!("{name}: {} at {}", figure(y), figure(x)),
                }));
            }
        }
        Mark::Area { ink, points, .. } => {
            for stretch in stretches(points) {
                let (first, last) = (stretch[0].0, stretch[stretch.len() - 1].0);
                let mut outline: Vec<_> = stretch.iter().copied().map(at).collect();
                picture.line(outline.clone(), *ink, 1.5);
                outline.push([frame.x(last), frame.bottom]);
                outline.push([frame.x(first), frame.bottom]);
                picture.shapes.push(Shape::Area { points: outline, ink: *ink, opacity: 0.18 });
            }
        }
        Mark::Struck { name, ink, points } => {
            for &(x, y) in points {
                let note = format!("{name}: {} at {}, saturated", figure(y), figure(x));
                picture.cross(at((x, y)), *ink, note);
            }
        }
        Mark::Intervals { ink, points } => {
            for [x, low, high] in points {
                let (x, low, high) = (frame.x(*x), frame.y(*low), frame.y(*high));
                picture.line(vec![[x, low], [x, high]], *ink, 1.25);
                for y in [low, high] {
                    picture.line(vec![[x - 3.0, y], [x + 3.0, y]], *ink, 1.25);
                }
            }
        }
        Mark::Stretch { name, from, to } => {
            shade(picture, frame, name, [frame.x(*from), frame.x(*to)]);
        }
        Mark::Upright { at, .. } => {
            let x = frame.x(*at);
            picture.dashed(vec![[x, frame.top], [x, frame.bottom]], Ink::Text, 1.0);
        }
        Mark::Level { at, .. } => {
            let y = frame.y(*at);
            picture.dashed(vec![[frame.left, y], [frame.right, y]], Ink::Text, 1.0);
        }
    }
}

/// Names a marked value, over what is drawn there.
fn name_place(picture: &mut Picture, frame: &Frame<'_>, mark: &Mark) {
    match mark {
        Mark::Upright { name, at } => {
            let x = frame.x(*at);
            let left = x > f64::midpoint(frame.left, frame.right);
            let (x, anchor, room) = if left {
                (x - 6.0, Anchor::End, x - frame.left)
            } else {
                (x + 6.0, Anchor::Start, frame.right - x)
            };
            let name = fit_width(name, room - 8.0);
            picture.label([x, frame.top + 12.0], &name, Ink::Text, anchor);
        }
        Mark::Level { name, at } => {
            let y = frame.y(*at);
            let name = fit_width(name, frame.right - frame.left);
            // Below the line where there is no room above it.
            let base = if y - 18.0 < frame.top { y + 16.0 } else { y - 8.0 };
            picture.label([frame.right - 4.0, base], &name, Ink::Text, Anchor::End);
        }
        Mark::Line { .. }
        | Mark::Dots { .. }
        | Mark::Area { .. }
        | Mark::Struck { .. }
        | Mark::Intervals { .. }
        | Mark::Stretch { .. } => {}
    }
}

/// Shades a stretch, with its name where there is room for one.
fn shade(picture: &mut Picture, frame: &Frame<'_>, name: &str, [from, to]: [f64; 2]) {
    let (at, size) = ([from, frame.top], [to - from, frame.bottom - frame.top]);
    let note = name.to_owned();
    picture.shapes.push(Shape::Rect { at, size, ink: Ink::Faint, opacity: 0.1, note });
    if text_width(name) <= to - from - 8.0 {
        picture.text([from + 4.0, frame.top + 12.0], name, Ink::Faint, Anchor::Start);
    }
}

/// Draws a line; a value that stands alone is a dot.
fn draw_line(picture: &mut Picture, frame: &Frame<'_>, ink: Ink, points: &[(f64, Option<f64>)]) {
    for stretch in stretches(points) {
        let line: Vec<_> = stretch.into_iter().map(|(x, y)| [frame.x(x), frame.y(y)]).collect();
        if let [at] = line[..] {
            picture.shapes.push(Shape::Dot { at, radius: 1.5, ink, note: String::new() });
        } else {
            picture.line(line, ink, 1.75);
        }
    }
}

/// Takes a line apart where it has no value.
fn stretches(points: &[(f64, Option<f64>)]) -> Vec<Vec<(f64, f64)>> {
    let apart = points.split(|point| point.1.is_none());
    let some = |stretch: &[(f64, Option<f64>)]| -> Vec<_> {
        stretch.iter().filter_map(|(x, y)| Some((*x, (*y)?))).collect()
    };
    apart.filter(|stretch| !stretch.is_empty()).map(some).collect()
}

/// Sets each line's name beside its end, apart from one another.
fn label_ends(picture: &mut Picture, frame: &Frame<'_>) {
    let lines = frame.plot.marks.iter().filter_map(Mark::line);
    let mut ends: Vec<_> = lines
        .filter_map(|(name, ink, points)| {
            let (x, y) = points.iter().rev().find_map(|(x, y)| Some((*x, (*y)?)))?;
            Some(([frame.x(x) + 7.0, frame.y(y).max(frame.top)], name, ink))
        })
        .collect();
    ends.sort_by(|one, other| one.0[1].total_cmp(&other.0[1]));
    let mut placed: Vec<([f64; 2], f64)> = Vec::new();
    for ([x, end], name, ink) in ends {
        let width = text_width(name);
        let overlaps = |y: f64| {
            placed.iter().any(|(at, other)| {
                x < at[0] + other && at[0] < x + width && (y - at[1]).abs() < LEADING
            })
        };
        // Down to the axis, and where there is no room left, up from where the line ends.
        let below = (0..).map(|step| end + f64::from(step)).take_while(|y| *y <= frame.bottom);
        let above = (0..).map(|step| end - f64::from(step)).take_while(|y| *y >= 0.0);
        let y = below.chain(above).find(|y| !overlaps(*y)).unwrap_or(end);
        picture.label([x, y + 4.0], name, ink, Anchor::Start);
        placed.push(([x, y], width));
    }
}
