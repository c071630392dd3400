// SPDX-License-Identifier: GPL-2.0-or-later
//! Areas: windows, statuses, resources; and a random walk against a plain list of pages.

use super::*;
use crate::{Limits, Options};
use proptest::prelude::*;

/// 8 zones of 24 pages, 20 of them writable; areas of 4 pages, granularity 2.
const LAYOUT: Layout = Layout {
    zones: 8,
    size: 24 * PAGE_SECTORS,
    capacity: 20 * PAGE_SECTORS,
};
const ZRWA: Zrwa = Zrwa {
    size: 4 * PAGE_SECTORS,
    granularity: 2 * PAGE_SECTORS,
    zones: 2,
};
const Z0: ZoneId = ZoneId::new(0);

fn zones(max_open: u32, max_active: u32) -> Zones {
    let limits = Limits {
        max_open,
        max_active,
    };
    Zones::new(LAYOUT, limits).with(Options {
        zrwa: Some(ZRWA),
        read_across: true,
    })
}

fn page(n: u64) -> Sector {
    Sector::new(n * PAGE_SECTORS)
}

/// What a model does for a write.
fn write(z: &mut Zones, at: u64, pages: u64) -> Result<u64, Error> {
    let id = z.check_write(page(at), pages * PAGE_SECTORS)?;
    let commit = z.commit_before(id, page(at), pages * PAGE_SECTORS);
    if commit > 0 {
        z.write(id, commit)?;
    }
    z.write_area(id, page(at), pages * PAGE_SECTORS)?;
    z.check_invariants().unwrap();
    Ok(commit / PAGE_SECTORS)
}

fn commit(z: &mut Zones, end: u64) -> Result<u64, Error> {
    let (id, sectors) = z.check_commit(page(end))?;
    z.write(id, sectors)?;
    z.check_invariants().unwrap();
    Ok(sectors / PAGE_SECTORS)
}

fn held(z: &Zones) -> Vec<u64> {
    (0..24).filter(|p| z.area_holds(Z0, *p)).collect()
}

#[test]
fn the_area_is_written_in_any_order_and_the_write_pointer_stays() {
    let mut z = zones(0, 0);
    z.open_zrwa(Z0).unwrap();
    assert_eq!(write(&mut z, 3, 1), Ok(0));
    assert_eq!(write(&mut z, 0, 1), Ok(0));
    assert_eq!(write(&mut z, 0, 2), Ok(0));
    assert_eq!(held(&z), [0, 1, 3]);
    assert_eq!(z.get(Z0).unwrap().written, 0);
    assert_eq!(z.area_extent(Z0), 4 * PAGE_SECTORS);
    assert!(!z.area_holds(ZoneId::new(1), 0));
}

#[test]
fn writing_past_the_area_commits_by_the_granularity() {
    let mut z = zones(0, 0);
    z.open_zrwa(Z0).unwrap();
    write(&mut z, 0, 3).unwrap();
    assert_eq!(
        write(&mut z, 4, 1),
        Ok(2),
        "one page too far, two committed"
    );
    assert_eq!(held(&z), [2, 4]);
    assert_eq!(z.get(Z0).unwrap().written, 2 * PAGE_SECTORS);
    assert_eq!(write(&mut z, 1, 1), Err(Error::InvalidWrite), "committed");
    assert_eq!(write(&mut z, 9, 2), Err(Error::InvalidWrite), "too far");
    assert_eq!(write(&mut z, 8, 2), Ok(4), "the far end of what is allowed");
    assert_eq!(held(&z), [8, 9]);
    // Half a sector range more than the area is a multiple of the granularity more.
    let at = Sector::new(10 * PAGE_SECTORS + 1);
    assert_eq!(z.commit_before(Z0, at, 1), 2 * PAGE_SECTORS);
}

#[test]
fn an_explicit_flush_has_the_status_of_its_mistake() {
    let mut z = zones(0, 0);
    assert_eq!(commit(&mut z, 2), Err(Error::InvalidOperation), "no area");
    z.open_zrwa(Z0).unwrap();
    assert_eq!(commit(&mut z, 1), Err(Error::Granularity));
    assert_eq!(commit(&mut z, 6), Err(Error::InvalidOperation), "past it");
    assert_eq!(z.check_commit(Sector::new(0)), Err(Error::InvalidOperation));
    assert_eq!(z.check_commit(page(8 * 24 + 1)), Err(Error::NoSuchZone));
    write(&mut z, 0, 4).unwrap();
    assert_eq!(commit(&mut z, 4), Ok(4));
    assert_eq!(commit(&mut z, 4), Err(Error::InvalidOperation), "before it");
    assert_eq!(held(&z), []);
}

