// SPDX-License-Identifier: GPL-2.0-or-later
//! What is queued as background work, and in which groups.
//!
//! ```text
//!   plane 0:  read w1 -> program w2 (after w1) -> erase w3 (after w2)      oldest first
//!   plane 1:  read w1 -> ...
//! ```
//! Operations are in one slab, linked into their plane's queue and their group's list; groups are in
//! another. Both slabs are as large as what is in use at most was. A plane whose oldest operation
//! waits for a group is not due: it is in that group's list of waiters until the group has ended.
//!
//! Invariants: a plane with work queued is either due exactly once or waits for exactly one group; a
//! group ends once, when it is sealed and the last of its operations has.

use crate::agenda::Agenda;
use crate::book::Kind;
use crate::shape::{Shape, What};
use crate::BlockId;

mod stored;

/// "None" in links.
pub(crate) const NONE: u32 = u32::MAX;

/// A group of background operations. Numbers are not used again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Work(u64);

impl Work {
    const fn slot(self) -> usize {
        (self.0 & 0xffff_ffff) as usize
    }
}

/// Where an operation is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Before its sense or transfer.
    #[default]
    Moving,
    /// Before its array time, or what is left of it: not before `from`.
    Array { from: u64, suspended: bool },
    /// The array works since then, and may be suspended.
    Running { since: u64 },
}

/// A queued operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item {
    /// Not before this.
    pub at: u64,
    pub block: BlockId,
    /// The array time in it is what is left.
    pub shape: Shape,
    pub stage: Stage,
    pub suspensions: u32,
    plane: u32,
    /// Ascending within a plane.
    number: u64,
    group: u32,
    after: u32,
    next: u32,
    group_next: u32,
    group_previous: u32,
}

#[derive(Clone, Copy, Debug)]
struct Group {
    id: u64,
    /// Operations that have not ended.
    pending: u32,
    /// Queued operations that wait for it.
    dependents: u32,
    first: u32,
    /// Planes whose oldest operation waits for it.
    waiters: u32,
    /// When the last operation ended, of those that have.
    end: u64,
    sealed: bool,
    ended: bool,
    forced: bool,
    released: bool,
}

/// One plane's queue.
#[derive(Clone, Debug)]
struct Lane {
    head: u32,
    tail: u32,
    waiting: bool,
    next_waiter: u32,
    /// A host command needs everything up to the operation of this number, `marked`.
    needed: u64,
    marked: u32,
    /// End of the latest step.
    cursor: u64,
    /// Blocks with queued operations: reads and others.
    blocks: Vec<(BlockId, u32, u32)>,
}

/// All background work of an array.
#[derive(Clone, Debug)]
pub(crate) struct Backlog {
    items: Vec<Item>,
    /// The first that is free; `next` leads to the others.
    free_item: u32,
    groups: Vec<Group>,
    /// The first that is free; `first` leads to the others.
    free_group: u32,
    lanes: Vec<Lane>,
    pub agenda: Agenda,
    /// Planes whose oldest operation may go on, or has become needed.
    touched: Vec<u32>,
    stack: Vec<u32>,
    generation: u64,
    number: u64,
    queued: usize,
}

impl Backlog {
    pub fn new(planes: usize) -> Self {
        let lane = Lane {
            head: NONE,
            tail: NONE,
            waiting: false,
            next_waiter: NONE,
            needed: 0,
            marked: NONE,
            cursor: 0,
            blocks: Vec::new(),
        };
        Self {
            items: Vec::new(),
            free_item: NONE,
            groups: Vec::new(),
            free_group: NONE,
            lanes: vec![lane; planes],
            agenda: Agenda::new(planes),
            touched: Vec::new(),
            stack: Vec::new(),
            generation: 0,
            number: 0,
            queued: 0,
        }
    }

    /// Operations that have not ended.
    pub const fn queued(&self) -> usize {
        self.queued
    }

    /// Whether anything is queued on a plane that exists.
    #[inline]
    pub fn is_busy(&self, plane: usize) -> bool {
        self.lanes[plane].head != NONE
    }

    /// End of a plane's latest step.
    pub fn cursor(&self, plane: usize) -> u64 {
        self.lanes[plane].cursor
    }

