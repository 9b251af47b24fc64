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

/// The phase that ends with a cross: it may be too short to be seen, and of a colour like others.
const FAILED: usize = 3;

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
                let end = [x(to), y + size[1] / 2.0];
                picture.shapes.push(Shape::Rect {
                    at,
                    size,
                    ink,
                    opacity: 1.0,
                    note: note.clone(),
                });
                if phase == FAILED {
                    picture.cross(end, ink, note);
                }
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
        let last = if self.failure.is_some() { FAILED } else { 2 };
        let Some(sent) = self.sent else { return vec![(FAILED, self.due, self.end)] };
        match self.first_token {
            Some(first) => vec![(0, self.due, sent), (1, sent, first), (last, first, self.end)],
            None => {
                vec![(0, self.due, sent), (if last == FAILED { FAILED } else { 1 }, sent, self.end)]
            }
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
    for (phase, ([x, y], (name, ink))) in places(picture.width).into_iter().zip(PHASES).enumerate()
    {
        let (at, size, note) = ([x, y - 8.0], [11.0, 8.0], String::new());
        if phase == FAILED {
            picture.cross([x + 5.5, y - 4.0], ink, note);
        } else {
            picture.shapes.push(Shape::Rect { at, size, ink, opacity: 1.0, note });
        }
        let name = fit_width(name, picture.width - x - 18.0);
        picture.text([x + 16.0, y], &name, Ink::Text, Anchor::Start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_failed_at_once_is_still_seen() {
        let flight = |failure: Option<&str>| Flight {
            name: "request 1".to_owned(),
            due: 1.0,
            sent: Some(1.0),
            first_token: None,
            end: 1.000_01,
            failure: failure.map(str::to_owned),
        };
        let crosses = |failure| {
            let flights = vec![flight(failure), Flight { end: 9.0, ..flight(None) }];
            let shapes = Waterfall { label: String::new(), flights }.draw(300.0).shapes;
            let is_bad = |shape: &&Shape| matches!(shape, Shape::Line { ink: Ink::Bad, .. });
            shapes.iter().filter(is_bad).count() / 2
        };
        // One is in the key.
        assert_eq!([crosses(None), crosses(Some("refused"))], [1, 2]);
    }
}
