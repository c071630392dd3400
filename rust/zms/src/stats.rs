// SPDX-License-Identifier: GPL-2.0-or-later
//! What the drive has done (zms-model §10): counting what only this model knows the cause of.

use crate::superblock::{Pool, SbState, Superblock};
use crate::write::Cause;
use ftl::{Counters, PoolStats};

/// A buffer is flushed.
pub(crate) fn count_flush(counters: &mut Counters, cause: Cause) {
    match cause {
        Cause::Full => counters.flush_full += 1,
        Cause::Premature => counters.flush_premature += 1,
        Cause::Window => counters.flush_window += 1,
        Cause::Durable => counters.flush_durable += 1,
    }
}

/// A superblock pool's state: of those superblocks that it has now.
pub(crate) fn of_pool(pool: &Pool) -> PoolStats {
    let there = || pool.iter().filter(|(_, s)| s.state != SbState::Away);
    let count = |f: &dyn Fn(&Superblock) -> bool| {
        u32::try_from(there().filter(|(_, s)| f(s)).count()).unwrap_or(u32::MAX)
    };
    PoolStats {
        superblocks: count(&|_| true),
        free: pool.free_count(),
        open: count(&|s| s.state == SbState::Open),
        full: count(&|s| s.state == SbState::Closed && s.valid == pool.pages),
        victims: count(&|s| s.state == SbState::Closed && s.valid < pool.pages),
        valid_pages: pool.iter().map(|(_, s)| u64::from(s.valid)).sum(),
        erases: pool.erases,
        erases_min: there().map(|(_, s)| s.erases).min().unwrap_or(0),
        erases_max: there().map(|(_, s)| s.erases).max().unwrap_or(0),
    }
}