    pub fn set_cursor(&mut self, plane: usize, cursor: u64) {
        self.lanes[plane].cursor = cursor;
    }

    /// Whether an erase of a block is queued on a plane that exists, or runs.
    pub fn is_erasing(&self, plane: usize, block: BlockId) -> bool {
        let mut at = self.lanes[plane].head;
        while let Some(item) = self.items.get(at as usize) {
            if item.block == block && item.shape.kind == Kind::Erase {
                return true;
            }
            at = item.next;
        }
        false
    }

    /// A plane's oldest operation.
    pub fn front(&self, plane: usize) -> Option<&Item> {
        self.items.get(self.lanes[plane].head as usize)
    }

    pub fn front_mut(&mut self, plane: usize) -> Option<&mut Item> {
        self.items.get_mut(self.lanes[plane].head as usize)
    }

    pub fn begin(&mut self) -> Work {
        let mut slot = self.free_group;
        if let Some(group) = self.groups.get(slot as usize) {
            self.free_group = group.first;
        } else {
            // Planes x operations are far fewer than 2^32.
            slot = self.groups.len() as u32;
            self.groups.push(Group::new(0));
        }
        self.generation += 1;
        let id = self.generation << 32 | u64::from(slot);
        self.groups[slot as usize] = Group::new(id);
        Work(id)
    }

    fn group(&mut self, work: Work) -> Option<&mut Group> {
        let group = self.groups.get_mut(work.slot());
        group.filter(|g| g.id == work.0)
    }

    /// The end of a group that has ended, and whether that was forced.
    pub fn end_of(&self, work: Work) -> Option<(u64, bool)> {
        let group = self.groups.get(work.slot());
        let group = group.filter(|g| g.id == work.0 && g.ended)?;
        Some((group.end, group.forced))
    }

    /// Queues an operation on a plane that exists. Its group takes it if it has not ended.
    pub fn push(
        &mut self,
        at: u64,
        plane: u32,
        block: BlockId,
        shape: Shape,
        work: Work,
        after: Option<Work>,
    ) {
        let Some(group) = self.group(work) else {
            return;
        };
        debug_assert!(!group.sealed, "a sealed group takes no more operations");
        self.number += 1;
        let mut item = Item {
            at,
            block,
            shape,
            stage: if shape.what == What::Erase {
                Stage::Array {
                    from: 0,
                    suspended: false,
                }
            } else {
                Stage::Moving
            },
            suspensions: 0,
            plane,
            number: self.number,
            group: work.slot() as u32,
            after: NONE,
            next: NONE,
            group_next: NONE,
            group_previous: NONE,
        };
        if let Some(after) = after {
            self.depend(&mut item, after);
        }
        self.enter(item);
    }

    /// Puts an operation into the lists of its group, which is one, and its plane, as their newest.
    fn enter(&mut self, mut item: Item) {
        let group = &mut self.groups[item.group as usize];
        group.pending += 1;
        group.ended = false;
        item.group_next = group.first;
        let mut index = self.free_item;
        if let Some(free) = self.items.get_mut(index as usize) {
            self.free_item = free.next;
            *free = item;
        } else {
            index = self.items.len() as u32;
            self.items.push(item);
        }
        self.groups[item.group as usize].first = index;
        if let Some(next) = self.items.get_mut(item.group_next as usize) {
            next.group_previous = index;
        }
        self.append(index, item.plane, item.block, item.shape.kind);
    }

    /// `item` waits for `after`, which takes no more operations from now on.
    fn depend(&mut self, item: &mut Item, after: Work) {
        let Some(group) = self.group(after) else {
            return;
        };
        group.sealed = true;
        if group.pending == 0 {
            item.at = item.at.max(group.end);
            self.settle(after.slot());
        } else {
            group.dependents += 1;
            item.after = after.slot() as u32;
        }
    }

    fn append(&mut self, index: u32, plane: u32, block: BlockId, kind: Kind) {
        self.queued += 1;
        let lane = &mut self.lanes[plane as usize];
        let known = lane.blocks.iter_mut().find(|b| b.0 == block);
        let (read, other) = match kind {
            Kind::Read => (1, 0),
            _ => (0, 1),
        };
        match known {
            Some(counts) => {
                counts.1 += read;
                counts.2 += other;
            }
            None => lane.blocks.push((block, read, other)),
        }
        let tail = lane.tail;
        lane.tail = index;
        if tail == NONE {
            lane.head = index;
            self.touched.push(plane);
        } else {
            self.items[tail as usize].next = index;
        }
    }

