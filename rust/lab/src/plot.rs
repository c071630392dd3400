// SPDX-License-Identifier: GPL-2.0-or-later
//! Pictures of lines over a common axis, as SVG texts, for experiments and comparisons.

use std::ops::Range;

use anyhow::{anyhow, Result};
use plotters::coord::Shift;
use plotters::prelude::*;

const WIDTH: u32 = 900;
const HEIGHT: u32 = 360;
/// Room for the legend's first row above the plot, and for each further one.
const LEGEND_ROW: u32 = 20;
/// Mean width of a letter of the legend, generously.
const LETTER: usize = 8;

/// Okabe and Ito's colours: told apart with any colour vision and in grey print.
pub const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

/// Of titles and labels.
pub const FONT: &str = "sans-serif";
/// Of lines behind the figures.
pub const GRID: RGBColor = RGBColor(225, 225, 225);
/// Of axes and marks.
pub const MARK: RGBColor = RGBColor(130, 130, 130);

/// How the horizontal axis is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// Evenly.
    Linear,
    /// By powers of two.
    Doubling,
}

impl Axis {
    fn place(self, x: f64) -> f64 {
        match self {
            Self::Linear => x,
            Self::Doubling => x.max(f64::MIN_POSITIVE).log2(),
        }
    }

    fn label(self, place: f64) -> String {
        let x = match self {
            Self::Linear => place,
            Self::Doubling => place.exp2(),
        };
        number(x)
    }
}

/// A line of a picture.
#[derive(Clone, Debug, Default)]
pub struct Line {
    /// Its name in the legend.
    pub name: String,
    /// Its points, by x.
    pub points: Vec<(f64, f64)>,
    /// Drawn in dashes, in the colour of the line before.
    pub dashed: bool,
    /// Pixels by which it is wider than others, to be seen below lines that coincide with it.
    pub wider: u32,
}

/// A picture.
#[derive(Clone, Debug)]
pub struct Plot {
    /// Title of the horizontal axis.
    pub x: String,
    /// Title of the vertical axis, which begins at 0.
    pub y: String,
    /// How the horizontal axis is divided.
    pub axis: Axis,
    /// The lines.
    pub lines: Vec<Line>,
    /// Whether each point is marked.
    pub dots: bool,
}

impl Plot {
    /// The picture; none without points.
    ///
    /// # Errors
    /// It cannot be drawn.
    pub fn svg(&self) -> Result<Option<String>> {
        if self.lines.iter().all(|line| line.points.is_empty()) {
            return Ok(None);
        }
        let legend = self.legend();
        let rows = legend.iter().map(|(_, y)| y / LEGEND_ROW as i32).max();
        let above = (rows.unwrap_or(0) as u32 + 1) * LEGEND_ROW + 6;
        let mut svg = String::new();
        {
            let size = (WIDTH, HEIGHT + above);
            let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
            self.draw(&area, &legend, above)
                .map_err(|e| anyhow!("drawing {}: {e}", self.y))?;
        }
        Ok(Some(svg))
    }

    /// Whole numbers close together are not divided further.
    fn x_labels(&self) -> usize {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let whole = points().all(|(x, _)| x.fract() == 0.0);
        let (xs, _) = self.ranges();
        let span = (xs.end - xs.start) as usize;
        if self.axis == Axis::Linear && whole {
            (span + 1).min(12)
        } else {
            12
        }
    }

