// SPDX-License-Identifier: GPL-2.0-or-later
//! Controller registers (Base, section 3.1.3; doorbells: PCIe, section 3.1.2).

#![expect(
    missing_docs,
    reason = "bilge generates constructors without documentation"
)]

use bilge::prelude::*;

/// Byte offsets of the registers (Base, section 3.1.3, figure 35).
pub mod offset {
    /// Controller Capabilities, 8 bytes.
    pub const CAP: u64 = 0x00;
    /// Version.
    pub const VS: u64 = 0x08;
    /// Interrupt Mask Set.
    pub const INTMS: u64 = 0x0c;
    /// Interrupt Mask Clear.
    pub const INTMC: u64 = 0x10;
    /// Controller Configuration.
    pub const CC: u64 = 0x14;
    /// Controller Status.
    pub const CSTS: u64 = 0x1c;
    /// NVM Subsystem Reset.
    pub const NSSR: u64 = 0x20;
    /// Admin Queue Attributes.
    pub const AQA: u64 = 0x24;
    /// Admin Submission Queue Base Address, 8 bytes.
    pub const ASQ: u64 = 0x28;
    /// Admin Completion Queue Base Address, 8 bytes.
    pub const ACQ: u64 = 0x30;
    /// Controller Ready Timeouts.
    pub const CRTO: u64 = 0x68;
    /// First doorbell (PCIe, section 3.1.2, figure 4).
    pub const DOORBELLS: u64 = 0x1000;
}

/// VS of a controller that complies with revision 2.0 (Base, section 3.1.3.2, figure 43).
pub const VERSION_2_0: u32 = 0x0002_0000;

/// CAP: Controller Capabilities (Base, section 3.1.3.1, figure 36).
#[bitsize(64)]
#[derive(Clone, Copy, FromBits, DebugBits)]
pub struct Cap {
    /// MQES: most entries of a queue, zero-based.
    pub mqes_z: u16,
    /// CQR: queues must be physically contiguous.
    pub contiguous_queues: bool,
    /// AMS: arbitration mechanisms beyond round robin.
    pub arbitration: u2,
    reserved: u5,
    /// TO: longest wait for CSTS.RDY in 500 ms.
    pub timeout: u8,
    /// DSTRD: doorbell stride as a power of two of 4 bytes.
    pub doorbell_stride: u4,
    /// NSSRS: NVM subsystem reset supported.
    pub subsystem_reset: bool,
    /// CSS bit 0: NVM command set.
    pub css_nvm: bool,
    reserved: u5,
    /// CSS bit 6: one or more I/O command sets, Identify CNS 1Ch.
    pub css_io_sets: bool,
    /// CSS bit 7: no I/O command set.
    pub css_none: bool,
    /// BPS: boot partitions.
    pub boot_partitions: bool,
    /// CPS: controller power scope.
    pub power_scope: u2,
    /// MPSMIN: smallest memory page as a power of two of 4 KiB.
    pub page_min: u4,
    /// MPSMAX: largest memory page as a power of two of 4 KiB.
    pub page_max: u4,
    /// PMRS: persistent memory region.
    pub pmr: bool,
    /// CMBS: controller memory buffer.
    pub cmb: bool,
    /// NSSS: NVM subsystem shutdown.
    pub subsystem_shutdown: bool,
    /// CRMS.CRWMS: controller ready with media.
    pub ready_with_media: bool,
    /// CRMS.CRIMS: controller ready independent of media.
    pub ready_without_media: bool,
    reserved: u3,
}

/// CC: Controller Configuration (Base, section 3.1.3.5, figure 46).
#[bitsize(32)]
#[derive(Clone, Copy, FromBits, DebugBits)]
pub struct Cc {
    /// EN.
    pub enable: bool,
    reserved: u3,
    /// CSS: 0 NVM command set, 6 all supported I/O command sets, 7 admin only.
    pub command_set: u3,
    /// MPS: memory page size as a power of two of 4 KiB.
    pub page_size: u4,
    /// AMS: arbitration mechanism.
    pub arbitration: u3,
    /// SHN: 0 none, 1 normal, 2 abrupt shutdown.
    pub shutdown: u2,
    /// IOSQES: I/O submission queue entry size as a power of two.
    pub sqe_shift: u4,
    /// IOCQES: I/O completion queue entry size as a power of two.
    pub cqe_shift: u4,
    /// CRIME: controller ready independent of media enable.
    pub ready_without_media: bool,
    reserved: u7,
}

/// CSTS: Controller Status (Base, section 3.1.3.6, figure 47).
#[bitsize(32)]
#[derive(Clone, Copy, FromBits, DebugBits)]
pub struct Csts {
    /// RDY.
    pub ready: bool,
    /// CFS: Controller Fatal Status.
    pub fatal: bool,
    /// SHST: one of `SHST_NORMAL`, `SHST_OCCURRING`, `SHST_COMPLETE`.
    pub shutdown: u2,
    /// NSSRO.
    pub subsystem_reset: bool,
    /// PP.
    pub paused: bool,
    /// ST: shutdown type.
    pub subsystem_shutdown: bool,
    reserved: u25,
}

/// SHST: normal operation.
pub const SHST_NORMAL: u8 = 0;
/// SHST: shutdown processing occurring.
pub const SHST_OCCURRING: u8 = 1;
/// SHST: shutdown processing complete.
pub const SHST_COMPLETE: u8 = 2;

/// AQA: Admin Queue Attributes (Base, section 3.1.3.8, figure 49).
#[bitsize(32)]
#[derive(Clone, Copy, FromBits, DebugBits)]
pub struct Aqa {
    /// ASQS: entries of the admin submission queue, zero-based.
    pub sq_size_z: u12,
    reserved: u4,
    /// ACQS: entries of the admin completion queue, zero-based.
    pub cq_size_z: u12,
    reserved: u4,
}

/// CRTO: Controller Ready Timeouts in 500 ms (Base, section 3.1.3.21, figure 62).
#[bitsize(32)]
#[derive(Clone, Copy, FromBits, DebugBits)]
pub struct Crto {
    /// CRWMT: with media.
    pub with_media: u16,
    /// CRIMT: independent of media.
    pub without_media: u16,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_where_the_figures_put_them() {
        let cap =
            Cap::from((1 << 16) | (0x14 << 24) | (1 << 37) | (1 << 43) | (4 << 52) | (1 << 59));
        assert!(cap.contiguous_queues() && cap.css_nvm() && cap.css_io_sets());
        assert!(cap.ready_with_media() && !cap.ready_without_media());
        assert_eq!((cap.timeout(), cap.page_max().value()), (0x14, 4));
        let cc = Cc::from(0x0046_4061 | (1 << 24));
        assert!(cc.enable() && cc.ready_without_media());
        assert_eq!(cc.command_set().value(), 6);
        assert_eq!((cc.sqe_shift().value(), cc.cqe_shift().value()), (6, 4));
        assert_eq!(cc.shutdown().value(), 1);
        let aqa = Aqa::from(0x001f_003f);
        assert_eq!(
            (aqa.sq_size_z().value(), aqa.cq_size_z().value()),
            (0x3f, 0x1f)
        );
        assert_eq!(Csts::from(0b1001).shutdown().value(), SHST_COMPLETE);
    }
}
