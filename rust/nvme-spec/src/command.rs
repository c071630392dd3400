// SPDX-License-Identifier: GPL-2.0-or-later
//! Submission queue entries and the bit fields of the commands' dwords.

#![expect(
    missing_docs,
    reason = "bilge generates constructors without documentation"
)]

use bilge::prelude::*;

use crate::bytes::{get, wire_enum};

/// Size of a submission queue entry in bytes.
pub const SQE_BYTES: usize = 64;

/// A submission queue entry (Base, section 3.3.3.1, figures 86 and 87).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sqe {
    /// OPC.
    pub opcode: u8,
    /// FUSE, PSDT and reserved bits: byte 1.
    pub flags: u8,
    /// CID.
    pub cid: u16,
    /// NSID.
    pub nsid: u32,
    /// Dwords 2 and 3.
    pub cdw2: u64,
    /// MPTR.
    pub metadata: u64,
    /// DPTR, first half: PRP1, or the SGL descriptor's address.
    pub prp1: u64,
    /// DPTR, second half: PRP2, or the SGL descriptor's length, type and identifier.
    pub prp2: u64,
    /// Dwords 10 to 15.
    pub cdw: [u32; 6],
}

impl Sqe {
    /// Decodes an entry.
    #[must_use]
    pub fn decode(bytes: &[u8; SQE_BYTES]) -> Self {
        let [opcode, flags, ..] = *bytes;
        let dword = |offset| u32::from_le_bytes(get(bytes, offset));
        let qword = |offset| u64::from_le_bytes(get(bytes, offset));
        Self {
            opcode,
            flags,
            cid: u16::from_le_bytes(get(bytes, 2)),
            nsid: dword(4),
            cdw2: qword(8),
            metadata: qword(16),
            prp1: qword(24),
            prp2: qword(32),
            cdw: [
                dword(40),
                dword(44),
                dword(48),
                dword(52),
                dword(56),
                dword(60),
            ],
        }
    }

    /// The entry as it lies in memory.
    #[must_use]
    pub fn encode(&self) -> [u8; SQE_BYTES] {
        let mut bytes = [0; SQE_BYTES];
        let head = u32::from(self.opcode) | u32::from(self.flags) << 8 | u32::from(self.cid) << 16;
        crate::bytes::put(&mut bytes, 0, &head.to_le_bytes());
        crate::bytes::put(&mut bytes, 4, &self.nsid.to_le_bytes());
        for (offset, value) in [
            (8, self.cdw2),
            (16, self.metadata),
            (24, self.prp1),
            (32, self.prp2),
        ] {
            crate::bytes::put(&mut bytes, offset, &value.to_le_bytes());
        }
        for (i, dword) in self.cdw.iter().enumerate() {
            crate::bytes::put(&mut bytes, 40 + 4 * i, &dword.to_le_bytes());
        }
        bytes
    }

    /// FUSE: 0 for a command of its own.
    #[must_use]
    pub const fn fuse(&self) -> u8 {
        self.flags & 3
    }

    /// PSDT: 0 PRPs, 1 and 2 SGLs.
    #[must_use]
    pub const fn psdt(&self) -> u8 {
        self.flags >> 6
    }

    /// Command dword 10.
    #[must_use]
    pub const fn cdw10(&self) -> u32 {
        self.cdw[0]
    }

    /// Command dword 11.
    #[must_use]
    pub const fn cdw11(&self) -> u32 {
        self.cdw[1]
    }

    /// Command dword 12.
    #[must_use]
    pub const fn cdw12(&self) -> u32 {
        self.cdw[2]
    }

    /// Command dword 13.
    #[must_use]
    pub const fn cdw13(&self) -> u32 {
        self.cdw[3]
    }

    /// Command dword 14.
    #[must_use]
    pub const fn cdw14(&self) -> u32 {
        self.cdw[4]
    }

    /// Command dword 15.
    #[must_use]
    pub const fn cdw15(&self) -> u32 {
        self.cdw[5]
    }

    /// Dwords 10 and 11 as one number: a starting LBA.
    #[must_use]
    pub const fn slba(&self) -> u64 {
        self.cdw[0] as u64 | (self.cdw[1] as u64) << 32
    }

    /// Sets dwords 10 and 11 to a starting LBA.
    pub fn set_slba(&mut self, slba: u64) {
        let [low, high, ..] = &mut self.cdw;
        *low = slba as u32;
        *high = (slba >> 32) as u32;
    }
}

/// Create and Delete I/O queue, dword 10 (Base, sections 5.4 to 5.7, figures 155, 159, 163, 165).
#[bitsize(32)]
#[derive(Clone, Copy, FromBits, DebugBits)]
pub struct CreateQueueCdw10 {
    /// QID.
    pub id: u16,
    /// QSIZE, zero-based.
    pub size_z: u16,
}

