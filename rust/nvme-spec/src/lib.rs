// SPDX-License-Identifier: GPL-2.0-or-later
//! NVMe wire formats: what lies in registers, queue entries, identify structures and log pages.
//!
//! Sources, cited on the items: NVM Express Base Specification 2.0 ("Base"), NVM Command Set
//! Specification 1.0 ("NVM"), Zoned Namespace Command Set Specification 1.1 ("ZNS"), NVMe over PCIe
//! Transport Specification 1.0 ("PCIe"), all of May 2021, and Technical Proposal 4076 ("TP 4076",
//! random write areas). Sections and figures have the numbers of these revisions; later ones move
//! some. Each item also gives the specification's own name or acronym, which stays.
//!
//! Registers and command dwords are bit fields ([`bilge`]), queue entries are arrays of
//! little-endian dwords, and the large, sparse structures (identify, logs) are plain structs that
//! encode themselves into a page. Zero-based wire fields end in `_z`. Both ends use this crate: the
//! controller decodes what the guest-side driver of the tests encodes.
//!
//! Not here: NVMe over Fabrics, metadata and protection information, directives, reservations,
//! namespace management, firmware download, and any behaviour.

#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing)]
#![warn(missing_docs)]

mod bytes;
mod command;
mod completion;
mod feature;
mod identify;
mod log;
mod opcode;
mod register;
mod sgl;
mod status;
mod zoned;

pub use command::{
    AbortCdw10, CopyCdw12, CopyRange, CreateCqCdw11, CreateQueueCdw10, CreateSqCdw11, DsmCdw10,
    DsmCdw11, DsmRange, FeatureCdw10, FormatCdw10, IdentifyCdw10, IdentifyCdw11, LogCdw10,
    LogCdw11, LogCdw14, ReadWriteCdw12, SanitizeAction, SanitizeCdw10, SelfTestCdw10, Sqe,
    ZoneReceiveCdw13, ZoneSendCdw13, COPY_RANGE_BYTES, DSM_RANGE_BYTES, SQE_BYTES,
};
pub use completion::{Cqe, CQE_BYTES};
pub use feature::{
    Arbitration, AsyncEventConfig, ErrorRecovery, FeatureId, FeatureSelect, HostMemoryBuffer,
    HostMemoryDescriptor, InterruptCoalescing, InterruptVectorConfig, QueueCount,
    TemperatureThreshold, HOST_MEMORY_DESCRIPTOR_BYTES,
};
pub use identify::{
    Cns, CommandSet, IdentifyController, IdentifyNamespace, IndependentNamespace, NamespaceIdType,
    NvmController, PowerStateDescriptor, ZonedNamespace, ZonedNamespaceZrwa, IDENTIFY_BYTES,
};
pub use log::{
    AsyncEvent, AsyncEventType, CommandEffects, ErrorLogEntry, LogId, SanitizeLog, SelfTestCode,
    SelfTestLog, SelfTestOutcome, SelfTestResult, SmartLog, ERROR_ENTRY_BYTES, SANITIZE_BYTES,
    SELF_TEST_BYTES, SELF_TEST_RESULTS, SELF_TEST_RESULT_BYTES, SMART_BYTES,
};
pub use opcode::{AdminOpcode, NvmOpcode};
pub use register::{
    offset, Aqa, Cap, Cc, Crto, Csts, SHST_COMPLETE, SHST_NORMAL, SHST_OCCURRING, VERSION_2_0,
};
pub use sgl::{SglDescriptor, SglType, SGL_BYTES};
pub use status::{Status, DNR, MORE};
pub use zoned::{
    WireZoneAction, WireZoneDescriptor, ZoneReceiveAction, ZoneReportFilter, REPORT_HEADER_BYTES,
    ZONE_DESCRIPTOR_BYTES,
};

/// Namespace identifier that means all namespaces (Base, section 3.2.1.2).
pub const NSID_ALL: u32 = 0xffff_ffff;
