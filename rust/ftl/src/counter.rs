// SPDX-License-Identifier: GPL-2.0-or-later
//! Each number that a drive counts, under the one name that it has everywhere: in the statistics and the vendor log page,
//! in series over time, and in what reads them.

use crate::Counters;

macro_rules! counters {
    ($($counter:ident $name:literal $value:expr,)+) => {
        /// A number that a drive counts for each namespace. The order is the vendor log page's: new ones go to the end.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Counter {
            $(#[doc = concat!("`", $name, "`; see [`Counters`].")] $counter,)+
        }

        impl Counter {
            /// All of them, in order.
            pub const ALL: &'static [Self] = &[$(Self::$counter),+];

            /// Its name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$counter => $name,)+
                }
            }

            /// Its value.
            #[must_use]
            pub fn of(self, counters: &Counters) -> u64 {
                let value: fn(&Counters) -> u64 = match self {
                    $(Self::$counter => $value,)+
                };
                value(counters)
            }
        }
    };
}

counters! {
    HostReads "host_reads" |c| c.host_reads,
    HostReadPages "host_read_pages" |c| c.host_read_pages,
    HostWrites "host_writes" |c| c.host_writes,
    HostWritePages "host_write_pages" |c| c.host_write_pages,
    HostFlushes "host_flushes" |c| c.host_flushes,
    BufferHits "buffer_hits" |c| c.buffer_hits,
    UnmappedReads "unmapped_reads" |c| c.unmapped_reads,
    Flushes "flushes" Counters::flushes,
    FlushFull "flush_full" |c| c.flush_full,
    FlushPremature "flush_premature" |c| c.flush_premature,
    FlushWindow "flush_window" |c| c.flush_window,
    FlushDurable "flush_durable" |c| c.flush_durable,
    PagesProgrammed "pages_programmed" Counters::pages_programmed,
    PagesSlc "pages_slc" |c| c.pages_slc,
    PagesNative "pages_native" |c| c.pages_native,
    PagesCombined "pages_combined" |c| c.pages_combined,
    PagesBackup "pages_backup" |c| c.pages_backup,
    PagesMigrated "pages_migrated" |c| c.pages_migrated,
    PagesGc "pages_gc" |c| c.pages_gc,
    PagesRead "pages_read" |c| c.pages_read,
    MapReads "map_reads" |c| c.map_reads,
    L2pHits "l2p_hits" |c| c.l2p_hits.total(),
    L2pMisses "l2p_misses" |c| c.l2p_misses.total(),
    ZoneResets "zone_resets" |c| c.zone_resets,
    ZoneFinishes "zone_finishes" |c| c.zone_finishes,
    GcRuns "gc_runs" |c| c.gc_runs,
    GcTime "gc_time_ns" |c| c.gc_time.get(),
    Migrations "migrations" |c| c.migrations,
    MigrationTime "migration_time_ns" |c| c.migration_time.get(),
    ZrwaPages "zrwa_pages" |c| c.zrwa_pages,
    ZrwaCommits "zrwa_commits" |c| c.zrwa_commits,
    HostReadSectors "host_read_sectors" |c| c.host_read_sectors,
    HostWriteSectors "host_write_sectors" |c| c.host_write_sectors,
    HostReadTime "host_read_time_ns" |c| c.read_latency.sum().get(),
    HostWriteTime "host_write_time_ns" |c| c.write_latency.sum().get(),
    HostOtherTime "host_other_time_ns" Counters::other_time_ns,
    HostAppends "host_appends" |c| c.host_appends,
    SuperblocksLent "superblocks_lent" |c| c.superblocks_lent,
    SuperblocksReturned "superblocks_returned" |c| c.superblocks_returned,
    SuperblocksLentMost "superblocks_lent_most" |c| c.superblocks_lent_most,
    PagesFoldedLent "pages_folded_lent" |c| c.pages_folded_lent,
    HmbHits "hmb_hits" |c| c.hmb.hits,
    HmbMisses "hmb_misses" |c| c.hmb.misses,
    HmbCorrupt "hmb_corrupt" |c| c.hmb.corrupt,
    HmbFills "hmb_fills" |c| c.hmb.fills,
}

/// One value for each of [`Counter::ALL`].
pub type Totals = [u64; Counter::ALL.len()];

/// The counters of several namespaces together; without allocating.
#[must_use]
pub fn totals<'a>(namespaces: impl IntoIterator<Item = &'a Counters>) -> Totals {
    let mut totals = [0; Counter::ALL.len()];
    for counters in namespaces {
        for (total, counter) in totals.iter_mut().zip(Counter::ALL) {
            *total = u64::saturating_add(*total, counter.of(counters));
        }
    }
    totals
}

#[cfg(test)]
mod tests {
    use super::*;
    use units::Nanos;

    #[test]
    fn totals_are_of_all_namespaces_in_the_order_of_counters() {
        let mut counters = Counters {
            host_reads: 1,
            flush_full: 2,
            flush_window: 3,
            host_write_sectors: u64::MAX - 1,
            ..Counters::default()
        };
        counters.read_latency.add(Nanos::new(40));
        counters.flush_latency.add(Nanos::new(5));
        counters.reset_latency.add(Nanos::new(7));
        let totals = totals([&counters, &counters]);
        let of = |wanted: Counter| {
            let place = Counter::ALL.iter().position(|counter| *counter == wanted);
            totals[place.unwrap()]
        };
        assert_eq!((of(Counter::HostReads), of(Counter::Flushes)), (2, 10));
        assert_eq!(of(Counter::HostWriteSectors), u64::MAX, "it saturates");
        assert_eq!(of(Counter::PagesGc), 0);
        let times = [
            Counter::HostReadTime,
            Counter::HostWriteTime,
            Counter::HostOtherTime,
        ];
        assert_eq!(times.map(of), [80, 0, 24]);
    }

    #[test]
    fn names_are_apart() {
        let mut names: Vec<_> = Counter::ALL.iter().map(|counter| counter.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Counter::ALL.len());
    }
}
