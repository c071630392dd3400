// SPDX-License-Identifier: GPL-2.0-or-later
//! Submission queue entries, ready to be given a command identifier and a data pointer.

use nvme_spec::{
    AdminOpcode, Cns, FeatureId, LogId, NvmOpcode, Sqe, WireZoneAction, ZoneReceiveAction,
    ZoneReportFilter,
};

/// An entry with nothing but opcode and namespace.
#[must_use]
pub fn plain(opcode: u8, nsid: u32) -> Sqe {
    Sqe {
        opcode,
        nsid,
        ..Sqe::default()
    }
}

/// An admin command with dwords 10 and 11.
#[must_use]
pub fn admin(opcode: AdminOpcode, nsid: u32, cdw10: u32, cdw11: u32) -> Sqe {
    Sqe {
        cdw: [cdw10, cdw11, 0, 0, 0, 0],
        ..plain(opcode.wire(), nsid)
    }
}

/// Create I/O Completion Queue; `vector` is `None` for one without interrupts.
#[must_use]
pub fn create_cq(id: u16, entries: u32, base: u64, vector: Option<u16>) -> Sqe {
    let interrupts = vector.map_or(0, |v| 2 | u32::from(v) << 16);
    Sqe {
        prp1: base,
        ..admin(
            AdminOpcode::CreateCq,
            0,
            u32::from(id) | entries.wrapping_sub(1) << 16,
            1 | interrupts,
        )
    }
}

/// Create I/O Submission Queue.
#[must_use]
pub fn create_sq(id: u16, entries: u32, base: u64, cq: u16) -> Sqe {
    Sqe {
        prp1: base,
        ..admin(
            AdminOpcode::CreateSq,
            0,
            u32::from(id) | entries.wrapping_sub(1) << 16,
            1 | u32::from(cq) << 16,
        )
    }
}

/// Identify.
#[must_use]
pub fn identify(cns: Cns, nsid: u32, command_set: u8) -> Sqe {
    admin(
        AdminOpcode::Identify,
        nsid,
        u32::from(cns.wire()),
        u32::from(command_set) << 24,
    )
}

/// Get Log Page of `bytes` bytes from `offset` on.
#[must_use]
pub fn log(id: LogId, nsid: u32, bytes: u32, offset: u32) -> Sqe {
    let dwords_z = bytes / 4 - 1;
    let mut sqe = admin(
        AdminOpcode::GetLogPage,
        nsid,
        u32::from(id.wire()) | dwords_z << 16,
        dwords_z >> 16,
    );
    sqe.cdw[2] = offset;
    sqe
}

/// Get Features; `select` as on the wire.
#[must_use]
pub fn get_feature(id: FeatureId, select: u8, nsid: u32, cdw11: u32) -> Sqe {
    let cdw10 = u32::from(id.wire()) | u32::from(select) << 8;
    admin(AdminOpcode::GetFeatures, nsid, cdw10, cdw11)
}

/// Set Features, without saving.
#[must_use]
pub fn set_feature(id: FeatureId, nsid: u32, cdw11: u32) -> Sqe {
    admin(AdminOpcode::SetFeatures, nsid, u32::from(id.wire()), cdw11)
}

/// Set Features of the Host Memory Buffer: EHM and MR, its memory pages, and a list of so many parts.
#[must_use]
pub fn host_buffer(flags: u32, pages: u32, list: u64, parts: u32) -> Sqe {
    let mut sqe = set_feature(FeatureId::HostMemoryBuffer, 0, flags);
    sqe.cdw[2..].copy_from_slice(&[pages, list as u32, (list >> 32) as u32, parts]);
    sqe
}

/// A command on `blocks` LBAs.
#[must_use]
pub fn blocks(opcode: NvmOpcode, nsid: u32, slba: u64, blocks: u32) -> Sqe {
    let mut sqe = plain(opcode.wire(), nsid);
    sqe.set_slba(slba);
    sqe.cdw[2] = blocks.wrapping_sub(1) & 0xffff;
    sqe
}

/// Zone Management Send.
#[must_use]
pub fn zone_send(nsid: u32, slba: u64, action: WireZoneAction, all: bool) -> Sqe {
    let mut sqe = plain(NvmOpcode::ZoneSend.wire(), nsid);
    sqe.set_slba(slba);
    sqe.cdw[3] = u32::from(action.wire()) | u32::from(all) << 8;
    sqe
}

/// Zone Management Receive of `bytes` bytes.
#[must_use]
pub fn zone_receive(
    nsid: u32,
    slba: u64,
    report: ZoneReceiveAction,
    filter: ZoneReportFilter,
    partial: bool,
    bytes: u32,
) -> Sqe {
    let mut sqe = plain(NvmOpcode::ZoneReceive.wire(), nsid);
    sqe.set_slba(slba);
    sqe.cdw[2] = bytes / 4 - 1;
    sqe.cdw[3] =
        u32::from(report.wire()) | u32::from(filter.wire()) << 8 | u32::from(partial) << 16;
    sqe
}
