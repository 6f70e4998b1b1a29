//! One clear line out of a TOML error: the line number, the key, and the nearest key that exists.

/// Turns the parser's answer into `:LINE: what`.
pub(super) fn one_line(text: &str, error: &toml::de::Error) -> String {
    let place = error.span().map(|span| line_of(text, span.start));
    let at = place.map_or_else(|| ": ".to_owned(), |(number, _)| format!(":{number}: "));
    let message = error.message().lines().collect::<Vec<_>>().join(" ");
    match unknown_key(&message) {
        Some(what) => format!("{at}{what}"),
        None => match place.and_then(|(_, line)| line.split_once('=')) {
            Some((key, _)) => format!("{at}key \"{}\": {message}", key.trim()),
            None => format!("{at}{message}"),
        },
    }
}

/// Number from 1, and text, of the line with the byte at `offset`.
fn line_of(text: &str, offset: usize) -> (usize, &str) {
    let before = text.get(..offset).unwrap_or(text);
    let number = before.matches('\n').count();
    (number + 1, text.lines().nth(number).unwrap_or_default())
}

/// serde says: unknown field `listn`, expected one of `tier`, `listen`.
fn unknown_key(message: &str) -> Option<String> {
    let rest = message.strip_prefix("unknown field ")?;
    let mut names = rest.split('`').skip(1).step_by(2);
    let wrong = names.next()?;
    let nearest = names.min_by_key(|right| distance(wrong, right))?;
    Some(format!("unknown key \"{wrong}\"; did you mean \"{nearest}\"?"))
}

/// Levenshtein distance, one row at a time.
fn distance(a: &str, b: &str) -> usize {
    let mut row = (0..=b.chars().count()).collect::<Vec<_>>();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (to, cell) in b.chars().zip(row.iter_mut().skip(1)) {
            let above = *cell;
            let replaced = diagonal + usize::from(from != to);
            left = replaced.min(above + 1).min(left + 1);
            diagonal = above;
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn distances_are_those_of_the_textbook() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("listn", "listen"), 1);
        assert_eq!(distance("same", "same"), 0);
    }
}
