// SPDX-License-Identifier: GPL-2.0-or-later
//! Submission and completion queues (Base, section 3.3).

use state::{state, Decoder, Encoder, Raw, State};
use units::{GuestAddr, Instant};

use crate::config::MAX_IO_QUEUES;
use crate::pending::List;

/// Queues at most, the admin queue included.
pub(crate) const MAX_QUEUES: usize = MAX_IO_QUEUES as usize + 1;

/// A set of queue or vector numbers below [`MAX_QUEUES`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Set(u128);

impl State for Set {
    fn encode(&self, out: &mut Encoder) {
        // Its two halves.
        (self.0 as u64).encode_raw(out);
        ((self.0 >> 64) as u64).encode_raw(out);
    }

    fn decode(&mut self, from: &mut Decoder<'_>) -> Result<(), state::Error> {
        self.0 = u128::from(from.take_raw()?) | u128::from(from.take_raw()?) << 64;
        Ok(())
    }
}

impl Set {
    pub(crate) fn insert(&mut self, n: u16) {
        self.0 |= Self::bit(n);
    }

    pub(crate) fn remove(&mut self, n: u16) {
        self.0 &= !Self::bit(n);
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn contains(self, n: u16) -> bool {
        self.0 & Self::bit(n) != 0
    }

    /// Takes the lowest number out.
    pub(crate) fn pop(&mut self) -> Option<u16> {
        let first = self.first_from(0)?;
        self.remove(first);
        Some(first)
    }

    /// The lowest number at or above `from`, or else the lowest.
    pub(crate) fn first_from(self, from: u16) -> Option<u16> {
        let above = self.0 & u128::MAX.checked_shl(from.into()).unwrap_or(0);
        let set = if above == 0 { self.0 } else { above };
        (set != 0).then(|| set.trailing_zeros() as u16)
    }

    fn bit(n: u16) -> u128 {
        1_u128.checked_shl(n.into()).unwrap_or(0)
    }
}

/// Shadow doorbell of a queue in guest memory, and where to say when to ring the real one (Base,
/// section 5.8, and Annex B.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shadow {
    pub(crate) doorbell: GuestAddr,
    pub(crate) event_index: GuestAddr,
}

/// A submission queue.
#[derive(Debug, Default)]
pub(crate) struct SubmissionQueue {
    pub(crate) base: u64,
    pub(crate) entries: u32,
    pub(crate) head: u32,
    pub(crate) tail: u32,
    pub(crate) cq: u16,
    /// Commands fetched and not completed; fetching stops at `entries`, so that a guest that
    /// ignores the queue's depth cannot make the controller hold more.
    pub(crate) in_flight: u32,
    pub(crate) shadow: Option<Shadow>,
}

state!(Shadow {
    doorbell,
    event_index
});
state!(SubmissionQueue {
    base[raw],
    entries,
    head,
    tail,
    cq,
    in_flight,
    shadow
});

impl SubmissionQueue {
    pub(crate) const fn new(base: u64, entries: u32, cq: u16) -> Self {
        Self {
            base,
            entries,
            head: 0,
            tail: 0,
            cq,
            in_flight: 0,
            shadow: None,
        }
    }

    /// There is a command to fetch and room to hold it.
    pub(crate) const fn is_ready(&self) -> bool {
        self.head != self.tail && self.in_flight < self.entries
    }

    /// Address of the next entry to fetch.
    pub(crate) const fn next(&self) -> GuestAddr {
        GuestAddr::new(self.base.wrapping_add(self.head as u64 * 64))
    }

    pub(crate) fn advance(&mut self) {
        self.head += 1;
        if self.head >= self.entries {
            self.head = 0;
        }
    }
}