    /// No more operations for a group: it has ended if all of them have.
    pub fn seal(&mut self, work: Work, now: u64) {
        if let Some(group) = self.group(work) {
            if group.pending == 0 && !group.ended && !group.sealed && group.end == 0 {
                group.end = now;
            }
            group.sealed = true;
            self.settle(work.slot());
        }
    }

    pub fn release(&mut self, work: Work) {
        if let Some(group) = self.group(work) {
            group.released = true;
            group.sealed = true;
            self.settle(work.slot());
        }
    }

    /// Ends a group that is over, lets those go on that waited for it, and forgets it if nobody
    /// will ask.
    fn settle(&mut self, slot: usize) {
        let group = &mut self.groups[slot];
        if !group.sealed || group.pending > 0 {
            return;
        }
        group.ended = true;
        let mut waiter = core::mem::replace(&mut group.waiters, NONE);
        while waiter != NONE {
            let lane = &mut self.lanes[waiter as usize];
            lane.waiting = false;
            self.touched.push(waiter);
            waiter = core::mem::replace(&mut lane.next_waiter, NONE);
        }
        self.forget(slot);
    }

    fn forget(&mut self, slot: usize) {
        let group = &mut self.groups[slot];
        if group.ended && group.released && group.dependents == 0 && group.id != 0 {
            *group = Group {
                first: self.free_group,
                ..Group::new(0)
            };
            self.free_group = slot as u32;
        }
    }

    /// Whether a plane's oldest operation may start as far as groups go. If not, the plane waits.
    pub fn is_ready(&mut self, plane: usize) -> bool {
        let lane = &mut self.lanes[plane];
        let Some(item) = self.items.get_mut(lane.head as usize) else {
            return false;
        };
        if item.after == NONE {
            return true;
        }
        if lane.waiting {
            return false;
        }
        let slot = item.after as usize;
        let group = &mut self.groups[slot];
        if group.ended {
            item.at = item.at.max(group.end);
            item.after = NONE;
            group.dependents -= 1;
            self.forget(slot);
            return true;
        }
        lane.waiting = true;
        lane.next_waiter = group.waiters;
        group.waiters = plane as u32;
        false
    }

    /// A plane's oldest operation has ended.
    pub fn finish(&mut self, plane: usize, end: u64) {
        let lane = &mut self.lanes[plane];
        let index = lane.head;
        let Some(&item) = self.items.get(index as usize) else {
            return;
        };
        self.queued -= 1;
        lane.cursor = end;
        lane.head = item.next;
        if lane.head == NONE {
            lane.tail = NONE;
        }
        if let Some(at) = lane.blocks.iter().position(|b| b.0 == item.block) {
            let counts = &mut lane.blocks[at];
            match item.shape.kind {
                Kind::Read => counts.1 -= 1,
                _ => counts.2 -= 1,
            }
            if counts.1 + counts.2 == 0 {
                lane.blocks.swap_remove(at);
            }
        }
        let group = &mut self.groups[item.group as usize];
        group.pending -= 1;
        group.end = group.end.max(end);
        if item.group_previous == NONE {
            group.first = item.group_next;
        } else {
            self.items[item.group_previous as usize].group_next = item.group_next;
        }
        if item.group_next != NONE {
            self.items[item.group_next as usize].group_previous = item.group_previous;
        }
        self.items[index as usize].next = self.free_item;
        self.free_item = index;
        self.settle(item.group as usize);
    }

    /// A plane whose next step may have changed.
    pub fn next_touched(&mut self) -> Option<u32> {
        self.touched.pop()
    }

    /// A plane's next step is due; what was known of it before is stale.
    pub fn enqueue(&mut self, at: u64, starts: bool, plane: u32) {
        let needed = self.lanes[plane as usize].needed;
        let front = self.front(plane as usize);
        let is_needed = front.is_some_and(|i| i.number <= needed);
        self.agenda.add(at, starts, plane, is_needed);
    }

