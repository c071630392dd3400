// SPDX-License-Identifier: GPL-2.0-or-later
//! What a power cut leaves, held against the books.

use super::{allowed, Books};
use crate::drive::Drive;
use crate::ledger::PageKey;
use crate::link::Link;
use crate::observed::{Event, Occupied};
use crate::violation::{Law, Violation};
use crate::written::Effect;
use ftl::{Left, Namespace, PowerCut};
use std::collections::{HashMap, HashSet};
use units::{Instant, PAGE_SECTORS};

impl Books {
    /// Power went at `at` and came back; what was told with that.
    ///
    /// # Errors
    /// A law is broken.
    pub fn power_cut(
        &mut self,
        drive: &Drive,
        at: Instant,
        cut: &PowerCut,
        (events, occupied): (&[Event], &[Occupied]),
    ) -> Result<(), Violation> {
        self.summary.cuts += 1;
        self.summary.lost += cut.lost.len() as u64;
        let (mut survivors, mut others) = (Vec::new(), Vec::new());
        // What is told of a page before what survived of it came before that.
        let (mut earlier, mut known) = (Vec::new(), HashSet::new());
        for event in events {
            match *event {
                Event::Survived { namespace, lpn, at } => {
                    known.insert(PageKey::new(namespace, lpn));
                    survivors.push((PageKey::new(namespace, lpn), at));
                }
                Event::Copied { namespace, lpn, .. }
                    if !known.contains(&PageKey::new(namespace, lpn)) =>
                {
                    earlier.push(*event);
                }
                other => others.push(other),
            }
        }
        // What ran until then is told with it.
        let (before, occupied): (Vec<_>, Vec<_>) =
            occupied.iter().copied().partition(|o| o.start < cut.off);
        self.told(&earlier, &before)?;
        let left = self
            .ledger
            .power_cut((at, cut.off), &survivors, drive.zones() > 0)?;
        self.written.power_cut(drive, &left);
        self.planes.power_cut(cut.off);
        self.link = Link::new(drive.link_mbps());
        (self.latest, self.last_done) = (at, cut.ready);
        let dropped = self.told(&others, &occupied)?;
        allowed(Namespace::Data, &Effect::default(), &dropped)?;
        for id in 0..drive.zones() {
            self.zone_left(drive, id, at, &left)?;
        }
        Self::lost(cut, &left)?;
        self.ledger.settle(false)
    }

    /// A zone has its pages without a hole up to its write pointer, which is not before what was promised.
    fn zone_left(
        &mut self,
        drive: &Drive,
        id: u32,
        at: Instant,
        left: &HashMap<PageKey, bool>,
    ) -> Result<(), Violation> {
        let Some(zone) = drive.zone(id) else {
            return Ok(());
        };
        let pages = drive.pages_of(id);
        let is_left = |page: &u64| left.contains_key(&PageKey::new(Namespace::Data, *page));
        let prefix = pages.clone().take_while(is_left).count() as u64;
        let pointer = zone.write_pointer.get() - zone.start.get();
        let has_pointer = zone.state.has_write_pointer();
        let behind = pages.start + prefix..pages.end;
        let in_area = |page: &u64| {
            zone.zrwa && left.get(&PageKey::new(Namespace::Data, *page)) == Some(&true)
        };
        let stray = behind.clone().filter(is_left).find(|page| !in_area(page));
        let fits = match zone.zrwa {
            true => pointer.div_ceil(PAGE_SECTORS) <= prefix,
            false => pointer.div_ceil(PAGE_SECTORS) == prefix || !has_pointer,
        };
        if stray.is_some() || !fits {
            let seen = format!("after the power cut at {at:?}, {zone:?} has {prefix} pages from its start, and beyond a hole {stray:?}");
            return Violation::found(Law::LostPage, seen);
        }
        let promised = self.promised.entry(id).or_default();
        promised.retain(|(from, _)| *from <= at);
        let most = promised.iter().map(|p| p.1).max().unwrap_or(0);
        let sectors = if has_pointer {
            pointer
        } else {
            prefix * PAGE_SECTORS
        };
        if sectors < most && zone.state != zone::State::Offline {
            let seen = format!("{most} sectors of a zone were acknowledged when power is cut at {at:?}, which leaves {sectors}: {zone:?}");
            return Violation::found(Law::LostPage, seen);
        }
        Ok(())
    }

    /// What the drive says is lost is, and the rest is not.
    fn lost(cut: &PowerCut, left: &HashMap<PageKey, bool>) -> Result<(), Violation> {
        for lost in &cut.lost {
            let key = PageKey::new(lost.namespace, lost.lpn);
            if left.contains_key(&key) != (lost.left != Left::Nothing) {
                let seen = format!("{key} is said to be lost ({:?})", lost.left);
                return Violation::found(Law::Telling, seen);
            }
        }
        Ok(())
    }
}