/// A completion queue.
#[derive(Debug, Default)]
pub(crate) struct CompletionQueue {
    pub(crate) base: u64,
    pub(crate) entries: u32,
    pub(crate) head: u32,
    pub(crate) tail: u32,
    pub(crate) phase: bool,
    /// Interrupt vector, `None` while interrupts are disabled for the queue.
    pub(crate) vector: Option<u16>,
    /// Submission queues that complete here.
    pub(crate) users: u16,
    /// Completions that are due but found the queue full.
    pub(crate) waiting: List,
    pub(crate) shadow: Option<Shadow>,
    /// The guest has been told not to ring for its head: the shadow is ahead of `head`.
    pub(crate) is_parked: bool,
}

// What waits for room the controller writes, who knows the commands.
state!(CompletionQueue {
    base[raw], entries, head, tail, phase, vector, users, shadow, is_parked;
    waiting
});

impl CompletionQueue {
    pub(crate) const fn new(base: u64, entries: u32, vector: Option<u16>) -> Self {
        Self {
            base,
            entries,
            head: 0,
            tail: 0,
            phase: true,
            vector,
            users: 0,
            waiting: List::EMPTY,
            shadow: None,
            is_parked: false,
        }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.head == self.tail
    }

    pub(crate) const fn is_full(&self) -> bool {
        let next = self.tail + 1;
        self.head == if next >= self.entries { 0 } else { next }
    }

    /// Address of the next entry to post.
    pub(crate) const fn next(&self) -> GuestAddr {
        GuestAddr::new(self.base.wrapping_add(self.tail as u64 * 16))
    }

    pub(crate) fn advance(&mut self) {
        self.tail += 1;
        if self.tail >= self.entries {
            self.tail = 0;
            self.phase = !self.phase;
        }
    }

    /// Entries posted and not yet consumed.
    const fn used(&self) -> u32 {
        if self.tail >= self.head {
            self.tail - self.head
        } else {
            self.entries - self.head + self.tail
        }
    }

    /// Moves the head as the guest says; `false` if that is past what was posted.
    pub(crate) fn consume_to(&mut self, head: u32) -> bool {
        if head >= self.entries {
            return false;
        }
        let moved = if head >= self.head {
            head - self.head
        } else {
            self.entries - self.head + head
        };
        if moved > self.used() {
            return false;
        }
        self.head = head;
        true
    }
}

/// All queues of a controller, by identifier.
#[derive(Debug)]
pub(crate) struct Queues {
    pub(crate) sqs: Vec<Option<SubmissionQueue>>,
    pub(crate) cqs: Vec<Option<CompletionQueue>>,
    /// Submission queues that are ready.
    pub(crate) ready: Set,
    /// Completion queues whose head moved while completions waited.
    pub(crate) unblocked: Set,
    /// Where round robin arbitration goes on.
    pub(crate) cursor: u16,
    /// Some completion queue's event index is far ahead of its head.
    pub(crate) has_parked: bool,
    /// Submission queues whose event index is ahead of their tail.
    pub(crate) ahead: Set,
    /// When to look for commands there.
    pub(crate) look_at: Option<Instant>,
    /// Shadow doorbells and event indices, as Doorbell Buffer Config set them.
    pub(crate) doorbell_buffer: Option<(GuestAddr, GuestAddr)>,
    /// Submission and completion queues whose doorbells were rung since the last run.
    pub(crate) rung: (Set, Set),
}

state!(Queues {
    sqs[fixed],
    cqs[fixed],
    ready,
    unblocked,
    cursor,
    has_parked,
    ahead,
    look_at,
    doorbell_buffer,
    rung
});

impl Queues {
    pub(crate) fn new() -> Self {
        let mut queues = Self {
            sqs: Vec::with_capacity(MAX_QUEUES),
            cqs: Vec::with_capacity(MAX_QUEUES),
            ready: Set::default(),
            unblocked: Set::default(),
            cursor: 0,
            has_parked: false,
            ahead: Set::default(),
            look_at: None,
            doorbell_buffer: None,
            rung: (Set::default(), Set::default()),
        };
        queues.clear();
        queues
    }

