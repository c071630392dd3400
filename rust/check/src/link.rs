// SPDX-License-Identifier: GPL-2.0-or-later
//! A link carries no more than its bandwidth: over any window, the transfers that lie wholly inside.
//!
//! Of the host link, what is seen from outside is that a command's bytes cross it between arrival and
//! completion. That is weaker than the bookings themselves, and needs no trust in them.

use crate::violation::{Law, Violation};
use std::collections::VecDeque;
use units::{Bytes, Instant};

/// Transfers remembered: windows longer than these are made of shorter ones that are not overfull.
const REMEMBERED: usize = 64;

#[derive(Clone, Copy, Debug)]
struct Transfer {
    from: Instant,
    to: Instant,
    bytes: u64,
}

/// One link.
#[derive(Clone, Debug)]
pub struct Link {
    bytes_per_second: u64,
    recent: VecDeque<Transfer>,
}

impl Link {
    /// A link of `mbps` MB (2^20 bytes) a second.
    #[must_use]
    pub fn new(mbps: u64) -> Self {
        Self {
            bytes_per_second: mbps.saturating_mul(1 << 20),
            recent: VecDeque::with_capacity(REMEMBERED),
        }
    }

    /// Bytes cross some time between two instants. Transfers come in the order of the first.
    ///
    /// # Errors
    /// With others they are too many.
    pub fn transfer(&mut self, from: Instant, to: Instant, bytes: Bytes) -> Result<(), Violation> {
        if self.recent.len() == REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back(Transfer {
            from,
            to,
            bytes: bytes.get(),
        });
        let latest = self.recent.iter().map(|t| t.to).max().unwrap_or(to);
        if latest > to {
            self.windows_to(to)?;
        }
        self.windows_to(latest)
    }

    /// The windows that end at an instant and begin with a transfer.
    fn windows_to(&self, end: Instant) -> Result<(), Violation> {
        let mut inside: u128 = 0;
        for transfer in self.recent.iter().rev().filter(|t| t.to <= end) {
            inside += u128::from(transfer.bytes);
            let window = u128::from(end.since(transfer.from).get());
            if inside * 1_000_000_000 > window * u128::from(self.bytes_per_second) {
                let seen = format!(
                    "{inside} bytes cross a link of {} bytes/s between {} and {} ns",
                    self.bytes_per_second,
                    transfer.from.as_nanos(),
                    end.as_nanos()
                );
                return Violation::found(Law::LinkOverfull, seen);
            }
        }
        Ok(())
    }
}
