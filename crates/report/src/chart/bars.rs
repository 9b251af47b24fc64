//! Bars in groups.

use super::picture::{Anchor, Ink, Labels, Picture, Shape, fit_width, text_width};
use super::{BOTTOM, Draw, LEFT, Scale, TOP, short};
use crate::figure::figure;

/// The height of the chart, but for a key to its labels.
const HEIGHT: f64 = 240.0;

/// The widest bar.
const BAR_MAX: f64 = 64.0;

/// Bars that belong together: one for each name of the chart.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) name: String,
    /// A value for each of the chart's names, and its interval.
    pub(crate) values: Vec<(Option<f64>, Option<[f64; 2]>)>,
}

/// A bar chart.
#[derive(Clone, Debug)]
pub(crate) struct Bars {
    /// What it shows, in words.
    pub(crate) label: String,
    /// What the bars' height means, with its unit.
    pub(crate) title: String,
    /// What the bars of a group are called; a single one needs no name.
    pub(crate) names: Vec<String>,
    pub(crate) groups: Vec<Group>,
    /// What stands before a value.
    pub(crate) sign: String,
}

impl Draw for Bars {
    fn draw(&self, width: f64) -> Picture {
        let (right, bottom) = (width - 8.0, HEIGHT - BOTTOM + 8.0);
        let room = (right - LEFT) / self.groups.len().max(1) as f64;
        let names: Vec<_> = self.groups.iter().map(|group| group.name.clone()).collect();
        let labels = Labels::of(&names, 1, room - 10.0, width - 8.0);
        let mut picture = Picture::new(width, HEIGHT + labels.height(), &self.label);
        labels.draw_key(&mut picture, HEIGHT + 6.0);
        picture.text([2.0, 11.0], &fit_width(&self.title, width), Ink::Faint, Anchor::Start);
        let top = self.key(&mut picture) + 14.0;
        let every = self.groups.iter().flat_map(|group| &group.values);
        let highs = every.filter_map(|(value, ends)| Some(ends.map_or((*value)?, |ends| ends[1])));
        let scale = Scale::from_zero(highs);
        let y = |value: f64| bottom - scale.place(value) * (bottom - top);
        for (value, label) in scale.ticks(4) {
            let y = y(value);
            picture.line(vec![[LEFT, y], [right, y]], Ink::Grid, 1.0);
            let label = format!("{}{label}", self.sign);
            picture.text([LEFT - 6.0, y + 4.0], &label, Ink::Faint, Anchor::End);
        }
        let each = self.names.len().max(1) as f64;
        let bar = (room * 0.76 / each).min(BAR_MAX);
        let written = self.written(bar);
        for (index, group) in self.groups.iter().enumerate() {
            let middle = LEFT + room * (index as f64 + 0.5);
            picture.text([middle, bottom + 16.0], &labels.shown[index], Ink::Text, Anchor::Middle);
            for (place, (value, ends)) in group.values.iter().enumerate() {
                let Some(value) = *value else { continue };
                let x = middle + bar * (place as f64 - each / 2.0);
                let ink = Ink::Series(if self.names.len() > 1 { place } else { index });
                let size = [bar - 2.0, bottom - y(value)];
                let shown = self.in_full(value);
                let name = self.names.get(place).map(String::as_str).unwrap_or_default();
                let note = format!("{} {name}: {shown}", group.name);
                let at = [x + 1.0, y(value)];
                picture.shapes.push(Shape::Rect { at, size, ink, opacity: 1.0, note });
                let high = ends.map_or(value, |ends| ends[1]);
                if let Some([low, high]) = *ends {
                    let x = x + bar / 2.0;
                    picture.line(vec![[x, y(low)], [x, y(high)]], Ink::Text, 1.25);
                }
                if let Some(written) = written {
                    let at = [x + bar / 2.0, y(high) - 4.0];
                    picture.text(at, &written(self, value), Ink::Text, Anchor::Middle);
                }
            }
        }
        picture.line(vec![[LEFT, bottom], [right, bottom]], Ink::Faint, 1.0);
        picture
    }

    fn data(&self) -> (Vec<String>, Vec<Vec<String>>) {
        let heads =
            if self.names.is_empty() { vec![self.title.clone()] } else { self.names.clone() };
        let rows = self.groups.iter().map(|group| {
            let values = group.values.iter().map(|(value, _)| value.map_or(String::new(), figure));
            std::iter::once(group.name.clone()).chain(values).collect()
        });
        (std::iter::once(String::new()).chain(heads).collect(), rows.collect())
    }
}

/// How a value is written above its bar.
type Written = fn(&Bars, f64) -> String;

impl Bars {
    /// Returns how values are written above bars of this width, where there is room for all.
    fn written(&self, bar: f64) -> Option<Written> {
        let every = || self.groups.iter().flat_map(|group| &group.values);
        let ways: [Written; 2] = [Self::in_full, Self::in_short];
        ways.into_iter().find(|way| {
            every().filter_map(|value| value.0).all(|value| text_width(&way(self, value)) <= bar)
        })
    }

    fn in_full(&self, value: f64) -> String {
        format!("{}{}", self.sign, figure(value))
    }

    fn in_short(&self, value: f64) -> String {
        format!("{}{}", self.sign, short(three_digits(value)))
    }

    /// Writes which colour is which, and returns the base line of its last row.
    fn key(&self, picture: &mut Picture) -> f64 {
        let mut at = [4.0, TOP + 6.0];
        if self.names.len() < 2 {
            return TOP - 6.0;
        }
        for (index, name) in self.names.iter().enumerate() {
            let name = fit_width(name, picture.width - 40.0);
            let room = text_width(&name) + 30.0;
            if at[0] > 4.0 && at[0] + room > picture.width {
                at = [4.0, at[1] + 16.0];
            }
            let (corner, size) = ([at[0], at[1] - 8.0], [11.0, 8.0]);
            let (ink, note) = (Ink::Series(index), String::new());
            picture.shapes.push(Shape::Rect { at: corner, size, ink, opacity: 1.0, note });
            picture.text([at[0] + 16.0, at[1]], &name, Ink::Text, Anchor::Start);
            at[0] += room;
        }
        at[1]
    }
}

/// Rounds a value to three digits, for where there is little room.
fn three_digits(value: f64) -> f64 {
    let rounded = format!("{value:.2e}").parse();
    rounded.unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_above_narrow_bars_are_short_and_never_run_into_one_another() {
        let values = [23_811.2, 140.0, 24_004.9].map(|value| (Some(value), None)).to_vec();
        let bars = Bars {
            label: String::new(),
            title: String::new(),
            names: ["p50", "p95", "p99"].map(str::to_owned).to_vec(),
            groups: vec![Group { name: "a".to_owned(), values }],
            sign: String::new(),
        };
        let above = |width: f64| -> Vec<String> {
            let shapes = bars.draw(width).shapes;
            let texts = shapes.into_iter().filter_map(|shape| {
                let Shape::Text { text, ink: Ink::Text, anchor: Anchor::Middle, .. } = shape else {
                    return None;
                };
                Some(text)
            });
            texts.skip(1).collect()
        };
        assert_eq!(above(400.0), ["23,811", "140.0", "24,005"]);
        assert_eq!(above(200.0), ["23.8k", "140", "24k"]);
        assert_eq!(above(100.0), [""; 0], "all or none");
    }
}
