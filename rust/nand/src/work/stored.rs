// SPDX-License-Identifier: GPL-2.0-or-later
//! What is queued, as it is written: groups by slot, operations by age. Links, counts and what is due
//! follow from that. Slots of groups keep their numbers, which others know; those of operations do not.

use super::{Backlog, Group, Item, Lane, Stage, NONE};
use crate::shape::Shape;
use crate::BlockId;
use state::{ensure, state, state_enum, Decoder, Encoder, Error, Fixed, Raw, State};

impl Raw for crate::Work {
    fn encode_raw(&self, out: &mut Encoder) {
        self.0.encode_raw(out);
    }

    fn decode_raw(&mut self, from: &mut Decoder<'_>) -> Result<(), Error> {
        self.0.decode_raw(from)
    }
}

/// The numbers of groups use all bits.
impl State for crate::Work {
    fn encode(&self, out: &mut Encoder) {
        self.encode_raw(out);
    }

    fn decode(&mut self, from: &mut Decoder<'_>) -> Result<(), Error> {
        self.decode_raw(from)
    }
}

state_enum!(Stage {
    Moving = 0,
    Array { from, suspended } = 1,
    Running { since } = 2,
});
state!(Group {
    id[raw], end, sealed, forced, released;
    pending, dependents, first, waiters, ended
});
state!(Lane {
    cursor;
    head, tail, waiting, next_waiter, needed, marked, blocks
});

/// An operation without its links.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    number: u64,
    plane: u32,
    at: u64,
    block: BlockId,
    shape: Shape,
    stage: Stage,
    suspensions: u32,
    group: u32,
    after: Option<u32>,
}

state!(Entry {
    number,
    plane,
    at,
    block,
    shape,
    stage,
    suspensions,
    group,
    after
});

impl State for Backlog {
    fn encode(&self, out: &mut Encoder) {
        let Self {
            items: _,
            free_item: _,
            groups,
            free_group: _,
            lanes,
            agenda: _,
            touched: _,
            stack: _,
            generation,
            number,
            queued: _,
        } = self;
        generation.encode_raw(out);
        number.encode(out);
        groups.encode(out);
        self.free_groups().encode(out);
        lanes.encode_fixed(out);
        self.entries().encode(out);
    }

    fn decode(&mut self, from: &mut Decoder<'_>) -> Result<(), Error> {
        self.generation.decode_raw(from)?;
        self.number.decode(from)?;
        self.groups.decode(from)?;
        let (mut free, mut entries) = (Vec::new(), Vec::new());
        free.decode(from)?;
        self.lanes.decode_fixed(from)?;
        entries.decode(from)?;
        self.link_groups(&free)?;
        self.link_entries(&entries)
    }
}

impl Backlog {
    /// Slots without a group; the first is taken next.
    fn free_groups(&self) -> Vec<u32> {
        let next = |slot: &u32| self.groups.get(*slot as usize).map(|g| g.first);
        let slots = core::iter::successors(Some(self.free_group), next);
        slots.take_while(|slot| *slot != NONE).collect()
    }

    /// All operations, oldest first.
    fn entries(&self) -> Vec<Entry> {
        let mut entries = Vec::with_capacity(self.queued);
        for lane in &self.lanes {
            let mut at = lane.head;
            while let Some(item) = self.items.get(at as usize) {
                entries.push(item.entry());
                at = item.next;
            }
        }
        entries.sort_unstable_by_key(|e| e.number);
        entries
    }

    fn link_groups(&mut self, free: &[u32]) -> Result<(), Error> {
        let mut live = 0;
        for (slot, group) in (0u64..).zip(&mut self.groups) {
            ensure!(
                group.id == 0 || group.id & 0xffff_ffff == slot,
                "group {:x} in slot {slot}",
                group.id
            );
            live += usize::from(group.id != 0);
            // Until an operation of it is found.
            group.ended = group.sealed;
        }
        ensure!(
            live + free.len() == self.groups.len(),
            "{live} groups and {} free slots of {}",
            free.len(),
            self.groups.len()
        );
        for slot in free.iter().rev() {
            let group = self.groups.get_mut(*slot as usize);
            let Some(group) = group.filter(|g| g.id == 0) else {
                return Err(Error::new(format!("slot {slot} is not free")));
            };
            group.first = self.free_group;
            self.free_group = *slot;
        }
        ensure!(
            self.free_groups_are(free.len()),
            "free slots are listed twice"
        );
        Ok(())
    }

    /// Whether the chain of free slots ends after so many.
    fn free_groups_are(&self, many: usize) -> bool {
        let next = |slot: &u32| self.groups.get(*slot as usize).map(|g| g.first);
        let slots = core::iter::successors(Some(self.free_group), next);
        slots
            .take(many + 1)
            .take_while(|slot| *slot != NONE)
            .count()
            == many
    }

    fn link_entries(&mut self, entries: &[Entry]) -> Result<(), Error> {
        let mut newest = vec![0; self.groups.len()];
        let mut before = 0;
        for entry in entries {
            ensure!(
                before < entry.number && entry.number <= self.number,
                "operation {} after {before}, of {}",
                entry.number,
                self.number
            );
            before = entry.number;
            ensure!(
                (entry.plane as usize) < self.lanes.len(),
                "plane {} of {}",
                entry.plane,
                self.lanes.len()
            );
            for slot in core::iter::once(entry.group).chain(entry.after) {
                let group = self.groups.get(slot as usize);
                ensure!(group.is_some_and(|g| g.id != 0), "no group in slot {slot}");
            }
            if let Some(newest) = newest.get_mut(entry.group as usize) {
                *newest = entry.number;
            }
            if let Some(after) = entry.after {
                let group = &mut self.groups[after as usize];
                ensure!(group.sealed, "waits for a group that is not complete");
                group.dependents += 1;
            }
            self.enter(Item::of(entry));
        }
        let waits_for_later = |e: &Entry| {
            let after = e.after.and_then(|slot| newest.get(slot as usize));
            after.is_some_and(|newest| *newest >= e.number)
        };
        ensure!(
            !entries.iter().any(waits_for_later),
            "operations wait for later ones"
        );
        let forgotten = |g: &Group| g.id != 0 && g.ended && g.released && g.dependents == 0;
        ensure!(
            !self.groups.iter().any(forgotten),
            "a group that nobody needs"
        );
        Ok(())
    }
}

impl Item {
    fn entry(&self) -> Entry {
        let Self {
            at,
            block,
            shape,
            stage,
            suspensions,
            plane,
            number,
            group,
            after,
            next: _,
            group_next: _,
            group_previous: _,
        } = *self;
        Entry {
            number,
            plane,
            at,
            block,
            shape,
            stage,
            suspensions,
            group,
            after: Some(after).filter(|slot| *slot != NONE),
        }
    }

    fn of(entry: &Entry) -> Self {
        Self {
            at: entry.at,
            block: entry.block,
            shape: entry.shape,
            stage: entry.stage,
            suspensions: entry.suspensions,
            plane: entry.plane,
            number: entry.number,
            group: entry.group,
            after: entry.after.unwrap_or(NONE),
            next: NONE,
            group_next: NONE,
            group_previous: NONE,
        }
    }
}
