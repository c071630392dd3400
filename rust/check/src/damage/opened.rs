// SPDX-License-Identifier: GPL-2.0-or-later
//! A drive that was opened has to go on.

use super::original::Original;
use super::work;
use crate::random::Random;
use ssd::Ssd;
use units::Instant;

fn agrees(drive: &Ssd) -> Result<(), String> {
    drive.check_invariants()?;
    let model = drive.drive().model().check_invariants();
    model.map_err(|e| format!("after it was opened: {e}"))
}

/// A drive that was opened takes commands, a power cut, and more commands, and agrees with itself.
pub(super) fn works(
    original: &mut Original,
    kind: usize,
    mut drive: Ssd,
    clock: Instant,
    random: &mut Random,
) -> Result<(), String> {
    agrees(&drive)?;
    let mut media = std::mem::take(&mut original.guest.host.media);
    // After a panic it is not there.
    media.resize(original.media, 0);
    let goes_on = kind == 0;
    if !goes_on {
        drive.reset(clock);
    }
    let mut guest = original.guest.over(drive, media);
    guest.host.clock = clock;
    if !goes_on {
        work::bring_up(&mut guest);
    }
    for _ in 0..random.between(50, 300) {
        work::ask(&mut guest, random);
    }
    agrees(&guest.controller)?;
    let at = guest.host.clock;
    work::cut(&mut guest, at);
    agrees(&guest.controller)?;
    guest.controller.reset(at);
    work::bring_up(&mut guest);
    for _ in 0..50 {
        work::ask(&mut guest, random);
    }
    agrees(&guest.controller)?;
    original.guest.host.media = guest.host.media;
    Ok(())
}
