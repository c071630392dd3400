// SPDX-License-Identifier: GPL-2.0-or-later
//! What happened to the drive since the last checkpoint, in 32 bytes each.
//!
//! ```text
//!   word 0  instant                    or 8 bytes of a zone's extension
//!   word 1  first sector, zone         or 8 more
//!   word 2  sectors << 16 | flags << 8 | operation
//!   word 3  check of these, the epoch and the number of the record
//! ```
//! A journal has no length: it ends before the first record whose check is not right. So a record that was not written to its
//! end does not count, and those of the epoch before fall out by themselves.

use crate::words;
use command::{Command, ZoneAction, ZoneTarget};
use ftl::Namespace;
use nvme::{NsIndex, SanitizeStatus, Sanitized};
use ssd::Recorded;
use units::{Instant, Sector, ZoneId};

/// Words of 64 bits of a record.
pub(crate) const WORDS: u64 = 4;

const READ: u8 = 1;
const WRITE: u8 = 2;
const APPEND: u8 = 3;
const FLUSH: u8 = 4;
const DEALLOCATE: u8 = 5;
const WRITE_ZEROES: u8 = 6;
const ZONE: u8 = 7;
const COMMIT: u8 = 8;
const POWER_CUT: u8 = 9;
const FORMAT: u8 = 10;
const FAILED: u8 = 11;
const EXTENSION: u8 = 12;
const NOTE: u8 = 13;
const UNCORRECTABLE: u8 = 14;
const SANITIZED: u8 = 15;
const LENT: u8 = 16;
const SPOILT: u8 = 17;

const DATA: u8 = 1;
const FUA: u8 = 2;
const INTERNAL: u8 = 4;
const ALL: u8 = 8;
const OFFLINE: u8 = 16;
const SET: u8 = 32;

/// A record's fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Fields {
    op: u8,
    flags: u8,
    at: u64,
    place: u64,
    /// Less than 2^48.
    count: u64,
}

impl Fields {
    fn words(self) -> [u64; 3] {
        let packed = self.count << 16 | u64::from(self.flags) << 8 | u64::from(self.op);
        [self.at, self.place, packed]
    }

    const fn of([at, place, packed]: [u64; 3]) -> Self {
        Self {
            op: packed as u8,
            flags: (packed >> 8) as u8,
            at,
            place,
            count: packed >> 16,
        }
    }
}

/// A record, as number `index` of an epoch.
#[must_use]
pub(crate) fn encode(what: &Recorded, epoch: u64, index: u64) -> [u64; 4] {
    let words = fields(what).words();
    let [a, b, c] = words;
    [a, b, c, check(words, epoch, index)]
}

/// The record that is number `index` of an epoch, if this is it.
#[must_use]
pub(crate) fn decode([a, b, c, sum]: [u64; 4], epoch: u64, index: u64) -> Option<Recorded> {
    let words = [a, b, c];
    (check(words, epoch, index) == sum).then_some(())?;
    record(words)
}

/// What words 0 to 2 of a record say, if that is something.
#[must_use]
pub fn record(words: [u64; 3]) -> Option<Recorded> {
    recorded(Fields::of(words))
}

fn fields(what: &Recorded) -> Fields {
    let flag = |is: bool, flag: u8| if is { flag } else { 0 };
    match *what {
        Recorded::Command { ns, command, at } => {
            let fields = of_command(&command);
            let data = flag(ns == Namespace::Data, DATA);
            Fields {
                at: at.as_nanos(),
                flags: fields.flags | data,
                ..fields
            }
        }
        Recorded::PowerCut(at) => Fields {
            op: POWER_CUT,
            at: at.as_nanos(),
            ..Fields::default()
        },
        Recorded::Note { at, number } => Fields {
            op: NOTE,
            at: at.as_nanos(),
            place: number,
            ..Fields::default()
        },
        Recorded::Format { ns, format } => Fields {
            op: FORMAT,
            place: ns.0.into(),
            count: format.into(),
            ..Fields::default()
        },
        Recorded::Failed { zone, offline } => Fields {
            op: FAILED,
            flags: flag(offline, OFFLINE),
            place: zone.get().into(),
            ..Fields::default()
        },
        Recorded::Uncorrectable {
            ns,
            at,
            sectors,
            is_set,
        } => Fields {
            op: UNCORRECTABLE,
            flags: flag(is_set, SET),
            at: ns.0.into(),
            place: at.get(),
            count: sectors,
        },
        Recorded::Sanitized(to) => Fields {
            op: SANITIZED,
            flags: 0,
            at: to.since.as_nanos(),
            place: u64::from(to.pattern) | u64::from(to.dword10) << 32,
            count: to.status as u64 | u64::from(to.erases) << 8 | u64::from(to.programs) << 16,
        },
        Recorded::Lent { slots, is_kept } => Fields {
            op: LENT,
            flags: flag(is_kept, SET),
            count: slots.into(),
            ..Fields::default()
        },
        Recorded::Spoilt { slot, pieces } => Fields {
            op: SPOILT,
            place: pieces,
            count: slot.into(),
            ..Fields::default()
        },
        Recorded::Extension { zone, at, bytes } => {
            let [at_word, place] = words(&bytes);
            Fields {
                op: EXTENSION,
                flags: 0,
                at: at_word,
                place,
                // A zone's extension has at most 255 x 4 such parts.
                count: u64::from(zone.get()) << 16 | at as u64 & 0xffff,
            }
        }
    }
}

