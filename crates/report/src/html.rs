//! Markup that cannot be broken by what stands in it.
//!
//! [`Html`] is the only way from text to markup: text and the values of attributes are escaped
//! as they enter, and nothing enters unescaped but what this program's source spells out. The
//! same escapes hold in HTML and in XML, so SVG is written by it too.

use crate::text::is_invisible;

/// A piece of markup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Html(String);

/// The most characters of code that a line of the narrowest page has room for.
const CODE_MAX: usize = 30;

/// Names and values of an element's attributes.
pub(crate) type Attributes<'a> = &'a [(&'static str, &'a str)];

impl Html {
    /// Adds markup of our own, word for word.
    pub(crate) fn markup(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Adds text, whoever wrote it.
    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        let (mut rest, mut last) = (text.chars(), ' ');
        while let Some(c) = rest.next() {
            match c {
                // A figure stays beside its sign.
                ' ' if last.is_ascii_digit() && rest.as_str().starts_with('%') => {
                    self.0.push('\u{a0}');
                }
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                c if c.is_control() => self.0.push(' '),
                // Marks of direction and the like could make text seem what it is not.
                c if is_invisible(c) => {}
                c => self.0.push(c),
            }
            last = c;
        }
        self
    }

    /// Adds text, whoever wrote it; what stands between backticks is set as code.
    pub(crate) fn prose(&mut self, text: &str) -> &mut Self {
        for (index, part) in text.split('`').enumerate() {
            if index % 2 == 1 {
                self.code(part);
            } else {
                let _: &mut Self = self.text(part);
            }
        }
        self
    }

    /// Adds code. A flag that is cut at its hyphens is hard to read: what is short stays in one
    /// line, and what is long is cut between its words.
    fn code(&mut self, code: &str) {
        if code.chars().count() <= CODE_MAX {
            let _: &mut Self = self.element("code", &[], code);
            return;
        }
        for (index, word) in code.split(' ').enumerate() {
            let is_long = word.chars().count() > CODE_MAX;
            let class: Attributes<'_> = if is_long { &[("class", "long")] } else { &[] };
            let _: &mut Self = self.text(if index > 0 { " " } else { "" });
            let _: &mut Self = self.element("code", class, word);
        }
    }

    /// Adds a piece that was made elsewhere.
    pub(crate) fn piece(&mut self, piece: &Self) -> &mut Self {
        self.0.push_str(&piece.0);
        self
    }

    /// Opens an element.
    pub(crate) fn open(&mut self, tag: &'static str, attributes: Attributes<'_>) -> &mut Self {
        self.start(tag, attributes);
        self.0.push('>');
        self
    }

    /// Closes an element.
    pub(crate) fn close(&mut self, tag: &'static str) -> &mut Self {
        self.0.push_str("</");
        self.0.push_str(tag);
        self.0.push('>');
        self
    }

    /// Adds an element without content, as XML and inline SVG write it.
    pub(crate) fn empty(&mut self, tag: &'static str, attributes: Attributes<'_>) -> &mut Self {
        self.start(tag, attributes);
        self.0.push_str("/>");
        self
    }

    /// Adds an element that holds text.
    pub(crate) fn element(
        &mut self,
        tag: &'static str,
        attributes: Attributes<'_>,
        text: &str,
    ) -> &mut Self {
        self.open(tag, attributes).text(text).close(tag)
    }

    fn start(&mut self, tag: &'static str, attributes: Attributes<'_>) {
        self.0.push('<');
        self.0.push_str(tag);
        for (name, value) in attributes {
            self.0.push(' ');
            self.0.push_str(name);
            self.0.push_str("=\"");
            let _: &mut Self = self.text(value);
            self.0.push('"');
        }
    }

    pub(crate) fn into_string(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn foreign_text_stays_text() {
        let mut html = Html::default();
        let _: &mut Html = html
            .element("b", &[("title", "\"><script>")], "</b><script>alert('x & y')</script>")
            .text("\u{202e}\0");
        assert_eq!(
            html.into_string(),
            "<b title=\"&quot;&gt;&lt;script&gt;\">&lt;/b&gt;&lt;script&gt;\
             alert(&#39;x &amp; y&#39;)&lt;/script&gt;</b> "
        );
    }

    #[test]
    fn a_figure_and_its_sign_stay_in_one_line() {
        let mut html = Html::default();
        let _: &mut Html = html.text("12 % of cores, %");
        assert_eq!(html.into_string(), "12\u{a0}% of cores, %");
    }

    #[test]
    fn what_stands_between_backticks_is_code_and_stays_text() {
        let mut html = Html::default();
        let _: &mut Html = html.prose("raise `--a <b>`, or `");
        assert_eq!(html.into_string(), "raise <code>--a &lt;b&gt;</code>, or <code></code>");
    }

    #[test]
    fn long_code_is_cut_between_its_words() {
        let mut html = Html::default();
        let word = "x".repeat(CODE_MAX + 1);
        let _: &mut Html =
            html.prose(&format!("`--target a=http://… --target b=http://…` `{word}`"));
        let words = ["--target", "a=http://…", "--target", "b=http://…"];
        let words = words.map(|word| format!("<code>{word}</code>")).join(" ");
        let expected = format!("{words} <code class=\"long\">{word}</code>");
        assert_eq!(html.into_string(), expected);
    }

    proptest! {
        #[test]
        fn no_text_opens_an_element_or_ends_an_attribute(text in any::<String>()) {
            let mut html = Html::default();
            let _: &mut Html = html.text(&text);
            prop_assert!(!html.into_string().contains(['<', '>', '"', '\'']));
        }
    }
}
