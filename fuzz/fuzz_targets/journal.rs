// SPDX-License-Identifier: GPL-2.0-or-later
//! Journals of images that say anything: a drive works them, or refuses, and agrees with itself. The first byte chooses the
//! preset; then 12 bytes make a record.

#![no_main]

use nvme::Drive as _;
use ssd::Drive;
use units::Instant;

fn run(data: &[u8]) -> Option<()> {
    let (&first, rest) = data.split_first()?;
    let mut config = conzone_fuzz::config(first);
    config.outlive();
    let plan = config.plan().expect("so are the drives");
    let mut drive = Drive::new(&plan).expect("they are possible");
    let mut last = Instant::ZERO;
    for piece in rest.chunks_exact(12).take(200) {
        let number = |at: usize| {
            u64::from(u32::from_le_bytes([
                piece[at],
                piece[at + 1],
                piece[at + 2],
                piece[at + 3],
            ]))
        };
        let count = u64::from(u16::from_le_bytes([piece[2], piece[3]]));
        let (count, place) = match piece[1] >> 6 {
            0 | 1 => (count, number(4) % (1 << 18)),
            2 => (count << 30, number(4)),
            _ => (count, u64::MAX - number(4)),
        };
        let packed = count << 16 | u64::from(piece[1] & 0x3f) << 8 | u64::from(piece[0] % 14);
        let Some(what) = image::record([number(8), place, packed]) else {
            continue;
        };
        last = last.max(Instant::from_nanos(number(8)));
        drive.replay(&what, &mut |_| ());
        while drive.take_kept().is_some() {}
    }
    drive.power_cut(last, &mut |_| ());
    assert_eq!(drive.model().check_invariants(), Ok(()));
    Some(())
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = run(data);
});
