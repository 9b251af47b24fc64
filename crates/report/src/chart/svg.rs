//! Pictures as SVG: within a page, whose style gives the colours, or as a file with its own.

use super::picture::{Anchor, Ink, Picture, Shape};
use crate::html::Html;

/// The style of a file: the light colours of the page, by the same classes.
pub(super) const STYLE: &str = include_str!("../document/chart.css");

/// The number of the palette's colours.
const COLOURS: usize = 6;

/// Returns the picture as an element of a page.
pub(crate) fn inline(picture: &Picture) -> Html {
    let mut svg = Html::default();
    write(&mut svg, picture, Place::Page);
    svg
}

/// Returns the picture as the content of a file.
pub(crate) fn file(picture: &Picture) -> String {
    let mut svg = Html::default();
    write(&mut svg, picture, Place::File);
    svg.into_string() + "\n"
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    Page,
    File,
}

fn write(svg: &mut Html, picture: &Picture, place: Place) {
    let (width, height) = (number(picture.width), number(picture.height));
    let view = format!("0 0 {width} {height}");
    let mut attributes = vec![("viewBox", view.as_str()), ("role", "img"), ("class", "plot")];
    attributes.push(("aria-label", &picture.label));
    if place == Place::File {
        attributes.push(("xmlns", "http://www.w3.org/2000/svg"));
        attributes.extend([("width", width.as_str()), ("height", height.as_str())]);
    }
    let _: &mut Html = svg.open("svg", &attributes);
    if place == Place::File {
        let _: &mut Html = svg.markup("<style>").markup(STYLE).markup("</style>");
        let ground = [("width", width.as_str()), ("height", height.as_str()), ("class", "fg")];
        let _: &mut Html = svg.empty("rect", &ground);
    }
    for shape in &picture.shapes {
        put(svg, shape);
    }
    let _: &mut Html = svg.close("svg");
}

fn put(svg: &mut Html, shape: &Shape) {
    match shape {
        Shape::Line { points, ink, width, dashed } => {
            let (path, class, width) = (path(points), stroke(*ink), number(*width));
            let dash = dashed.map(number).unwrap_or_default();
            let mut attributes = vec![("d", path.as_str()), ("class", class.as_str())];
            attributes.push(("stroke-width", &width));
            if dashed.is_some() {
                attributes.push(("stroke-dasharray", &dash));
            }
            let _: &mut Html = svg.empty("path", &attributes);
        }
        Shape::Area { points, ink, opacity } => {
            let (path, class, opacity) = (path(points) + "Z", fill(*ink), number(*opacity));
            let _: &mut Html =
                svg.empty("path", &[("d", &path), ("class", &class), ("fill-opacity", &opacity)]);
        }
        Shape::Rect { at, size, ink, opacity, note } => {
            let [x, y, w, h] = [at[0], at[1], size[0].max(0.0), size[1].max(0.0)].map(number);
            let (class, opacity) = (fill(*ink), number(*opacity));
            let mut attributes = vec![("x", x.as_str()), ("y", &y), ("width", &w), ("height", &h)];
            attributes.extend([("class", class.as_str()), ("fill-opacity", &opacity)]);
            noted(svg, "rect", &attributes, note);
        }
        Shape::Dot { at, radius, ink, note } => {
            let [x, y, r] = [at[0], at[1], *radius].map(number);
            let class = fill(*ink);
            noted(svg, "circle", &[("cx", &x), ("cy", &y), ("r", &r), ("class", &class)], note);
        }
        Shape::Text { at, text, ink, anchor, size, bold } => {
            let [x, y, size] = [at[0], at[1], *size].map(number);
            let class = fill(*ink);
            let mut attributes = vec![("x", x.as_str()), ("y", &y), ("class", &class)];
            attributes.push(("font-size", &size));
            match anchor {
                Anchor::Start => {}
                Anchor::Middle => attributes.push(("text-anchor", "middle")),
                Anchor::End => attributes.push(("text-anchor", "end")),
            }
            if *bold {
                attributes.push(("font-weight", "600"));
            }
            let _: &mut Html = svg.element("text", &attributes, text);
        }
    }
}

/// Adds a shape that shows its note when it is pointed at.
fn noted(svg: &mut Html, tag: &'static str, attributes: &[(&'static str, &str)], note: &str) {
    if note.is_empty() {
        let _: &mut Html = svg.empty(tag, attributes);
    } else {
        let _: &mut Html = svg.open(tag, attributes).element("title", &[], note).close(tag);
    }
}

fn path(points: &[[f64; 2]]) -> String {
    let mut path = String::new();
    for (index, [x, y]) in points.iter().enumerate() {
        path.push(if index == 0 { 'M' } else { 'L' });
        path += &number(*x);
        path.push(' ');
        path += &number(*y);
    }
    path
}

/// Returns a length to a tenth of a pixel.
fn number(value: f64) -> String {
    let text = format!("{:.2}", if value.is_finite() { value } else { 0.0 });
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

pub(super) fn fill(ink: Ink) -> String {
    format!("f{}", name(ink))
}

pub(super) fn stroke(ink: Ink) -> String {
    format!("k{}", name(ink))
}

fn name(ink: Ink) -> String {
    match ink {
        Ink::Text => "t".to_owned(),
        Ink::Faint => "q".to_owned(),
        Ink::Grid => "l".to_owned(),
        Ink::Ground => "g".to_owned(),
        Ink::Bad => "b".to_owned(),
        Ink::Series(index) => (index % COLOURS).to_string(),
    }
}
