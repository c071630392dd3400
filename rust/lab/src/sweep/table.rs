// SPDX-License-Identifier: GPL-2.0-or-later
//! The results of all points in one table, the same however and wherever the points were run.

use std::collections::BTreeSet;

use anyhow::{Context, Result};

use super::plan::{Plan, Point};
use super::point::{Figures, Outcome};
use super::work::Kind;

/// A field of the table.
#[derive(Clone, Debug, PartialEq)]
enum Cell {
    None,
    Int(i64),
    Float(f64),
    Text(String),
}

impl Cell {
    /// A text, or the whole number that it is.
    fn read(text: &str) -> Self {
        match text.parse::<i64>() {
            Ok(number) if number.to_string() == text => Self::Int(number),
            _ => Self::Text(text.to_owned()),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::None => String::new(),
            Self::Int(number) => number.to_string(),
            Self::Float(number) => number.to_string(),
            Self::Text(text) => text.clone(),
        }
    }
}

/// A column: numbers if all of its fields are.
#[derive(Debug)]
struct Column {
    name: String,
    cells: Vec<Cell>,
}

impl Column {
    fn values(&self) -> Values {
        let any = |wanted: fn(&Cell) -> bool| self.cells.iter().any(wanted);
        let cells = self.cells.iter();
        if any(|cell| matches!(cell, Cell::Text(_))) {
            let text = |cell: &Cell| (*cell != Cell::None).then(|| cell.text());
            return Values::Text(cells.map(text).collect());
        }
        if any(|cell| matches!(cell, Cell::Float(_))) {
            let float = |cell: &Cell| match cell {
                Cell::Int(number) => Some(*number as f64),
                Cell::Float(number) => Some(*number),
                _ => None,
            };
            return Values::Float(cells.map(float).collect());
        }
        let int = |cell: &Cell| match cell {
            Cell::Int(number) => Some(*number),
            _ => None,
        };
        Values::Int(cells.map(int).collect())
    }
}

/// The fields of a column, which are all of one type; none where the row has none.
#[derive(Debug)]
pub enum Values {
    /// Whole numbers.
    Int(Vec<Option<i64>>),
    /// Doubles.
    Float(Vec<Option<f64>>),
    /// Texts.
    Text(Vec<Option<String>>),
}

/// The table.
#[derive(Debug)]
pub struct Table {
    columns: Vec<Column>,
    rows: usize,
}

impl Table {
    /// Of the outcomes of a plan's points, in the order of their numbers; a point without an outcome has no row.
    #[must_use]
    pub fn new(plan: &Plan, outcomes: &[(u64, Outcome)]) -> Self {
        let named = ["point".to_owned()].into_iter().chain(plan.columns());
        let named = named.chain(["refused".to_owned()]);
        let figures = outcomes.iter().flat_map(|(_, outcome)| match outcome {
            Outcome::Measured(rows) => rows.as_slice(),
            Outcome::Refused(_) => &[],
        });
        let figures: BTreeSet<&String> = figures.flat_map(Figures::keys).collect();
        let all = named.chain(figures.into_iter().cloned());
        let columns = all.map(|name| Column {
            name,
            cells: Vec::new(),
        });
        let mut table = Self {
            columns: columns.collect(),
            rows: 0,
        };
        for (number, outcome) in outcomes {
            let Some(point) = plan.point(*number) else {
                continue;
            };
            match outcome {
                Outcome::Refused(why) => table.row(&point, "", why, &Figures::new()),
                Outcome::Measured(rows) => {
                    for (at, figures) in rows.iter().enumerate() {
                        let phase = match &point.work.kind {
                            Kind::Phases { names, .. } => names.get(at).map_or("", String::as_str),
                            Kind::Trace { .. } | Kind::F2fs { .. } => "",
                        };
                        table.row(&point, phase, "", figures);
                    }
                }
            }
        }
        table
    }

