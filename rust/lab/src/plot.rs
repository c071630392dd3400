// SPDX-License-Identifier: GPL-2.0-or-later
//! Pictures of lines over a common axis, as SVG texts, for experiments and comparisons.

use std::ops::Range;

use anyhow::{anyhow, Result};
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::coord::Shift;
use plotters::prelude::*;

const WIDTH: u32 = 900;
const HEIGHT: u32 = 360;
/// Room for the legend's first row above the plot, and for each further one.
const LEGEND_ROW: u32 = 20;
/// Mean width of a letter of the legend, generously.
const LETTER: usize = 8;

/// Okabe and Ito's colours, told apart with any colour vision; the blue is darker than theirs, which in grey print is their
/// vermilion. Where there may be more than two lines, they differ in marks or dashes, too.
pub const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 84, 140),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

/// Of titles and labels.
pub const FONT: &str = "sans-serif";
/// Sizes of texts. Of these plotters makes 12.1 and 11.3 units of the picture, which on a phone, where it is 736 pixels wide
/// and moved sideways, are 9.9 and 9.2 pixels.
pub const TEXT: u32 = 15;
/// Of names beside and on lines.
pub const NAME: u32 = 14;
/// Of lines behind the figures.
pub const GRID: RGBColor = RGBColor(225, 225, 225);
/// Of axes and marks.
pub const MARK: RGBColor = RGBColor(95, 95, 95);

/// How the horizontal axis is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// Evenly.
    Linear,
    /// By powers of two.
    Doubling,
    /// By powers of ten, of which there are whole ones.
    Decades,
}

impl Axis {
    fn place(self, x: f64) -> f64 {
        match self {
            Self::Linear | Self::Decades => x,
            Self::Doubling => x.max(f64::MIN_POSITIVE).log2(),
        }
    }