/// Create I/O Completion Queue, dword 11 (Base, section 5.4, figure 156; PCIe, section 3.2,
/// figure 7).
#[bitsize(32)]
#[derive(Clone, Copy, FromBits, DebugBits)]
pub struct CreateCqCdw11 {
    /// PC.
    pub contiguous: bool,
    /// IEN.
    pub interrupts: bool,
    reserved: u14,
    /// IV.
    pub vector: u16,
}

/// Create I/O Submission Queue, dword 11 (Base, section 5.5, figure 160).
#[bitsize(32)]
#[derive(Clone, Copy, FromBits, DebugBits)]
pub struct CreateSqCdw11 {
    /// PC.
    pub contiguous: bool,
    /// QPRIO.
    pub priority: u2,
    reserved: u13,
    /// CQID.
    pub cq: u16,
}

/// Abort, dword 10 (Base, section 5.1, figure 140).
#[bitsize(32)]
#[derive(Clone, Copy, FromBits, DebugBits)]
pub struct AbortCdw10 {
    /// SQID.
    pub sq: u16,
    /// CID.
    pub cid: u16,
}

/// Identify, dword 10 (Base, section 5.17, figure 270).
#[bitsize(32)]
#[derive(Clone, Copy, FromBits, DebugBits)]
pub struct IdentifyCdw10 {
    /// CNS.
    pub cns: u8,
    reserved: u8,
    /// CNTID.
    pub controller: u16,
}

/// Identify, dword 11 (Base, section 5.17, figure 271).
#[bitsize(32)]
#[derive(Clone, Copy, FromBits, DebugBits)]
pub struct IdentifyCdw11 {
    /// CNS specific identifier.
    pub specific: u16,
    reserved: u8,
    /// CSI.
    pub command_set: u8,
}

/// Get Log Page, dword 10 (Base, section 5.16, figure 197).
#[bitsize(32)]
#[derive(Clone, Copy, FromBits, DebugBits)]
pub struct LogCdw10 {
    /// LID.
    pub id: u8,
    /// LSP.
    pub specific: u7,
    /// RAE: Retain Asynchronous Event.
    pub retain_event: bool,
    /// NUMDL: low half of the zero-based number of dwords.
    pub dwords_low_z: u16,
}

/// Get Log Page, dword 11 (Base, section 5.16, figure 198).
#[bitsize(32)]
#[derive(Clone, Copy, FromBits, DebugBits)]
pub struct LogCdw11 {
    /// NUMDU: high half of the zero-based number of dwords.
    pub dwords_high_z: u16,
    /// LSI.
    pub specific_id: u16,
}

/// Get Log Page, dword 14 (Base, section 5.16, figure 201).
#[bitsize(32)]
#[derive(Clone, Copy, FromBits, DebugBits)]
pub struct LogCdw14 {
    /// UUID Index.
    pub uuid: u7,
    reserved: u16,
    /// OT: the offset counts entries, not bytes.
    pub offset_is_index: bool,
    /// CSI.
    pub command_set: u8,
}

/// Get and Set Features, dword 10 (Base, sections 5.15 and 5.27, figures 192 and 314).
#[bitsize(32)]
#[derive(Clone, Copy, FromBits, DebugBits)]
pub struct FeatureCdw10 {
    /// FID.
    pub id: u8,
    /// SEL (Get Features).
    pub select: u3,
    reserved: u20,
    /// SV (Set Features).
    pub save: bool,
}

/// Format NVM, dword 10 (Base, section 5.14, figure 189; NVM, section 4.1.2, figure 78).
#[bitsize(32)]
#[derive(Clone, Copy, FromBits, DebugBits)]
pub struct FormatCdw10 {
    /// LBAF, low bits.
    pub format_low: u4,
    /// MSET.
    pub metadata_in_lba: bool,
    /// PI.
    pub protection: u3,
    /// PIL.
    pub protection_first: bool,
    /// SES: 0 none, 1 user data erase, 2 cryptographic erase.
    pub secure_erase: u3,
    /// LBAF, high bits.
    pub format_high: u2,
    reserved: u18,
}

/// Device Self-test, dword 10 (Base, section 5.9, figure 171).
#[bitsize(32)]
#[derive(Clone, Copy, FromBits, DebugBits)]
pub struct SelfTestCdw10 {
    /// STC, one of [`crate::SelfTestCode`].
    pub code: u4,
    reserved: u28,
}

