// SPDX-License-Identifier: GPL-2.0-or-later
//! What a power cut leaves. (Random drives are cut in rust/check.)

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use common::{at, tiny, write, zone};
use ftl::{Namespace, ZoneAction};
use units::{Instant, Nanos, ZoneId};
use zns::{BufferScope, Zns};
use zone::State;

#[test]
fn zones_keep_what_was_taken_and_come_back_closed() {
    let config = tiny(BufferScope::Global);
    let size = config.zone_size.get() / 512;
    let mut d = Zns::new(&config).unwrap();
    let submit = |d: &mut Zns, command| d.submit(Namespace::Data, &command, at(0)).done;
    // More than a one-shot page, so that something is being programmed and something waits.
    let done = submit(&mut d, write(0, 40));
    submit(&mut d, zone(ZoneAction::Open, size));
    let durable = submit(&mut d, ftl::Command::Flush);
    assert!(durable > done);
    let cut = d.power_cut(done);
    d.check_invariants().unwrap();
    assert_eq!(cut.lost, []);
    // Capacitors end the programs.
    assert_eq!((cut.off, cut.ready), (durable, durable));
    let zone = |id| d.zone(ZoneId::new(id)).unwrap();
    assert_eq!(
        (zone(0).write_pointer.get(), zone(0).state),
        (40, State::Closed)
    );
    assert_eq!(zone(1).state, State::Empty);
}

#[test]
fn an_erase_that_was_cut_begins_anew() {
    let config = tiny(BufferScope::Global);
    let erase = config.chips.erase;
    let written = config.zone_capacity.get() / 512;
    let run = |cut: Option<Nanos>| {
        let mut d = Zns::new(&config).unwrap();
        let submit =
            |d: &mut Zns, command, now: Instant| d.submit(Namespace::Data, &command, now).done;
        submit(&mut d, write(0, written), at(0));
        let idle = submit(&mut d, ftl::Command::Flush, at(0));
        let mut now = submit(&mut d, zone(ZoneAction::Reset, 0), idle);
        if let Some(after) = cut {
            now = d.power_cut(now + after).ready;
        }
        submit(&mut d, write(0, written), now);
        (submit(&mut d, ftl::Command::Flush, now), idle)
    };
    let ((whole, idle), (anew, _)) = (run(None), run(Some(Nanos::new(erase.get() / 2))));
    assert!(erase > Nanos::ZERO && whole > idle + erase);
    assert_eq!(anew, whole + Nanos::new(erase.get() / 2));
}
