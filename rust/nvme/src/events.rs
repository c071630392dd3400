// SPDX-License-Identifier: GPL-2.0-or-later
//! Asynchronous events (Base, section 5.2): requests are held until there is something to report.
//!
//! Once an event of a type is reported, that type stays silent until the guest reads the log page
//! the event names (without Retain Asynchronous Event). Events that find no request, or a silent
//! type, wait; one of each kind at most, so the queue is bounded.

use nvme_spec::{AsyncEvent, LogId};
use state::state;

/// AERL, zero-based: Linux keeps one request outstanding, other hosts up to four.
pub(crate) const LIMIT_Z: u8 = 3;
/// Events held at most: distinct kinds of events there are, with some room for namespaces.
const MAX_HELD: usize = 32;

/// Requests and events that wait for each other.
#[derive(Debug)]
pub(crate) struct Events {
    /// Command identifiers of the outstanding requests, oldest first.
    requests: Vec<u16>,
    held: Vec<AsyncEvent>,
    /// Types that were reported and not cleared yet, by type number.
    silent: u8,
    /// Critical warnings that were set, and wanted, when last looked at.
    warnings: u8,
}

state!(Events {
    requests,
    held[wire],
    silent,
    warnings
} => restore);

/// Events as they are on the wire.
mod wire {
    use nvme_spec::{AsyncEvent, AsyncEventType, LogId};
    use state::{Decoder, Encoder, Error, State};

    pub fn encode(events: &[AsyncEvent], out: &mut Encoder) {
        events.len().encode(out);
        events.iter().for_each(|event| out.put(event.result()));
    }

    pub fn decode(events: &mut Vec<AsyncEvent>, from: &mut Decoder<'_>) -> Result<(), Error> {
        events.clear();
        let count = from.take_below(super::MAX_HELD as u64 + 1)?;
        for _ in 0..count {
            let [kind, information, log, _, rest @ ..] = from.take_raw()?.to_le_bytes();
            let kind = AsyncEventType::from_wire(kind);
            let (Some(kind), Some(log)) = (kind, LogId::from_wire(log)) else {
                return Err(Error::new("an event that there is not"));
            };
            events.push(AsyncEvent {
                kind,
                information,
                log,
                nsid: u32::from_le_bytes(rest),
            });
        }
        Ok(())
    }
}

impl Events {
    fn restore(&mut self) -> Result<(), state::Error> {
        state::ensure!(
            self.requests.len() <= Self::capacity(),
            "{} requests",
            self.requests.len()
        );
        Ok(())
    }

    pub(crate) fn new() -> Self {
        Self {
            requests: Vec::with_capacity(usize::from(LIMIT_Z) + 1),
            held: Vec::with_capacity(MAX_HELD),
            silent: 0,
            warnings: 0,
        }
    }

    /// Controller reset: requests are dropped and events forgotten.
    pub(crate) fn clear(&mut self) {
        self.requests.clear();
        self.held.clear();
        self.silent = 0;
        self.warnings = 0;
    }

    /// Critical warnings as they are set and wanted now; those that were not before.
    pub(crate) fn new_warnings(&mut self, warnings: u8) -> u8 {
        warnings & !core::mem::replace(&mut self.warnings, warnings)
    }

    /// Most requests outstanding.
    pub(crate) fn capacity() -> usize {
        usize::from(LIMIT_Z) + 1
    }

    /// Holds a request; `false` if there are too many.
    pub(crate) fn add_request(&mut self, cid: u16) -> bool {
        let has_room = self.requests.len() < Self::capacity();
        if has_room {
            self.requests.push(cid);
        }
        has_room
    }

    /// Drops a request that is to be aborted; `false` if it is not outstanding.
    pub(crate) fn remove_request(&mut self, cid: u16) -> bool {
        let at = self.requests.iter().position(|&c| c == cid);
        at.map(|at| self.requests.remove(at)).is_some()
    }

    /// Something to report, unless the same is waiting already.
    pub(crate) fn raise(&mut self, event: AsyncEvent) {
        if self.held.len() < MAX_HELD && !self.held.contains(&event) {
            self.held.push(event);
        }
    }

    /// The guest has read `log` and wants to hear of such events again.
    pub(crate) fn log_read(&mut self, log: LogId) {
        let kinds = match log {
            LogId::Error => 0,
            LogId::Smart => 1,
            LogId::ChangedZones => 2,
            LogId::Sanitize => 6,
            _ => return,
        };
        self.silent &= !(1 << kinds);
        // What was waiting has been seen in the log.
        self.held.retain(|event| event.log != log);
    }

    /// What there was to report of this log is past.
    pub(crate) fn forget(&mut self, log: LogId) {
        self.held.retain(|event| event.log != log);
    }

    /// A request and the event that completes it, if there are both.
    pub(crate) fn take(&mut self) -> Option<(u16, AsyncEvent)> {
        if self.held.is_empty() || self.requests.is_empty() {
            return None;
        }
        let at = self
            .held
            .iter()
            .position(|event| self.silent & 1 << event.kind.wire() == 0)?;
        let event = self.held.remove(at);
        self.silent |= 1 << event.kind.wire();
        Some((self.requests.remove(0), event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_and_requests_wait_for_each_other() {
        let mut events = Events::new();
        assert_eq!(events.take(), None);
        events.raise(AsyncEvent::smart(1));
        assert_eq!(events.take(), None);
        assert!(events.add_request(7));
        assert_eq!(events.take(), Some((7, AsyncEvent::smart(1))));
        assert_eq!(events.take(), None);
    }

    #[test]
    fn what_is_held_is_bounded() {
        let mut events = Events::new();
        for nsid in 1..=1000 {
            events.raise(AsyncEvent::zone_changed(nsid));
        }
        assert_eq!(events.held.len(), MAX_HELD);
        assert_eq!(events.held.first(), Some(&AsyncEvent::zone_changed(1)));
    }

    #[test]
    fn a_reported_type_is_silent_until_its_log_is_read() {
        let mut events = Events::new();
        for cid in 0..4 {
            assert!(events.add_request(cid));
        }
        assert!(!events.add_request(4), "limit");
        events.raise(AsyncEvent::zone_changed(1));
        events.raise(AsyncEvent::zone_changed(1));
        assert!(events.take().is_some());
        events.raise(AsyncEvent::zone_changed(2));
        assert_eq!(events.take(), None);
        events.raise(AsyncEvent::INVALID_DOORBELL);
        assert_eq!(events.take().unwrap().0, 1, "another type is reported");
        events.log_read(LogId::ChangedZones);
        assert_eq!(events.take(), None, "the guest has seen it in the log");
        events.raise(AsyncEvent::zone_changed(2));
        assert_eq!(events.take().unwrap().0, 2);
        assert!(events.remove_request(3));
        assert!(!events.remove_request(3));
    }
}