/// Sanitize, dword 10 (Base, section 5.24, figure 303).
#[bitsize(32)]
#[derive(Clone, Copy, FromBits, DebugBits)]
pub struct SanitizeCdw10 {
    /// SANACT, one of [`SanitizeAction`].
    pub action: u3,
    /// AUSE: a failure may be left by Exit Failure Mode.
    pub unrestricted: bool,
    /// OWPASS: passes of an overwrite, 0 for 16.
    pub passes: u4,
    /// OIPBP: the pattern is inverted between passes; the last one has it as it is.
    pub inverts: bool,
    /// NDAS: logical blocks stay allocated.
    pub keeps_allocated: bool,
    reserved: u22,
}

wire_enum! {
    /// SANACT of Sanitize (Base, section 5.24, figure 303).
    SanitizeAction: u8 {
        /// Exit Failure Mode.
        ExitFailureMode = 1,
        /// Start a Block Erase sanitize operation.
        BlockErase = 2,
        /// Start an Overwrite sanitize operation.
        Overwrite = 3,
        /// Start a Crypto Erase sanitize operation.
        CryptoErase = 4,
    }
}

/// Read, Write, Compare, Verify, Write Zeroes, Zone Append, dword 12 (NVM, section 3.2,
/// figures 48, 63, 23, 55, 73; ZNS, section 3.4.1, figure 26).
#[bitsize(32)]
#[derive(Clone, Copy, FromBits, DebugBits)]
pub struct ReadWriteCdw12 {
    /// NLB, zero-based.
    pub blocks_z: u16,
    reserved: u4,
    /// DTYPE.
    pub directive: u4,
    /// STC.
    pub storage_tag_check: bool,
    /// DEAC (Write Zeroes).
    pub deallocate: bool,
    /// PRINFO.
    pub protection: u4,
    /// FUA.
    pub fua: bool,
    /// LR.
    pub limited_retry: bool,
}

/// Dataset Management, dword 10 (NVM, section 3.2.3, figure 39).
#[bitsize(32)]
#[derive(Clone, Copy, FromBits, DebugBits)]
pub struct DsmCdw10 {
    /// NR, zero-based.
    pub ranges_z: u8,
    reserved: u24,
}

/// Dataset Management, dword 11 (NVM, section 3.2.3, figure 40).
#[bitsize(32)]
#[derive(Clone, Copy, FromBits, DebugBits)]
pub struct DsmCdw11 {
    /// IDR.
    pub integral_read: bool,
    /// IDW.
    pub integral_write: bool,
    /// AD.
    pub deallocate: bool,
    reserved: u29,
}

/// Size of one range of Dataset Management in bytes.
pub const DSM_RANGE_BYTES: usize = 16;

/// A range of Dataset Management (NVM, section 3.2.3, figure 41).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DsmRange {
    /// Starting LBA.
    pub slba: u64,
    /// Length in LBAs.
    pub blocks: u32,
}

impl DsmRange {
    /// Decodes a range; context attributes are hints and are dropped.
    #[must_use]
    pub fn decode(bytes: &[u8; DSM_RANGE_BYTES]) -> Self {
        Self {
            slba: u64::from_le_bytes(get(bytes, 8)),
            blocks: u32::from_le_bytes(get(bytes, 4)),
        }
    }

    /// The range as it lies in memory.
    #[must_use]
    pub fn encode(&self) -> [u8; DSM_RANGE_BYTES] {
        (u128::from(self.slba) << 64 | u128::from(self.blocks) << 32).to_le_bytes()
    }
}

/// Copy, dword 12 (NVM, section 3.2.2, figure 30).
#[bitsize(32)]
#[derive(Clone, Copy, FromBits, DebugBits)]
pub struct CopyCdw12 {
    /// NR, zero-based.
    pub ranges_z: u8,
    /// DESFMT.
    pub format: u4,
    /// PRINFOR.
    pub protection_read: u4,
    reserved: u4,
    /// DTYPE.
    pub directive: u4,
    /// STCW.
    pub storage_tag_check_write: bool,
    reserved: u1,
    /// PRINFOW.
    pub protection_write: u4,
    /// FUA.
    pub fua: bool,
    /// LR.
    pub limited_retry: bool,
}

/// Size of one source range of Copy, format 0, in bytes.
pub const COPY_RANGE_BYTES: usize = 32;

/// A source range of Copy, descriptor format 0 (NVM, section 3.2.2, figure 34).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyRange {
    /// Starting LBA.
    pub slba: u64,
    /// Number of LBAs, zero-based.
    pub blocks_z: u16,
}

impl CopyRange {
    /// Decodes a range.
    #[must_use]
    pub fn decode(bytes: &[u8; COPY_RANGE_BYTES]) -> Self {
        Self {
            slba: u64::from_le_bytes(get(bytes, 8)),
            blocks_z: u16::from_le_bytes(get(bytes, 16)),
        }
    }

