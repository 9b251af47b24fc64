//! A table whose cells have the stronger a colour the greater their values are.

use super::picture::{Anchor, Ink, Labels, Picture, Shape, fit_middle, fit_width, text_width};
use super::{Draw, Scale};
use crate::figure::{ABSENT, cell};

/// The height of a row.
const ROW: f64 = 30.0;

/// The weakest and the strongest colour, as opacities. On the strongest, too, text has a contrast
/// of 4.5 and more, on light pages and on dark ones.
const OPACITIES: [f64; 2] = [0.05, 0.55];

/// The height below the cells, with their title and the distance to what follows.
const BELOW: f64 = 36.0;

/// A heat map.
#[derive(Clone, Debug)]
pub(crate) struct Heat {
    /// What it shows, in words.
    pub(crate) label: String,
    /// What the values are, with their unit.
    pub(crate) title: String,
    /// What the columns are.
    pub(crate) columns_title: String,
    pub(crate) columns: Vec<String>,
    /// The number of the first column among those of all maps, from 1.
    pub(crate) first: usize,
    /// Of each column, whether it holds no results: its values are struck out.
    pub(crate) struck: Vec<bool>,
    pub(crate) rows: Vec<(String, Vec<Option<f64>>)>,
    /// What the colours mean: the same in maps that stand together.
    pub(crate) scale: Scale,
}

impl Draw for Heat {
    fn draw(&self, width: f64) -> Picture {
        let names = self.rows.iter().map(|row| text_width(&row.0)).fold(0.0, f64::max);
        let left = (names + 16.0).min(width * 0.3);
        let room = (width - left - 4.0) / self.columns.len().max(1) as f64;
        let labels = Labels::of(&self.columns, self.first, room - 6.0, width - 8.0);
        let bottom = 44.0 + ROW * self.rows.len() as f64;
        let mut picture = Picture::new(width, bottom + BELOW + labels.height(), &self.label);
        labels.draw_key(&mut picture, bottom + 34.0);
        picture.text([2.0, 11.0], &fit_middle(&self.title, width), Ink::Faint, Anchor::Start);
        for (index, name) in labels.shown.iter().enumerate() {
            let x = left + room * (index as f64 + 0.5);
            picture.text([x, 34.0], name, Ink::Faint, Anchor::Middle);
        }
        for (index, (name, values)) in self.rows.iter().enumerate() {
            let y = 42.0 + ROW * index as f64;
            let name = fit_width(name, left - 8.0);
            picture.text([left - 8.0, y + 19.0], &name, Ink::Text, Anchor::End);
            for (place, value) in values.iter().enumerate() {
                let at = [left + room * place as f64 + 1.0, y + 1.0];
                self.cell(&mut picture, at, room, *value, (index, place));
            }
        }
        let title = fit_width(&self.columns_title, width);
        picture.text([width - 4.0, bottom + 16.0], &title, Ink::Faint, Anchor::End);
        picture
    }

    fn data(&self) -> (Vec<String>, Vec<Vec<String>>) {
        let rows = self.rows.iter().map(|(name, values)| {
            let values = values.iter().map(|value| value.map_or(ABSENT.to_owned(), cell));
            std::iter::once(name.clone()).chain(values).collect()
        });
        let columns = self.columns.iter().zip(&self.struck);
        let columns =
            columns.map(|(name, struck)| if *struck { format!("{name} ×") } else { name.clone() });
        let heads = std::iter::once(self.title.clone()).chain(columns);
        (heads.collect(), rows.collect())
    }
}

impl Heat {
    fn cell(
        &self,
        picture: &mut Picture,
        at: [f64; 2],
        room: f64,
        value: Option<f64>,
        (row, column): (usize, usize),
    ) {
        let [weakest, strongest] = OPACITIES;
        let opacity = match value {
            Some(_) if self.struck[column] => weakest,
            Some(value) => weakest + (strongest - weakest) * self.scale.place(value),
            None => 0.0,
        };
        let shown = value.map_or(ABSENT.to_owned(), cell);
        let note = format!("{}, {}: {shown}", self.rows[row].0, self.columns[column]);
        let size = [room - 2.0, ROW - 2.0];
        picture.shapes.push(Shape::Rect { at, size, ink: Ink::Series(0), opacity, note });
        if text_width(&shown) <= room {
            let at = [at[0] + size[0] / 2.0, at[1] + 18.0];
            picture.text(at, &shown, Ink::Text, Anchor::Middle);
            if self.struck[column] && value.is_some() {
                let (half, y) = (text_width(&shown) / 2.0 + 3.0, at[1] - 4.0);
                picture.line(vec![[at[0] - half, y], [at[0] + half, y]], Ink::Text, 1.25);
            }
        }
    }
}
