//! Lines of a page, with emphasis where the reader's terminal shows it.

use crate::text::width;

/// The width of a page, in columns: what every terminal has.
pub const COLUMNS: usize = 80;

/// The width of a block's label.
const LABEL: usize = 10;

/// The room beside a block's label.
pub(crate) const ROOM: usize = COLUMNS - LABEL;

/// Whether emphasis is written as ANSI escapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// Plain text.
    Never,
    /// With escapes.
    Always,
}

/// How a piece of text is emphasised. The words say the same without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Strong,
    Faint,
    Good,
    Warning,
    Bad,
    /// No result: struck through where the terminal can.
    Struck,
}

impl Tone {
    /// Returns the parameter of the escape `SGR` (ECMA-48, 8.3.117).
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "0",
            Self::Strong => "1",
            Self::Faint => "2",
            Self::Good => "32",
            Self::Warning => "33",
            Self::Bad => "31",
            Self::Struck => "9",
        }
    }
}

/// A page that grows line by line. Its callers have made foreign text safe.
pub(crate) struct Page {
    colour: Colour,
    text: String,
}

impl Page {
    pub(crate) fn new(colour: Colour) -> Self {
        Self { colour, text: String::new() }
    }

    pub(crate) fn line(&mut self, tone: Tone, line: &str) {
        debug_assert!(width(line) <= COLUMNS, "`{line}` is too wide");
        let line = self.paint(tone, line);
        self.text.push_str(&line);
        self.text.push('\n');
    }

    /// Writes lines of at most [`ROOM`] columns beside a label, which stands at the first.
    pub(crate) fn block(
        &mut self,
        label: &str,
        tone: Tone,
        lines: impl IntoIterator<Item = String>,
    ) {
        let mut label = label;
        for line in lines {
            debug_assert!(width(&line) <= ROOM, "`{line}` is too wide");
            let (margin, line) = (format!("{label:<LABEL$}"), self.paint(tone, &line));
            let margin = self.paint(Tone::Faint, &margin);
            self.text.push_str(&margin);
            self.text.push_str(&line);
            self.text.push('\n');
            label = "";
        }
    }

    /// Leaves a line empty.
    pub(crate) fn gap(&mut self) {
        self.text.push('\n');
    }

    pub(crate) fn into_text(self) -> String {
        self.text
    }

    fn paint(&self, tone: Tone, text: &str) -> String {
        match self.colour {
            Colour::Always if tone != Tone::Plain && !text.trim().is_empty() => {
                format!("\x1b[{}m{text}\x1b[0m", tone.code())
            }
            Colour::Always | Colour::Never => text.to_owned(),
        }
    }
}