    fn ranges(&self) -> (Range<f64>, Range<f64>) {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let xs = points().map(|(x, _)| self.axis.place(*x));
        let (low, high) = xs.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| {
            (low.min(x), high.max(x))
        });
        let margin = ((high - low) * 0.02).max(0.05);
        let top = points().map(|(_, y)| *y).fold(0.0, f64::max);
        let top = if top > 0.0 { top * 1.08 } else { 1.0 };
        (low - margin..high + margin, 0.0..top)
    }

    /// Where each name begins.
    fn legend(&self) -> Vec<(i32, i32)> {
        let (mut x, mut row) = (66_usize, 0);
        let mut places = Vec::new();
        for line in &self.lines {
            let width = 34 + line.name.chars().count() * LETTER;
            if x + width > WIDTH as usize && x > 66 {
                (x, row) = (66, row + 1);
            }
            places.push((x as i32, row * LEGEND_ROW as i32));
            x += width;
        }
        places
    }

    fn colours(&self) -> Vec<RGBColor> {
        let mut next = 0;
        let mut colour = |line: &Line| {
            next += usize::from(!line.dashed || next == 0);
            COLOURS[(next - 1) % COLOURS.len()]
        };
        self.lines.iter().map(&mut colour).collect()
    }

    fn draw<'a>(
        &self,
        area: &DrawingArea<SVGBackend<'a>, Shift>,
        legend: &[(i32, i32)],
        above: u32,
    ) -> std::result::Result<(), Box<dyn std::error::Error + 'a>> {
        area.fill(&WHITE)?;
        let (xs, ys) = self.ranges();
        let mut chart = ChartBuilder::on(area)
            .margin(12)
            .margin_top(above + 8)
            .margin_right(24)
            .x_label_area_size(44)
            .y_label_area_size(66)
            .build_cartesian_2d(xs, ys)?;
        chart
            .configure_mesh()
            .x_desc(&self.x)
            .y_desc(&self.y)
            .x_labels(self.x_labels())
            .y_labels(7)
            .x_label_formatter(&|x| self.axis.label(*x))
            .y_label_formatter(&|y| number(*y))
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .axis_style(MARK)
            .label_style((FONT, 13))
            .draw()?;
        let styled = self.lines.iter().zip(self.colours()).zip(legend);
        for ((line, colour), &(x, y)) in styled {
            let points = || line.points.iter().map(|(x, y)| (self.axis.place(*x), *y));
            let stroke = colour.stroke_width(2 + line.wider);
            if line.dashed {
                chart.draw_series(DashedLineSeries::new(points(), 6, 4, stroke))?;
            } else {
                chart.draw_series(LineSeries::new(points(), stroke))?;
            }
            if self.dots {
                chart.draw_series(points().map(|at| Circle::new(at, 3, colour.filled())))?;
            }
            let (x, y) = (x, y + 14);
            let ends: &[(i32, i32)] = if line.dashed {
                &[(0, 6), (12, 18)]
            } else {
                &[(0, 18)]
            };
            for (from, to) in ends {
                area.draw(&PathElement::new(
                    [(x + from, y), (x + to, y)],
                    colour.stroke_width(3),
                ))?;
            }
            area.draw(&Text::new(line.name.clone(), (x + 24, y - 6), (FONT, 13)))?;
        }
        area.present()?;
        Ok(())
    }
}

/// A time on an axis of any length: the digits that it has, four at most.
#[must_use]
pub fn seconds(x: f64) -> String {
    let text = format!("{x:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// As few digits as tell it from its neighbours on an axis.
pub fn number(x: f64) -> String {
    match x.abs() {
        tiny if tiny < 0.1 && tiny > 1e-9 => seconds(x),
        small if small < 0.995 && small > 1e-9 => {
            format!("{x:.2}").trim_end_matches('0').to_owned()
        }
        middle if middle < 9.95 && (x - x.round()).abs() > 0.005 => format!("{x:.1}"),
        _ => format!("{x:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(lines: Vec<Line>) -> Plot {
        Plot {
            x: "block size, KiB".into(),
            y: "bandwidth, MB/s".into(),
            axis: Axis::Doubling,
            lines,
            dots: true,
        }
    }

    fn line(name: &str, dashed: bool) -> Line {
        Line {
            name: name.into(),
            points: vec![(4.0, 1.0), (256.0, 400.0)],
            dashed,
            wider: 0,
        }
    }

    #[test]
    fn every_line_is_drawn_and_named() {
        let svg = plot(vec![line("one", false), line("two", false)])
            .svg()
            .unwrap()
            .unwrap();
        assert!(svg.contains("one") && svg.contains("two"));
        assert!(svg.contains("block size, KiB") && svg.contains("256"));
        assert_eq!(svg.matches("<circle").count(), 4);
    }

    #[test]
    fn nothing_to_draw_is_no_picture() {
        assert!(plot(Vec::new()).svg().unwrap().is_none());
        assert!(plot(vec![Line::default()]).svg().unwrap().is_none());
    }

    #[test]
    fn a_dashed_line_has_the_colour_of_its_partner() {
        let lines = vec![line("a", false), line("a'", true), line("b", false)];
        let colours = plot(lines).colours();
        assert_eq!(colours[0], colours[1]);
        assert_ne!(colours[0], colours[2]);
    }

    #[test]
    fn long_legends_take_more_rows() {
        let lines: Vec<_> = (0..8)
            .map(|n| line(&format!("a rather long name {n}"), false))
            .collect();
        let places = plot(lines).legend();
        assert!(places.iter().all(|(x, _)| *x < 800));
        assert!(places.last().unwrap().1 > 0);
    }

    #[test]
    fn labels_have_the_digits_they_need() {
        let texts = [0.0, 0.0004, 0.25, 0.5, 1.0, 1.5, 512.0].map(number);
        assert_eq!([4.25, 2.0, 0.0].map(seconds), ["4.25", "2", "0"]);
        assert_eq!(texts, ["0", "0.0004", "0.25", "0.5", "1", "1.5", "512"]);
    }
}
