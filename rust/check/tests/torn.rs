// SPDX-License-Identifier: GPL-2.0-or-later
//! What `torn-program=unreadable` takes for a program that was under way when power went was one: planes say so.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use check::draw::Resolver;
use check::observed::{Event, Occupied, Place, What};
use check::run::Case;
use check::Drive;
use ftl::Namespace;
use nand::BlockId;
use std::collections::HashMap;
use units::{Instant, Nanos};

/// Copies of pages without zones by place, and when each is durable; programs by plane and block.
#[derive(Default)]
struct Seen {
    copies: HashMap<(u32, u32, u64), Option<Instant>>,
    programs: HashMap<(u32, u32), Vec<(Instant, Instant)>>,
}

fn key(of: Place) -> (u32, u32, u64) {
    (of.plane.0, of.block.0, of.page)
}

impl Seen {
    fn take(&mut self, drive: &mut Drive) {
        for event in drive.take_events() {
            match event {
                Event::Copied {
                    namespace,
                    to,
                    durable,
                    ..
                } if !drive.is_zoned(namespace) => {
                    self.copies.insert(key(to), durable);
                }
                Event::Durable { place, at } | Event::Delayed { place, at } => {
                    if let Some(copy) = self.copies.get_mut(&key(place)) {
                        *copy = Some(at);
                    }
                }
                // From here on it is what recovery does.
                Event::Survived { .. } => break,
                _ => {}
            }
        }
        for Occupied {
            plane,
            block,
            what,
            start,
            end,
            ..
        } in drive.take_occupied()
        {
            if what == What::Program {
                let of = self.programs.entry((plane.0, block.0)).or_default();
                of.push((start, end));
            }
        }
    }
}

#[test]
fn programs_that_are_said_to_be_under_way_have_begun() {
    let (mut running, mut waiting) = (0, 0);
    for seed in 0..400 {
        let case = Case::draw(seed, 200).with_mechanisms();
        let mut drive = Drive::new(case.plan()).unwrap();
        let mut resolver = Resolver::new(&drive, case.habits());
        let mut seen = Seen::default();
        for raw in &case.raws {
            let (namespace, command, arrival) = resolver.resolve(&drive, raw);
            let outcome = drive.submit(namespace, &command, arrival);
            resolver.completed(outcome.done);
            seen.take(&mut drive);
        }
        let at = resolver.cut(Nanos::new(seed * 1000));
        drive.advance(at);
        seen.take(&mut drive);
        let off = drive.power_cut(at).off;
        seen.take(&mut drive);
        let has_pages = [Namespace::Meta, Namespace::Data].map(|of| !drive.is_zoned(of));
        assert!(has_pages.contains(&true) || seen.copies.is_empty());
        for (&(plane, block, page), durable) in &seen.copies {
            let Some(end) = durable.filter(|end| *end > off) else {
                continue;
            };
            let time = drive.program_time(BlockId(block));
            if end.since(off) > time {
                waiting += 1;
                continue;
            }
            running += 1;
            let of = seen.programs.get(&(plane, block));
            // Pages of one flush may be called durable together, when the last program has ended.
            let begun =
                |(from, until): &(Instant, Instant)| *from <= off && end.since(*until) <= time;
            let has_begun = of.is_some_and(|of| of.iter().any(begun));
            assert!(
                has_begun,
                "seed {seed}, page {page} of {block}: {end:?} at {off:?}, {time:?}: {of:?}"
            );
        }
    }
    assert!(running > 100 && waiting > 100, "{running} {waiting}");
}
