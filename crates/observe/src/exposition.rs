//! The text formats of Prometheus 0.0.4 and OpenMetrics 1.0, as samples.
//!
//! A histogram is its samples `…_bucket`, `…_sum` and `…_count`, a counter of OpenMetrics its
//! `…_total`: the names are left as they stand. Timestamps and exemplars are passed over: a value
//! counts for the instant at which it was asked for.
//!
//! As in a Prometheus server, one malformed line spoils the page: what else may be wrong with it
//! cannot be known.

use std::borrow::Cow;

use thiserror::Error;

/// One sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample<'a> {
    /// The name, suffix included.
    pub name: &'a str,
    /// The labels, in their order.
    pub labels: Vec<(&'a str, Cow<'a, str>)>,
    /// The value; may be infinite or NaN.
    pub value: f64,
}

impl Sample<'_> {
    /// Returns the value of a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(other, _)| *other == name).map(|(_, value)| value.as_ref())
    }
}

/// Why a text is no page of metrics.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line} of the metrics is not in the Prometheus format: {found}")]
pub struct ExpositionError {
    /// Which line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub found: &'static str,
}

/// Reads a page of metrics.
///
/// # Errors
///
/// The first line that is neither a sample nor a comment.
pub fn parse(text: &str) -> Result<Vec<Sample<'_>>, ExpositionError> {
    let mut samples = Vec::new();
    for (line, content) in (1..).zip(text.lines()) {
        let content = content.trim();
        if content == "# EOF" {
            break;
        }
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        samples.push(sample(content).map_err(|found| ExpositionError { line, found })?);
    }
    Ok(samples)
}

fn sample(line: &str) -> Result<Sample<'_>, &'static str> {
    let (name, mut rest) = line.split_at(line.find(|c| !in_name(c)).unwrap_or(line.len()));
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err("no name");
    }
    let mut labels = Vec::new();
    if let Some(inner) = rest.trim_start().strip_prefix('{') {
        (labels, rest) = read_labels(inner)?;
    }
    // What follows may be a timestamp, and after `#` an exemplar.
    let value = rest.split_ascii_whitespace().next().ok_or("no value")?;
    let value = value.parse().map_err(|_| "the value is not a number")?;
    Ok(Sample { name, labels, value })
}

fn in_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

type Labels<'a> = Vec<(&'a str, Cow<'a, str>)>;

/// Reads labels up to the closing brace; returns what follows it.
fn read_labels(mut rest: &str) -> Result<(Labels<'_>, &str), &'static str> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start().trim_start_matches(',').trim_start();
        if let Some(after) = rest.strip_prefix('}') {
            return Ok((labels, after));
        }
        let (name, after) = rest.split_once('=').ok_or("a label without a value")?;
        let name = name.trim();
        if name.is_empty() || !name.chars().all(in_name) {
            return Err("a label without a name");
        }
        let quoted = after.trim_start().strip_prefix('"').ok_or("a label that is not quoted")?;
        let (value, after) = read_quoted(quoted)?;
        labels.push((name, value));
        rest = after;
    }
}

/// Reads up to the closing quote, which a backslash hides; returns what follows it.
fn read_quoted(text: &str) -> Result<(Cow<'_, str>, &str), &'static str> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' if !escaped => {
                let (raw, after) = (&text[..at], &text[at + 1..]);
                let plain = !raw.contains('\\');
                let value = if plain { Cow::Borrowed(raw) } else { Cow::Owned(unescape(raw)) };
                return Ok((value, after));
            }
            _ => escaped = byte == b'\\' && !escaped,
        }
    }
    Err("a label's quote is not closed")
}

/// `\\`, `\"` and `\n`; what else follows a backslash stands for itself.
fn unescape(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        match (c, chars.clone().next()) {
            ('\\', Some(next)) => {
                out.push(if next == 'n' { '\n' } else { next });
                let _: Option<char> = chars.next();
            }
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_formats_are_read_with_escapes_timestamps_and_exemplars() {
        let text = "# HELP a:b help\n# TYPE a:b counter\n\
                    a:b_total{x=\"1\",path=\"C:\\\\d\\n\\\"q\\\"\",} 1.5e3 1700000000000\n\
                    \n bare -Inf\n\
                    h_bucket{le=\"+Inf\"} 7 # {trace=\"}\"} 0.5 1700000000.1\n\
                    spaced { y = \"2\" } NaN\n# EOF\nnot read\n";
        let samples = parse(text).unwrap();
        let names: Vec<_> = samples.iter().map(|sample| sample.name).collect();
        assert_eq!(names, ["a:b_total", "bare", "h_bucket", "spaced"]);
        assert_eq!(samples[0].label("path"), Some("C:\\d\n\"q\""));
        assert_eq!((samples[0].value, samples[1].value), (1500.0, f64::NEG_INFINITY));
        assert_eq!((samples[2].label("le"), samples[2].value), (Some("+Inf"), 7.0));
        assert_eq!(samples[3].label("y"), Some("2"));
        assert!(samples[3].value.is_nan() && samples[3].label("z").is_none());
    }

    #[test]
    fn what_is_no_page_of_metrics_is_told_by_its_line() {
        let found = |text: &str| parse(text).unwrap_err();
        assert_eq!(found("a 1\n[{\"iter\": 1}]\n"), ExpositionError { line: 2, found: "no name" });
        assert_eq!(found("<html>").found, "no name");
        assert_eq!(found("a{b=\"c} 1").found, "a label's quote is not closed");
        assert_eq!(found("a{b} 1").found, "a label without a value");
        assert_eq!(found("a{b=1} 1").found, "a label that is not quoted");
        assert_eq!(found("a one").found, "the value is not a number");
        assert_eq!(found("a").found, "no value");
    }

    proptest! {
        #[test]
        fn any_label_reads_back_as_it_was_escaped(value: String) {
            // Lines end in the text format at a line feed alone, but never inside a label.
            prop_assume!(!value.contains('\r'));
            let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let line = format!("a{{b=\"{escaped}\"}} 1");
            let samples = parse(&line).unwrap();
            prop_assert_eq!(samples[0].label("b"), Some(value.as_str()));
        }

        #[test]
        fn any_text_is_samples_or_refused(text: String) {
            let samples = parse(&text);
            prop_assert!(samples.is_ok_and(|all| all.len() <= text.len()) || !text.is_empty());
        }
    }
}
