// SPDX-License-Identifier: GPL-2.0-or-later
//! Figures that a plan asks for: a column of the table over another one, a line for each choice of further ones.

use std::collections::BTreeMap;

use anyhow::Result;
use units::Bytes;

use super::section::Section;
use super::table::Table;
use crate::failure::Prerequisite;
use crate::plot::{Axis, Line, Plot};

/// More values than that are told apart by their distance alone.
const MOST_PLACES: usize = 64;

/// A figure.
#[derive(Debug)]
pub struct Figure {
    /// What messages call it.
    at: String,
    /// The column that it shows.
    pub y: String,
    /// What the vertical axis is called.
    title: String,
    x: String,
    lines: Vec<String>,
    /// Rows of this phase only.
    phase: Option<String>,
}

/// The `[[figure]]` sections of a plan whose rows these columns tell apart.
///
/// # Errors
/// A column that the table has not.
pub fn all(sections: Vec<Section>, columns: &[String]) -> Result<Vec<Figure>> {
    let figure = |mut section: Section| {
        let y = section.text("y")?;
        let y = y.ok_or_else(|| section.wrong("y", "is needed: a column of the results"))?;
        let x = section.text("x")?;
        let x = x.ok_or_else(|| section.wrong("x", "is needed: a column that the plan varies"))?;
        let mut lines = section.texts("lines")?;
        for (key, name) in [("x", &x)]
            .into_iter()
            .chain(lines.iter().map(|name| ("lines", name)))
        {
            if !columns.contains(name) {
                let rule = format!("one of {} is needed", columns.join(", "));
                return Err(section.bad(key, format!("\"{name}\""), rule));
            }
        }
        if lines.is_empty() {
            // Points of other seeds are the same point again.
            let others = columns.iter().filter(|name| **name != x && *name != "seed");
            lines = others.cloned().collect();
        }
        let figure = Figure {
            at: section.name("y"),
            title: section.text("title")?.unwrap_or_else(|| y.clone()),
            phase: section.text("phase")?,
            y,
            x,
            lines,
        };
        section.finish()?;
        Ok(figure)
    };
    sections.into_iter().map(figure).collect()
}

/// A value of the horizontal axis.
fn number(text: &str) -> Option<(f64, bool)> {
    if let Ok(number) = text.parse::<f64>() {
        return Some((number, false));
    }
    // Lossless enough for a picture.
    let bytes = text.parse::<Bytes>().ok()?.get() as f64;
    Some((bytes / 1024.0, true))
}

impl Figure {
    /// The picture of a table's rows; none if no row has what it shows. Rows at one place of one line, of several seeds, are
    /// drawn at their mean.
    ///
    /// # Errors
    /// A column that no row has, or one that is no number.
    pub fn plot(&self, table: &Table) -> Result<Plot> {
        let refused = |what: &str| Prerequisite(format!("{}: {what}", self.at));
        let column = |name: &String| table.column(name).unwrap_or_default();
        let ys = table.column(&self.y).ok_or_else(|| {
            let names = table.values().map(|(name, _)| name);
            refused(&format!(
                "no result has it; there are {}",
                Vec::from_iter(names).join(", ")
            ))
        })?;
        let (xs, phases) = (column(&self.x), column(&"phase".to_owned()));
        let wanted = |row: &usize| {
            let phase = phases.get(*row).map_or("", String::as_str);
            let shown = ys.get(*row).is_some_and(|y| !y.is_empty());
            shown && self.phase.as_deref().is_none_or(|wanted| wanted == phase)
        };
        let rows: Vec<usize> = (0..ys.len()).filter(wanted).collect();
        // What is the same in all of them tells no lines apart.
        let several = |(_, values): &(&String, Vec<String>)| {
            let mut seen = rows.iter().map(|row| values.get(*row));
            let first = seen.next();
            seen.any(|value| Some(value) != first)
        };
        let columns = self.lines.iter().map(|name| (name, column(name)));
        let columns: Vec<(&String, Vec<String>)> = columns.filter(several).collect();

        let mut names: Vec<String> = Vec::new();
        let mut places: Vec<BTreeMap<u64, (f64, Vec<f64>)>> = Vec::new();
        let mut sizes = false;
        for row in rows.iter().copied() {
            let y = ys.get(row).map_or("", String::as_str);
            let y: f64 = y
                .parse()
                .map_err(|_| refused("not a number in every row"))?;
            let x = xs.get(row).map_or("", String::as_str);
            let (x, size) = number(x).ok_or_else(|| {
                refused(&format!(
                    "x = \"{}\": \"{x}\" is neither a number nor a size",
                    self.x
                ))
            })?;
            sizes |= size;
            let name = |(key, values): &(&String, Vec<String>)| {
                let value = values.get(row).map_or("", String::as_str);
                match key.as_str() {
                    "drive" | "work" | "phase" => value.to_owned(),
                    key => format!("{key} {value}"),
                }
            };
            let name = Vec::from_iter(columns.iter().map(name)).join(", ");
            let index = names
                .iter()
                .position(|known| *known == name)
                .unwrap_or_else(|| {
                    names.push(name);
                    places.push(BTreeMap::new());
                    names.len() - 1
                });
            if let Some(line) = places.get_mut(index) {
                // Numbers that are not negative are ordered as their bits are.
                line.entry(x.to_bits()).or_insert((x, Vec::new())).1.push(y);
            }
        }
        let mean = |(x, ys): &(f64, Vec<f64>)| (*x, ys.iter().sum::<f64>() / ys.len() as f64);
        let lines: Vec<Line> = names
            .into_iter()
            .zip(&places)
            .map(|(name, line)| Line {
                name,
                points: line.values().map(mean).collect(),
                ..Line::default()
            })
            .collect();
        let doubling = |line: &Line| {
            let (low, high) = (line.points.first(), line.points.last());
            low.zip(high)
                .is_some_and(|(low, high)| low.0 > 0.0 && high.0 >= 8.0 * low.0)
        };
        let unit = if sizes { ", KiB" } else { "" };
        Ok(Plot {
            x: format!("{}{unit}", self.x),
            y: self.title.clone(),
            axis: match lines.iter().any(doubling) {
                true => Axis::Doubling,
                false => Axis::Linear,
            },
            dots: places.iter().all(|line| line.len() <= MOST_PLACES),
            lines,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::plan::Plan;
    use crate::sweep::point;
    use crate::sweep::work::Engine;

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

    fn drawn(figure: &str) -> Result<Plot> {
        let plan = plan(figure)?;
        let outcomes: Vec<_> = plan
            .iter()
            .map(|point| (point.number, point::run(&point, None).unwrap()))
            .collect();
        plan.figures()[0].plot(&Table::new(&plan, &outcomes))
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
            ("l2p-cache-size, KiB", Axis::Doubling)
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
        assert_eq!((plot.y.as_str(), plot.axis), ("moved", Axis::Linear));
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