    pub(crate) fn clear(&mut self) {
        self.sqs.clear();
        self.cqs.clear();
        self.sqs.resize_with(MAX_QUEUES, || None);
        self.cqs.resize_with(MAX_QUEUES, || None);
        self.ready = Set::default();
        self.unblocked = Set::default();
        self.cursor = 0;
        self.has_parked = false;
        self.ahead = Set::default();
        self.look_at = None;
        self.doorbell_buffer = None;
        self.rung = (Set::default(), Set::default());
    }

    pub(crate) fn sq(&mut self, id: u16) -> Option<&mut SubmissionQueue> {
        self.sqs.get_mut(usize::from(id))?.as_mut()
    }

    pub(crate) fn cq(&mut self, id: u16) -> Option<&mut CompletionQueue> {
        self.cqs.get_mut(usize::from(id))?.as_mut()
    }

    /// Puts a submission queue, known to be absent, in its place.
    pub(crate) fn insert_sq(&mut self, id: u16, sq: SubmissionQueue) {
        if let Some(cq) = self.cq(sq.cq) {
            cq.users += 1;
        }
        if let Some(place) = self.sqs.get_mut(usize::from(id)) {
            *place = Some(sq);
        }
    }

    /// Removes a submission queue.
    pub(crate) fn remove_sq(&mut self, id: u16) {
        let removed = self.sqs.get_mut(usize::from(id)).and_then(Option::take);
        if let Some(cq) = removed.and_then(|sq| self.cq(sq.cq)) {
            cq.users = cq.users.saturating_sub(1);
        }
        self.ready.remove(id);
    }

    /// Puts a completion queue in its place, or removes it.
    pub(crate) fn set_cq(&mut self, id: u16, cq: Option<CompletionQueue>) {
        if let Some(place) = self.cqs.get_mut(usize::from(id)) {
            *place = cq;
        }
        self.unblocked.remove(id);
    }

    /// Entries of all submission queues: most commands that can be in flight.
    pub(crate) fn total_entries(&self) -> usize {
        self.sqs
            .iter()
            .flatten()
            .map(|sq| sq.entries as usize)
            .sum()
    }

    /// Brings `ready` in line with a queue whose tail, head or load has changed.
    pub(crate) fn refresh(&mut self, id: u16) {
        if self.sq(id).is_some_and(|sq| sq.is_ready()) {
            self.ready.insert(id);
        } else {
            self.ready.remove(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_completion_queue_of_any_size_wraps_and_flips_its_phase() {
        for entries in [2, 3, 7, 64] {
            let mut cq = CompletionQueue::new(0x1000, entries, None);
            let mut phases = Vec::new();
            for _ in 0..2 * entries {
                assert!(!cq.is_full());
                phases.push(cq.phase);
                cq.advance();
                assert!(cq.consume_to(cq.tail));
                assert!(cq.is_empty());
            }
            let (first, second) = phases.split_at(entries as usize);
            assert!(first.iter().all(|&p| p) && second.iter().all(|&p| !p));
        }
    }

    #[test]
    fn a_guest_cannot_consume_what_was_not_posted() {
        let mut cq = CompletionQueue::new(0, 4, None);
        assert!(!cq.consume_to(1));
        cq.advance();
        cq.advance();
        cq.advance();
        assert!(cq.is_full());
        assert!(!cq.consume_to(4));
        assert!(cq.consume_to(2));
        assert!(!cq.consume_to(1), "backwards");
        cq.advance();
        assert!(cq.consume_to(0));
    }

    #[test]
    fn sets_find_the_next_member_round_robin() {
        let mut set = Set::default();
        assert_eq!(set.first_from(0), None);
        for n in [0, 5, 64] {
            set.insert(n);
        }
        assert_eq!(set.first_from(1), Some(5));
        assert_eq!(set.first_from(6), Some(64));
        assert_eq!(set.first_from(65), Some(0));
        assert_eq!(set.first_from(200), Some(0));
        assert_eq!(set.pop(), Some(0));
        set.remove(5);
        assert_eq!((set.pop(), set.pop()), (Some(64), None));
    }
}
