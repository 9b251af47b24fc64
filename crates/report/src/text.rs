//! Foreign text made fit for a terminal: no control characters, and a known width.

use unicode_width::UnicodeWidthChar;

/// The most characters of one text that are kept, since some take no room at all.
const CHARS_MAX: usize = 2000;

/// Returns the text on one line: control characters and white space become single spaces, and
/// invisible characters, which can reorder or hide what stands beside them, are dropped.
pub(crate) fn clean(text: &str) -> String {
    let kept: String = text.chars().filter(|&c| !is_invisible(c)).take(CHARS_MAX).collect();
    let words = kept.split(|c: char| c.is_control() || c.is_whitespace());
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Says whether cleaning would change nothing of a text, as is plain of most.
pub(crate) fn is_plain(text: &str) -> bool {
    let single = !text.starts_with(' ') && !text.ends_with(' ') && !text.contains("  ");
    single && text.len() <= CHARS_MAX && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// Says whether a character shows nothing by itself: joiners, marks of direction, selectors of
/// variants, tags.
pub(crate) fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// Returns how many columns the text takes at most. Terminals that join characters into one
/// glyph take fewer.
pub(crate) fn width(text: &str) -> usize {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text.len();
    }
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// Returns the cleaned text, cut to `room` columns; `…` stands for what was cut.
pub(crate) fn fit(text: &str, room: usize) -> String {
    let text = clean(text);
    if width(&text) <= room {
        return text;
    }
    let mut cut = String::new();
    for c in text.chars() {
        if width(&cut) + c.width().unwrap_or(0) + 1 > room {
            break;
        }
        cut.push(c);
    }
    cut + "…"
}

/// Breaks the cleaned text into lines of at most `room` columns, at spaces where there are any.
pub(crate) fn wrap(text: &str, room: usize) -> Vec<String> {
    let (mut lines, mut line) = (Vec::new(), String::new());
    for word in clean(text).split(' ') {
        if !line.is_empty() && width(&line) + 1 + width(word) > room {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        for c in word.chars() {
            if width(&line) + c.width().unwrap_or(0) > room {
                lines.push(std::mem::take(&mut line));
            }
            line.push(c);
        }
    }
    lines.push(line);
    lines
}

/// Sets items side by side, with dots between, in lines of at most `room` columns. Lines break
/// between items only; an item wider than a line is cut.
pub(crate) fn flow(items: impl IntoIterator<Item = String>, room: usize) -> Vec<String> {
    const DOT: &str = " · ";
    let mut lines: Vec<String> = Vec::new();
    for item in items {
        let item = fit(&item, room);
        match lines.last_mut() {
            Some(line) if width(line) + width(DOT) + width(&item) <= room => {
                line.push_str(DOT);
                line.push_str(&item);
            }
            _ => lines.push(item),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escapes_and_marks_of_direction_do_not_survive() {
        assert_eq!(clean(" a\r\n\u{1b}[31mb\u{9b}2J\tc\u{7f} "), "a [31mb 2J c");
        assert_eq!(clean("safe\u{202e}txt.exe\u{2066}\u{200b}\u{feff}"), "safetxt.exe");
        assert_eq!(clean("a\u{2028}b\u{a0}c"), "a b c");
    }

    #[test]
    fn a_wide_character_takes_two_columns() {
        assert_eq!(fit("模型模型", 8), "模型模型");
        assert_eq!(fit("模型模型", 7), "模型模…");
        assert_eq!(fit("模型模型", 6), "模型…");
    }

    #[test]
    fn lines_break_at_spaces_and_between_items() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("a /long/path", 5), ["a", "/long", "/path"]);
        let items = ["one two", "three", "four"].map(str::to_owned);
        assert_eq!(flow(items.clone(), 15), ["one two · three", "four"]);
        assert_eq!(flow(items, 6), ["one t…", "three", "four"]);
    }

    proptest! {
        #[test]
        fn nothing_is_wider_than_its_room(text in any::<String>(), room in 2_usize..40) {
            prop_assert!(width(&fit(&text, room)) <= room);
            for line in wrap(&text, room) {
                prop_assert!(width(&line) <= room);
            }
            for line in flow([text.clone(), text.clone()], room) {
                prop_assert!(width(&line) <= room);
            }
        }

        #[test]
        fn wrapping_loses_nothing(text in any::<String>(), room in 2_usize..40) {
            let solid = |text: &str| text.split(' ').collect::<String>();
            prop_assert_eq!(solid(&wrap(&text, room).concat()), solid(&clean(&text)));
        }
    }
}