    fn label(self, place: f64) -> String {
        let x = match self {
            Self::Linear | Self::Decades => place,
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
    /// Drawn in dashes, in the colour of the line before, which then is broad and pale.
    pub dashed: bool,
}

/// Points that are so near, as shares of their own size, are the same.
const SAME: f64 = 3e-3;

impl Line {
    /// Whether a good part of it is hidden by a line that is drawn over it: a stretch between two marks, or of many points
    /// a half.
    fn coincides(&self, other: &Self, dots: bool) -> bool {
        let near = |a: f64, b: f64| (a - b).abs() <= SAME * a.abs().max(b.abs());
        let on = |&(x, y): &(f64, f64)| other.points.iter().any(|p| near(p.0, x) && near(p.1, y));
        let on: Vec<bool> = self.points.iter().map(on).collect();
        if dots {
            on.windows(2).any(|pair| pair == [true, true])
        } else {
            on.iter().filter(|on| **on).count() * 2 > on.len()
        }
    }
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
    /// Whether heights are numbers of nines of a share, which is what is written beside them: 1 is 90 %, 2 is 99 %.
    pub nines: bool,
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
        Ok(Some(labelled(&svg, &format!("{} by {}", self.y, self.x))))
    }

    /// Whole numbers close together are not divided further.
    fn x_labels(&self) -> usize {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let whole = points().all(|(x, _)| x.fract() == 0.0);
        let (xs, _) = self.ranges();
        let span = (xs.end - xs.start) as usize;
        // Octaves are not divided, either.
        if self.axis == Axis::Doubling || self.axis == Axis::Linear && whole {
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
        let xs = match self.axis {
            Axis::Decades => decades([low, high].into_iter()).unwrap_or(1.0..10.0),
            Axis::Linear | Axis::Doubling => low - margin..high + margin,
        };
        (xs, 0.0..top)
    }

    /// Dashes and gaps of a line. Without marks, and where none has a partner, neighbours differ.
    fn dashes(&self, number: usize, line: &Line) -> Option<(u32, u32)> {
        let plain = !self.dots && self.lines.iter().all(|line| !line.dashed);
        match number % 3 {
            _ if line.dashed => Some((6, 4)),
            1 if plain => Some((9, 3)),
            2 if plain => Some((3, 3)),
            _ => None,
        }
    }

    /// How broad each line is: under each that is drawn over it, it shows on both sides.
    fn widths(&self) -> Vec<u32> {
        let over = |(number, line): (usize, &Line)| {
            let above = self.lines.iter().skip(number + 1);
            let pale = above.clone().next().is_some_and(|next| next.dashed);
            let above = above.filter(|other| !other.dashed && line.coincides(other, self.dots));
            2 + 3 * (above.count() as u32).min(MOST_OVER) + 4 * u32::from(pale)
        };
        self.lines.iter().enumerate().map(over).collect()
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
        match self.axis {
            Axis::Decades => self.draw_on(area, (legend, above), xs.log_scale(), ys),
            Axis::Linear | Axis::Doubling => self.draw_on(area, (legend, above), xs, ys),
        }
    }

    fn draw_on<'a, X>(
        &self,
        area: &DrawingArea<SVGBackend<'a>, Shift>,
        (legend, above): (&[(i32, i32)], u32),
        xs: X,
        ys: Range<f64>,
    ) -> std::result::Result<(), Box<dyn std::error::Error + 'a>>
    where
        X: AsRangedCoord<Value = f64>,
        X::CoordDescType: ValueFormatter<f64>,
    {
        let top = ys.end;
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
            .y_labels(if self.nines {
                top.ceil() as usize + 1
            } else {
                7
            })
            .x_label_formatter(&|x| self.axis.label(*x))
            .y_label_formatter(&|y| if self.nines { nines(*y) } else { number(*y) })
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .axis_style(MARK)
            .label_style((FONT, TEXT))
            .draw()?;
        let looks = self.colours().into_iter().zip(self.widths());
        for (number, ((line, look), &(x, y))) in
            self.lines.iter().zip(looks).zip(legend).enumerate()
        {
            let (colour, width) = look;
            let has_partner = self.lines.get(number + 1).is_some_and(|next| next.dashed);
            let shade = colour.mix(if has_partner { 0.35 } else { 1.0 });
            let points = || line.points.iter().map(|(x, y)| (self.axis.place(*x), *y));
            let stroke = shade.stroke_width(width);
            match self.dashes(number, line) {
                Some((dash, gap)) => {
                    chart.draw_series(DashedLineSeries::new(points(), dash, gap, stroke))?;
                }
                None => {
                    chart.draw_series(LineSeries::new(points(), stroke))?;
                }
            }
            let size = 3 + width as i32 / 3;
            let (x, y) = (x, y + 14);
            let (dash, gap) = self.dashes(number, line).unwrap_or((18, 1));
            for from in (0..18).step_by((dash + gap) as usize) {
                let to = (from + dash as i32).min(18);
                area.draw(&PathElement::new(
                    [(x + from, y), (x + to, y)],
                    shade.stroke_width(width.max(3)),
                ))?;
            }
            // Neighbours have other marks, to be told apart without colours.
            let (marks, sample) = (points(), (x + 9, y));
            let (fill, cross) = (colour.filled(), colour.stroke_width(2));
            match number % 3 {
                _ if !self.dots => {}
                0 => {
                    chart.draw_series(marks.map(|at| Circle::new(at, size, fill)))?;
                    area.draw(&Circle::new(sample, 4, fill))?;
                }
                1 => {
                    chart.draw_series(marks.map(|at| TriangleMarker::new(at, size + 1, fill)))?;
                    area.draw(&TriangleMarker::new(sample, 4, fill))?;
                }
                _ => {
                    chart.draw_series(marks.map(|at| Cross::new(at, size, cross)))?;
                    area.draw(&Cross::new(sample, 4, cross))?;
                }
            }
            area.draw(&Text::new(line.name.clone(), (x + 24, y - 7), (FONT, TEXT)))?;
        }
        area.present()?;
        Ok(())
    }
}

/// Lines that one is broadened for, at most.
const MOST_OVER: u32 = 3;

/// Where an axis is marked, at about as many places as asked for at most: at multiples of 1, 2 or 5 of a power of ten.
#[must_use]
pub fn marks(start: f64, end: f64, most: f64) -> Vec<f64> {
    let rough = (end - start) / most;
    if !rough.is_finite() || rough <= 0.0 {
        return Vec::new();
    }
    let decade = 10_f64.powf(rough.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|n| n * decade);
    let step = steps
        .into_iter()
        .find(|step| *step >= rough * 0.999)
        .unwrap_or(rough);
    let first = (start / step - 1e-6).ceil();
    let marks = (0..64).map(|n| (first + f64::from(n)) * step);
    marks.take_while(|at| *at <= end + step * 1e-6).collect()
}

/// A picture with what it shows, for those who do not see it.
#[must_use]
pub fn labelled(svg: &str, label: &str) -> String {
    let label = label
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('"', "&quot;");
    svg.replacen(
        "<svg ",
        &format!("<svg role=\"img\" aria-label=\"{label}\" "),
        1,
    )
}

/// The size of the smallest text in a picture, units of it; for tests of what can be read on a phone.
#[must_use]
pub fn smallest_text(svg: &str) -> f64 {
    let sizes = svg.split("font-size=\"").skip(1);
    let sizes = sizes.filter_map(|rest| rest.split('"').next()?.parse::<f64>().ok());
    sizes.fold(f64::INFINITY, f64::min)
}

/// What that must be at least: of 900 units that are 736 pixels, 9 pixels.
pub const READABLE: f64 = 11.0;

/// The powers of ten around the values (at least one decade apart).
pub fn decades(values: impl Iterator<Item = f64>) -> Option<Range<f64>> {
    let (low, high) = values
        .filter(|v| *v > 0.0)
        .fold((f64::INFINITY, 0.0_f64), |(low, high), v| {
            (low.min(v), high.max(v))
        });
    (low <= high).then(|| {
        let low = low.log10().floor();
        10f64.powf(low)..10f64.powf(high.log10().ceil().max(low + 1.0))
    })
}

/// A share by its nines, in per cent.
fn nines(n: f64) -> String {
    match n.round() as usize {
        0 => "0".into(),
        1 => "90".into(),
        2 => "99".into(),
        more => format!("99.{}", "9".repeat(more - 2)),
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
            nines: false,
        }
    }

