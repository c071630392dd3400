// SPDX-License-Identifier: GPL-2.0-or-later
//! The page of an experiment or a sweep: figures, a table, how it was made.

use anyhow::{Context as _, Result};
use askama::Template;

use crate::provenance::Setting;

/// Something that the figures should show, and whether they do.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Trend {
    /// One line, with the figures that decide it.
    pub what: String,
    /// Whether it is so.
    pub holds: bool,
}

/// What is on it.
#[derive(Template)]
#[template(path = "figures.html")]
pub(crate) struct Page<'a> {
    /// Which command made it.
    pub command: &'a str,
    /// Its title.
    pub title: &'a str,
    /// What it is about.
    pub shows: &'a str,
    /// What was expected, and whether it is so.
    pub trends: &'a [Trend],
    /// Names of the table's columns.
    pub header: Vec<String>,
    /// Its rows.
    pub rows: Vec<Vec<String>>,
    /// SVG texts.
    pub figures: Vec<String>,
    /// How it was made.
    pub settings: &'a [Setting],
    /// Drives by the names that figures have for them.
    pub drives: Vec<(String, String)>,
    /// Where there is more.
    pub note: &'a str,
}

impl Page<'_> {
    /// The page, which needs no other file.
    ///
    /// # Errors
    /// None that is known: it is made in memory.
    pub fn html(&self) -> Result<String> {
        self.render().context("rendering the page")
    }
}
