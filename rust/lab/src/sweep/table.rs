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
        let rows = outcomes.iter().flat_map(|(_, outcome)| match outcome {
            Outcome::Measured(rows) => rows.as_slice(),
            Outcome::Refused(_) => &[],
        });
        // Not collected: that would sort all names of all rows.
        let mut figures: BTreeSet<&String> = BTreeSet::new();
        figures.extend(rows.flat_map(Figures::keys));
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

    /// Each column's name, and its fields as texts, empty where a row has none.
    #[must_use]
    pub fn texts(&self) -> Vec<(String, Vec<String>)> {
        let texts = |column: &Column| column.cells.iter().map(Cell::text).collect();
        let columns = self.columns.iter();
        columns
            .map(|column| (column.name.clone(), texts(column)))
            .collect()
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
    use crate::sweep::point;
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

    fn plan(figure: &str) -> Result<Plan> {
        let text = format!(
            r#"
            presets = ["tlc-zoned", "ufs4-tlc"]
            seeds = [1, 2]
            [grid]
            l2p-cache-size = ["64K", "1020K"]
            [[workload]]
            name = "w"
            [[workload.phase]]
            name = "p"
            access = "write"
            bytes = 49152
            jobs = [1, 2]
            [[workload.phase]]
            name = "q"
            access = "random-read"
            bytes = 4096
            {figure}"#
        );
        Plan::parse("plan.toml", &text, std::path::Path::new("."), Engine::Model)
    }

    fn drawn(figure: &str) -> Result<crate::plot::Plot> {
        let plan = plan(figure)?;
        let outcomes: Vec<_> = plan
            .iter()
            .map(|point| (point.number, point::run(&point, None).unwrap()))
            .collect();
        plan.figures()[0].plot(&Table::new(&plan, &outcomes).texts())
    }

    #[test]
    fn lines_are_what_else_the_plan_varies() {
        let plot =
            drawn("[[figure]]\ny = \"bytes\"\nx = \"l2p-cache-size\"\nphase = \"p\"").unwrap();
        let names: Vec<_> = plot.lines.iter().map(|line| line.name.as_str()).collect();
        let wanted = [
            "tlc-zoned, w.p.jobs 1",
            "tlc-zoned, w.p.jobs 2",
            "ufs4-tlc, w.p.jobs 1",
            "ufs4-tlc, w.p.jobs 2",
        ];
        assert_eq!(
            names, wanted,
            "neither seeds nor what is the same everywhere"
        );
        assert_eq!(plot.lines[0].points, [(64.0, 49152.0), (1020.0, 49152.0)]);
        assert_eq!(
            (plot.x.as_str(), plot.axis),
            ("l2p-cache-size, KiB", crate::plot::Axis::Doubling)
        );

        let plot = drawn(
            "[[figure]]\ny = \"bytes\"\nx = \"w.p.jobs\"\nlines = [\"phase\"]\ntitle = \"moved\"",
        )
        .unwrap();
        let lines: Vec<_> = plot
            .lines
            .iter()
            .map(|line| (line.name.as_str(), line.points[1]))
            .collect();
        assert_eq!(lines, [("p", (2.0, 49152.0)), ("q", (2.0, 4096.0))]);
        assert_eq!(
            (plot.y.as_str(), plot.axis),
            ("moved", crate::plot::Axis::Linear)
        );
    }

    #[test]
    fn what_cannot_be_drawn_is_said() {
        for (figure, why) in [
            ("x = \"drive\"", "figure 1.y: is needed"),
            ("y = \"waf\"", "figure 1.x: is needed"),
            ("y = \"waf\"\nx = \"zones\"", "figure 1.x = \"zones\": one of drive, l2p-cache-size, work, w.p.jobs, seed, phase is needed"),
            ("y = \"waf\"\nx = \"seed\"\nlines = \"no\"", "figure 1.lines = \"no\": one of"),
            ("y = \"waf\"\nx = \"drive\"", "figure 1.y: x = \"drive\": \"tlc-zoned\" is neither a number nor a size"),
            ("y = \"nonsense\"\nx = \"seed\"", "figure 1.y: no result has it; there are point, drive"),
            ("y = \"waf\"\nx = \"seed\"\nz = 1", "figure 1.z: there is no such key"),
        ] {
            let error = drawn(&format!("[[figure]]\n{figure}")).unwrap_err().to_string();
            assert!(error.starts_with("plan.toml: ") && error.contains(why), "{error}");
        }
    }
}
