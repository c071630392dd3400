// SPDX-License-Identifier: GPL-2.0-or-later
//! The checker can fail: for each law a stream of commands, answers and tellings made by hand that
//! breaks it, beside one that does not.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where it fails"
)]

use check::checker::Books;
use check::observed::{Event, Occupied, Place, What};
use check::{Drive, Law, Violation};
use ftl::{Command, Error, Namespace, Outcome, Reply, ZoneAction, ZoneTarget};
use nand::{BlockId, PlaneId};
use ssd::Config;
use units::{Instant, Sector};

const ERASE: u64 = 1000;

/// A drive of which only the configuration is used, and its books.
struct Stream {
    drive: Drive,
    books: Books,
}

fn ns(at: u64) -> Instant {
    Instant::from_nanos(at)
}

fn place(block: u32, page: u64) -> Place {
    Place {
        plane: PlaneId(0),
        block: BlockId(block),
        page,
    }
}

fn entered(lpn: u64) -> Event {
    Event::Entered {
        namespace: Namespace::Data,
        lpn,
    }
}

fn copied(lpn: u64, from: Option<Place>, to: Place, durable: Option<u64>) -> Event {
    Event::Copied {
        namespace: Namespace::Data,
        lpn,
        from,
        to,
        durable: durable.map(ns),
    }
}

fn does(what: What, block: u32, start: u64, end: u64) -> Occupied {
    Occupied {
        plane: PlaneId(0),
        block: BlockId(block),
        what,
        start: ns(start),
        end: ns(end),
        background: false,
    }
}

fn erases(block: u32, start: u64) -> Occupied {
    does(What::Erase, block, start, start + ERASE)
}

impl Stream {
    fn new(preset: &str) -> Self {
        let mut config = Config::preset(preset).unwrap();
        config.set("erase-ns", &ERASE.to_string()).unwrap();
        let drive = Drive::new(&config.plan().unwrap()).unwrap();
        Self {
            books: Books::new(&drive),
            drive,
        }
    }

    fn block() -> Self {
        Self::new("tlc-block")
    }

    fn takes(
        &mut self,
        command: &Command,
        (at, done): (u64, u64),
        events: &[Event],
        occupied: &[Occupied],
    ) -> Result<(), Violation> {
        let outcome = Outcome {
            done: ns(done),
            result: Ok(Reply::Done),
        };
        let command = (Namespace::Data, command, ns(at));
        self.books
            .command(&self.drive, command, &outcome, (events, occupied))
    }

    /// A page is written and put to a place.
    fn write(
        &mut self,
        lpn: u64,
        fua: bool,
        times: (u64, u64),
        to: Place,
        durable: Option<u64>,
    ) -> Result<(), Violation> {
        let events = [entered(lpn), copied(lpn, None, to, durable)];
        self.takes(&write(lpn, fua), times, &events, &[])
    }

    fn later(&mut self, events: &[Event], occupied: &[Occupied]) -> Result<(), Violation> {
        self.books.background(ns(1_000_000_000), events, occupied)
    }

    fn end(&mut self) -> Result<(), Violation> {
        self.later(&[], &[])?;
        self.books.settled()
    }
}

/// Its data comes from inside: the link has its own test.
fn write(lpn: u64, fua: bool) -> Command {
    Command::Write {
        at: Sector::new(lpn * 8),
        sectors: 8,
        fua,
        internal: true,
    }
}

#[track_caller]
fn broken(result: Result<(), Violation>, law: Law, words: &str) {
    let violation = result.expect_err("this breaks a law");
    assert_eq!(violation.law, law, "{violation}");
    assert!(violation.seen.contains(words), "{violation}");
}

/// Page 7 is durable at 100 and acknowledged at 150; block 1 is erased at 500.
fn lost() -> Stream {
    let mut s = Stream::block();
    s.write(7, true, (0, 150), place(1, 0), Some(100)).unwrap();
    s
}

#[test]
fn a_page_whose_only_copy_is_erased_is_lost() {
    let mut s = lost();
    s.later(&[], &[erases(1, 500)]).unwrap_err();
    let mut s = lost();
    let result = s.takes(&Command::Flush, (500, 500), &[], &[erases(1, 500)]);
    // It might still be told where it is; in the end it is not.
    result.unwrap();
    broken(
        s.end(),
        Law::LostPage,
        "data page 7 is acknowledged, but has no durable copy from 500 ns on, and never again",
    );
}

