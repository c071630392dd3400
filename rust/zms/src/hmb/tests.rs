// SPDX-License-Identifier: GPL-2.0-or-later

use super::*;
use proptest::prelude::*;
use std::collections::HashMap;

fn hmb(slots: u32, entries: u32) -> Hmb {
    let read = Nanos::new(1000);
    let mut hmb = Hmb::new(&HostBuffer { slots, read }, entries).unwrap();
    hmb.lend(slots, false);
    hmb
}

fn fill(hmb: &mut Hmb, lpn: u32) {
    hmb.begin();
    assert!(hmb.fill(1, Grain::Page, lpn));
}

#[test]
fn a_drive_that_asks_for_nothing_has_none() {
    assert!(Hmb::new(&HostBuffer::default(), 1024).is_none());
}

#[test]
fn a_fill_brings_a_map_page_and_a_change_makes_a_piece_of_it_stale() {
    let mut hmb = hmb(8, 1024);
    let look = |hmb: &mut Hmb, lpn| hmb.look_up(1, Grain::Page, lpn);
    assert_eq!(look(&mut hmb, 5), Looked::Miss);
    fill(&mut hmb, 5);
    assert_eq!(look(&mut hmb, 1023), Looked::Hit);
    assert_eq!(look(&mut hmb, 1024), Looked::Miss);
    assert_eq!(hmb.look_up(0, Grain::Page, 5), Looked::Miss);
    assert_eq!(hmb.look_up(1, Grain::Chunk, 5), Looked::Miss);
    // 16 entries of 4 bytes are a piece.
    hmb.forget_pages(1, 30, 4);
    let hits: Vec<_> = (0..64)
        .map(|lpn| look(&mut hmb, lpn) == Looked::Hit)
        .collect();
    assert!((0..64).all(|lpn| hits[lpn] != (16..48).contains(&lpn)));
}

#[test]
fn neighbouring_map_pages_do_not_displace_each_other() {
    let mut hmb = hmb(8, 1024);
    (3..11).for_each(|page| fill(&mut hmb, page * 1024));
    assert!((3..11).all(|page| hmb.look_up(1, Grain::Page, page * 1024) == Looked::Hit));
    fill(&mut hmb, 11 * 1024);
    assert_eq!(hmb.look_up(1, Grain::Page, 3 * 1024), Looked::Miss);
}

#[test]
fn what_the_host_took_back_comes_back_only_as_the_same() {
    let mut hmb = hmb(8, 1024);
    fill(&mut hmb, 0);
    fill(&mut hmb, 1024);
    hmb.lend(0, false);
    assert_eq!(hmb.look_up(1, Grain::Page, 0), Looked::Miss);
    assert!(hmb.wanted(1, Grain::Page, 0).is_none() && !hmb.fill(1, Grain::Page, 0));
    // The map goes on changing meanwhile.
    hmb.forget(1, Grain::Page, 1024);
    hmb.lend(8, true);
    assert_eq!(hmb.look_up(1, Grain::Page, 0), Looked::Hit);
    assert_eq!(hmb.look_up(1, Grain::Page, 1024), Looked::Miss);
    for (slots, is_kept) in [(8, false), (4, true)] {
        let mut again = hmb.clone();
        again.lend(0, false);
        again.lend(slots, is_kept);
        assert_eq!(again.look_up(1, Grain::Page, 0), Looked::Miss);
    }
    hmb.power_cut();
    hmb.lend(8, true);
    assert_eq!(hmb.look_up(1, Grain::Page, 0), Looked::Miss);
}

#[test]
fn a_spoilt_piece_is_found_once_and_only_there() {
    let mut hmb = hmb(8, 1024);
    fill(&mut hmb, 0);
    let (slot, piece) = hmb.wanted(1, Grain::Page, 20).unwrap();
    assert_eq!(piece, 1);
    hmb.spoil(slot, 1 << piece);
    assert!(hmb.wanted(1, Grain::Page, 20).is_none());
    assert_eq!(hmb.look_up(1, Grain::Page, 16), Looked::Corrupt);
    assert_eq!(hmb.look_up(1, Grain::Page, 16), Looked::Miss);
    assert_eq!(hmb.look_up(1, Grain::Page, 15), Looked::Hit);
    // What is stale anyway is not found to be spoilt.
    hmb.spoil(slot, 1);
    hmb.forget(1, Grain::Page, 3);
    assert_eq!(hmb.look_up(1, Grain::Page, 0), Looked::Miss);
    hmb.check_invariants().unwrap();
}

#[test]
fn no_two_pieces_have_the_same_bytes() {
    let mut hmb = hmb(3, 64);
    let mut seen = std::collections::HashSet::new();
    for lpn in [0, 64, 128, 0] {
        fill(&mut hmb, lpn);
        let slot = hmb.take_fill().unwrap();
        assert!(hmb.take_fill().is_none());
        for piece in 0..PIECES {
            let bytes = hmb.bytes(slot, piece);
            assert!(seen.insert(bytes), "piece {piece} of {lpn}");
            // Not even a part of them.
            assert!(bytes.chunks_exact(8).skip(2).all(|word| word != [0; 8]));
        }
    }
}

#[test]
fn one_command_leaves_a_bounded_number_of_map_pages() {
    let mut hmb = hmb(1000, 1);
    hmb.begin();
    let filled = (0..1000)
        .filter(|lpn| hmb.fill(1, Grain::Page, *lpn))
        .count();
    assert_eq!(filled, MOST_FILLS);
}

proptest! {
    /// Against a map of what was filled and not forgotten since, whatever the entries' size.
    #[test]
    fn it_is_what_a_table_of_entries_would_be(
        slots in 1_u32..6, entries in prop::sample::select(vec![1_u32, 3, 40, 64, 100, 1024, 4096]),
        ops in prop::collection::vec((0..4, 0_u32..9000, 1_u32..200), 1..200),
    ) {
        let mut hmb = hmb(slots, entries);
        // Of each slot the map page; of it the pieces that count.
        let mut table: HashMap<usize, (u32, Vec<bool>)> = HashMap::new();
        let piece = |lpn: u32| (u64::from(lpn % entries) * 64 / u64::from(entries)) as usize;
        for (op, lpn, n) in ops {
            let slot = hmb.place(1, Grain::Page, lpn).slot;
            match op {
                0 => {
                    fill(&mut hmb, lpn);
                    table.insert(slot, (lpn / entries, vec![true; 64]));
                }
                1 => {
                    hmb.forget_pages(1, lpn, n);
                    for lpn in lpn..lpn + n {
                        let slot = hmb.place(1, Grain::Page, lpn).slot;
                        let held = table.get_mut(&slot).filter(|held| held.0 == lpn / entries);
                        if let Some((_, pieces)) = held {
                            pieces[piece(lpn)] = false;
                        }
                    }
                }
                _ => {
                    let held = table.get(&slot).filter(|held| held.0 == lpn / entries);
                    let is_held = held.is_some_and(|(_, pieces)| pieces[piece(lpn)]);
                    let looked = hmb.look_up(1, Grain::Page, lpn);
                    prop_assert_eq!(looked == Looked::Hit, is_held);
                    prop_assert_eq!(hmb.wanted(1, Grain::Page, lpn).is_some(), is_held);
                }
            }
            hmb.check_invariants().unwrap();
        }
        let mut again = super::tests::hmb(slots, entries);
        state::decode(&mut again, &state::encode(&hmb)).unwrap();
        prop_assert_eq!(again.slots, hmb.slots);
    }
}
