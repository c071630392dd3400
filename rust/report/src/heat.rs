// SPDX-License-Identifier: GPL-2.0-or-later
//! Zones over model time: how full they were (zone-series.csv) and what was read of them (zone-reads.csv, both by
//! rust/ssd/src/series.rs), and pictures of that, heat maps.
//!
//! ```text
//!   zone 0   ░░▒▒▓▓██████████
//!        1         ░░▒▒▓▓████      a row for each zone, or for as many neighbours as fit;
//!        2   ████        ░░▒▒      the darker the fuller, as of the end of each stretch of time, or the faster read in it
//!            ────────────────> s   the same clock, on the same scale, as the drive's counters
//! ```

use std::fmt::Write as _;

use anyhow::{ensure, Context, Result};

use crate::clock::{Clock, LEFT, RIGHT, WIDTH};
use crate::drawn::{open, times};
use crate::series::numbers;

/// Rows at most: more share rows.
const ROWS: usize = 64;
/// Height of all rows, as far as a row keeps between the least and the most.
const HEIGHT: usize = 320;
const ROW: std::ops::RangeInclusive<usize> = 5..=22;
/// Narrowest stretch of time, pixels: finer ones show single commands.
const STRETCH: f64 = 3.0;
/// Shades of what is written in part; none and all have their own.
const SHADES: usize = 9;
/// Room for the legend, and for the times.
const TOP: usize = 30;
const BOTTOM: usize = 44;
/// Labels keep this distance.
const LABEL: usize = 16;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heat {
    /// How full zones are.
    Written,
    /// What is read of them.
    Read,
}

/// A parsed file.
#[derive(Debug, Default)]
struct Zones {
    /// The first zone of each group.
    firsts: Vec<u64>,
    /// Time in ns, and of each group what is written, in per cent, or sectors read until then.
    rows: Vec<(u64, Vec<u64>)>,
}

/// A stretch of a picture, in pixels, and the share of each group in per cent.
type Stretch = (f64, f64, Vec<u64>);

impl Heat {
    fn parse(self, text: &str) -> Result<Zones> {
        let file = match self {
            Self::Written => "zone-series.csv",
            Self::Read => "zone-reads.csv",
        };
        let (names, rows) = numbers(file, text)?;
        let firsts: Result<_, _> = names.iter().skip(1).map(|name| name.parse()).collect();
        let firsts = firsts.with_context(|| format!("{file} line 1"))?;
        let row = |(number, mut row): (usize, Vec<u64>)| {
            let values = row.split_off(row.len().min(1));
            ensure!(
                self == Self::Read || values.iter().all(|share| *share <= 100),
                "{file} line {number}: not shares in per cent"
            );
            Ok((row.first().copied().unwrap_or(0), values))
        };
        let rows = (2..).zip(rows).map(row).collect::<Result<Vec<_>>>()?;
        Ok(Zones { firsts, rows })
    }

    /// The colour of the darkest shade.
    const fn darkest(self) -> [u8; 3] {
        match self {
            Self::Written => [0, 114, 178],
            Self::Read => [166, 73, 0],
        }
    }
}

/// A shade for what is written of a row's zones: 0 for nothing, the darkest for all.
fn shade(shares: &[u64]) -> usize {
    let (sum, most) = (shares.iter().sum::<u64>() as usize, shares.len() * 100);
    match sum {
        0 => 0,
        _ if sum >= most => SHADES + 1,
        _ => 1 + sum * SHADES / most,
    }
}