#[test]
fn a_page_that_was_moved_in_time_is_not_lost() {
    let mut s = lost();
    let moved = copied(7, Some(place(1, 0)), place(2, 0), Some(500));
    s.takes(&Command::Flush, (300, 300), &[moved], &[erases(1, 500)])
        .unwrap();
    s.end().unwrap();
}

#[test]
fn an_erase_before_the_new_copy_is_durable_is_too_early() {
    let mut s = lost();
    let moved = copied(7, Some(place(1, 0)), place(2, 0), Some(501));
    s.takes(&Command::Flush, (300, 300), &[moved], &[erases(1, 500)])
        .unwrap();
    broken(s.end(), Law::LostPage, "from 500 ns on, until 501 ns");
}

#[test]
fn a_copy_that_stays_in_an_incomplete_wordline_is_none() {
    let mut s = lost();
    let moved = copied(7, Some(place(1, 0)), place(2, 0), None);
    s.takes(&Command::Flush, (300, 300), &[moved], &[]).unwrap();
    s.later(&[], &[]).unwrap();
    broken(
        s.later(&[], &[erases(1, 500)]),
        Law::LostPage,
        "from 500 ns on",
    );
}

#[test]
fn a_copy_may_be_told_durable_after_the_erase_of_what_it_replaces() {
    let mut s = lost();
    let moved = copied(7, Some(place(1, 0)), place(2, 0), None);
    s.takes(&Command::Flush, (300, 300), &[moved], &[erases(1, 500)])
        .unwrap();
    let told = Event::Durable {
        place: place(2, 0),
        at: ns(500),
    };
    s.takes(&Command::Flush, (600, 600), &[told], &[]).unwrap();
    s.end().unwrap();
}

#[test]
fn the_old_version_is_needed_until_the_new_one_is_durable() {
    let mut s = lost();
    // Written again, without FUA; the old copy goes before the new one is programmed.
    s.write(7, false, (400, 410), place(2, 0), Some(900))
        .unwrap();
    let result = s.takes(&Command::Flush, (450, 900), &[], &[erases(1, 899)]);
    result.unwrap();
    broken(s.end(), Law::LostPage, "from 899 ns on, until 900 ns");
    let mut s = lost();
    s.write(7, false, (400, 410), place(2, 0), Some(900))
        .unwrap();
    s.takes(&Command::Flush, (450, 900), &[], &[erases(1, 900)])
        .unwrap();
    s.end().unwrap();
}

#[test]
fn what_is_dropped_needs_no_copy() {
    let mut s = lost();
    let drop = Command::Deallocate {
        at: Sector::new(0),
        sectors: 100,
    };
    let dropped = Event::Dropped {
        namespace: Namespace::Data,
        first: 7,
        pages: 1,
    };
    s.takes(&drop, (300, 300), &[dropped], &[erases(1, 300)])
        .unwrap();
    s.end().unwrap();
    // Part of a page is not dropped.
    let mut s = lost();
    let part = Command::Deallocate {
        at: Sector::new(0),
        sectors: 63,
    };
    s.takes(&part, (300, 300), &[], &[erases(1, 300)]).unwrap();
    broken(s.end(), Law::LostPage, "from 300 ns on");
}

#[test]
fn an_acknowledgement_before_the_program_s_end_is_early() {
    let mut s = Stream::block();
    s.write(3, true, (0, 99), place(1, 0), Some(100)).unwrap();
    broken(
        s.end(),
        Law::EarlyAcknowledgement,
        "data page 3 is acknowledged at 99 ns, but not durable until 100 ns",
    );
    let mut s = Stream::block();
    s.write(3, false, (0, 10), place(1, 0), Some(100)).unwrap();
    s.takes(&Command::Flush, (20, 99), &[], &[]).unwrap();
    broken(s.end(), Law::EarlyAcknowledgement, "until 100 ns");
    let mut s = Stream::block();
    s.write(3, false, (0, 10), place(1, 0), Some(100)).unwrap();
    s.takes(&Command::Flush, (20, 100), &[], &[]).unwrap();
    s.end().unwrap();
}

#[test]
fn a_flush_that_programs_nothing_is_early() {
    let mut s = Stream::block();
    let events = [entered(3)];
    s.takes(&write(3, false), (0, 10), &events, &[]).unwrap();
    s.takes(&Command::Flush, (20, 30), &[], &[]).unwrap();
    broken(s.end(), Law::EarlyAcknowledgement, "and never again");
}

