// SPDX-License-Identifier: GPL-2.0-or-later
//! How results were made, so that they can be made again.

/// A line of "how it was made".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// What.
    pub name: &'static str,
    /// Its value.
    pub value: String,
}

impl Setting {
    /// A line.
    pub fn new(name: &'static str, value: impl Into<String>) -> Self {
        Self {
            name,
            value: value.into(),
        }
    }
}

/// What to type to get the same again.
#[must_use]
pub fn command_line(arguments: impl Iterator<Item = String>) -> String {
    let words: Vec<String> = ["cargo".into(), "conzone".into()]
        .into_iter()
        .chain(arguments)
        .collect();
    shlex::try_join(words.iter().map(String::as_str)).unwrap_or_else(|_| words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_quoted_for_a_shell() {
        let words = ["run", "--set", "serial=a b"].map(str::to_owned);
        assert_eq!(
            command_line(words.into_iter()),
            "cargo conzone run --set 'serial=a b'"
        );
    }
}
