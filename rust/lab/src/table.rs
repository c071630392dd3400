// SPDX-License-Identifier: GPL-2.0-or-later
//! The look of tables of figures on the terminal.

use comfy_table::{presets, CellAlignment, LineStyle, Table, TableStyle};

const STYLE: TableStyle = presets::UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none());

/// A table with these column titles, of which the first `names` are texts and the others figures.
pub fn figures<const N: usize>(
    header: [&str; N],
    names: usize,
    rows: impl Iterator<Item = [String; N]>,
) -> Table {
    let mut table = empty(header, names);
    for row in rows {
        table.add_row(row);
    }
    table
}

/// The same without rows.
pub fn empty<T: ToString>(header: impl IntoIterator<Item = T>, names: usize) -> Table {
    let mut table = Table::new();
    table.load_style(STYLE);
    table.set_header(header.into_iter().map(|title| title.to_string()));
    for column in table.column_iter_mut().skip(names) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_no_lines_between_them_and_figures_end_together() {
        let rows = [["a", "1"], ["b", "100"]].map(|row| row.map(str::to_owned));
        let text = figures(["name", "value"], 1, rows.into_iter()).to_string();
        let lines: Vec<_> = text.lines().map(str::trim_end).collect();
        assert_eq!(lines.len(), 6, "{text}");
        assert!(
            lines[3].ends_with("    1") && lines[4].ends_with("  100"),
            "{text}"
        );
    }
}
