// SPDX-License-Identifier: GPL-2.0-or-later
//! Points spread over ranges of properties: a Latin hypercube, or a Sobol sequence.

use anyhow::Result;

use super::section::Section;

/// Points of a Sobol sequence; what the generator is good for.
const MOST: u64 = 1 << 16;

/// How points are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Method {
    /// Each range is cut into as many parts as there are points; each part has one.
    Latin,
    /// Owen-scrambled.
    Sobol,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Scale {
    Linear,
    Log,
}

/// The whole numbers that a property takes.
#[derive(Clone, Copy, Debug)]
struct Range {
    from: u64,
    to: u64,
    step: u64,
    scale: Scale,
}

impl Range {
    fn new(mut section: Section) -> Result<Self> {
        let most = 1 << 53; // what a double counts exactly
        let needed =
            |section: &Section, key| section.wrong(key, "is needed, as in { from = 1, to = 8 }");
        let from = section.number("from", 0, most)?;
        let from = from.ok_or_else(|| needed(&section, "from"))?;
        let to = section.number("to", 0, most)?;
        let to = to.ok_or_else(|| needed(&section, "to"))?;
        if to <= from {
            return Err(section.bad("to", to, format!("more than from = {from} is needed")));
        }
        let step = section.number("step", 1, to - from)?.unwrap_or(1);
        let scale = section.take("scale");
        let scale = scale
            .map(|scale| section.word_of("scale", &scale))
            .transpose()?;
        let scale = scale.unwrap_or(Scale::Linear);
        if scale == Scale::Log && from == 0 {
            return Err(section.bad("from", 0, "at least 1 is needed for scale = \"log\""));
        }
        section.finish()?;
        Ok(Self {
            from,
            to,
            step,
            scale,
        })
    }

    /// The value at a place from 0 to below 1. The same on every machine: libm's own power, no processor's.
    fn at(self, place: f64) -> u64 {
        let steps = (self.to - self.from) / self.step;
        let step = match self.scale {
            Scale::Linear => (place * (steps + 1) as f64) as u64,
            Scale::Log => {
                let (from, to) = (self.from as f64, self.to as f64);
                let value = from * libm::pow(to / from, place);
                ((value - from) / self.step as f64 + 0.5) as u64
            }
        };
        self.from + step.min(steps) * self.step
    }
}

/// The settings of each point; one without any if the plan has no samples.
pub fn settings(mut section: Section) -> Result<Vec<Vec<(String, String)>>> {
    if section.is_empty() {
        return Ok(vec![Vec::new()]);
    }
    let method = section.take("method");
    let method =
        method.ok_or_else(|| section.wrong("method", "is needed: \"latin\" or \"sobol\""))?;
    let method = section.word_of("method", &method)?;
    let points = section.number("points", 1, MOST)?;
    let points = points.ok_or_else(|| section.wrong("points", "is needed: how many"))?;
    let seed = section.number("seed", 0, u32::MAX.into())?.unwrap_or(0);
    let mut ranges = section.pairs("range")?;
    if ranges.is_empty() {
        return Err(section.wrong("range", "is needed, as in zones = { from = 8, to = 64 }"));
    }
    let mut columns = Vec::new();
    for (number, mut range) in ranges.tables()?.into_iter().enumerate() {
        let (key, range) = (std::mem::take(&mut range.0), Range::new(range.1)?);
        let places = match method {
            Method::Latin => latin(points, seed << 8 | number as u64),
            Method::Sobol => sobol(points, seed, number),
        };
        columns.push((
            key,
            places
                .into_iter()
                .map(|place| range.at(place))
                .collect::<Vec<_>>(),
        ));
    }
    section.finish()?;
    let point = |at: usize| {
        let setting =
            |(key, values): &(String, Vec<u64>)| Some((key.clone(), values.get(at)?.to_string()));
        columns.iter().filter_map(setting).collect()
    };
    Ok((0..usize::try_from(points)?).map(point).collect())
}

fn latin(points: u64, seed: u64) -> Vec<f64> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut parts: Vec<u64> = (0..points).collect();
    random.shuffle(&mut parts);
    let within = |part: u64| (part as f64 + random.f64()) / points as f64;
    parts.into_iter().map(within).collect()
}

/// Dimensions are fewer than the generator's 256: a property each.
fn sobol(points: u64, seed: u64, dimension: usize) -> Vec<f64> {
    // Lossless: MOST points, a seed and a number of properties that fit.
    let place = |point: u64| sobol_burley::sample(point as u32, dimension as u32, seed as u32);
    (0..points).map(|point| place(point).into()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn drawn(text: &str) -> Vec<Vec<(String, String)>> {
        let mut plan = Section::parse("p", text).unwrap();
        settings(plan.pairs("sample").unwrap()).unwrap()
    }

    fn values(text: &str, axis: usize) -> Vec<u64> {
        let points = drawn(text);
        points
            .iter()
            .map(|point| point[axis].1.parse().unwrap())
            .collect()
    }

    const BOTH: &str = "range.zones = { from = 0, to = 63 }\nrange.seed = { from = \"1K\", to = \"1M\", scale = \"log\", step = 1024 }";

    #[test]
    fn every_part_of_a_range_has_a_point() {
        for method in ["latin", "sobol"] {
            let text = format!("[sample]\nmethod = \"{method}\"\npoints = 64\n{BOTH}");
            // 64 points on 64 values: a net in one dimension hits each once.
            let zones: BTreeSet<u64> = values(&text, 0).into_iter().collect();
            assert_eq!(zones.len(), 64, "{method}");
            let seeds = values(&text, 1);
            assert!(seeds
                .iter()
                .all(|n| n % 1024 == 0 && (1024..=1 << 20).contains(n)));
            // On a log scale half of them lie below the geometric mean.
            let low = seeds.iter().filter(|n| **n < 32 << 10).count();
            assert!((28..=36).contains(&low), "{method}: {low}");
        }
    }

    #[test]
    fn a_seed_chooses_other_points_and_the_same_seed_the_same() {
        for method in ["latin", "sobol"] {
            let of = |seed| {
                drawn(&format!(
                    "[sample]\nmethod = \"{method}\"\npoints = 9\nseed = {seed}\n{BOTH}"
                ))
            };
            assert_eq!(of(1), of(1));
            assert_ne!(of(1), of(2), "{method}");
        }
    }

    /// Numbers of points must mean the same on every machine and in every version.
    #[test]
    fn the_sequences_are_these() {
        let head = |method| {
            values(
                &format!("[sample]\nmethod = \"{method}\"\npoints = 4\n{BOTH}"),
                0,
            )
        };
        assert_eq!(head("latin"), [52, 17, 4, 42]);
        assert_eq!(head("sobol"), [16, 62, 43, 1]);
    }
}
