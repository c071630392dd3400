// SPDX-License-Identifier: GPL-2.0-or-later
//! What the commands alone say: which sectors were written, what was dropped, how many of each there
//! were. Nothing here listens to the model, but for the zones' states and write pointers.

use crate::drive::Drive;
use crate::ledger::{Hasher, PageKey};
use ftl::{Command, Namespace, Reply, ZoneAction, ZoneReport, ZoneTarget};
use ssd::ModelConfig;
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use units::{Sector, PAGE_SECTORS};
use zone::State;

/// Pages compared one by one at the end: all, but for drives of a phone's size.
const MOST_COMPARED: u64 = 1 << 18;

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Reads that succeeded.
    pub reads: u64,
    /// Writes, appends and write-zeroes of zones that did.
    pub writes: u64,
    /// Write-zeroes of page-mapped space, which unmap: models may count them with the writes.
    pub zeroes: u64,
    /// Flushes that did.
    pub flushes: u64,
    /// Pages read of which no sector is written.
    pub unmapped_pages: u64,
    /// Sectors read that are not written.
    pub unmapped_sectors: u64,
}

/// What a command's success means for pages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// Pages that it wrote.
    pub wrote: Range<u64>,
    /// Pages that it dropped.
    pub dropped: Vec<Range<u64>>,
    /// Pages that it makes durable, beside those it wrote.
    pub finished: Vec<Range<u64>>,
}

/// The record of both namespaces.
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// A bit for each sector of a page that was written.
    sectors: HashMap<PageKey, u8, Hasher>,
    counted: [Counted; 2],
    /// Zones that have, or had until this command, a random write area.
    areas: BTreeSet<u32>,
    /// Zones that a Finish of all zones is about.
    finishing: Vec<u32>,
}

/// Pages touched by a range of sectors.
#[must_use]
pub fn touched(at: Sector, sectors: u64) -> Range<u64> {
    let first = at.get() / PAGE_SECTORS;
    if sectors == 0 {
        return first..first;
    }
    first..at.get().saturating_add(sectors).div_ceil(PAGE_SECTORS)
}

/// Pages wholly in a range of sectors.
fn whole(at: Sector, sectors: u64) -> Range<u64> {
    let first = at.get().div_ceil(PAGE_SECTORS);
    first..(at.get().saturating_add(sectors) / PAGE_SECTORS).max(first)
}

impl Written {
    /// What was counted in a namespace.
    #[must_use]
    pub const fn counted(&self, namespace: Namespace) -> Counted {
        self.counted[namespace as usize]
    }

    /// Pages of a namespace of which a sector is written.
    #[must_use]
    pub fn pages(&self, namespace: Namespace) -> usize {
        let of = |key: &&PageKey| key.namespace() == namespace;
        self.sectors.keys().filter(of).count()
    }

    /// Whether a sector of a page is written.
    #[must_use]
    pub fn has(&self, page: PageKey) -> bool {
        self.sectors.contains_key(&page)
    }

    /// The first page that the model calls written and that is not, or the other way round; and which.
    #[must_use]
    pub fn disagrees(&self, drive: &Drive, namespace: Namespace) -> Option<(PageKey, bool)> {
        let bytes = matches!(drive.config(), ModelConfig::Zns(_)) && namespace == Namespace::Data;
        let pages = (drive.sectors(namespace) / PAGE_SECTORS).min(MOST_COMPARED);
        (0..pages).find_map(|lpn| {
            let key = PageKey::new(namespace, lpn);
            let mask = self.sectors.get(&key).copied().unwrap_or(0);
            let written = if bytes { mask == 0xff } else { mask != 0 };
            let at = Sector::new(lpn * PAGE_SECTORS);
            let told = !drive.model().has_unmapped(namespace, at, PAGE_SECTORS);
            (told != written).then_some((key, told))
        })
    }

    /// These sectors hold data from now on.
    pub fn mark(&mut self, namespace: Namespace, sectors: Range<u64>) {
        for page in sectors.start / PAGE_SECTORS..sectors.end.div_ceil(PAGE_SECTORS) {
            let from = sectors
                .start
                .saturating_sub(page * PAGE_SECTORS)
                .min(PAGE_SECTORS);
            let to = (sectors.end - page * PAGE_SECTORS).min(PAGE_SECTORS);
            let bits = (0xff << from) & ((1_u16 << to) - 1);
            let mask = self
                .sectors
                .entry(PageKey::new(namespace, page))
                .or_default();
            *mask |= u8::try_from(bits & 0xff).unwrap_or(0xff);
        }
    }

    /// After a power cut only pages that are `left` hold data, and in a zone sectors below the write pointer.
    pub fn power_cut(&mut self, drive: &Drive, left: &HashMap<PageKey, bool>) {
        self.sectors.retain(|key, _| left.contains_key(key));
        for zone in (0..drive.zones()).filter_map(|id| drive.zone(id)) {
            let end = zone.write_pointer.get();
            let key = PageKey::new(Namespace::Data, end / PAGE_SECTORS);
            if let Some(mask) = self.sectors.get_mut(&key) {
                if zone.state.has_write_pointer() && end % PAGE_SECTORS != 0 {
                    *mask &= (1 << (end % PAGE_SECTORS)) - 1;
                }
            }
        }
        self.finishing.clear();
    }

    /// These pages hold nothing from now on.
    pub fn clear(&mut self, namespace: Namespace, pages: &Range<u64>) {
        for page in pages.clone() {
            self.sectors.remove(&PageKey::new(namespace, page));
        }
    }