#[test]
fn memory_that_keeps_its_data_is_as_good_as_flash_until_it_lets_go() {
    let kept = Event::Kept {
        namespace: Namespace::Data,
        lpn: 3,
    };
    let mut s = Stream::block();
    s.takes(&write(3, true), (0, 10), &[entered(3), kept], &[])
        .unwrap();
    s.later(&[], &[]).unwrap();
    // On its way to flash it stays there.
    s.takes(
        &Command::Flush,
        (1_000_000_000, 1_000_000_000),
        &[entered(3)],
        &[],
    )
    .unwrap();
    // In flash at 200 memory lets go; the block must not be erased after that.
    let moved = copied(3, None, place(1, 0), Some(200));
    s.takes(
        &Command::Flush,
        (1_000_000_001, 1_000_000_001),
        &[moved],
        &[],
    )
    .unwrap();
    s.later(&[], &[erases(1, 1_000_000_100)]).unwrap();
    broken(s.end(), Law::LostPage, "from 1000000100 ns on");
}

#[test]
fn a_copy_of_what_the_place_does_not_hold_is_a_copy_of_nothing() {
    for (from, words) in [
        (place(1, 1), "plane 0 block 1 page 1, which holds nothing"),
        (place(9, 0), "plane 0 block 9 page 0, which holds nothing"),
    ] {
        let mut s = lost();
        let moved = copied(7, Some(from), place(2, 0), Some(400));
        let result = s.takes(&Command::Flush, (300, 300), &[moved], &[]);
        broken(result, Law::CopyOfNothing, words);
    }
    let mut s = lost();
    let other = copied(8, Some(place(1, 0)), place(2, 0), Some(400));
    let result = s.takes(&Command::Flush, (300, 300), &[other], &[]);
    broken(result, Law::CopyOfNothing, "which holds data page 7");
    let mut s = lost();
    let never = copied(8, None, place(2, 0), Some(400));
    let result = s.takes(&Command::Flush, (300, 300), &[never], &[]);
    broken(result, Law::CopyOfNothing, "from memory, but holds nothing");
    // Erased in the meantime.
    let mut s = Stream::block();
    s.write(7, false, (0, 10), place(1, 0), Some(100)).unwrap();
    s.takes(
        &write(8, false),
        (200, 210),
        &[entered(8)],
        &[erases(1, 200)],
    )
    .unwrap();
    let moved = copied(7, Some(place(1, 0)), place(2, 0), Some(4000));
    let result = s.takes(&write(8, false), (3000, 3000), &[entered(8), moved], &[]);
    broken(result, Law::CopyOfNothing, "which holds nothing");
}

#[test]
fn a_program_that_was_delayed_behind_an_acknowledgement_is_found() {
    let delayed = |at| Event::Delayed {
        place: place(1, 0),
        at: ns(at),
    };
    for (at, holds) in [(210, true), (211, false)] {
        let mut s = Stream::block();
        s.write(7, true, (0, 210), place(1, 0), Some(100)).unwrap();
        s.takes(&write(8, false), (50, 60), &[entered(8), delayed(at)], &[])
            .unwrap();
        if holds {
            s.end().unwrap();
        } else {
            let seen = "data page 7 is acknowledged at 210 ns, but not durable until 211 ns";
            broken(s.end(), Law::EarlyAcknowledgement, seen);
        }
    }
}

#[test]
fn a_plane_does_not_do_two_things_at_once() {
    let mut s = Stream::block();
    let two = [does(What::Read, 1, 0, 100), does(What::Program, 2, 99, 200)];
    broken(
        s.takes(&Command::Flush, (0, 0), &[], &two),
        Law::PlaneOverlap,
        "plane 0 does two things at once: Program of block 2 from 99 to 200 ns, and Read of block 1",
    );
    // Told in any order; one within the other.
    let mut s = Stream::block();
    let all = [does(What::Erase, 1, 100, 1100)];
    s.takes(&Command::Flush, (0, 0), &[], &all).unwrap();
    let result = s.takes(
        &Command::Flush,
        (0, 0),
        &[],
        &[does(What::Read, 2, 400, 500)],
    );
    broken(result, Law::PlaneOverlap, "Erase of block 1");
    // The time that suspending takes is the plane's, too.
    let mut s = Stream::block();
    let all = [
        does(What::Suspend, 1, 90, 110),
        does(What::Read, 2, 105, 200),
    ];
    let result = s.takes(&Command::Flush, (0, 0), &[], &all);
    broken(result, Law::PlaneOverlap, "Suspend of block 1");
    let mut s = Stream::block();
    let apart = [
        does(What::Read, 2, 110, 200),
        does(What::Erase, 1, 0, 100),
        does(What::Suspend, 1, 100, 110),
        does(What::Resume, 1, 200, 205),
        does(What::Erase, 1, 205, 1105),
    ];
    s.takes(&Command::Flush, (0, 0), &[], &apart).unwrap();
}