    /// The range as it lies in memory.
    #[must_use]
    pub fn encode(&self) -> [u8; COPY_RANGE_BYTES] {
        let mut bytes = [0; COPY_RANGE_BYTES];
        crate::bytes::put(&mut bytes, 8, &self.slba.to_le_bytes());
        crate::bytes::put(&mut bytes, 16, &self.blocks_z.to_le_bytes());
        bytes
    }
}

/// Zone Management Send, dword 13 (ZNS, section 3.4.3, figure 39).
#[bitsize(32)]
#[derive(Clone, Copy, FromBits, DebugBits)]
pub struct ZoneSendCdw13 {
    /// ZSA.
    pub action: u8,
    /// Select All.
    pub all: bool,
    /// ZSASO: for Open Zone, allocate a Zone Random Write Area (TP 4076).
    pub option: bool,
    reserved: u22,
}

/// Zone Management Receive, dword 13 (ZNS, section 3.4.2, figure 34).
#[bitsize(32)]
#[derive(Clone, Copy, FromBits, DebugBits)]
pub struct ZoneReceiveCdw13 {
    /// ZRA: 0 Report Zones, 1 Extended Report Zones.
    pub action: u8,
    /// ZRASF: reporting option.
    pub filter: u8,
    /// Partial Report.
    pub partial: bool,
    reserved: u15,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_survive_a_round_trip_and_lie_as_specified() {
        let mut sqe = Sqe {
            opcode: 0x02,
            flags: 0x41,
            cid: 0xbeef,
            nsid: 7,
            prp1: 0x1000,
            prp2: 0x2000,
            ..Sqe::default()
        };
        sqe.set_slba(0x1_0000_0002);
        sqe.cdw[2] = 7 | 1 << 30;
        let bytes = sqe.encode();
        assert_eq!(bytes[..8], [0x02, 0x41, 0xef, 0xbe, 7, 0, 0, 0]);
        assert_eq!(bytes[40..48], 0x1_0000_0002_u64.to_le_bytes());
        let back = Sqe::decode(&bytes);
        assert_eq!(back, sqe);
        assert_eq!(
            (back.fuse(), back.psdt(), back.slba()),
            (1, 1, 0x1_0000_0002)
        );
        let rw = ReadWriteCdw12::from(back.cdw12());
        assert!(rw.fua() && !rw.limited_retry());
        assert_eq!(rw.blocks_z(), 7);
    }

    #[test]
    fn ranges_survive_a_round_trip() {
        let range = DsmRange {
            slba: 0x1122_3344_5566,
            blocks: 9,
        };
        assert_eq!(range.encode()[4..8], 9_u32.to_le_bytes());
        assert_eq!(DsmRange::decode(&range.encode()), range);
        let range = CopyRange {
            slba: 77,
            blocks_z: 3,
        };
        assert_eq!(CopyRange::decode(&range.encode()), range);
    }

    #[test]
    fn dword_fields_are_where_the_figures_put_them() {
        let send = ZoneSendCdw13::from(0x304);
        assert_eq!(send.action(), 4);
        assert!(send.all() && send.option());
        let receive = ZoneReceiveCdw13::from(0x1_0301);
        assert_eq!((receive.action(), receive.filter()), (1, 3));
        assert!(receive.partial());
        let log = LogCdw10::from(0x03ff_8002);
        assert_eq!((log.id(), log.dwords_low_z()), (2, 0x3ff));
        assert!(log.retain_event());
        assert_eq!(LogCdw14::from(0x0200_0000).command_set(), 2);
        let feature = FeatureCdw10::from(0x8000_0306);
        assert_eq!((feature.id(), feature.select().value()), (6, 3));
        assert!(feature.save());
        let format = FormatCdw10::from(0x1201);
        assert_eq!(
            (format.format_low().value(), format.secure_erase().value()),
            (1, 1)
        );
        assert_eq!(format.format_high().value(), 1);
        let sanitize = SanitizeCdw10::from(0x03ab);
        assert_eq!(
            (sanitize.action().value(), sanitize.passes().value()),
            (3, 10)
        );
        assert!(sanitize.unrestricted() && sanitize.inverts() && sanitize.keeps_allocated());
        let copy = CopyCdw12::from(0x4000_0103);
        assert_eq!((copy.ranges_z(), copy.format().value()), (3, 1));
        assert!(copy.fua());
        assert!(DsmCdw11::from(4).deallocate());
        let cq = CreateCqCdw11::from(0x0005_0003);
        assert!(cq.contiguous() && cq.interrupts());
        assert_eq!(cq.vector(), 5);
        assert_eq!(CreateSqCdw11::from(0x0002_0005).cq(), 2);
    }
}
