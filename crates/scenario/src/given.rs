//! A value as somebody gave it: text, and where it came from.

use std::ops::Range;
use std::path::PathBuf;

use serde::Serialize;

use crate::problem::{Place, Spot};
use crate::settings::{Form, Setting};
use crate::syntax::Echo;

/// A value as somebody gave it. Its text is not yet read.
#[derive(Clone, Debug)]
pub struct Given {
    pub(crate) setting: &'static Setting,
    pub(crate) text: String,
    layer: Layer,
}

/// Where values come from, from the strongest to the weakest.
#[derive(Clone, Debug)]
enum Layer {
    /// A study, for one of its points.
    Study,
    Flag,
    Env,
    File(Spot),
    /// A scenario that was resolved before, with where the value came from then.
    Resolved(Origin),
    /// The profile that stands there. It is weaker than what its own layer says itself.
    Profile(Box<Given>),
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "layer", rename_all = "lowercase")]
pub enum Origin {
    /// The command line.
    Flag,
    /// The environment.
    Env,
    /// A scenario file.
    File {
        /// Which.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column, from 1, in characters.
        column: usize,
    },
    /// The study that the point belongs to.
    Study,
    /// The profile that was given.
    Profile,
    /// Nobody gave it.
    Default,
}

impl Origin {
    /// Whether somebody gave the value itself; else it follows from others, and changes with them.
    pub fn is_given(&self) -> bool {
        match self {
            Self::Flag | Self::Env | Self::File { .. } | Self::Study => true,
            Self::Default | Self::Profile => false,
        }
    }
}

impl Given {
    /// A value from the command line. A flag of [`Form::Switch`] without a value says `yes`.
    pub fn flag(setting: &'static Setting, text: impl Into<String>) -> Self {
        Self { setting, text: text.into(), layer: Layer::Flag }
    }

    /// A value from the environment; of a [`Form::Repeated`] setting, one a line.
    pub fn env(setting: &'static Setting, text: impl Into<String>) -> Self {
        Self { setting, text: text.into(), layer: Layer::Env }
    }

    /// A value that a study gives one of its points.
    pub fn study(setting: &'static Setting, text: impl Into<String>) -> Self {
        Self { setting, text: text.into(), layer: Layer::Study }
    }

    /// A value of a scenario that was resolved before.
    pub(crate) fn resolved(setting: &'static Setting, text: String, origin: Origin) -> Self {
        Self { setting, text, layer: Layer::Resolved(origin) }
    }

    /// What a given profile says of a setting.
    pub(crate) fn profile(setting: &'static Setting, text: &str, profile: &Self) -> Self {
        let layer = Layer::Profile(Box::new(profile.clone()));
        Self { setting, text: text.to_owned(), layer }
    }

    pub(crate) fn file(setting: &'static Setting, text: String, spot: Spot) -> Self {
        Self { setting, text, layer: Layer::File(spot) }
    }

    /// Takes the text apart into values without white space around: one, or for a
    /// [`Form::Repeated`] setting's variable, one a line.
    pub(crate) fn split(self) -> Vec<Self> {
        let with = |text: &str| Self { text: text.trim().to_owned(), ..self.clone() };
        match (self.setting.form, &self.layer) {
            (Form::Repeated, Layer::Env) => {
                self.text.lines().filter(|line| !line.trim().is_empty()).map(with).collect()
            }
            _ => vec![with(&self.text)],
        }
    }

    /// Returns the setting.
    pub fn setting(&self) -> &'static Setting {
        self.setting
    }

    /// Returns the text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns where it came from.
    pub fn origin(&self) -> Origin {
        match &self.layer {
            Layer::Study => Origin::Study,
            Layer::Resolved(origin) => origin.clone(),
            Layer::Flag => Origin::Flag,
            Layer::Env => Origin::Env,
            Layer::Profile(_) => Origin::Profile,
            Layer::File(spot) => {
                let (line, column) = spot.position();
                Origin::File { path: spot.source.path.clone(), line, column }
            }
        }
    }

    /// Returns the layer's rank: the least wins.
    pub(crate) fn rank(&self) -> u8 {
        match &self.layer {
            Layer::Study => 0,
            Layer::Flag => 2,
            Layer::Env => 4,
            Layer::File(_) => 6,
            Layer::Resolved(_) => 8,
            Layer::Profile(profile) => profile.rank() + 1,
        }
    }

    /// Returns where it stands, for an error.
    pub(crate) fn place(&self, echo: Echo) -> Place {
        self.place_of(None, echo)
    }

    /// Returns where a stretch of its text stands; nothing stands for all of it.
    pub(crate) fn place_of(&self, part: Option<Range<usize>>, echo: Echo) -> Place {
        let (name, spot) = match &self.layer {
            Layer::Profile(profile) => return profile.place_of(None, echo),
            Layer::Flag if self.setting.form == Form::Positional => {
                (self.setting.flag.to_owned(), None)
            }
            Layer::Flag => (format!("--{}", self.setting.flag), None),
            Layer::Env => (self.setting.env.to_owned(), None),
            Layer::File(spot) => (self.setting.key.to_owned(), Some(spot)),
            Layer::Study | Layer::Resolved(_) => (self.setting.key.to_owned(), None),
        };
        match echo {
            Echo::Shown => {
                let Some(part) = part else {
                    return Place::new(&name, Some(&self.text), spot.cloned());
                };
                let spot = spot.map(|spot| spot.narrowed(&self.text, &part));
                Place::new(&name, Some(&self.text[part]), spot)
            }
            Echo::Withheld => Place::new(&name, None, spot.map(Spot::start)),
        }
    }
}
