// SPDX-License-Identifier: GPL-2.0-or-later
//! Commands that concern several zones at once.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]

mod common;

use units::{Instant, Sector, ZoneId};
use zms::{Command, DataNamespace, Error, Namespace, Zms, ZoneAction, ZoneTarget};
use zone::State::{self, Closed, ExplicitlyOpen, Full, ImplicitlyOpen};

/// Four zones with data, of which three may be open.
fn drive() -> Zms {
    let mut config = common::config("ufs4-tlc", &[("zones", "8")]);
    if let DataNamespace::Zoned {
        max_open,
        max_active,
        ..
    } = &mut config.data
    {
        (*max_open, *max_active) = (3, 5);
    }
    let mut zms = Zms::new(&config).unwrap();
    for n in 0..4 {
        let at = zms.zone(ZoneId::new(n)).unwrap().start;
        submit(&mut zms, &Command::write(at, 8, false)).unwrap();
    }
    zms
}

fn submit(zms: &mut Zms, command: &Command) -> Result<(), Error> {
    let outcome = zms.submit(Namespace::Data, command, Instant::ZERO);
    zms.check_invariants().unwrap();
    outcome.result.map(drop)
}

fn all(action: ZoneAction) -> Command {
    Command::Zone {
        action,
        target: ZoneTarget::All,
    }
}

fn states(zms: &Zms) -> [State; 4] {
    [0, 1, 2, 3].map(|n| zms.zone(ZoneId::new(n)).unwrap().state)
}

#[test]
fn closed_zones_are_opened_all_or_none() {
    let too_many = Error::Zone(zone::Error::TooManyOpen);
    for action in [ZoneAction::Open, ZoneAction::OpenZrwa] {
        let mut zms = drive();
        submit(&mut zms, &all(ZoneAction::Close)).unwrap();
        assert_eq!(states(&zms), [Closed; 4]);
        assert_eq!(submit(&mut zms, &all(action)), Err(too_many));
        assert_eq!(
            states(&zms),
            [Closed; 4],
            "a refused command changes nothing"
        );
        let first = Command::Zone {
            action: ZoneAction::Finish,
            target: ZoneTarget::One(Sector::new(0)),
        };
        submit(&mut zms, &first).unwrap();
        submit(&mut zms, &all(action)).unwrap();
        let open = ExplicitlyOpen;
        assert_eq!(states(&zms), [Full, open, open, open]);
    }
}

#[test]
fn an_open_zone_is_not_closed_to_open_all() {
    let mut zms = drive();
    let before = [Closed, ImplicitlyOpen, ImplicitlyOpen, ImplicitlyOpen];
    assert_eq!(states(&zms), before);
    assert!(submit(&mut zms, &all(ZoneAction::Open)).is_err());
    assert_eq!(states(&zms), before);
}

#[test]
fn deallocation_stops_at_an_offline_zone() {
    let mut zms = drive();
    let start = |zms: &Zms, n| zms.zone(ZoneId::new(n)).unwrap().start.get();
    let trim = Command::Deallocate {
        at: Sector::new(0),
        sectors: start(&zms, 2) + 1,
    };
    submit(&mut zms, &trim).unwrap();
    zms.inject_zone(ZoneId::new(2), true).unwrap();
    let offline = Error::Zone(zone::Error::Offline);
    assert_eq!(submit(&mut zms, &trim), Err(offline));
}