#[test]
fn the_zone_is_full_when_its_last_page_is_committed() {
    let mut z = zones(0, 0);
    z.open_zrwa(Z0).unwrap();
    for at in (0..20).step_by(2) {
        write(&mut z, at, 2).unwrap();
    }
    assert_eq!(write(&mut z, 20, 1), Err(Error::Boundary));
    assert_eq!(z.get(Z0).unwrap().state, State::ExplicitlyOpen);
    assert_eq!(commit(&mut z, 21), Err(Error::InvalidOperation));
    assert_eq!(commit(&mut z, 20), Ok(4));
    assert_eq!(z.get(Z0).unwrap().state, State::Full);
    assert_eq!(z.free_areas(), 2, "a full zone needs no area");
    assert_eq!(commit(&mut z, 20), Err(Error::Full));
}

#[test]
fn the_end_of_the_capacity_need_not_be_on_the_granularity() {
    let layout = Layout {
        capacity: 5 * PAGE_SECTORS,
        ..LAYOUT
    };
    let options = Options {
        zrwa: Some(ZRWA),
        ..Options::default()
    };
    let mut z = Zones::new(layout, Limits::default()).with(options);
    z.open_zrwa(Z0).unwrap();
    assert_eq!(write(&mut z, 4, 1), Ok(2));
    assert_eq!(commit(&mut z, 5), Ok(3));
    assert_eq!(z.get(Z0).unwrap().state, State::Full);
}

#[test]
fn areas_are_few_and_come_with_opening_an_empty_zone() {
    let mut z = zones(0, 0);
    for n in 0..2 {
        z.open_zrwa(ZoneId::new(n)).unwrap();
    }
    assert_eq!(z.open_zrwa(ZoneId::new(2)), Err(Error::NoArea));
    assert_eq!(z.get(ZoneId::new(2)).unwrap().state, State::Empty);
    assert_eq!(z.open_zrwa(Z0), Ok(None), "it has one");
    // Closing keeps the area, even without data; reset and finish give it back.
    z.close(Z0).unwrap();
    assert_eq!(z.get(Z0).unwrap().state, State::Closed);
    assert_eq!(write(&mut z, 1, 1), Ok(0));
    assert_eq!(z.get(Z0).unwrap().state, State::ImplicitlyOpen);
    z.reset(Z0).unwrap();
    assert_eq!(z.free_areas(), 1);
    z.finish(ZoneId::new(1)).unwrap();
    assert_eq!(z.free_areas(), 2);
    // Only from empty.
    z.write(Z0, PAGE_SECTORS).unwrap();
    assert_eq!(z.open_zrwa(Z0), Err(Error::InvalidOperation));
    assert_eq!(z.open_zrwa(ZoneId::new(1)), Err(Error::InvalidTransition));
    let mut none = Zones::new(LAYOUT, Limits::default());
    assert_eq!(none.open_zrwa(Z0), Err(Error::InvalidOperation));
    assert_eq!(none.check_commit(page(2)), Err(Error::InvalidOperation));
}

#[test]
fn appends_are_not_for_zones_with_an_area() {
    let mut z = zones(0, 0);
    z.open_zrwa(Z0).unwrap();
    assert_eq!(
        z.check_append(Z0, PAGE_SECTORS),
        Err(Error::InvalidOperation)
    );
    z.reset(Z0).unwrap();
    assert_eq!(z.check_append(Z0, PAGE_SECTORS), Ok(page(0)));
}

#[test]
fn a_zone_that_fails_gives_its_area_back() {
    let mut z = zones(0, 0);
    z.open_zrwa(Z0).unwrap();
    write(&mut z, 0, 1).unwrap();
    z.inject(Z0, false).unwrap();
    z.check_invariants().unwrap();
    assert_eq!((z.free_areas(), held(&z)), (2, vec![]));
}

