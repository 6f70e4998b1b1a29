//! Everything that goes to stdout: text, tables, JSON.

use std::io::{ErrorKind, IsTerminal, Write};

use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table, presets};
use serde::Serialize;

use crate::failure::{Failure, Local};
use crate::text::clean;

/// Where and how the results of a command are printed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Out {
    json: bool,
    tty: bool,
    colour: bool,
}

/// A result with its schema name in front.
#[derive(Serialize)]
struct WithSchema<'a, T> {
    schema: String,
    #[serde(flatten)]
    value: &'a T,
}

impl Out {
    /// Printing to this process's stdout.
    pub(crate) fn new(json: bool) -> Self {
        let tty = std::io::stdout().is_terminal();
        let colour =
            wants_colour(tty, std::env::var("NO_COLOR").ok().as_deref(), std::env::var("TERM").ok().as_deref());
        Self { json, tty, colour }
    }

    /// The user asked for JSON.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// A person reads this.
    pub(crate) fn is_tty(self) -> bool {
        self.tty
    }

    /// Escape sequences for colour are welcome.
    pub(crate) fn has_colour(self) -> bool {
        self.colour
    }

    /// One line of JSON: `{"schema":"netctl.COMMAND/1", ..fields of value}`. `words` is the command as typed.
    pub(crate) fn json<T: Serialize>(self, words: &str, value: &T) -> Result<(), Failure> {
        let schema = format!("netctl.{}/1", words.replace(' ', "-"));
        let text = serde_json::to_string(&WithSchema { schema, value })
            .map_err(|error| Failure::new(Local::Failure, format!("cannot encode the result; {error}")))?;
        self.raw(&text)
    }

    /// One line of text; control characters are replaced.
    pub(crate) fn line(self, text: impl AsRef<str>) -> Result<(), Failure> {
        self.raw(&clean(text.as_ref()))
    }

    /// Text as it is, with a newline. For what this program made itself.
    pub(crate) fn raw(self, text: &str) -> Result<(), Failure> {
        let mut stdout = std::io::stdout().lock();
        match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
            // `netctl members | head -1`: the reader has what it wants.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
            Err(error) => Err(Failure::new(Local::Failure, format!("cannot write the result; {error}"))),
            Ok(()) => Ok(()),
        }
    }

    /// A table; an empty one prints `empty` instead of a lonely header.
    pub(crate) fn table(self, header: &[&str], rows: Vec<Vec<Cell>>, empty: &str) -> Result<(), Failure> {
        if rows.is_empty() {
            return self.line(empty);
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        if self.tty {
            table.set_content_arrangement(ContentArrangement::Dynamic);
        } else {
            // A pipe has no width: one row stays one line, so that grep and awk work.
            table.set_content_arrangement(ContentArrangement::Disabled);
        }
        if self.colour {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        table.set_header(header.iter().map(|title| Cell::new(title).add_attribute(Attribute::Bold)));
        table.add_rows(rows);
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        self.raw(&table.trim_fmt())
    }

    /// Columns of the terminal, if there is one.
    pub(crate) fn width(self) -> Option<u16> {
        if self.tty { Table::new().width() } else { None }
    }
}

/// A cell of foreign text.
pub(crate) fn cell(text: impl AsRef<str>) -> Cell {
    Cell::new(clean(text.as_ref()))
}

/// A cell of foreign text that may be missing.
pub(crate) fn optional(text: Option<impl ToString>) -> Cell {
    text.map_or_else(|| Cell::new("-"), |text| cell(text.to_string()))
}

/// A cell that tells good from bad at a glance; the word says the same without colour.
pub(crate) fn verdict(text: &str, good: Option<bool>) -> Cell {
    let colour = match good {
        Some(true) => Color::Green,
        Some(false) => Color::Red,
        None => Color::Yellow,
    };
    cell(text).fg(colour)
}

/// Colour only for a person at a terminal that can show it and did not opt out (no-color.org).
fn wants_colour(tty: bool, no_color: Option<&str>, term: Option<&str>) -> bool {
    tty && no_color.is_none_or(str::is_empty) && term != Some("dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_that_want_them() {
        assert!(wants_colour(true, None, Some("xterm")));
        assert!(wants_colour(true, Some(""), None));
        assert!(!wants_colour(true, Some("1"), Some("xterm")));
        assert!(!wants_colour(true, None, Some("dumb")));
        assert!(!wants_colour(false, None, Some("xterm")));
    }
}
