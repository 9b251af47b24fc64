//! Requests one below another, over time: when each waited, and when it was answered.

use super::picture::{Anchor, Ink, Picture, Shape, fit_width, text_width};
use super::{Draw, LEFT, Scale};
use crate::figure::figure;

/// The height of a row.
const ROW: f64 = 9.0;

/// One request, in seconds.
#[derive(Clone, Debug)]
pub(crate) struct Flight {
    pub(crate) name: String,
    /// From due to sent: the generator's own delay.
    pub(crate) due: f64,
    pub(crate) sent: Option<f64>,
    pub(crate) first_token: Option<f64>,
    pub(crate) end: f64,
    /// Why it failed, if it did.
    pub(crate) failure: Option<String>,
}

/// Requests over time.
#[derive(Clone, Debug)]
pub(crate) struct Waterfall {
    /// What it shows, in words.
    pub(crate) label: String,
    pub(crate) flights: Vec<Flight>,
}

/// The phases, with their colours.
const PHASES: [(&str, Ink); 4] = [
    ("held back by the generator", Ink::Series(3)),
    ("waiting for the first token", Ink::Series(1)),
    ("receiving tokens", Ink::Series(0)),
    ("failed", Ink::Bad),
];

impl Draw for Waterfall {
    fn draw(&self, width: f64) -> Picture {
        let top = key_bottom(width) + 8.0;
        let height = top + ROW * self.flights.len() as f64 + 38.0;
        let mut picture = Picture::new(width, height, &self.label);
        key(&mut picture);
        let (right, bottom) = (width - 14.0, height - 36.0);
        let low = self.flights.iter().map(|flight| flight.due).fold(f64::INFINITY, f64::min);
        let high = self.flights.iter().map(|flight| flight.end).fold(0.0, f64::max);
        let scale = Scale::exactly(if low.is_finite() { low } else { 0.0 }, high);
        let left = LEFT / 2.0;
        let x = |value: f64| left + scale.place(value) * (right - left);
        let mut reach = 0.0;
        for (value, label) in scale.ticks(((right - left) / 70.0) as usize + 1) {
            picture.line(vec![[x(value), top], [x(value), bottom]], Ink::Grid, 1.0);
            let half = text_width(&label) / 2.0;
            if x(value) - half > reach && x(value) + half < width {
                let at = [x(value), bottom + 17.0];
                picture.text(at, &label, Ink::Faint, Anchor::Middle);
                reach = x(value) + half + 6.0;
            }
        }
        for (index, flight) in self.flights.iter().enumerate() {
            let y = top + ROW * index as f64 + 1.5;
            for (phase, from, to) in flight.phases() {
                let (at, size) = ([x(from), y], [(x(to) - x(from)).max(0.5), ROW - 3.0]);
                let note = format!("{}: {}, {} s", flight.name, PHASES[phase].0, figure(to - from));
                let ink = PHASES[phase].1;
                picture.shapes.push(Shape::Rect { at, size, ink, opacity: 1.0, note });
            }
        }
        let title = "seconds since the run's epoch";
        picture.text([right, bottom + 32.0], title, Ink::Faint, Anchor::End);
        picture
    }

    fn data(&self) -> (Vec<String>, Vec<Vec<String>>) {
        let seconds = |value: Option<f64>| value.map_or(String::new(), |v| format!("{v:.4}"));
        let rows = self.flights.iter().map(|flight| {
            vec![
                flight.name.clone(),
                seconds(Some(flight.due)),
                seconds(flight.sent),
                seconds(flight.first_token),
                seconds(Some(flight.end)),
                flight.failure.clone().unwrap_or_default(),
            ]
        });
        let heads = ["request", "due, s", "sent, s", "first token, s", "end, s", "failure"];
        (heads.map(str::to_owned).to_vec(), rows.collect())
    }
}

impl Flight {
    /// Returns the phases that it went through: which, from, to.
    fn phases(&self) -> Vec<(usize, f64, f64)> {
        let last = if self.failure.is_some() { 3 } else { 2 };
        let Some(sent) = self.sent else { return vec![(3, self.due, self.end)] };
        match self.first_token {
            Some(first) => vec![(0, self.due, sent), (1, sent, first), (last, first, self.end)],
            None => vec![(0, self.due, sent), (if last == 3 { 3 } else { 1 }, sent, self.end)],
        }
    }
}

/// Returns where each entry of the key stands.
fn places(width: f64) -> Vec<[f64; 2]> {
    let mut at = [4.0, 12.0];
    let place = |(name, _): (&str, Ink)| {
        let room = text_width(name) + 30.0;
        if at[0] > 4.0 && at[0] + room > width {
            at = [4.0, at[1] + 16.0];
        }
        let here = at;
        at[0] += room;
        here
    };
    PHASES.into_iter().map(place).collect()
}

fn key_bottom(width: f64) -> f64 {
    places(width).last().map_or(12.0, |at| at[1])
}

fn key(picture: &mut Picture) {
    for ([x, y], (name, ink)) in places(picture.width).into_iter().zip(PHASES) {
        let (at, size) = ([x, y - 8.0], [11.0, 8.0]);
        picture.shapes.push(Shape::Rect { at, size, ink, opacity: 1.0, note: String::new() });
        let name = fit_width(name, picture.width - x - 18.0);
        picture.text([x + 16.0, y], &name, Ink::Text, Anchor::Start);
    }
}