/// From white to the darkest.
fn colour(heat: Heat, shade: usize) -> String {
    let part = match shade {
        0 => 0.0,
        full if full > SHADES => 1.0,
        _ => 0.12 + 0.65 * shade as f64 / SHADES as f64,
    };
    let mix = |of: u8| (255.0 - (255.0 - f64::from(of)) * part).round() as u8;
    let [r, g, b] = heat.darkest().map(mix);
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// The heat map. None for a drive without zones, or without samples.
///
/// # Errors
/// The text is no such file.
pub fn svg(heat: Heat, text: &str, clock: &Clock) -> Result<Option<String>> {
    let filled = heat.parse(text)?;
    let (Some((start, first)), Some((end, last))) = (filled.rows.first(), filled.rows.last())
    else {
        return Ok(None);
    };
    if end <= start || filled.firsts.is_empty() || heat == Heat::Read && first == last {
        return Ok(None);
    }
    let (left, width) = (LEFT as f64, (WIDTH - LEFT - RIGHT) as f64);
    let seconds = clock.span.end - clock.span.start;
    let place = |ns: u64| left + (ns as f64 / 1e9 - clock.span.start) / seconds.max(1e-9) * width;
    let each = filled.firsts.len().div_ceil(ROWS);
    let rows = filled.firsts.len().div_ceil(each);
    let tall = (HEIGHT / rows).clamp(*ROW.start(), *ROW.end());
    let bottom = TOP + rows * tall;
    let mut svg = open(WIDTH as usize, bottom + BOTTOM);
    let mut stretches = stretches(&filled, place);
    let most = match heat {
        Heat::Written => "100 %".into(),
        Heat::Read => rates(&mut stretches, &filled, seconds / width, each),
    };
    legend(heat, &most, &mut svg);
    let _ = write!(
        svg,
        "<rect x=\"{left}\" y=\"{TOP}\" width=\"{width}\" height=\"{}\" fill=\"none\" stroke=\"#e1e1e1\"/>",
        rows * tall
    );
    for (shade, path) in (1..).zip(cells(&stretches, each, (rows, tall))) {
        if !path.is_empty() {
            let _ = write!(
                svg,
                "<path shape-rendering=\"crispEdges\" fill=\"{}\" d=\"{path}\"/>",
                colour(heat, shade)
            );
        }
    }
    let _ = write!(svg, "<text x=\"4\" y=\"{}\">zone</text>", TOP + 12);
    let firsts = filled.firsts.iter().step_by(each).enumerate();
    for (row, first) in firsts.step_by(LABEL.div_ceil(tall)) {
        let (x, y) = (LEFT - 6, TOP + row * tall + tall.min(LABEL) / 2 + 5);
        let _ = write!(
            svg,
            "<text x=\"{x}\" y=\"{y}\" text-anchor=\"end\">{first}</text>"
        );
    }
    times(&mut svg, clock, bottom);
    svg += "</svg>";
    Ok(Some(svg))
}

/// A path for each shade but none: the stretches of all rows that have it.
fn cells(stretches: &[Stretch], each: usize, (rows, tall): (usize, usize)) -> Vec<String> {
    let mut paths = vec![String::new(); SHADES + 1];
    for row in 0..rows {
        let of = |shares: &[u64]| {
            let shares = shares.chunks(each).nth(row).unwrap_or_default();
            shade(shares)
        };
        let shades: Vec<(f64, f64, usize)> = stretches
            .iter()
            .map(|(from, to, shares)| (*from, *to, of(shares)))
            .collect();
        for run in shades.chunk_by(|a, b| a.2 == b.2) {
            let (Some(first), Some(last)) = (run.first(), run.last()) else {
                continue;
            };
            let path = first.2.checked_sub(1).and_then(|at| paths.get_mut(at));
            if let Some(path) = path {
                let (x, y, wide) = (first.0, TOP + row * tall, last.1 - first.0);
                let _ = write!(path, "M{x:.1} {y}h{wide:.1}v{tall}h-{wide:.1}z");
            }
        }
    }
    paths
}

/// Where each stretch of time lies, and the values at its end. Those too narrow to see are joined.
fn stretches(filled: &Zones, place: impl Fn(u64) -> f64) -> Vec<Stretch> {
    let mut stretches: Vec<Stretch> = Vec::new();
    for pair in filled.rows.windows(2) {
        let [(before, _), (after, shares)] = pair else {
            continue;
        };
        let (from, to) = (place(*before), place(*after));
        match stretches.last_mut() {
            Some(last) if last.1 - last.0 < STRETCH => (last.1, last.2) = (to, shares.clone()),
            _ => stretches.push((from, to, shares.clone())),
        }
    }
    stretches
}

/// What was read until the ends of stretches becomes how fast it was read in them, in per cent of the fastest row of so many
/// groups; says how fast that is. A pixel is so many seconds.
fn rates(stretches: &mut [Stretch], filled: &Zones, pixel: f64, each: usize) -> String {
    let mut before = filled
        .rows
        .first()
        .map_or(Vec::new(), |(_, totals)| totals.clone());
    let mut rates: Vec<Vec<f64>> = Vec::new();
    for (from, to, totals) in stretches.iter() {
        let time = ((to - from) * pixel).max(1e-9);
        let rises = totals.iter().zip(&before);
        let rises = rises.map(|(now, then)| now.saturating_sub(*then) as f64 / time);
        rates.push(rises.collect());
        before.clone_from(totals);
    }
    let row = |rates: &[f64]| rates.iter().sum::<f64>() / rates.len().max(1) as f64;
    let of_rows = rates.iter().flat_map(|rates| rates.chunks(each).map(row));
    let most = of_rows.fold(f64::MIN_POSITIVE, f64::max);
    for ((_, _, shares), rates) in stretches.iter_mut().zip(&rates) {
        // A row's share is the mean of its groups': none of them is cut off there.
        *shares = rates
            .iter()
            .map(|rate| match rate / most * 100.0 {
                0.0 => 0,
                share => share.ceil() as u64,
            })
            .collect();
    }
    let megabytes = most * units::SECTOR_BYTES as f64 / 1e6;
    let whole = if each > 1 { " a group" } else { " a zone" };
    format!("{} MB/s{whole}", lab::plot::number(megabytes))
}

/// What the shades mean.
fn legend(heat: Heat, most: &str, svg: &mut String) {
    let none = match heat {
        Heat::Written => "written: 0 %",
        Heat::Read => "read: 0",
    };
    let _ = write!(
        svg,
        "<text x=\"{LEFT}\" y=\"14\" text-anchor=\"end\" dx=\"-6\">{none}</text>"
    );
    for shade in 0..=SHADES + 1 {
        let _ = write!(
            svg,
            "<rect x=\"{}\" y=\"3\" width=\"18\" height=\"13\" fill=\"{}\" stroke=\"#e1e1e1\"/>",
            LEFT as usize + shade * 18,
            colour(heat, shade)
        );
    }
    let x = LEFT as usize + (SHADES + 2) * 18 + 6;
    let _ = write!(svg, "<text x=\"{x}\" y=\"14\">{most}</text>");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(end: f64) -> Clock {
        Clock {
            title: "the drive's clock, s",
            fio_at: 0.0,
            span: 0.0..end,
        }
    }

    /// Where a row lies, and the colours of its stretches with their ends.
    fn row(svg: &str, y: usize) -> Vec<(String, f64, f64)> {
        let mut found = Vec::new();
        for path in svg.split("crispEdges\" fill=\"").skip(1) {
            let (colour, rest) = path.split_once('"').unwrap();
            let (_, rest) = rest.split_once("d=\"").unwrap();
            let (cells, _) = rest.split_once('"').unwrap();
            for cell in cells.split('M').skip(1) {
                let (x, rest) = cell.split_once(' ').unwrap();
                let (at, rest) = rest.split_once('h').unwrap();
                let (wide, _) = rest.split_once('v').unwrap();
                let (x, wide): (f64, f64) = (x.parse().unwrap(), wide.parse().unwrap());
                if at == y.to_string() {
                    found.push((colour.to_owned(), x, x + wide));
                }
            }
        }
        found.sort_by(|a, b| a.1.total_cmp(&b.1));
        found
    }

    #[test]
    fn zones_darken_as_they_fill_and_are_white_again_after_a_reset() {
        let csv = "time_ns,0,1\n0,0,0\n1000000,50,0\n2000000,100,0\n3000000,100,0\n4000000,0,1\n";
        let svg = svg(Heat::Written, csv, &clock(4e-3)).unwrap().unwrap();
        let quarter = f64::from(WIDTH - LEFT - RIGHT) / 4.0;
        let at = |n: f64| f64::from(LEFT) + n * quarter;
        let [half, full] = row(&svg, TOP).try_into().unwrap();
        assert_eq!((half.1, half.2), (at(0.0), at(1.0)));
        assert_eq!((full.1, full.2), (at(1.0), at(3.0)), "the same is one");
        assert_eq!(full.0, "#0072b2", "as in the map of the end");
        assert!(half.0 > full.0, "lighter");
        let second = row(&svg, TOP + ROW.end());
        assert_eq!(second.len(), 1);
        assert_eq!((second[0].1, second[0].2), (at(3.0), at(4.0)));
        for text in [">zone<", ">0<", ">1<", ">0.002<", "the drive's clock, s"] {
            assert!(svg.contains(text), "{text}: {svg}");
        }
    }

    #[test]
    fn zones_are_the_darker_the_faster_they_are_read() {
        let csv = "time_ns,0,1\n0,5,0\n1000000,5,0\n2000000,1005,1\n4000000,2005,1\n";
        let svg = svg(Heat::Read, csv, &clock(4e-3)).unwrap().unwrap();
        let quarter = f64::from(WIDTH - LEFT - RIGHT) / 4.0;
        let at = |n: f64| f64::from(LEFT) + n * quarter;
        let [fast, slow] = row(&svg, TOP).try_into().unwrap();
        assert_eq!((fast.1, fast.2), (at(1.0), at(2.0)), "nothing is white");
        assert_eq!((slow.1, slow.2), (at(2.0), at(4.0)), "half as fast");
        assert!(fast.0 == "#a64900" && slow.0 > fast.0, "{slow:?}");
        let second = row(&svg, TOP + ROW.end());
        assert_eq!(second.len(), 1, "little is not nothing");
        assert!(
            svg.contains(">512 MB/s a zone<"),
            "1000 sectors in a millisecond: {svg}"
        );
        let never = "time_ns,0\n0,5\n1000000,5\n";
        assert_eq!(super::svg(Heat::Read, never, &clock(1e-3)).unwrap(), None);
    }

    #[test]
    fn nothing_and_all_are_told_from_nearly_so() {
        assert_eq!([[0, 0], [0, 1]].map(|shares| shade(&shares)), [0, 1]);
        assert_eq!(
            [[99, 100], [100, 100]].map(|s| shade(&s)),
            [SHADES, SHADES + 1]
        );
        let mut colours: Vec<_> = (0..=SHADES + 1).map(|n| colour(Heat::Written, n)).collect();
        assert_eq!(colours[0], "#ffffff");
        colours.dedup();
        assert_eq!(colours.len(), SHADES + 2);
        assert!(colours.windows(2).all(|pair| pair[0] > pair[1]), "darker");
    }

    #[test]
    fn a_large_drive_and_a_long_run_make_a_picture_of_bounded_size() {
        let groups: Vec<_> = (0..256).map(|n| (n * 4).to_string()).collect();
        let mut csv = format!("time_ns,{}\n", groups.join(","));
        for time in 0..1024_u64 {
            let shares = (0..256).map(|n| (time * 7 + n * 13) % 101);
            let shares: Vec<_> = shares.map(|share| share.to_string()).collect();
            let _ = writeln!(csv, "{},{}", time * 100_000, shares.join(","));
        }
        let svg = svg(Heat::Written, &csv, &clock(0.1023)).unwrap().unwrap();
        assert!(svg.len() < 600_000, "{}", svg.len());
        // Four groups a row, and every fourth row labelled.
        assert!(svg.contains(">64</text>") && !svg.contains(">16</text>"));
    }

    #[test]
    fn no_zones_or_no_time_no_picture() {
        for text in [
            "",
            "time_ns\n",
            "time_ns,0\n",
            "time_ns,0\n5,1\n",
            "time_ns\n1\n2\n",
        ] {
            assert_eq!(
                svg(Heat::Written, text, &clock(1.0)).unwrap(),
                None,
                "{text:?}"
            );
        }
        for (text, line) in [
            ("time_ns,x\n", 1),
            ("time_ns,0\n1,2\n2,x\n", 3),
            ("time_ns,0\n1\n", 2),
            ("time_ns,0\n1,101\n", 2),
        ] {
            let error = format!("{:#}", svg(Heat::Written, text, &clock(1.0)).unwrap_err());
            assert!(error.contains(&format!("line {line}")), "{error}");
        }
    }
}
