// SPDX-License-Identifier: GPL-2.0-or-later
//! Pictures of the drive itself: its zones, and how busy its planes and links were. Plain SVG texts: nothing but
//! rectangles, with a tooltip each.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::clock::{self, Clock, LEFT, RIGHT};
use crate::statistics::busy_ns;
use lab::plot;

const WIDTH: usize = 900;
/// Zones drawn one by one; more share cells.
const MOST_CELLS: usize = 1024;
const CELL: usize = 22;
/// Marks on an axis of time, at most about so many.
const TIMES: f64 = 8.0;

/// Zones that are alike, as a line of the drive's zone map says.
#[derive(Clone, Debug, PartialEq)]
struct Zones {
    first: usize,
    count: usize,
    state: String,
    written: u64,
    capacity: u64,
    mapping: String,
}

fn parse(map: &str) -> Result<Vec<Zones>> {
    let zones = |line: &str| {
        let fields: Vec<&str> = line.split(',').collect();
        let [first, count, state, written, capacity, mapping] = fields.try_into().ok()?;
        Some(Zones {
            first: first.parse().ok()?,
            count: count.parse().ok()?,
            state: state.into(),
            written: written.parse().ok()?,
            capacity: capacity.parse().ok()?,
            mapping: mapping.into(),
        })
    };
    let line = |line: &str| zones(line).with_context(|| format!("zone map: {line:?}"));
    map.lines().skip(1).map(line).collect()
}

/// Colours that differ in brightness too.
fn colour(state: &str) -> &'static str {
    match state {
        "full" => "#0072b2",
        "open" | "open-explicit" => "#d55e00",
        "closed" => "#e69f00",
        "read-only" => "#555555",
        "offline" => "#000000",
        _ => "#9aa5b1",
    }
}

/// The zones as a grid, each filled as far as it is written. None for a drive without zones.
///
/// # Errors
/// The map is no zone map.
pub fn zones(map: &str) -> Result<Option<String>> {
    let runs = parse(map)?;
    let total: usize = runs.iter().map(|run| run.count).sum();
    if total == 0 {
        return Ok(None);
    }
    let group = total.div_ceil(MOST_CELLS);
    let columns = (WIDTH / CELL).min(total.div_ceil(group));
    let cells = total.div_ceil(group);
    let legend = 26;
    let height = legend + cells.div_ceil(columns) * CELL + 4;
    let mut svg = open(WIDTH, height);
    states(&mut svg, &runs);
    for cell in 0..cells {
        let zone = cell * group;
        let run = runs
            .iter()
            .find(|run| (run.first..run.first + run.count).contains(&zone));
        let Some(run) = run else { continue };
        let (x, y) = (cell % columns * CELL, legend + cell / columns * CELL);
        let side = CELL - 3;
        let share = run.written as f64 / run.capacity.max(1) as f64;
        let filled = (share * side as f64).ceil() as usize;
        let title = format!(
            "zone {zone}: {}, {:.0} % written, mapped by {}",
            run.state,
            share * 100.0,
            run.mapping
        );
        // Writing to a String cannot fail.
        let _ = write!(
            svg,
            "<g><title>{title}</title><rect x=\"{x}\" y=\"{y}\" width=\"{side}\" height=\"{side}\" fill=\"#fff\" stroke=\"#9aa5b1\"/>\
             <rect x=\"{x}\" y=\"{}\" width=\"{side}\" height=\"{filled}\" fill=\"{}\"/></g>",
            y + side - filled.min(side),
            colour(&run.state)
        );
    }
    svg += "</svg>";
    Ok(Some(svg))
}

/// The legend: each state that occurs, and how many zones are in it.
fn states(svg: &mut String, runs: &[Zones]) {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for run in runs {
        match counts.iter_mut().find(|(state, _)| *state == run.state) {
            Some((_, count)) => *count += run.count,
            None => counts.push((&run.state, run.count)),
        }
    }
    let mut x = 0;
    for (state, count) in counts {
        let text = format!("{state}: {count}");
        let _ = write!(
            svg,
            "<rect x=\"{x}\" y=\"4\" width=\"12\" height=\"12\" fill=\"{}\"/><text x=\"{}\" y=\"14\">{text}</text>",
            colour(state),
            x + 18
        );
        x += 40 + text.len() * 8;
    }
}

/// The head of a picture.
pub fn open(width: usize, height: usize) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"13\">"
    )
}

/// An axis of time below a picture that is as wide as those of the drive: marks at 1, 2 or 5 of some power of ten.
pub fn times(svg: &mut String, clock: &Clock, y: usize) {
    let (start, end) = (clock.span.start, clock.span.end);
    let (left, width) = (f64::from(LEFT), f64::from(clock::WIDTH - LEFT - RIGHT));
    for at in plot::marks(start, end, TIMES) {
        let x = left + (at - start) / (end - start).max(1e-9) * width;
        let _ = write!(
            svg,
            "<path stroke=\"#828282\" d=\"M{x:.1} {y}v5\"/><text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            y + 18,
            plot::seconds(at)
        );
    }
    let _ = write!(
        svg,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
        left + width / 2.0,
        y + 38,
        clock.title
    );
}

