// SPDX-License-Identifier: GPL-2.0-or-later
//! Figures that a plan asks for: a column of the table over another one, a line for each choice of further ones.

use std::collections::BTreeMap;

use anyhow::Result;
use units::Bytes;

use super::section::Section;
use crate::failure::Prerequisite;
use crate::plot::{Axis, Line, Plot};

/// More values than that are told apart by their distance alone.
const MOST_PLACES: usize = 64;

/// Columns of the table: names, and fields as texts.
pub type Columns = [(String, Vec<String>)];

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
    pub fn plot(&self, columns: &Columns) -> Result<Plot> {
        let refused = |what: &str| Prerequisite(format!("{}: {what}", self.at));
        let known = |wanted: &str| columns.iter().find(|(name, _)| name == wanted);
        let column = |name: &str| known(name).map_or(&[][..], |(_, fields)| fields);
        let ys = known(&self.y).map(|(_, fields)| fields).ok_or_else(|| {
            let names = Vec::from_iter(columns.iter().map(|(name, _)| name.as_str()));
            refused(&format!("no result has it; there are {}", names.join(", ")))
        })?;
        let (xs, phases) = (column(&self.x), column("phase"));
        let wanted = |row: &usize| {
            let phase = phases.get(*row).map_or("", String::as_str);
            let shown = ys.get(*row).is_some_and(|y| !y.is_empty());
            shown && self.phase.as_deref().is_none_or(|wanted| wanted == phase)
        };
        let rows: Vec<usize> = (0..ys.len()).filter(wanted).collect();
        // What is the same in all of them tells no lines apart.
        let several = |(_, values): &(&String, &[String])| {
            let mut seen = rows.iter().map(|row| values.get(*row));
            let first = seen.next();
            seen.any(|value| Some(value) != first)
        };
        let columns = self.lines.iter().map(|name| (name, column(name)));
        let columns: Vec<(&String, &[String])> = columns.filter(several).collect();

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
            let name = |(key, values): &(&String, &[String])| {
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
            nines: false,
            lines,
        })
    }
}