    /// Before a command: what cannot be seen afterwards.
    pub fn before(&mut self, drive: &Drive, command: &Command) {
        self.finishing.clear();
        if let Command::Zone {
            action: ZoneAction::Finish,
            target: ZoneTarget::All,
        } = command
        {
            let active = |id: &u32| drive.zone(*id).is_some_and(|z| z.state.is_active());
            self.finishing.extend((0..drive.zones()).filter(active));
        }
    }

    /// A command of a namespace succeeded.
    pub fn succeeded(
        &mut self,
        drive: &Drive,
        namespace: Namespace,
        command: &Command,
        reply: Reply,
    ) -> Effect {
        let zoned = drive.is_zoned(namespace);
        let mut effect = Effect::default();
        let counted = &mut self.counted[namespace as usize];
        match *command {
            Command::Read { at, sectors, .. } => {
                counted.reads += 1;
                self.read(namespace, at, sectors);
            }
            Command::Flush => counted.flushes += 1,
            Command::Deallocate { at, sectors } if !zoned => {
                effect.dropped.push(whole(at, sectors));
            }
            Command::WriteZeroes { at, sectors, .. } if !zoned => {
                counted.zeroes += 1;
                effect.dropped.push(whole(at, sectors));
            }
            Command::Write { at, sectors, .. } | Command::WriteZeroes { at, sectors, .. } => {
                counted.writes += 1;
                let in_area = |zone: ZoneReport| self.areas.contains(&zone.id.get());
                effect.wrote = touched(at, sectors);
                let range = match drive.zone_of(at).is_some_and(in_area) && zoned {
                    // An area knows whole pages only.
                    true => effect.wrote.start * PAGE_SECTORS..effect.wrote.end * PAGE_SECTORS,
                    false => at.get()..at.get() + sectors,
                };
                self.mark(namespace, range);
            }
            Command::Append { sectors, .. } => {
                counted.writes += 1;
                if let Reply::Appended(at) = reply {
                    self.mark(namespace, at.get()..at.get() + sectors);
                    effect.wrote = touched(at, sectors);
                }
            }
            Command::Zone { action, target } => self.managed(drive, action, target, &mut effect),
            Command::Deallocate { .. } | Command::CommitZrwa { .. } => {}
        }
        for pages in &effect.dropped {
            self.clear(namespace, pages);
        }
        if zoned {
            self.fill_holes(drive, command);
        }
        effect
    }

    fn read(&mut self, namespace: Namespace, at: Sector, sectors: u64) {
        for page in touched(at, sectors) {
            let key = PageKey::new(namespace, page);
            let mask = self.sectors.get(&key).copied().unwrap_or(0);
            let from = at.get().max(page * PAGE_SECTORS);
            let to = (at.get() + sectors).min((page + 1) * PAGE_SECTORS);
            let missing = (from..to)
                .filter(|s| mask >> (s % PAGE_SECTORS) & 1 == 0)
                .count();
            let counted = &mut self.counted[namespace as usize];
            counted.unmapped_sectors += missing as u64;
            counted.unmapped_pages += u64::from(mask == 0);
        }
    }

    fn managed(
        &mut self,
        drive: &Drive,
        action: ZoneAction,
        target: ZoneTarget,
        effect: &mut Effect,
    ) {
        let one = match target {
            ZoneTarget::One(at) => drive.zone_of(at),
            ZoneTarget::All => None,
        };
        match action {
            ZoneAction::OpenZrwa => self.areas.extend(one.map(|zone| zone.id.get())),
            ZoneAction::Finish => {
                let all = core::mem::take(&mut self.finishing);
                let zones = one.map(|zone| zone.id.get()).into_iter().chain(all);
                effect.finished.extend(zones.map(|id| drive.pages_of(id)));
            }
            ZoneAction::Reset => {
                let empty = |id: &u32| drive.zone(*id).is_some_and(|z| z.state == State::Empty);
                match one {
                    Some(zone) => effect.dropped.push(drive.pages_of(zone.id.get())),
                    None => {
                        let all = (0..drive.zones()).filter(empty);
                        effect.dropped.extend(all.map(|id| drive.pages_of(id)));
                    }
                }
            }
            ZoneAction::Open
            | ZoneAction::Close
            | ZoneAction::Offline
            | ZoneAction::SetExtension => {}
        }
    }

    /// What is committed holds data, holes of a random write area included.
    fn fill_holes(&mut self, drive: &Drive, command: &Command) {
        let finish = matches!(
            command,
            Command::Zone {
                action: ZoneAction::Finish,
                ..
            }
        );
        for id in self.areas.clone() {
            let Some(zone) = drive.zone(id) else { continue };
            let start = zone.start.get();
            let end = match zone.state {
                State::Full if finish => self.last_written(drive, id),
                State::Full => start + zone.capacity,
                _ if zone.zrwa => zone.write_pointer.get(),
                _ => start,
            };
            self.mark(Namespace::Data, start..end.max(start));
            if !zone.zrwa {
                self.areas.remove(&id);
            }
        }
    }

    /// The end of the last page of a zone that holds anything.
    fn last_written(&self, drive: &Drive, id: u32) -> u64 {
        let held = |page: &u64| {
            self.sectors
                .contains_key(&PageKey::new(Namespace::Data, *page))
        };
        let pages = drive.pages_of(id);
        let last = pages.clone().rev().find(held);
        let written = last.map_or(0, |page| page + 1 - pages.start);
        (pages.start + written) * PAGE_SECTORS
    }
}