/// How busy planes and links were in `span_ns` of model time, as bars. None if the drive has neither.
pub fn utilisation(stats: &Value, span_ns: u64) -> Option<String> {
    let busy = |group: &str| -> Vec<(String, f64)> {
        let share = |(name, ns): (String, f64)| (name, (ns / span_ns.max(1) as f64).min(1.0));
        busy_ns(stats, group).into_iter().map(share).collect()
    };
    let (planes, links) = (busy("planes"), busy("links"));
    if planes.is_empty() && links.is_empty() {
        return None;
    }
    let (top, height, left, gap) = (26, 130, 60, 36);
    let room = WIDTH - left - gap;
    let links_width = (links.len() * 80).min(room / 2);
    let planes_width = room - links_width;
    let mut svg = open(WIDTH, top + height + 34);
    for per_cent in [0, 25, 50, 75, 100] {
        let y = top + height - height * per_cent / 100;
        let _ = write!(
            svg,
            "<line x1=\"{left}\" y1=\"{y}\" x2=\"{WIDTH}\" y2=\"{y}\" stroke=\"#e1e1e1\"/>\
             <text x=\"{}\" y=\"{}\" text-anchor=\"end\">{per_cent} %</text>",
            left - 6,
            y + 4
        );
    }
    for (x, width, title, bars) in [
        (left, planes_width, "planes", &planes),
        (left + planes_width + gap, links_width, "links", &links),
    ] {
        let _ = write!(svg, "<text x=\"{x}\" y=\"14\">{title}</text>");
        row(&mut svg, (x, top), (width, height), bars);
    }
    svg += "</svg>";
    Some(svg)
}

/// A bar for each share, labelled as far as there is room.
fn row(
    svg: &mut String,
    (x, y): (usize, usize),
    (width, height): (usize, usize),
    bars: &[(String, f64)],
) {
    let step = (width as f64 / bars.len().max(1) as f64).min(80.0);
    let longest = bars.iter().map(|(name, _)| name.len()).max().unwrap_or(1);
    let every = ((longest * 8 + 6) as f64 / step).ceil().max(1.0) as usize;
    for (number, (name, share)) in bars.iter().enumerate() {
        let (left, tall) = (x as f64 + number as f64 * step, share * height as f64);
        let _ = write!(
            svg,
            "<rect x=\"{left:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{tall:.1}\" fill=\"#0072b2\"><title>{name}: {:.1} % busy</title></rect>",
            (y + height) as f64 - tall,
            (step * 0.8).min(40.0),
            share * 100.0
        );
        if number % every == 0 {
            let _ = write!(
                svg,
                "<text x=\"{left:.1}\" y=\"{}\" font-size=\"12\">{name}</text>",
                y + height + 18
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const MAP: &str = "first,count,state,written,capacity,mapping\n0,2,full,100,100,zone\n2,1,open,50,100,page\n3,29,empty,0,100,-\n";

    #[test]
    fn every_zone_has_a_cell() {
        let svg = zones(MAP).unwrap().unwrap();
        assert_eq!(svg.matches("<g>").count(), 32);
        assert!(svg.contains("zone 2: open, 50 % written, mapped by page"));
        assert!(svg.contains("empty: 29") && svg.contains("full: 2"));
    }

    #[test]
    fn many_zones_share_cells() {
        let map = "first,count,state,written,capacity,mapping\n0,100000,empty,0,8,-\n";
        let svg = zones(map).unwrap().unwrap();
        assert!(svg.matches("<g>").count() <= MOST_CELLS);
    }

    #[test]
    fn no_zones_no_grid() {
        assert_eq!(zones("").unwrap(), None);
        assert_eq!(
            zones("first,count,state,written,capacity,mapping\n").unwrap(),
            None
        );
        assert!(zones("x\n1,2\n").is_err());
    }

    #[test]
    fn shares_are_of_the_span() {
        let stats = json!({"planes": {"0": {"busy_ns": 500}, "10": {"busy_ns": 1}, "2": {"busy_ns": 5000}},
            "links": {"host": {"busy_ns": 250}}});
        let svg = utilisation(&stats, 1000).unwrap();
        assert!(svg.contains("0: 50.0 % busy") && svg.contains("2: 100.0 % busy"));
        assert!(
            svg.find(">2<").unwrap() < svg.find(">10<").unwrap(),
            "in order"
        );
        assert!(svg.contains("host: 25.0 % busy"));
        assert_eq!(utilisation(&json!({}), 1000), None);
    }
}