#[test]
fn areas_respect_the_limits_on_open_and_active_zones() {
    let mut z = zones(1, 2);
    z.write(ZoneId::new(5), PAGE_SECTORS).unwrap();
    assert_eq!(z.open_zrwa(Z0), Ok(Some(ZoneId::new(5))));
    assert_eq!(z.open_zrwa(ZoneId::new(1)), Err(Error::TooManyActive));
    assert_eq!(z.free_areas(), 1, "a refused open takes none");
    z.close(Z0).unwrap();
    z.open(ZoneId::new(5)).unwrap();
    assert_eq!(write(&mut z, 0, 1), Err(Error::TooManyOpen));
    assert_eq!(commit(&mut z, 2), Err(Error::TooManyOpen));
}

#[test]
fn areas_that_do_not_fit_are_refused() {
    assert!(ZRWA.fits(LAYOUT));
    for bad in [
        Zrwa { size: 0, ..ZRWA },
        Zrwa {
            granularity: 0,
            ..ZRWA
        },
        Zrwa {
            granularity: 1,
            ..ZRWA
        },
        Zrwa {
            granularity: 3 * PAGE_SECTORS,
            ..ZRWA
        },
        Zrwa {
            size: 22 * PAGE_SECTORS,
            ..ZRWA
        },
        Zrwa { zones: 0, ..ZRWA },
        Zrwa {
            zones: 1 << 20,
            ..ZRWA
        },
    ] {
        assert!(!bad.fits(LAYOUT), "{bad:?}");
    }
}

#[test]
fn extensions_close_an_empty_zone_and_go_with_a_reset() {
    let mut z = zones(0, 1);
    z.extend(Z0).unwrap();
    let zone = z.get(Z0).unwrap();
    assert_eq!((zone.state, zone.extended), (State::Closed, true));
    assert_eq!(z.extend(Z0), Err(Error::InvalidTransition));
    assert_eq!(z.extend(ZoneId::new(1)), Err(Error::TooManyActive));
    z.open(Z0).unwrap();
    z.close(Z0).unwrap();
    assert_eq!(z.get(Z0).unwrap().state, State::Closed, "kept without data");
    z.check_invariants().unwrap();
    z.finish(Z0).unwrap();
    assert!(z.get(Z0).unwrap().extended, "a full zone keeps it");
    z.reset(Z0).unwrap();
    assert!(!z.get(Z0).unwrap().extended);
    z.check_invariants().unwrap();
}

#[test]
fn reads_may_cross_zones_if_the_option_is_on() {
    let mut z = zones(0, 0);
    assert_eq!(z.check_read(page(23), 2 * PAGE_SECTORS), Ok(Z0));
    assert_eq!(z.check_read(page(0), 8 * 24 * PAGE_SECTORS), Ok(Z0));
    assert_eq!(
        z.check_read(page(1), 8 * 24 * PAGE_SECTORS),
        Err(Error::Boundary)
    );
    assert_eq!(z.check_read(page(1), u64::MAX), Err(Error::Boundary));
    z.inject(ZoneId::new(2), true).unwrap();
    assert_eq!(z.check_read(page(0), 2 * 24 * PAGE_SECTORS), Ok(Z0));
    assert_eq!(
        z.check_read(page(0), 2 * 24 * PAGE_SECTORS + 1),
        Err(Error::Offline)
    );
}

proptest! {
    /// Against a list of the pages that were written and not committed yet.
    #[test]
    fn an_area_holds_what_was_written_since_the_last_commit(
        walk in prop::collection::vec((0u8..12, 0u64..21, 1u64..7), 0..120),
    ) {
        let mut z = zones(2, 3);
        let mut list: Vec<u64> = Vec::new();
        for (what, at, pages) in walk {
            let other = ZoneId::new(1 + (at % 4) as u32);
            match what {
                0..=5 => if z.get(Z0).unwrap().has_zrwa() && write(&mut z, at, pages).is_ok() {
                    list.extend(at..at + pages);
                },
                6 => _ = commit(&mut z, at),
                7 => _ = z.open_zrwa(Z0),
                8 => _ = z.close(Z0),
                9 if pages == 1 => { _ = z.reset(Z0); list.clear(); }
                10 => _ = z.open_zrwa(other),
                _ => _ = z.reset(other),
            }
            let zone = z.get(Z0).unwrap();
            list.retain(|p| *p >= zone.written / PAGE_SECTORS && zone.has_zrwa());
            list.sort_unstable();
            list.dedup();
            prop_assert_eq!(held(&z), list.clone());
            z.check_invariants().unwrap();
        }
    }
}
