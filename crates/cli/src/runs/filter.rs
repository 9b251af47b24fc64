//! Which of the catalogued runs somebody means.

use anyhow::anyhow;
use clap::{Arg, ArgAction, ArgMatches};
use infermark_run::catalogue::Entry;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp, ToSpan};

use crate::exit::Failure;
use crate::place;

/// The arguments that choose runs.
pub(super) fn arguments() -> [Arg; 6] {
    let text = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help_heading("Which runs").help(help)
    };
    [
        text("tag", "KEY=VALUE", "With this tag; may be repeated, and then with all of them")
            .action(ArgAction::Append)
            .value_parser(tag),
        text("model", "TEXT", "Of models whose names hold this, in either case"),
        text("gpu", "TEXT", "On GPUs whose names hold this, in either case"),
        text("kind", "KIND", "Of this kind: `run`, `sweep`, `capacity`, ..."),
        text("since", "WHEN", "Begun at or after a date or time (UTC), or so long ago: `7d`"),
        text("until", "WHEN", "Begun before a time, or on a date or before it"),
    ]
}

fn tag(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
    pair.ok_or_else(|| "expected KEY=VALUE".to_owned())
}

/// What runs have to be.
pub(super) struct Filter {
    tags: Vec<(String, String)>,
    model: Option<String>,
    gpu: Option<String>,
    kind: Option<String>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

impl Filter {
    /// Reads what the command line says; `now` is what "ago" counts from.
    pub(super) fn of(matches: &ArgMatches, now: Timestamp) -> Result<Self, Failure> {
        let text = |name: &str| matches.get_one::<String>(name).cloned();
        let instant = |name: &str, side| {
            text(name)
                .map(|text| instant(&text, now, side))
                .transpose()
                .map_err(|problem| Failure::usage(anyhow!("--{name}: {problem}")))
        };
        let tags = matches.get_many::<(String, String)>("tag").into_iter().flatten();
        Ok(Self {
            tags: tags.cloned().collect(),
            model: text("model").map(|text| text.to_lowercase()),
            gpu: text("gpu").map(|text| text.to_lowercase()),
            kind: text("kind"),
            since: instant("since", Side::Begin)?,
            until: instant("until", Side::End)?,
        })
    }

    /// Says whether a run is what it has to be. One that does not say is not.
    pub(super) fn holds(&self, entry: &Entry) -> bool {
        let contains = |text: &Option<String>, part: &Option<String>| {
            let Some(part) = part else { return true };
            text.as_ref().is_some_and(|text| text.to_lowercase().contains(part))
        };
        let tagged = |(key, value): &(String, String)| entry.tags.get(key) == Some(value);
        // Reading an instant takes longer than all else here.
        let began = || place::began(entry);
        self.tags.iter().all(tagged)
            && contains(&entry.model, &self.model)
            && contains(&entry.gpu, &self.gpu)
            && self.kind.as_ref().is_none_or(|kind| entry.kind == *kind)
            && self.since.is_none_or(|since| began().is_some_and(|began| began >= since))
            && self.until.is_none_or(|until| began().is_some_and(|began| began < until))
    }
}

/// Which end of a day a date means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Begin,
    End,
}

/// Reads an instant: a date or time, or a duration before `now`.
fn instant(text: &str, now: Timestamp, side: Side) -> Result<Timestamp, String> {
    let expected = || {
        format!(
            "`{text}` is no time; expected a date such as `2026-11-22`, a time such as \
             `2026-11-22T08:00:00Z`, or a time ago such as `7d`"
        )
    };
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    if let Ok(date) = text.parse::<Date>() {
        let days = i32::from(side != Side::Begin);
        let date = date.checked_add(days.days()).map_err(|_| expected())?;
        let midnight = date.to_zoned(TimeZone::UTC).map_err(|_| expected())?;
        return Ok(midnight.timestamp());
    }
    let ago = duration(text).map_err(|_| expected())?;
    now.checked_sub(ago).map_err(|_| expected())
}

/// Reads a duration such as `30d`, `12h` or `2w`; days have 24 hours.
pub(super) fn duration(text: &str) -> Result<SignedDuration, String> {
    let expected = || format!("`{text}` is no duration; expected one such as `30d` or `12h`");
    let span: Span = text.parse().map_err(|_| expected())?;
    let length = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| expected())?;
    if length.is_negative() { Err(expected()) } else { Ok(length) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn times_are_dates_instants_or_so_long_ago() {
        let now = at("2026-11-22T12:00:00Z");
        let both = |text: &str| [Side::Begin, Side::End].map(|side| instant(text, now, side));
        let same = |text: &str| [Ok(at(text)), Ok(at(text))];
        let day = [Ok(at("2026-11-20T00:00:00Z")), Ok(at("2026-11-21T00:00:00Z"))];
        assert_eq!(both("2026-11-20"), day);
        assert_eq!(both("2026-11-20T08:00:00Z"), same("2026-11-20T08:00:00Z"));
        assert_eq!(both("7d"), same("2026-11-15T12:00:00Z"));
        assert_eq!(both("90m"), same("2026-11-22T10:30:00Z"));
        for wrong in ["", "yesterday", "2026-13-01", "-3d", "3"] {
            assert!(both(wrong).iter().all(Result::is_err), "{wrong}");
        }
    }

    #[test]
    fn a_run_is_meant_if_it_is_all_that_was_asked() {
        let entry = Entry {
            kind: "run".into(),
            created: "2026-11-20T08:00:00Z".into(),
            model: Some("Llama-3.1-8B".into()),
            gpu: Some("8xH100".into()),
            tags: [("team".to_owned(), "a".to_owned())].into(),
            ..Entry::default()
        };
        let meant = |arguments_given: &[&str]| {
            let command = clap::Command::new("x").args(arguments());
            let words = [&["x"], arguments_given].concat();
            let matches = command.try_get_matches_from(words).unwrap();
            let filter = Filter::of(&matches, at("2026-11-22T12:00:00Z"));
            filter.unwrap_or_else(|failure| panic!("{}", failure.error)).holds(&entry)
        };
        assert!(meant(&[]));
        assert!(meant(&["--model", "llama", "--gpu", "h100", "--kind", "run", "--tag", "team=a"]));
        assert!(meant(&["--since", "3d", "--until", "2026-11-20"]));
        for wrong in [
            &["--model", "qwen"][..],
            &["--gpu", "l40s"],
            &["--kind", "sweep"],
            &["--tag", "team=a", "--tag", "host=b"],
            &["--since", "1d"],
            &["--until", "2026-11-19"],
        ] {
            assert!(!meant(wrong), "{wrong:?}");
        }
    }
}