fn of_command(command: &Command) -> Fields {
    let flag = |is: bool, flag: u8| if is { flag } else { 0 };
    let (op, flags, place, count) = match *command {
        Command::Read {
            at,
            sectors,
            internal,
        } => (READ, flag(internal, INTERNAL), at, sectors),
        Command::Write {
            at,
            sectors,
            fua,
            internal,
        } => {
            let flags = flag(fua, FUA) | flag(internal, INTERNAL);
            (WRITE, flags, at, sectors)
        }
        Command::Append { zone, sectors, fua } => (APPEND, flag(fua, FUA), zone, sectors),
        Command::Flush => (FLUSH, 0, Sector::new(0), 0),
        Command::Deallocate { at, sectors } => (DEALLOCATE, 0, at, sectors),
        Command::WriteZeroes { at, sectors, fua } => (WRITE_ZEROES, flag(fua, FUA), at, sectors),
        Command::CommitZrwa { end } => (COMMIT, 0, end, 0),
        Command::Zone { action, target } => {
            let number = ZoneAction::ALL
                .iter()
                .position(|a| *a == action)
                .unwrap_or(0) as u64;
            match target {
                ZoneTarget::One(zone) => (ZONE, 0, zone, number),
                ZoneTarget::All => (ZONE, ALL, Sector::new(0), number),
            }
        }
    };
    Fields {
        op,
        flags,
        at: 0,
        place: place.get(),
        count,
    }
}

fn recorded(fields: Fields) -> Option<Recorded> {
    let Fields {
        op,
        flags,
        at,
        place,
        count,
    } = fields;
    let is = |flag: u8| flags & flag != 0;
    let (sector, sectors) = (Sector::new(place), count);
    let command = match op {
        READ => Command::Read {
            at: sector,
            sectors,
            internal: is(INTERNAL),
        },
        WRITE => Command::Write {
            at: sector,
            sectors,
            fua: is(FUA),
            internal: is(INTERNAL),
        },
        APPEND => Command::Append {
            zone: sector,
            sectors,
            fua: is(FUA),
        },
        FLUSH => Command::Flush,
        DEALLOCATE => Command::Deallocate {
            at: sector,
            sectors,
        },
        WRITE_ZEROES => Command::WriteZeroes {
            at: sector,
            sectors,
            fua: is(FUA),
        },
        COMMIT => Command::CommitZrwa { end: sector },
        ZONE => Command::Zone {
            action: *ZoneAction::ALL.get(usize::try_from(count).ok()?)?,
            target: if is(ALL) {
                ZoneTarget::All
            } else {
                ZoneTarget::One(sector)
            },
        },
        POWER_CUT => return Some(Recorded::PowerCut(Instant::from_nanos(at))),
        NOTE => {
            return Some(Recorded::Note {
                at: Instant::from_nanos(at),
                number: place,
            })
        }
        FORMAT => {
            return Some(Recorded::Format {
                ns: NsIndex(u8::try_from(place).ok()?),
                format: u8::try_from(count).ok()?,
            })
        }
        FAILED => {
            return Some(Recorded::Failed {
                zone: ZoneId::new(u32::try_from(place).ok()?),
                offline: is(OFFLINE),
            })
        }
        UNCORRECTABLE => {
            return Some(Recorded::Uncorrectable {
                ns: NsIndex(u8::try_from(at).ok()?),
                at: sector,
                sectors,
                is_set: is(SET),
            })
        }
        SANITIZED => {
            let [status, erases, programs, ..] = count.to_le_bytes();
            return Some(Recorded::Sanitized(Sanitized {
                status: *SanitizeStatus::ALL.get(usize::from(status))?,
                dword10: (place >> 32) as u32,
                pattern: place as u32,
                since: Instant::from_nanos(at),
                erases,
                programs,
            }));
        }
        LENT => {
            return Some(Recorded::Lent {
                slots: u32::try_from(count).ok()?,
                is_kept: is(SET),
            });
        }
        SPOILT => {
            return Some(Recorded::Spoilt {
                slot: u32::try_from(count).ok()?,
                pieces: place,
            });
        }
        EXTENSION => {
            let mut bytes = [0; 16];
            let (low, high) = bytes.split_at_mut(8);
            low.copy_from_slice(&at.to_le_bytes());
            high.copy_from_slice(&place.to_le_bytes());
            return Some(Recorded::Extension {
                zone: ZoneId::new(u32::try_from(count >> 16).ok()?),
                at: (count & 0xffff) as usize,
                bytes,
            });
        }
        _ => return None,
    };
    Some(Recorded::Command {
        ns: if is(DATA) {
            Namespace::Data
        } else {
            Namespace::Meta
        },
        command,
        at: Instant::from_nanos(at),
    })
}

