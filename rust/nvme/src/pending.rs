// SPDX-License-Identifier: GPL-2.0-or-later
//! Commands that were executed and wait for their completion.
//!
//! ```text
//!   execute ─┬► due: heap by (instant, number) ──► post
//!            │                        └─ queue full ─► waiting: list per completion queue ─► post
//!            └► lost: no completion, ever
//! ```
//!
//! Slots are reserved when a submission queue is created, so nothing is allocated per command.
//! Invariant: each slot is in exactly one of: free list, heap, one waiting list, lost.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use units::Instant;

use crate::events::Events;

/// A command that waits for its completion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) sq: u16,
    pub(crate) cq: u16,
    pub(crate) cid: u16,
    /// Status field, 15 bits.
    pub(crate) status: u16,
    /// Dwords 0 and 1 of the completion.
    pub(crate) result: u64,
}

/// First and last slot of a list of commands, linked through the slots.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct List {
    ends: Option<(u32, u32)>,
}

impl List {
    pub(crate) const EMPTY: Self = Self { ends: None };

    pub(crate) const fn is_empty(&self) -> bool {
        self.ends.is_none()
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    command: Waiting,
    next: Option<u32>,
}

/// All commands that wait for their completion.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    slots: Vec<Slot>,
    free: Vec<u32>,
    due: BinaryHeap<Reverse<(Instant, u64, u32)>>,
    /// Commands that a broken drive never completes: their queues' deletion and resets drop them.
    lost: List,
    /// Number of the next command, for order among those due at one instant.
    next_number: u64,
}

state::state!(Waiting {
    sq,
    cq,
    cid,
    status,
    result[raw]
});

/// Commands without their slots.
#[derive(Debug, Default)]
pub(crate) struct Commands {
    /// With the instants at which they are due, and their numbers.
    due: Vec<(Instant, (u64, Waiting))>,
    lost: Vec<Waiting>,
    next_number: u64,
}

state::state!(Commands {
    due,
    lost,
    next_number
});

impl Pending {
    /// All commands but those that wait for room in completion queues.
    pub(crate) fn commands(&self) -> Commands {
        let Self {
            slots: _,
            free: _,
            due,
            lost,
            next_number,
        } = self;
        let mut due: Vec<_> = due.iter().map(|Reverse(due)| *due).collect();
        due.sort_unstable();
        let due = due
            .into_iter()
            .filter_map(|(at, number, index)| Some((at, (number, self.command(index)?))));
        Commands {
            due: due.collect(),
            lost: self.list(*lost),
            next_number: *next_number,
        }
    }

    /// The commands of a list.
    pub(crate) fn list(&self, mut list: List) -> Vec<Waiting> {
        core::iter::from_fn(|| self.pop_front(&mut list).map(|(_, command)| command)).collect()
    }

    /// Takes commands over that were decoded; there is room for those that can be.
    pub(crate) fn restore(&mut self, commands: &Commands) -> Result<(), state::Error> {
        for (at, (number, command)) in &commands.due {
            state::ensure!(
                *number < commands.next_number,
                "a command of number {number}"
            );
            let index = self.restore_one(*command)?;
            self.due.push(Reverse((*at, *number, index)));
        }
        self.next_number = commands.next_number;
        self.lost = self.restore_list(&commands.lost)?;
        Ok(())
    }

    /// The same for those of a list.
    pub(crate) fn restore_list(&mut self, commands: &[Waiting]) -> Result<List, state::Error> {
        let mut list = List::EMPTY;
        for command in commands {
            let index = self.restore_one(*command)?;
            self.append(&mut list, index);
        }
        Ok(list)
    }

    fn restore_one(&mut self, command: Waiting) -> Result<u32, state::Error> {
        state::ensure!(
            !self.free.is_empty(),
            "more commands than the queues have room for"
        );
        let index = self.take_slot(command);
        index.ok_or_else(|| state::Error::new("no room for a command"))
    }

    /// Makes room for `total` commands.
    pub(crate) fn reserve_for(&mut self, entries: usize) {
        self.reserve(entries.saturating_add(Events::capacity()));
    }