#[test]
fn a_program_before_the_erase_s_end_is_found() {
    let mut s = Stream::block();
    s.write(7, false, (0, 10), place(1, 0), Some(100)).unwrap();
    let events = [entered(8), copied(8, None, place(1, 0), Some(1500))];
    let result = s.takes(&write(8, false), (200, 210), &events, &[erases(1, 1000)]);
    broken(
        result,
        Law::ProgramBeforeErase,
        "plane 0 block 1 page 0 is programmed by 1500 ns, but its block's erase ends at 2000 ns",
    );
    // The erase comes in two parts; the program between them.
    let mut s = Stream::block();
    s.write(7, false, (0, 10), place(1, 0), Some(100)).unwrap();
    let parts = [
        does(What::Erase, 1, 300, 700),
        does(What::Erase, 1, 1400, 2000),
    ];
    s.takes(&write(8, false), (200, 210), &[entered(8)], &parts)
        .unwrap();
    let result = s.write(9, false, (220, 230), place(1, 0), Some(1200));
    broken(result, Law::ProgramBeforeErase, "erase ends at 2000 ns");
    let mut s = Stream::block();
    s.write(7, false, (0, 10), place(1, 0), Some(100)).unwrap();
    let events = [entered(8), copied(8, None, place(1, 0), Some(2100))];
    s.takes(&write(8, false), (200, 210), &events, &[erases(1, 1000)])
        .unwrap();
    s.end().unwrap();
}

#[test]
fn a_page_is_programmed_once_and_in_order() {
    for page in [5, 4] {
        let mut s = Stream::block();
        s.write(7, false, (0, 10), place(1, 5), Some(100)).unwrap();
        let result = s.write(8, false, (200, 210), place(1, page), Some(300));
        broken(
            result,
            Law::ProgrammedTwice,
            &format!("plane 0 block 1: page {page} is programmed again, or out of order"),
        );
    }
    let mut s = Stream::block();
    s.write(7, false, (0, 10), place(1, 5), Some(100)).unwrap();
    s.write(8, false, (200, 210), place(1, 6), Some(300))
        .unwrap();
    s.end().unwrap();
    // An erase that is told later is not too late, but it must come.
    let mut s = Stream::block();
    s.write(7, false, (0, 10), place(1, 5), Some(100)).unwrap();
    s.write(8, false, (200, 210), place(1, 0), None).unwrap();
    let durable = Event::Durable {
        place: place(1, 0),
        at: ns(5000),
    };
    s.takes(
        &write(9, false),
        (300, 310),
        &[entered(9), durable],
        &[erases(1, 400)],
    )
    .unwrap();
    s.end().unwrap();
    let mut s = Stream::block();
    s.write(7, false, (0, 10), place(1, 5), Some(100)).unwrap();
    s.write(8, false, (200, 210), place(1, 0), None).unwrap();
    broken(s.end(), Law::ProgrammedTwice, "page 0 is programmed again");
}

#[test]
fn an_overfull_link_is_found() {
    // 3000 MB/s: 128 KiB take 41 667 ns.
    let read = Command::read(Sector::new(0), 256);
    let mut s = Stream::block();
    s.takes(&read, (1000, 1000 + 41_667), &[], &[]).unwrap();
    let mut s = Stream::block();
    broken(
        s.takes(&read, (1000, 1000 + 41_666), &[], &[]),
        Law::LinkOverfull,
        "131072 bytes cross a link of 3145728000 bytes/s between 1000 and 42666 ns",
    );
    // Each for itself has time enough, both together have not.
    let mut s = Stream::block();
    s.takes(&read, (1000, 60_000), &[], &[]).unwrap();
    let result = s.takes(&read, (2000, 60_000), &[], &[]);
    broken(result, Law::LinkOverfull, "262144 bytes");
    // Data that stays inside does not cross it.
    let internal = Command::Read {
        at: Sector::new(0),
        sectors: 256,
        internal: true,
    };
    let mut s = Stream::block();
    s.takes(&internal, (0, 1), &[], &[]).unwrap();
}

