// SPDX-License-Identifier: GPL-2.0-or-later
//! What is wrong with a configuration, in one line that names property, value and bound.

use core::fmt;

/// A property, or a combination of them, that no drive can be built from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// No property has this name.
    Unknown {
        /// The name as given.
        name: String,
        /// The property that may be meant.
        near: Option<&'static str>,
    },
    /// The text is not of the form `key=value`.
    NotAPair {
        /// The text as given.
        text: String,
    },
    /// The value is not one the property can take.
    Value {
        /// The property.
        name: &'static str,
        /// The value as given.
        value: String,
        /// What the property takes, bounds included.
        expected: String,
    },
    /// The value is possible in itself but not together with the others.
    Conflict {
        /// The property to change.
        name: &'static str,
        /// Its value.
        value: String,
        /// The rule that it breaks, with the figures.
        rule: String,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // What was given may be from a file, and anything.
            Self::Unknown { name, near } => {
                write!(f, "there is no property '{}'", name.escape_debug())?;
                match near {
                    Some(near) => write!(f, "; did you mean '{near}'?"),
                    None => Ok(()),
                }
            }
            Self::NotAPair { text } => {
                write!(f, "'{}' is not of the form key=value", text.escape_debug())
            }
            Self::Value {
                name,
                value,
                expected,
            } => {
                let value = value.escape_debug();
                write!(f, "property '{name}': '{value}' is not {expected}")
            }
            Self::Conflict { name, value, rule } => {
                write!(f, "property '{name}' = {}: {rule}", value.escape_debug())
            }
        }
    }
}

impl std::error::Error for ConfigError {}

impl From<nvme::ConfigError> for ConfigError {
    fn from(error: nvme::ConfigError) -> Self {
        Self::Conflict {
            name: error.property,
            value: error.value,
            rule: format!("must be {}", error.bound),
        }
    }
}