    fn reserve(&mut self, total: usize) {
        let have = self.slots.len();
        if total <= have {
            return;
        }
        let Ok(total) = u32::try_from(total) else {
            return;
        };
        self.slots.resize(total as usize, Slot::default());
        self.free.reserve_exact(total as usize - self.free.len());
        self.free.extend((have as u32..total).rev());
        self.due.reserve_exact(total as usize - self.due.len());
    }

    /// Forgets all commands.
    pub(crate) fn clear(&mut self) {
        self.due.clear();
        self.lost = List::EMPTY;
        self.free.clear();
        // There are at most u32::MAX slots (see `reserve`).
        self.free.extend((0..self.slots.len() as u32).rev());
    }

    /// Adds a command that completes at `done`. `false` if there is no room, which the callers'
    /// limits on commands in flight rule out.
    #[must_use]
    pub(crate) fn push(&mut self, command: Waiting, done: Instant) -> bool {
        let Some(index) = self.take_slot(command) else {
            return false;
        };
        self.due.push(Reverse((done, self.next_number, index)));
        self.next_number = self.next_number.wrapping_add(1);
        true
    }

    /// Adds a command that never completes.
    pub(crate) fn lose(&mut self, command: Waiting) {
        if let Some(index) = self.take_slot(command) {
            let mut lost = core::mem::take(&mut self.lost);
            self.append(&mut lost, index);
            self.lost = lost;
        }
    }

    fn take_slot(&mut self, command: Waiting) -> Option<u32> {
        let index = self.free.pop();
        debug_assert!(index.is_some(), "more commands than were reserved");
        let slot = self.slots.get_mut(index? as usize)?;
        *slot = Slot {
            command,
            next: None,
        };
        index
    }

    /// Drops the commands of a submission queue from `list`.
    pub(crate) fn drop_from(&mut self, list: &mut List, sq: u16) {
        let mut old = core::mem::take(list);
        while let Some((index, command)) = self.pop_front(&mut old) {
            if command.sq == sq {
                self.release(index);
            } else {
                self.append(list, index);
            }
        }
    }

    /// Drops the lost commands of a submission queue.
    pub(crate) fn drop_lost(&mut self, sq: u16) {
        let mut lost = core::mem::take(&mut self.lost);
        self.drop_from(&mut lost, sq);
        self.lost = lost;
    }