/// Word 3 of a record: finds what was written in part, or belongs to another epoch; a few nanoseconds.
#[must_use]
pub fn check(words: [u64; 3], epoch: u64, index: u64) -> u64 {
    // The finalizer of MurmurHash3 (Appleby), word by word.
    let mix = |hash: u64| {
        let hash = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
        let hash = (hash ^ hash >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        hash ^ hash >> 33
    };
    let seed = mix(epoch.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ index);
    words
        .into_iter()
        .fold(seed, |hash, word| mix(hash ^ word).wrapping_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One of each.
    fn all() -> Vec<Recorded> {
        let at = Sector::new(0x1234_5678_9abc);
        let commands = [
            Command::Read {
                at,
                sectors: 8,
                internal: true,
            },
            Command::Write {
                at,
                sectors: 1 << 40,
                fua: true,
                internal: false,
            },
            Command::Append {
                zone: at,
                sectors: 9,
                fua: false,
            },
            Command::Flush,
            Command::Deallocate { at, sectors: 1 },
            Command::WriteZeroes {
                at,
                sectors: 77,
                fua: true,
            },
            Command::CommitZrwa { end: at },
        ];
        let zones = ZoneAction::ALL.into_iter().flat_map(|action| {
            [ZoneTarget::One(at), ZoneTarget::All].map(|target| Command::Zone { action, target })
        });
        let commands = commands.into_iter().chain(zones).enumerate();
        let mut all: Vec<_> = commands
            .map(|(i, command)| Recorded::Command {
                ns: [Namespace::Meta, Namespace::Data][i % 2],
                command,
                at: Instant::from_nanos(u64::MAX - i as u64),
            })
            .collect();
        all.push(Recorded::PowerCut(Instant::from_nanos(5)));
        all.push(Recorded::Note {
            at: Instant::from_nanos(6),
            number: u64::MAX,
        });
        all.push(Recorded::Format {
            ns: NsIndex(1),
            format: 1,
        });
        all.extend([true, false].map(|offline| Recorded::Failed {
            zone: ZoneId::new(7),
            offline,
        }));
        all.extend([true, false].map(|is_set| Recorded::Uncorrectable {
            ns: NsIndex(1),
            at: Sector::new(0x1234_5678_9abc),
            sectors: 0xffff,
            is_set,
        }));
        all.extend(SanitizeStatus::ALL.map(|status| {
            Recorded::Sanitized(Sanitized {
                status,
                dword10: 0x3ff,
                pattern: u32::MAX,
                since: Instant::from_nanos(u64::MAX),
                erases: 16,
                programs: 15,
            })
        }));
        all.extend([true, false].map(|is_kept| Recorded::Lent {
            slots: 1 << 18,
            is_kept,
        }));
        all.push(Recorded::Spoilt {
            slot: u32::MAX,
            pieces: u64::MAX,
        });
        all.push(Recorded::Extension {
            zone: ZoneId::new(u32::MAX),
            at: 1019,
            bytes: *b"0123456789abcdef",
        });
        all
    }

    #[test]
    fn every_record_reads_back() {
        for (i, what) in (0..).zip(all()) {
            let words = encode(&what, 3, i);
            assert_eq!(decode(words, 3, i), Some(what));
            assert_eq!(decode(words, 4, i), None, "of another epoch");
            assert_eq!(decode(words, 3, i + 1), None, "of another place");
            for bit in 0..256 {
                let mut torn = words;
                torn[bit / 64] ^= 1 << (bit % 64);
                assert_eq!(decode(torn, 3, i), None, "with bit {bit} flipped");
            }
        }
        assert_eq!(decode([0; 4], 0, 0), None);
    }
}