    /// Marks what a group needs: its operations, those before them on their planes, and the groups
    /// that any of these wait for.
    pub fn need(&mut self, work: Work) {
        if self.group(work).is_some() {
            self.need_group(work.slot() as u32);
            self.need_stacked();
        }
    }

    /// Marks what has to come before an operation of this kind on a block; says whether there is
    /// anything. Such work has not been queued on most planes, on the others it is for few blocks.
    pub fn need_block(&mut self, plane: usize, block: BlockId, kind: Kind) -> bool {
        let before = |reads: bool| kind == Kind::Erase || !reads;
        let lane = &self.lanes[plane];
        let queued = lane.blocks.iter().find(|b| b.0 == block);
        if !queued.is_some_and(|b| b.2 > 0 || before(true)) {
            return false;
        }
        let mut last = None;
        let mut at = lane.head;
        while let Some(item) = self.items.get(at as usize) {
            if item.block == block && before(item.shape.kind == Kind::Read) {
                last = Some(at);
            }
            at = item.next;
        }
        if let Some(last) = last {
            self.need_item(last);
            self.need_stacked();
        }
        last.is_some()
    }

    fn need_stacked(&mut self) {
        while let Some(slot) = self.stack.pop() {
            let group = &mut self.groups[slot as usize];
            group.sealed = true;
            let mut at = group.first;
            self.settle(slot as usize);
            while at != NONE {
                self.need_item(at);
                at = self.items[at as usize].group_next;
            }
        }
    }

    fn need_group(&mut self, slot: u32) {
        if !core::mem::replace(&mut self.groups[slot as usize].forced, true) {
            self.stack.push(slot);
        }
    }

    fn need_item(&mut self, item: u32) {
        let Item { plane, number, .. } = self.items[item as usize];
        let lane = &mut self.lanes[plane as usize];
        if lane.needed >= number {
            return;
        }
        let Some(head) = self.items.get(lane.head as usize) else {
            return;
        };
        let mut at = lane.head;
        if lane.needed >= head.number {
            at = self.items[lane.marked as usize].next;
        } else if !lane.waiting {
            self.touched.push(plane);
        }
        lane.needed = number;
        lane.marked = item;
        while let Some(&earlier) = self.items.get(at as usize) {
            if earlier.after != NONE {
                self.need_group(earlier.after);
            }
            if at == item {
                break;
            }
            at = earlier.next;
        }
    }

    /// Is an error if the queues disagree.
    pub fn check_invariants(&self) -> Result<(), state::Error> {
        let mut queued = 0;
        let mut due = vec![0; self.lanes.len()];
        for plane in self.agenda.current() {
            due[plane] += 1;
        }
        for (plane, lane) in self.lanes.iter().enumerate() {
            let mut at = lane.head;
            let mut number = 0;
            while at != NONE {
                let item = &self.items[at as usize];
                state::ensure_eq!(item.plane as usize, plane);
                state::ensure!(item.number > number);
                number = item.number;
                queued += 1;
                state::ensure!(item.next != NONE || lane.tail == at);
                at = item.next;
            }
            let counted: u32 = lane.blocks.iter().map(|b| b.1 + b.2).sum();
            state::ensure_eq!(counted > 0, lane.head != NONE);
            state::ensure_eq!(due[plane], usize::from(lane.head != NONE && !lane.waiting));
        }
        state::ensure_eq!(queued, self.queued);
        let pending: u32 = self.groups.iter().map(|g| g.pending).sum();
        state::ensure_eq!(pending as usize, queued);
        let mut free = 0;
        let mut at = self.free_item;
        while let Some(item) = self.items.get(at as usize) {
            free += 1;
            at = item.next;
        }
        state::ensure_eq!(self.items.len(), free + queued);
        Ok(())
    }
}

impl Default for Group {
    fn default() -> Self {
        Self::new(0)
    }
}

impl Group {
    const fn new(id: u64) -> Self {
        Self {
            id,
            pending: 0,
            dependents: 0,
            first: NONE,
            waiters: NONE,
            end: 0,
            sealed: false,
            ended: false,
            forced: false,
            released: false,
        }
    }
}