    /// Takes the first command that is due at `now`, out of the heap but not out of its slot.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<(u32, Waiting)> {
        let &Reverse((done, _, index)) = self.due.peek()?;
        if done > now {
            return None;
        }
        self.due.pop();
        self.slots
            .get(index as usize)
            .map(|slot| (index, slot.command))
    }

    /// When the next command is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.due.peek().map(|Reverse((done, ..))| *done)
    }

    /// Gives back the slot of a command that was posted or dropped.
    pub(crate) fn release(&mut self, index: u32) {
        self.free.push(index);
    }

    /// No command is in flight.
    pub(crate) fn is_idle(&self) -> bool {
        self.free.len() == self.slots.len()
    }

    /// Puts a command that was taken from the heap at the end of `list`.
    pub(crate) fn append(&mut self, list: &mut List, index: u32) {
        if let Some(slot) = self.slots.get_mut(index as usize) {
            slot.next = None;
        }
        list.ends = match list.ends {
            None => Some((index, index)),
            Some((first, last)) => {
                if let Some(slot) = self.slots.get_mut(last as usize) {
                    slot.next = Some(index);
                }
                Some((first, index))
            }
        };
    }

    /// Takes the first command of `list`.
    pub(crate) fn pop_front(&self, list: &mut List) -> Option<(u32, Waiting)> {
        let (first, last) = list.ends?;
        let slot = self.slots.get(first as usize)?;
        list.ends = slot.next.map(|next| (next, last));
        Some((first, slot.command))
    }

    /// Takes the commands that `wanted` accepts out of the heap, in no particular order.
    pub(crate) fn take_due(&mut self, mut wanted: impl FnMut(&Waiting) -> bool) -> Vec<u32> {
        let mut taken = Vec::new();
        let slots = &self.slots;
        self.due.retain(|Reverse((_, number, index))| {
            let is_wanted = slots
                .get(*index as usize)
                .is_some_and(|slot| wanted(&slot.command));
            if is_wanted {
                taken.push((*number, *index));
            }
            !is_wanted
        });
        taken.sort_unstable();
        taken.into_iter().map(|(_, index)| index).collect()
    }

    /// The command in a slot.
    pub(crate) fn command(&self, index: u32) -> Option<Waiting> {
        self.slots.get(index as usize).map(|slot| slot.command)
    }

    /// Checks that each slot is in exactly one place; calls `each` for those in use.
    pub(crate) fn check(
        &self,
        lists: impl Iterator<Item = List>,
        mut each: impl FnMut(&Waiting),
    ) -> Result<(), &'static str> {
        let mut seen = vec![false; self.slots.len()];
        let mut see = |index: u32, each: &mut dyn FnMut(&Waiting)| {
            let slot = self
                .slots
                .get(index as usize)
                .zip(seen.get_mut(index as usize));
            let (slot, seen) = slot.ok_or("an index has no slot")?;
            if core::mem::replace(seen, true) {
                return Err("a slot is in two places");
            }
            each(&slot.command);
            Ok(())
        };
        for &index in &self.free {
            see(index, &mut |_| ())?;
        }
        for Reverse((_, _, index)) in &self.due {
            see(*index, &mut each)?;
        }
        for mut list in lists.chain([self.lost]) {
            while let Some((index, _)) = self.pop_front(&mut list) {
                see(index, &mut each)?;
            }
        }
        if seen.contains(&false) {
            return Err("a slot is lost");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(cid: u16) -> Waiting {
        Waiting {
            cid,
            ..Waiting::default()
        }
    }

    #[test]
    fn commands_come_out_by_instant_and_then_by_number() {
        let mut pending = Pending::default();
        pending.reserve(4);
        for (cid, at) in [(1, 20), (2, 10), (3, 20), (4, 5)] {
            assert!(pending.push(command(cid), Instant::from_nanos(at)));
        }
        pending.check([].into_iter(), |_| ()).unwrap();
        assert_eq!(pending.next_due(), Some(Instant::from_nanos(5)));
        let mut order = Vec::new();
        while let Some((index, c)) = pending.pop_due(Instant::from_nanos(20)) {
            order.push(c.cid);
            pending.release(index);
        }
        assert_eq!(order, [4, 2, 1, 3]);
        assert!(pending.is_idle());
        pending.check([].into_iter(), |_| ()).unwrap();
    }

    #[test]
    fn waiting_lists_keep_their_order() {
        let mut pending = Pending::default();
        pending.reserve(3);
        let mut list = List::default();
        for cid in 0..3 {
            assert!(pending.push(command(cid), Instant::ZERO));
        }
        while let Some((index, _)) = pending.pop_due(Instant::ZERO) {
            pending.append(&mut list, index);
        }
        pending.check([list].into_iter(), |_| ()).unwrap();
        for cid in 0..3 {
            let (index, c) = pending.pop_front(&mut list).unwrap();
            assert_eq!(c.cid, cid);
            pending.release(index);
        }
        assert!(list.is_empty() && pending.is_idle());
    }

    #[test]
    fn commands_can_be_taken_out_of_order() {
        let mut pending = Pending::default();
        pending.reserve(4);
        for cid in 0..4 {
            assert!(pending.push(command(cid), Instant::from_nanos(100 - u64::from(cid))));
        }
        let taken = pending.take_due(|c| c.cid % 2 == 1);
        let cids: Vec<_> = taken
            .iter()
            .map(|&i| pending.command(i).unwrap().cid)
            .collect();
        assert_eq!(cids, [1, 3]);
        assert_eq!(pending.next_due(), Some(Instant::from_nanos(98)));
    }
}