    fn row(&mut self, point: &Point<'_>, phase: &str, refused: &str, figures: &Figures) {
        self.rows += 1;
        let text = |text: &str| match text {
            "" => Cell::None,
            text => Cell::Text(text.to_owned()),
        };
        for (at, column) in self.columns.iter_mut().enumerate() {
            let setting = point.settings.iter().find(|(key, _)| *key == column.name);
            let varied = point
                .work
                .varied
                .iter()
                .find(|(key, _)| *key == column.name);
            let figure = figures.get(&column.name);
            let cell = match (column.name.as_str(), at) {
                ("point", 0) => i64::try_from(point.number).map_or(Cell::None, Cell::Int),
                ("drive", 1) => text(point.drive_name),
                ("work", _) => text(&point.work.name),
                ("phase", _) => text(phase),
                ("refused", _) => text(refused),
                _ => match (setting, varied, figure) {
                    (Some((_, value)), _, _) => Cell::read(value),
                    (_, Some((_, value)), _) => Cell::read(value),
                    (_, _, Some(number)) => match number.as_i64() {
                        Some(whole) => Cell::Int(whole),
                        None => number.as_f64().map_or(Cell::None, Cell::Float),
                    },
                    _ => Cell::None,
                },
            };
            column.cells.push(cell);
        }
    }

    /// How many rows it has.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// As CSV, with a line of names.
    ///
    /// # Errors
    /// None that is known: it is written to memory.
    pub fn csv(&self) -> Result<Vec<u8>> {
        let mut csv = csv::Writer::from_writer(Vec::new());
        csv.write_record(self.columns.iter().map(|column| &column.name))?;
        for row in 0..self.rows {
            let cells = self
                .columns
                .iter()
                .filter_map(|column| column.cells.get(row));
            csv.write_record(cells.map(Cell::text))?;
        }
        csv.into_inner().context("writing CSV")
    }

    /// The fields of a column as texts, empty where a row has none; none without such a column.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<Vec<String>> {
        let column = self.columns.iter().find(|column| column.name == name)?;
        Some(column.cells.iter().map(Cell::text).collect())
    }

    /// Each column's name and fields.
    pub fn values(&self) -> impl Iterator<Item = (&str, Values)> {
        let columns = self.columns.iter();
        columns.map(|column| (column.name.as_str(), column.values()))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::sweep::work::Engine;
    use serde_json::Number;

    fn figures(pairs: &[(&str, Number)]) -> Figures {
        let pairs = pairs
            .iter()
            .map(|(name, n)| ((*name).to_owned(), n.clone()));
        pairs.collect()
    }

    pub fn table() -> Table {
        let text = r#"
            [grid]
            l2p-cache-size = ["256K", "1020K"]
            [[workload]]
            name = "w, x"
            [[workload.phase]]
            name = "a"
            access = "write"
            bytes = 4096
            jobs = [1, 2]
            [[workload.phase]]
            name = "b"
            access = "random-read"
            bytes = 4096
        "#;
        let plan = Plan::parse("p", text, std::path::Path::new("."), Engine::Model).unwrap();
        let half = Number::from_f64(0.1 + 0.2).unwrap();
        let rows = vec![
            figures(&[("n", 7.into()), ("waf", half)]),
            figures(&[("n", 8.into())]),
        ];
        let outcomes = [
            (1, Outcome::Measured(rows)),
            (4, Outcome::Refused("no \"drive\"".into())),
        ];
        Table::new(&plan, &outcomes)
    }

    #[test]
    fn rows_are_points_by_phases_and_refusals() {
        let csv = String::from_utf8(table().csv().unwrap()).unwrap();
        assert_eq!(
            csv.lines().collect::<Vec<_>>(),
            [
                "point,drive,l2p-cache-size,work,\"w, x.a.jobs\",phase,refused,n,waf",
                "1,tlc-zoned,256K,\"w, x\",1,a,,7,0.30000000000000004",
                "1,tlc-zoned,256K,\"w, x\",1,b,,8,",
                "4,tlc-zoned,1020K,\"w, x\",2,,\"no \"\"drive\"\"\",,",
            ]
        );
    }
}
