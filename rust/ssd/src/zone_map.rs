// SPDX-License-Identifier: GPL-2.0-or-later
//! The state of all zones as a short text, however many there are.
//!
//! Comma-separated: `first,count,state,written,capacity,mapping`. A line stands for `count` zones that are alike, from number
//! `first` on; `written` and `capacity` are 512-byte sectors of each, `mapping` is the granularity at which the zone's first
//! page is mapped (`zone`, `sub-zone`, `chunk`, `page`), or `-`.

use crate::model::Model;
use command::ZoneReport;
use core::fmt::Write;
use units::ZoneId;
use zone::State;

/// Lines at most. The zones after them are one last line, in state `more`.
const LINES: usize = 4096;

/// The map of a drive's zones; only the header without zones.
#[must_use]
pub fn zone_map(model: &Model) -> String {
    let mut text = String::from("first,count,state,written,capacity,mapping\n");
    let mut run: Option<(u32, Alike)> = None;
    let (mut lines, mut id) = (0, 0);
    while let Some(alike) = alike(model, id) {
        match run {
            Some((_, same)) if same == alike || lines >= LINES => {}
            previous => {
                line(&mut text, previous, id);
                run = Some((id, alike));
                lines += 1;
            }
        }
        id += 1;
        if lines >= LINES {
            break;
        }
    }
    line(&mut text, run, id);
    let rest = (id..)
        .take_while(|id| model.zone(ZoneId::new(*id)).is_some())
        .count();
    if rest > 0 {
        let _ = writeln!(text, "{id},{rest},more,0,0,-");
    }
    text
}

/// What zones of one line have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Alike {
    state: State,
    written: u64,
    capacity: u64,
    mapping: &'static str,
}

/// Sectors that a zone counts as written: all of one that is full or failed.
pub(crate) fn written(zone: &ZoneReport) -> u64 {
    let behind = zone.write_pointer.get().saturating_sub(zone.start.get());
    let written = match zone.state {
        State::Empty => 0,
        state if state.has_write_pointer() => behind,
        _ => zone.capacity,
    };
    written.min(zone.capacity)
}

fn alike(model: &Model, id: u32) -> Option<Alike> {
    let zone = model.zone(ZoneId::new(id))?;
    Some(Alike {
        state: zone.state,
        written: written(&zone),
        capacity: zone.capacity,
        mapping: model.mapping(zone.id),
    })
}

fn line(text: &mut String, run: Option<(u32, Alike)>, end: u32) {
    if let Some((first, zones)) = run {
        let (state, count) = (name(zones.state), end.saturating_sub(first));
        let Alike {
            written,
            capacity,
            mapping,
            ..
        } = zones;
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{first},{count},{state},{written},{capacity},{mapping}"
        );
    }
}

const fn name(state: State) -> &'static str {
    match state {
        State::Empty => "empty",
        State::ImplicitlyOpen => "open",
        State::ExplicitlyOpen => "open-explicit",
        State::Closed => "closed",
        State::Full => "full",
        State::ReadOnly => "read-only",
        State::Offline => "offline",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use ftl::{Command, Namespace, ZoneAction, ZoneTarget};
    use units::{Instant, Sector};

    fn model(preset: &str, settings: &[&str]) -> Model {
        let mut config = Config::preset(preset).unwrap();
        for pair in settings {
            config.set_pair(pair).unwrap();
        }
        Model::new(&config.plan().unwrap()).unwrap()
    }

    fn write(model: &mut Model, sector: u64, sectors: u64) {
        let command = Command::Write {
            at: Sector::new(sector),
            sectors,
            fua: false,
            internal: false,
        };
        let outcome = model.submit(Namespace::Data, &command, Instant::ZERO);
        assert!(outcome.result.is_ok());
    }

    #[test]
    fn zones_that_are_alike_share_a_line() {
        let mut model = model("tlc-zoned", &["block-size=3M"]);
        // 12 MiB of capacity in 16 MiB.
        write(&mut model, 0, 12 << 11);
        write(&mut model, 2 * (16 << 11), 8);
        assert_eq!(
            zone_map(&model),
            "first,count,state,written,capacity,mapping\n\
             0,1,full,24576,24576,zone\n\
             1,1,empty,0,24576,-\n\
             2,1,open,8,24576,-\n\
             3,29,empty,0,24576,-\n"
        );
    }

    #[test]
    fn the_text_is_bounded() {
        let mut model = model(
            "zns-zn540",
            &[
                "zones=20000",
                "zone-capacity=128K",
                "zone-size=128K",
                "max-open=0",
                "max-active=0",
                "write-buffer-size=960K",
                "wb-scope=zone",
            ],
        );
        for zone in (0..20_000).step_by(2) {
            let command = Command::Zone {
                action: ZoneAction::Finish,
                target: ZoneTarget::One(Sector::new(zone * 256)),
            };
            assert!(model
                .submit(Namespace::Data, &command, Instant::ZERO)
                .result
                .is_ok());
        }
        let map = zone_map(&model);
        assert_eq!(map.lines().count(), LINES + 2);
        let zones: u32 = map
            .lines()
            .skip(1)
            .map(|l| l.split(',').nth(1).unwrap().parse::<u32>().unwrap())
            .sum();
        assert_eq!(zones, 20_000);
        assert!(map.lines().last().unwrap().contains("more"));
    }

    #[test]
    fn drives_without_zones_have_an_empty_map() {
        assert_eq!(zone_map(&model("nvm-optane", &[])).lines().count(), 1);
    }
}
