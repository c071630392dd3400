// SPDX-License-Identifier: GPL-2.0-or-later
//! The report as one HTML page without outside files, readable on a screen and in print.

use anyhow::{Context, Result};
use askama::Template;
use serde_json::Value;

use super::summary::{Row, Summary};
use super::Report;

/// A line of "how it was made".
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// What.
    pub name: &'static str,
    /// Its value.
    pub value: String,
}

impl Setting {
    /// A line.
    pub fn new(name: &'static str, value: impl Into<String>) -> Self {
        Self {
            name,
            value: value.into(),
        }
    }
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    title: &'a str,
    header: [&'static str; 9],
    rows: Vec<[String; 9]>,
    waf: String,
    hit_rate: String,
    errors: u64,
    latency: Option<&'a str>,
    timeline: Option<&'a str>,
    statistics: Vec<Group>,
    settings: &'a [Setting],
    job: &'a str,
}

/// Statistics under one heading.
#[derive(Debug, Default, PartialEq)]
struct Group {
    name: String,
    values: Vec<(String, String)>,
}

/// Renders the page; the pictures are SVG texts.
pub fn page(report: &Report, latency: Option<&str>, timeline: Option<&str>) -> Result<String> {
    let summary: Summary = report.summary();
    let page = Page {
        title: &report.title,
        header: Row::HEADER,
        rows: summary.jobs.iter().map(Row::texts).collect(),
        waf: summary.write_amplification_text(),
        hit_rate: summary.l2p_hit_rate_text(),
        errors: summary.errors,
        latency,
        timeline,
        statistics: report.stats.as_ref().map(groups).unwrap_or_default(),
        settings: &report.settings,
        job: &report.job,
    };
    page.render().context("rendering the report")
}

/// Turns the statistics into headed lists: plain members of an object stand together, each member that is an object
/// or an array of objects gets a heading of its own.
fn groups(stats: &Value) -> Vec<Group> {
    let mut all = Vec::new();
    collect("device", stats, &mut all);
    all.retain(|group| !group.values.is_empty());
    all
}

fn collect(name: &str, value: &Value, all: &mut Vec<Group>) {
    let Value::Object(members) = value else {
        return;
    };
    let at = all.len();
    all.push(Group {
        name: name.to_owned(),
        values: Vec::new(),
    });
    for (key, member) in members {
        match member {
            Value::Object(_) => collect(key, member, all),
            Value::Array(items) if items.iter().any(Value::is_object) => {
                for (number, item) in items.iter().enumerate() {
                    collect(&format!("{key} {}", number + 1), item, all);
                }
            }
            Value::String(text) => all[at].values.push((key.clone(), text.clone())),
            plain => all[at].values.push((key.clone(), plain.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nested_statistics_get_headings() {
        let got = groups(&json!({
            "waf": 1.0, "name": "x", "pool": {"free": 3}, "list": [1, 2],
            "namespaces": [{"nsid": 1}, {"nsid": 2, "slc": {"erases": 4}}],
        }));
        let names: Vec<_> = got.iter().map(|g| g.name.as_str()).collect();
        assert_eq!(
            names,
            ["device", "namespaces 1", "namespaces 2", "slc", "pool"]
        );
        assert_eq!(got[0].values[0], ("list".into(), "[1,2]".into()));
        assert!(
            got[0].values.contains(&("name".into(), "x".into())),
            "no quotes"
        );
    }
}