#[test]
fn a_drop_that_nobody_asked_for_is_found() {
    let dropped = |first, pages| Event::Dropped {
        namespace: Namespace::Data,
        first,
        pages,
    };
    let mut s = lost();
    let result = s.takes(&Command::Flush, (300, 300), &[dropped(7, 1)], &[]);
    broken(
        result,
        Law::Telling,
        "pages 7..8 are dropped, and nobody asked",
    );
    let mut s = lost();
    let drop = Command::Deallocate {
        at: Sector::new(0),
        sectors: 64,
    };
    let result = s.takes(&drop, (300, 300), &[dropped(7, 2)], &[]);
    broken(result, Law::Telling, "pages 7..9");
    let mut s = lost();
    broken(s.later(&[dropped(7, 1)], &[]), Law::Telling, "nobody asked");
}

#[test]
fn a_write_whose_data_never_enters_is_found() {
    let mut s = Stream::block();
    let result = s.takes(&write(5, false), (0, 10), &[entered(4)], &[]);
    broken(
        result,
        Law::Telling,
        "data page 5 is written, and its data never enters",
    );
}

#[test]
fn a_refusal_is_no_answer_while_there_is_room() {
    let mut s = Stream::block();
    let outcome = Outcome::failed(ns(0), Error::CapacityExceeded);
    let command = write(5, false);
    let command = (Namespace::Data, &command, ns(0));
    let result = s.books.command(&s.drive, command, &outcome, (&[], &[]));
    broken(result, Law::Refused, "finds no room");
}

#[test]
fn answers_have_their_times() {
    let mut s = Stream::block();
    let result = s.takes(&Command::Flush, (100, 99), &[], &[]);
    broken(result, Law::Answer, "ends at");
    let mut s = Stream::block();
    let outcome = Outcome {
        done: ns(1),
        ..Outcome::failed(ns(0), Error::OutOfRange)
    };
    let command = (Namespace::Data, &Command::Flush, ns(0));
    let result = s.books.command(&s.drive, command, &outcome, (&[], &[]));
    broken(result, Law::Answer, "fails with OutOfRange");
}

#[test]
fn counters_that_disagree_with_the_commands_are_found() {
    // The drive itself was asked nothing.
    let mut s = Stream::block();
    s.takes(&Command::read(Sector::new(0), 8), (0, 10_000), &[], &[])
        .unwrap();
    let result = s.books.finish(&s.drive).map(drop);
    broken(
        result,
        Law::Counters,
        "1 reads, 0 writes, 0 flushes succeeded",
    );
    // It read unwritten pages, and the books know of data there.
    let mut s = Stream::block();
    let read = Command::read(Sector::new(0), 16);
    let done = s.drive.submit(Namespace::Data, &read, ns(0)).done;
    s.books.written.mark(Namespace::Data, 0..1);
    s.takes(&read, (0, done.as_nanos()), &[], &[]).unwrap();
    let result = s.books.finish(&s.drive).map(drop);
    broken(
        result,
        Law::Unmapped,
        "2 pages read as never written, and 1 were never",
    );
}

#[test]
fn time_that_a_plane_counts_and_was_not_seen_is_found() {
    let mut s = Stream::block();
    s.takes(&Command::Flush, (0, 0), &[], &[does(What::Read, 0, 0, 77)])
        .unwrap();
    let _ = s.drive.submit(Namespace::Data, &Command::Flush, ns(0));
    let result = s.books.finish(&s.drive).map(drop);
    broken(
        result,
        Law::Counters,
        "plane 0 is busy 77 ns, and counts 0 ns",
    );
}

#[test]
fn a_finished_zone_is_durable_when_it_is_answered() {
    let finish = Command::Zone {
        action: ZoneAction::Finish,
        target: ZoneTarget::One(Sector::new(0)),
    };
    for (done, early) in [(99, true), (100, false)] {
        let mut s = Stream::new("tlc-zoned");
        s.write(0, false, (0, 10), place(1, 0), Some(100)).unwrap();
        s.takes(&finish, (20, done), &[], &[]).unwrap();
        if early {
            broken(
                s.end(),
                Law::EarlyAcknowledgement,
                "at 99 ns, but not durable until 100 ns",
            );
        } else {
            s.end().unwrap();
        }
    }
}

#[test]
fn a_reset_drops_its_zone_and_no_other() {
    let reset = Command::Zone {
        action: ZoneAction::Reset,
        target: ZoneTarget::One(Sector::new(0)),
    };
    let mut s = Stream::new("tlc-zoned");
    let other = 32 * 1024; // The first page of the second zone: 128 MiB.
    s.write(0, true, (0, 100), place(1, 0), Some(100)).unwrap();
    s.write(other, true, (0, 100), place(1, 1), Some(100))
        .unwrap();
    s.takes(&reset, (200, 200), &[], &[erases(1, 200)]).unwrap();
    broken(s.end(), Law::LostPage, &format!("data page {other} "));
}
