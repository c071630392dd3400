// SPDX-License-Identifier: GPL-2.0-or-later
//! What each plane does when: one thing at a time.

use crate::observed::{Occupied, What};
use crate::violation::{Law, Violation};
use std::collections::BTreeMap;
use units::{Instant, Nanos};

/// Segments of a plane that are remembered however old they are.
const REMEMBERED: usize = 256;

/// One plane's time.
#[derive(Clone, Debug, Default)]
struct Plane {
    /// Segments that may still get neighbours, by their start.
    segments: BTreeMap<Instant, (Instant, What, u32)>,
    last_end: Instant,
    busy: Nanos,
    /// So much was booked when power went that the model had forgotten some of it.
    is_unsure: bool,
}

/// What a plane is busy with that a model keeps in mind.
const BOOKED: usize = 1024;

/// All planes.
#[derive(Clone, Debug, Default)]
pub struct Planes {
    planes: Vec<Plane>,
}

impl Planes {
    /// Takes a segment. Others that ended before `old` are forgotten.
    ///
    /// # Errors
    /// The plane does something else in it.
    pub fn occupied(&mut self, occupied: &Occupied, old: Instant) -> Result<(), Violation> {
        let (start, end) = (occupied.start, occupied.end);
        let index = occupied.plane.0 as usize;
        if end < start {
            let seen = format!("plane {index}: {} ends before it starts", show(occupied));
            return Violation::found(Law::PlaneOverlap, seen);
        }
        if index >= self.planes.len() {
            self.planes.resize_with(index + 1, Plane::default);
        }
        let plane = &mut self.planes[index];
        if start == end {
            return Ok(());
        }
        let before = plane.segments.range(..end).next_back();
        if let Some((other, (other_end, what, block))) = before.filter(|b| b.1 .0 > start) {
            let seen = format!(
                "plane {index} does two things at once: {}, and {what:?} of block {block} from {} to {} ns",
                show(occupied),
                other.as_nanos(),
                other_end.as_nanos()
            );
            return Violation::found(Law::PlaneOverlap, seen);
        }
        plane
            .segments
            .insert(start, (end, occupied.what, occupied.block.0));
        plane.busy += end.since(start);
        plane.last_end = plane.last_end.max(end);
        // They do not overlap, so those that ended first are the first.
        while plane.segments.len() > REMEMBERED {
            match plane.segments.first_entry() {
                Some(first) if first.get().0 < old => first.remove(),
                _ => break,
            };
        }
        Ok(())
    }

    /// Power went at `at`: what was told of later came to nothing.
    pub fn power_cut(&mut self, at: Instant) {
        for plane in &mut self.planes {
            let booked = plane.segments.values().filter(|s| s.0 > at).count();
            plane.is_unsure |= booked >= BOOKED;
            while let Some(mut last) = plane.segments.last_entry().filter(|s| s.get().0 > at) {
                let from = (*last.key()).max(at);
                plane.busy = Nanos::new(plane.busy.get() - last.get().0.since(from).get());
                if *last.key() < at {
                    last.get_mut().0 = at;
                } else {
                    last.remove();
                }
            }
            let ends = plane.segments.values().map(|segment| segment.0);
            plane.last_end = ends.max().unwrap_or(plane.last_end.min(at));
        }
    }

    /// Time that a plane was seen busy, if that can be compared.
    #[must_use]
    pub fn busy(&self, plane: usize) -> Option<Nanos> {
        match self.planes.get(plane) {
            Some(plane) => Some(plane.busy).filter(|_| !plane.is_unsure),
            None => Some(Nanos::ZERO),
        }
    }

    /// When all planes are idle for good.
    #[must_use]
    pub fn last_end(&self) -> Instant {
        let ends = self.planes.iter().map(|plane| plane.last_end);
        ends.max().unwrap_or(Instant::ZERO)
    }
}

fn show(occupied: &Occupied) -> String {
    let who = if occupied.background {
        "background "
    } else {
        ""
    };
    format!(
        "{who}{:?} of block {} from {} to {} ns",
        occupied.what,
        occupied.block.0,
        occupied.start.as_nanos(),
        occupied.end.as_nanos()
    )
}
