//! Where given values are laid out, read, and missed: layering, defaults, and what went wrong.

use std::collections::{BTreeMap, BTreeSet};

use crate::given::{Given, Origin};
use crate::problem::{Place, Problem, Problems};
use crate::resolve::Value;
use crate::settings::{Form, Setting};
use crate::syntax::{Codec, Echo, Fault};

/// The given values, and what has become of them so far.
pub(super) struct Desk {
    /// By key, the strongest layer first. A setting that is here has a value.
    given: BTreeMap<&'static str, Vec<Given>>,
    /// Likewise what does not count. Its mistakes do.
    aside: BTreeMap<&'static str, Vec<Given>>,
    values: Vec<Value>,
    problems: Vec<Problem>,
    /// The settings of which a text could not be read.
    malformed: BTreeSet<&'static str>,
}

impl Desk {
    pub(super) fn new(given: Vec<Given>) -> Self {
        let mut by_key: BTreeMap<_, Vec<Given>> = BTreeMap::new();
        for given in given.into_iter().flat_map(Given::split) {
            by_key.entry(given.setting.key).or_default().push(given);
        }
        for layers in by_key.values_mut() {
            layers.sort_by_key(Given::rank);
        }
        Self {
            given: by_key,
            aside: BTreeMap::new(),
            values: Vec::new(),
            problems: Vec::new(),
            malformed: BTreeSet::new(),
        }
    }

    /// Returns what was given for a setting, the strongest layer first.
    pub(super) fn layers(&self, setting: &Setting) -> &[Given] {
        self.given.get(setting.key).map_or(&[], Vec::as_slice)
    }

    /// Lets no longer count what layers of such ranks say about a setting that is still to be
    /// read.
    pub(super) fn set_aside(&mut self, setting: &Setting, is_aside: impl Fn(u8) -> bool) {
        let Some((key, layers)) = self.given.remove_entry(setting.key) else { return };
        let (aside, given): (Vec<_>, Vec<_>) =
            layers.into_iter().partition(|given| is_aside(given.rank()));
        for (layers, map) in [(aside, &mut self.aside), (given, &mut self.given)] {
            if !layers.is_empty() {
                let _ = map.insert(key, layers);
            }
        }
    }

    pub(super) fn is_given(&self, setting: &Setting) -> bool {
        self.given.contains_key(setting.key)
    }

    /// Reads all values of all layers, so that every mistake is found, and returns those of the
    /// strongest that can be read.
    pub(super) fn all<T>(&mut self, setting: &'static Setting, codec: &Codec<T>) -> Vec<T> {
        let layers = self.given.get(setting.key).map_or(&[][..], Vec::as_slice);
        let aside = self.aside.get(setting.key).map_or(&[][..], Vec::as_slice);
        let rank = layers.first().map(Given::rank);
        let mut read = Vec::new();
        for given in layers.iter().chain(aside) {
            match (codec.parse)(&given.text) {
                Ok(value) if Some(given.rank()) == rank => {
                    self.values.push(Value {
                        key: setting.key,
                        text: (codec.print)(&value),
                        origin: given.origin(),
                    });
                    read.push(value);
                }
                Ok(_) => {}
                Err(fault) => {
                    let _ = self.malformed.insert(setting.key);
                    self.problems.push(malformed(given, fault));
                }
            }
        }
        if setting.form != Form::Repeated
            && let [first, second, ..] = layers
            && second.rank() == first.rank()
        {
            self.problems.push(Problem {
                places: vec![second.place(Echo::Withheld), first.place(Echo::Withheld)],
                found: "given twice".to_owned(),
                expected: None,
                hint: Some("keep one of them".to_owned()),
            });
        }
        read
    }

    /// Returns the value, if one was given that can be read.
    pub(super) fn one<T>(&mut self, setting: &'static Setting, codec: &Codec<T>) -> Option<T> {
        self.all(setting, codec).into_iter().next()
    }

    /// Returns the value, or the default where none was given or none can be read. For settings
    /// with a default.
    pub(super) fn one_or_default<T>(&mut self, setting: &'static Setting, codec: &Codec<T>) -> T {
        self.one(setting, codec).unwrap_or_else(|| self.default_of(setting, codec))
    }

    /// Takes the default of a setting that has one and that nobody gave.
    pub(super) fn default_of<T>(&mut self, setting: &Setting, codec: &Codec<T>) -> T {
        let text = setting.default.expect("the table gives this setting a default");
        let value = (codec.parse)(text).expect("the table's defaults are well formed");
        self.fall_back(setting, codec, value)
    }

    /// Takes `value` for a setting that nobody gave.
    pub(super) fn fall_back<T>(&mut self, setting: &Setting, codec: &Codec<T>, value: T) -> T {
        let text = (codec.print)(&value);
        self.values.push(Value { key: setting.key, text, origin: Origin::Default });
        value
    }

    /// Returns where a setting's value stands.
    fn place(&self, setting: &Setting) -> Place {
        match self.given.get(setting.key).and_then(|layers| layers.first()) {
            Some(given) => given.place(Echo::Shown),
            None => Place::new(&format!("{} (by default)", setting.key), setting.default, None),
        }
    }

    /// Refuses `setting`, if given, because of what `other` says.
    pub(super) fn rule_out(&mut self, setting: &Setting, other: &Setting, found: &str, hint: &str) {
        if self.is_given(setting) {
            self.refuse(&[setting, other], found, hint);
        }
    }

    /// Refuses what settings say together, unless one of them could not be read: then what it
    /// says is not known, and its own problem comes first.
    pub(super) fn refuse(&mut self, settings: &[&Setting], found: &str, hint: &str) {
        let places = settings.iter().map(|setting| self.place(setting)).collect();
        self.contradict(settings, places, found, hint);
    }

    /// Refuses, likewise, what the layer of this rank says by settings together, whether it counts
    /// or not.
    pub(super) fn refuse_within(
        &mut self,
        rank: u8,
        settings: &[&Setting],
        found: &str,
        hint: &str,
    ) {
        let all = |key| self.given.get(key).into_iter().chain(self.aside.get(key)).flatten();
        let within = settings
            .iter()
            .filter_map(|setting| all(setting.key).find(|given| given.rank() == rank));
        let places = within.map(|given| given.place(Echo::Shown)).collect();
        self.contradict(settings, places, found, hint);
    }

    fn contradict(&mut self, settings: &[&Setting], places: Vec<Place>, found: &str, hint: &str) {
        if settings.iter().any(|setting| self.malformed.contains(setting.key)) {
            return;
        }
        self.problems.push(Problem {
            places,
            found: found.to_owned(),
            expected: None,
            hint: Some(hint.to_owned()),
        });
    }

    /// Returns the values in the table's order.
    pub(super) fn finish(mut self) -> Result<Vec<Value>, Problems> {
        // What stands in no file comes first; the rest as a reader meets it.
        self.problems.sort_by_cached_key(|problem| {
            problem.places[0].position().map(|(_, line, column)| (line, column))
        });
        Problems::check(self.problems)?;
        self.values.sort_by_key(|value| Setting::rank(value.key));
        Ok(self.values)
    }
}

fn malformed(given: &Given, fault: Fault) -> Problem {
    Problem {
        places: vec![given.place_of(fault.at, fault.echo)],
        found: fault.found,
        expected: Some(fault.expected),
        hint: fault.hint,
    }
}
