// SPDX-License-Identifier: GPL-2.0-or-later
//! How the drive looks on the terminal.

use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Bar, BarChart, BarGroup, Block, Paragraph, Row, Sparkline, Table};
use ratatui::Frame;

use ftl::Counter;

use super::history::{History, Sample};

/// Counters of the middle table: a title and the counter.
const EVENTS: [(&str, Counter); 9] = [
    ("flushes, full", Counter::FlushFull),
    ("flushes, premature", Counter::FlushPremature),
    ("flushes, dwell window", Counter::FlushWindow),
    ("flushes, durability", Counter::FlushDurable),
    ("pages to pSLC", Counter::PagesSlc),
    ("pages to native cells", Counter::PagesNative),
    ("pages migrated", Counter::PagesMigrated),
    ("pages copied by GC", Counter::PagesGc),
    ("map reads", Counter::MapReads),
];

const READ: Color = Color::Blue;
const WRITE: Color = Color::Yellow;

/// Draws everything.
pub fn draw(frame: &mut Frame, path: &str, history: &History) {
    let rows = Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(6),
        Constraint::Length(6),
        Constraint::Min(14),
        Constraint::Length(3),
    ]);
    let [title, read, write, middle, zones] = rows.areas(frame.area());
    let preset = history.last().map_or("", |sample| sample.preset.as_str());
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let head = Line::from(vec![
        Span::styled(format!(" {path} "), bold),
        Span::raw(format!("{preset}   q ends, Tab: next drive")),
    ]);
    let pace = history.pace().map_or_else(String::new, |pace| {
        format!(", which goes {pace:.2} x as fast as the host's")
    });
    let depth = history.queue_depth();
    let second =
        format!(" Queue depth {depth:.1}. Rates are per second of the guest's clock{pace}.");
    frame.render_widget(Paragraph::new(vec![head, second.into()]), title);
    bandwidth(
        frame,
        read,
        history,
        (
            "read",
            Counter::HostReadSectors,
            Counter::HostReads,
            Counter::HostReadTime,
        ),
        READ,
    );
    bandwidth(
        frame,
        write,
        history,
        (
            "write",
            Counter::HostWriteSectors,
            Counter::HostWrites,
            Counter::HostWriteTime,
        ),
        WRITE,
    );
    let halves = Layout::horizontal([Constraint::Length(56), Constraint::Min(20)]);
    let [left, right] = halves.areas(middle);
    events(frame, left, history);
    busy(frame, right, history);
    zone_line(frame, zones, history);
}

fn bandwidth(
    frame: &mut Frame,
    area: Rect,
    history: &History,
    (name, sectors, commands, time): (&str, Counter, Counter, Counter),
    colour: Color,
) {
    let latency = history
        .latency(time, commands)
        .map_or_else(String::new, |mean| {
            format!(", {:.1} us", mean.as_nanos() as f64 / 1e3)
        });
    let data = history.bandwidths(sectors);
    let room = usize::from(area.width.saturating_sub(2));
    let latest = data
        .get(data.len().saturating_sub(room)..)
        .unwrap_or_default();
    let title = format!(
        " {name} {:.1} MB/s, {:.0} IOPS{latency}; scale to {} MB/s ",
        history.bandwidth(sectors),
        history.rate(commands),
        latest.iter().max().unwrap_or(&0)
    );
    let line = Sparkline::default()
        .block(Block::bordered().title(title))
        .style(Style::new().fg(colour))
        .data(latest);
    frame.render_widget(line, area);
}

fn events(frame: &mut Frame, area: Rect, history: &History) {
    let last = history.last();
    let row = |(title, counter): (&str, Counter)| {
        let total = last.map_or(0.0, |sample| sample.count(counter));
        Row::new([
            title.to_owned(),
            format!("{:>12.0}", history.rate(counter)),
            format!("{total:>14.0}"),
        ])
    };
    let waf = |ratio: Option<f64>| ratio.map_or_else(|| "-".into(), |waf| format!("{waf:.2}"));
    let share =
        |ratio: Option<f64>| ratio.map_or_else(|| "-".into(), |r| format!("{:.1} %", r * 100.0));
    let total = last.and_then(Sample::write_amplification).unwrap_or(0.0);
    let rows = EVENTS.into_iter().map(row).chain([
        Row::new([
            "write amplification".to_owned(),
            format!("{:>12}", waf(history.write_amplification())),
            format!("{total:>14.2}"),
        ]),
        Row::new([
            "L2P hit rate".to_owned(),
            format!("{:>12}", share(history.hit_rate())),
        ]),
    ]);
    let widths = [
        Constraint::Length(22),
        Constraint::Length(13),
        Constraint::Length(15),
    ];
    let header = Row::new(["", "   per second", "         total"])
        .style(Style::new().add_modifier(Modifier::BOLD));
    let table = Table::new(rows, widths)
        .header(header)
        .block(Block::bordered().title(" inside "));
    frame.render_widget(table, area);
}

fn busy(frame: &mut Frame, area: Rect, history: &History) {
    let bars = |group: &str, colour: Color| -> Vec<Bar<'static>> {
        let bar = |(name, share): (String, f64)| {
            let per_cent = (share * 100.0).round() as u64;
            // Four letters fit under a bar: channel0 becomes ch0.
            let name = name.replace("channel", "ch");
            Bar::default()
                .label(Line::from(name))
                .value(per_cent)
                .text_value(format!("{per_cent}"))
                .style(Style::new().fg(colour))
        };
        history.busy(group).into_iter().map(bar).collect()
    };
    let chart = BarChart::default()
        .block(Block::bordered().title(" busy: planes | links, % "))
        .bar_width(4)
        .bar_gap(1)
        .group_gap(3)
        .max(100)
        .data(BarGroup::default().bars(&bars("planes", Color::Cyan)))
        .data(BarGroup::default().bars(&bars("links", Color::Magenta)));
    frame.render_widget(chart, area);
}

fn zone_line(frame: &mut Frame, area: Rect, history: &History) {
    let zones = history
        .last()
        .map(|sample| sample.zones.as_slice())
        .unwrap_or_default();
    let texts: Vec<String> = zones
        .iter()
        .map(|(state, count)| format!("{state} {count}"))
        .collect();
    let text = if texts.is_empty() {
        "none".to_owned()
    } else {
        texts.join("   ")
    };
    frame.render_widget(
        Paragraph::new(text).block(Block::bordered().title(" zones ")),
        area,
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::history::tests::history;
    use ratatui::backend::TestBackend;
    use ratatui::Terminal;

    fn screen(width: u16, height: u16, history: &History) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal
            .draw(|frame| draw(frame, "/machine/peripheral/conzone0", history))
            .unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn the_screen_has_what_it_promises() {
        let text = screen(110, 30, &history());
        for words in [
            "/machine/peripheral/conzone0",
            "tlc-zoned",
            "per second of the guest's clock, which goes 0.25 x as fast as the host's.",
            "write 409.6 MB/s, 1000 IOPS, 2500.0 us; scale to 409 MB/s",
            "Queue depth 2.5.",
            "read 41.0 MB/s",
            "flushes, premature",
            "write amplification",
            "75.0 %",
            "full 3   open 1   empty 28",
            "host",
        ] {
            assert!(text.contains(words), "{words}:\n{text}");
        }
    }

    #[test]
    fn small_terminals_and_no_history_are_survived() {
        screen(20, 5, &history());
        screen(1, 1, &history());
        let text = screen(110, 30, &History::default());
        assert!(text.contains("0.0 MB/s") && text.contains("none"), "{text}");
    }
}