    fn line(name: &str, dashed: bool) -> Line {
        Line {
            name: name.into(),
            points: vec![(4.0, 1.0), (256.0, 400.0)],
            dashed,
        }
    }

    #[test]
    fn every_line_is_drawn_and_named() {
        let svg = plot(vec![line("one", false), line("two", false)])
            .svg()
            .unwrap()
            .unwrap();
        assert!(svg.contains("one") && svg.contains("two"));
        let label = "role=\"img\" aria-label=\"bandwidth, MB/s by block size, KiB\"";
        assert!(svg.contains(label), "{svg}");
        assert!(labelled("<svg >", "a\"<b>").contains("\"a&quot;&lt;b>\""));
        assert!(svg.contains("block size, KiB") && svg.contains("256"));
        assert!(smallest_text(&svg) >= READABLE, "{svg}");
        // Two marks and that of the legend; the other line's are triangles.
        assert_eq!(svg.matches("<circle").count(), 3);
        assert_eq!(svg.matches("<polygon").count(), 3);
    }

    #[test]
    fn octaves_are_not_divided() {
        let mut few = line("one", false);
        few.points = vec![(64.0, 1.0), (256.0, 2.0), (1020.0, 3.0)];
        let svg = plot(vec![few]).svg().unwrap().unwrap();
        for label in ["64", "128", "256", "512"] {
            assert!(svg.contains(&format!("\n{label}\n")), "{label}: {svg}");
        }
        assert!(!svg.contains("\n91\n") && !svg.contains("\n362\n"));
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
    fn lines_that_coincide_are_seen_on_both_sides_of_those_over_them() {
        let other = Line {
            points: vec![(4.0, 1.0), (256.0, 300.0)],
            ..line("other", false)
        };
        let widths = |lines: &[Line]| plot(lines.to_vec()).widths();
        assert_eq!(widths(&[line("a", false), line("b", false)]), [5, 2]);
        assert_eq!(widths(&[line("a", false), other.clone()]), [2, 2]);
        assert_eq!(
            widths(&[line("a", false), other, line("b", false)]),
            [5, 2, 2]
        );
        // A dashed line lies on a broad, pale one.
        assert_eq!(widths(&[line("a", false), line("a'", true)]), [6, 2]);
        let svg = plot(vec![line("a", false), line("a'", true)])
            .svg()
            .unwrap()
            .unwrap();
        assert!(svg.contains("opacity=\"0.35\""), "{svg}");
    }

    #[test]
    fn logarithmic_axes_are_marked_at_decades_and_others_at_round_places() {
        let mut decades = plot(vec![line("a", false)]);
        decades.axis = Axis::Decades;
        let svg = decades.svg().unwrap().unwrap();
        for label in ["\n1\n", "\n10\n", "\n100\n", "\n1000\n"] {
            assert!(svg.contains(label), "{label}: {svg}");
        }
        assert!(!svg.contains("\n64\n") && !svg.contains("\n32\n"), "{svg}");
        assert_eq!(marks(1.9, 8.5, 8.0), [2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
        let fine = marks(5.064, 5.131, 8.0).into_iter().map(seconds);
        assert_eq!(
            fine.collect::<Vec<_>>(),
            ["5.07", "5.08", "5.09", "5.1", "5.11", "5.12", "5.13"]
        );
        assert!(marks(1.0, 1.0, 8.0).is_empty());
    }

    #[test]
    fn tails_are_marked_by_their_nines() {
        let mut tail = plot(vec![Line {
            points: vec![(10.0, 0.0), (20.0, 1.0), (30.0, 3.2)],
            ..Line::default()
        }]);
        tail.nines = true;
        let svg = tail.svg().unwrap().unwrap();
        for label in ["\n0\n", "\n90\n", "\n99\n", "\n99.9\n"] {
            assert_eq!(svg.matches(label).count(), 1, "{label}: {svg}");
        }
    }

    #[test]
    fn decades_enclose_the_values() {
        assert_eq!(
            super::decades([20.0, 950.0].into_iter()),
            Some(10.0..1000.0)
        );
        assert_eq!(super::decades([10.0].into_iter()), Some(10.0..100.0));
        assert_eq!(super::decades([0.0].into_iter()), None);
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
