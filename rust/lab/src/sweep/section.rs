// SPDX-License-Identifier: GPL-2.0-or-later
//! A table of a plan, taken apart key by key: what is wrong with a value is said with file, key, value and rule, and
//! what nobody took is a mistake.

use std::fmt::Display;

use anyhow::{Error, Result};
use clap::ValueEnum;
use toml::{Table, Value};
use units::Bytes;

use crate::failure::Prerequisite;

/// A table and where it stands, such as `plan.toml: trace.phone.`.
#[derive(Debug)]
pub struct Section {
    at: String,
    table: Table,
    known: Vec<&'static str>,
}

impl Section {
    /// The whole of a file.
    ///
    /// # Errors
    /// It is no TOML: file, line and column.
    pub fn parse(file: &str, text: &str) -> Result<Self> {
        let table = text.parse::<Table>().map_err(|error| {
            let place = error.span().map_or_else(String::new, |span| {
                let before = text.get(..span.start).unwrap_or_default();
                let line = before.matches('\n').count() + 1;
                let column = before.rsplit('\n').next().unwrap_or_default();
                format!(":{line}:{}", column.chars().count() + 1)
            });
            let why = error.message().replace('\n', ", ");
            Prerequisite(format!("{file}{place}: {why}"))
        })?;
        Ok(Self::new(format!("{file}: "), table))
    }

    fn new(at: String, table: Table) -> Self {
        let known = Vec::new();
        Self { at, table, known }
    }

    /// The same section under a name that says which it is.
    pub fn rename(&mut self, at: impl Display) {
        self.at = format!("{}{at}.", self.file());
    }

    /// `file: `.
    fn file(&self) -> &str {
        let end = self.at.find(": ").map_or(0, |at| at + 2);
        self.at.get(..end).unwrap_or_default()
    }

    /// What messages call a key.
    pub fn name(&self, key: &str) -> String {
        format!("{}{key}", self.at)
    }

    /// What is wrong with a key's value.
    pub fn bad(&self, key: &str, value: impl Display, rule: impl Display) -> Error {
        Prerequisite(format!("{}{key} = {value}: {rule}", self.at)).into()
    }

    /// What is wrong with a key, or its absence.
    pub fn wrong(&self, key: &str, rule: impl Display) -> Error {
        Prerequisite(format!("{}{key}: {rule}", self.at)).into()
    }

    /// The value of a key.
    pub fn take(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        self.table.remove(key)
    }

    /// One value or a list of them, at least one; none if the key is not there.
    pub fn many(&mut self, key: &'static str) -> Result<Vec<Value>> {
        match self.take(key) {
            None => Ok(Vec::new()),
            Some(Value::Array(values)) if values.is_empty() => {
                Err(self.bad(key, "[]", "at least one is needed"))
            }
            Some(Value::Array(values)) => Ok(values),
            Some(value) => Ok(vec![value]),
        }
    }

    /// A text.
    pub fn text(&mut self, key: &'static str) -> Result<Option<String>> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(value) => Err(self.bad(key, value, "a text is needed")),
        }
    }

    /// A text or several.
    pub fn texts(&mut self, key: &'static str) -> Result<Vec<String>> {
        let values = self.many(key)?.into_iter();
        let text = |value| match value {
            Value::String(text) => Ok(text),
            value => Err(self.bad(key, value, "a text is needed")),
        };
        values.map(text).collect()
    }

    /// Whether a switch is on; off if it is not there.
    pub fn switch(&mut self, key: &'static str) -> Result<bool> {
        match self.take(key) {
            None => Ok(false),
            Some(Value::Boolean(on)) => Ok(on),
            Some(value) => Err(self.bad(key, value, "true or false is needed")),
        }
    }

    /// A whole number in a range.
    pub fn number(&mut self, key: &'static str, min: u64, max: u64) -> Result<Option<u64>> {
        let value = self.take(key);
        value
            .map(|value| self.number_of(key, &value, min, max))
            .transpose()
    }

    /// A value as a whole number in a range; sizes may have suffixes.
    pub fn number_of(&self, key: &str, value: &Value, min: u64, max: u64) -> Result<u64> {
        let number = match value {
            Value::Integer(number) => u64::try_from(*number).ok(),
            Value::String(text) => text.parse::<Bytes>().ok().map(Bytes::get),
            _ => None,
        };
        let rule = || format!("a whole number from {min} to {max} is needed (suffixes K, M, G, T)");
        number
            .filter(|number| (min..=max).contains(number))
            .ok_or_else(|| self.bad(key, value, rule()))
    }

    /// A value as one of a few words.
    pub fn word_of<E: ValueEnum>(&self, key: &str, value: &Value) -> Result<E> {
        let word = value
            .as_str()
            .and_then(|text| E::from_str(text, false).ok());
        word.ok_or_else(|| {
            let all = E::value_variants().iter();
            let all =
                all.filter_map(|variant| Some(variant.to_possible_value()?.get_name().to_owned()));
            let rule = format!("one of {} is needed", Vec::from_iter(all).join(", "));
            self.bad(key, value, rule)
        })
    }

    /// The pairs of a table that has keys of its own, in the order of the file.
    pub fn pairs(&mut self, key: &'static str) -> Result<Self> {
        match self.take(key) {
            None => Ok(self.below(key, Table::new())),
            Some(Value::Table(table)) => Ok(self.below(key, table)),
            Some(value) => Err(self.bad(key, value, format!("a table is needed: [{key}]"))),
        }
    }

    /// Tables of one name, `[[key]]`, numbered from 1.
    pub fn sections(&mut self, key: &'static str) -> Result<Vec<Self>> {
        let rule = format!("tables are needed: [[{key}]]");
        let tables = match self.take(key) {
            None => Vec::new(),
            Some(Value::Array(tables)) => tables,
            Some(value) => return Err(self.bad(key, value, rule)),
        };
        let numbered = tables.into_iter().zip(1..);
        let section = |(table, number): (Value, u64)| match table {
            Value::Table(table) => Ok(self.below(&format!("{key} {number}"), table)),
            value => Err(self.bad(key, value, &rule)),
        };
        numbered.map(section).collect()
    }

    /// All that is left, each a table.
    pub fn tables(&mut self) -> Result<Vec<(String, Self)>> {
        let all = self.rest().into_iter();
        let table = |(key, value): (String, Value)| match value {
            Value::Table(table) => Ok((key.clone(), self.below(&key, table))),
            value => Err(self.bad(&key, value, "a table is needed, as in { from = 1, to = 8 }")),
        };
        all.map(table).collect()
    }

    fn below(&self, key: &str, table: Table) -> Self {
        Self::new(format!("{}{key}.", self.at), table)
    }

    /// All that is left, in the order of the file.
    pub fn rest(&mut self) -> Vec<(String, Value)> {
        std::mem::take(&mut self.table).into_iter().collect()
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// The end of it.
    ///
    /// # Errors
    /// A key that nobody took.
    pub fn finish(self) -> Result<()> {
        match self.table.keys().next() {
            None => Ok(()),
            Some(key) => {
                let known = self.known.join(", ");
                Err(self.wrong(key, format!("there is no such key; there are {known}")))
            }
        }
    }
}
