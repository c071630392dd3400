// SPDX-License-Identifier: GPL-2.0-or-later
//! Identify and log pages to the byte, against the figures of the specifications (Base 2.0, NVM Command Set 1.0, Zoned
//! Namespace Command Set 1.1). A byte that no field accounts for is a failure, whatever it says.

use nvme_spec::{Cns, CommandSet, LogId};
use testkit::{command, FakeDrive, Guest};

use crate::{assert_ok, guest, pattern, DATA, META, SHIFT};

/// Offset and bytes of a field, zeroes at its end left out.
type Field<'a> = (usize, &'a [u8]);

/// All of a page that is not zero is in these fields.
#[track_caller]
fn assert_page(name: &str, mut page: Vec<u8>, fields: &[Field<'_>]) {
    for (at, bytes) in fields {
        let place = &mut page[*at..at + bytes.len()];
        assert_eq!(place, *bytes, "{name}, byte {at}");
        place.fill(0);
    }
    let rest = page.iter().position(|byte| *byte != 0);
    assert_eq!(rest, None, "{name}: a byte of no field");
}

fn identify(guest: &mut Guest<FakeDrive>, cns: Cns, nsid: u32, set: CommandSet) -> Vec<u8> {
    crate::identify(guest, cns, nsid, set.wire())
}

fn log(guest: &mut Guest<FakeDrive>, id: LogId, nsid: u32, set: CommandSet, bytes: u32) -> Vec<u8> {
    let mut sqe = command::log(id, nsid, bytes, 0);
    sqe.cdw[4] = u32::from(set.wire()) << 24;
    let (cqe, page) = guest.receive(0, sqe, bytes as usize);
    assert_ok(cqe);
    page
}

/// Base, figures 275 and 276.
#[test]
fn identify_controller() {
    let mut guest = guest(0);
    let mut page = identify(&mut guest, Cns::Controller, 0, CommandSet::Nvm);
    page[768..1024].fill(0); // SUBNQN: a UUID of the serial number's.
    let fields: &[Field<'_>] = &[
        (0, &[0xf4, 0x1a, 0xf4, 0x1a]), // VID, SSVID
        (4, b"conzone             "),   // SN
        (24, b"ConZone NVMe                            0.1     "), // MN, FR
        (72, &[6, 0, 0x54, 0x52]),      // RAB, IEEE
        (77, &[6, 1, 0, 0, 0, 2]),      // MDTS, CNTLID, VER
        (92, &[0, 0, 0, 8]),            // OAES: zone descriptors
        (111, &[1]),                    // CNTRLTYPE: I/O
        (256, &[0x12, 1, 3, 3, 3, 0x26, 63]), // OACS, ACL, AERL, FRMW, LPA, ELPE
        (266, &[0x57, 1, 0x66, 1]),     // WCTEMP, CCTEMP
        (280, &[0, 0, 0xa0]),           // TNVMCAP: 4 MiB and 8 x 768 KiB
        (316, &[1, 0, 1]),              // EDSTT: a minute; DSTO
        (328, &[7, 0, 0, 0x80]),        // SANICAP: all three ways; NODMMAS 10b
        (512, &[0x66, 0x44]),           // SQES, CQES
        (516, &[2]),                    // NN
        (520, &[0xdf, 1]),              // ONCS
        (524, &[4, 7]),                 // FNA, VWC
        (534, &[1]),                    // OCFS
        (536, &[1, 0, 5]),              // SGLS: any alignment, bit bucket, longer than data
        (2048, &[0xf4, 1]),             // PSD0: 5 W
    ];
    assert_page("Identify Controller", page, fields);
}

/// NVM, figures 97 and 98.
#[test]
fn identify_namespace() {
    let mut guest = guest(0);
    let blocks = |n: u16| n.to_le_bytes();
    let namespaces = [
        (META, blocks(1024), blocks(1024), 0x40, 1, 2),
        (DATA, blocks(2048), blocks(8 * 192), 0x60, 3, 4),
    ];
    for (nsid, size, capacity, mib, eui64, nguid) in namespaces {
        let page = identify(&mut guest, Cns::Namespace, nsid, CommandSet::Nvm);
        let fields: &[Field<'_>] = &[
            (0, &size),                      // NSZE
            (8, &capacity),                  // NCAP
            (16, &capacity),                 // NUSE
            (24, &[0x14, 1, 1]),             // NSFEAT: DAE, OPTPERF; NLBAF, FLBAS
            (33, &[9]),                      // DLFEAT: reads as zeroes; Write Zeroes deallocates
            (50, &[mib]),                    // NVMCAP, of which these are units of 64 KiB
            (64, &[15, 0, 15]),              // NPWG, NPWA
            (72, &[15]),                     // NOWS
            (74, &[64, 0, 0, 1, 0, 0, 127]), // MSSRL, MCL, MSRC
            (104, &[nguid; 16]),             // NGUID
            (120, &[eui64; 8]),              // EUI64
            (130, &[9]),                     // LBAF0
            (134, &[12]),                    // LBAF1
        ];
        assert_page("Identify Namespace", page, fields);
        let page = identify(&mut guest, Cns::IndependentNamespace, nsid, CommandSet::Nvm);
        // Base, figure 280: NSTAT.
        assert_page(
            "I/O Command Set Independent Identify Namespace",
            page,
            &[(14, &[1])],
        );
    }
}

/// ZNS, figures 48 and 49; NVM, figure 102; Base, figure 290.
#[test]
fn identify_of_a_command_set() {
    let mut guest = guest(0);
    let mut page = |cns, nsid, set| identify(&mut guest, cns, nsid, set);
    let zoned: &[Field<'_>] = &[
        (4, &[5]),       // MAR
        (8, &[5]),       // MOR
        (2816, &[0, 8]), // LBAFE0: ZSZE of 2048 blocks of 512 bytes
        (2824, &[1]),    // ZDES
        (2832, &[0, 1]), // LBAFE1: ZSZE of 256 blocks of 4 KiB
        (2840, &[1]),    // ZDES
    ];
    let data = page(Cns::SetNamespace, DATA, CommandSet::Zoned);
    assert_page("Identify Namespace, ZNS", data, zoned);
    let meta = page(Cns::SetNamespace, META, CommandSet::Nvm);
    assert_page("Identify Namespace, NVM", meta, &[]);
    let nvm: &[Field<'_>] = &[
        (0, &[11, 11, 11, 255]), // VSL, WZSL, WUSL, DMRL
        (4, &[0, 0, 4]),         // DMRSL
        (8, &[0, 0, 4]),         // DMSL
    ];
    let controller = page(Cns::SetController, 0, CommandSet::Nvm);
    assert_page("Identify Controller, NVM", controller, nvm);
    let controller = page(Cns::SetController, 0, CommandSet::Zoned);
    assert_page("Identify Controller, ZNS", controller, &[]); // ZASL: as MDTS
    let sets = page(Cns::CommandSets, 0, CommandSet::Nvm);
    assert_page("Identify I/O Command Set", sets, &[(0, &[0b101])]);
}

/// Base, figure 277.
#[test]
fn identification_descriptors() {
    let mut guest = guest(0);
    for (nsid, eui64, nguid, set) in [(META, 1, 2, 0), (DATA, 3, 4, 2)] {
        // RFC 9562: version 8, variant 10b.
        let mut uuid = [nguid; 16];
        uuid[6] = 0x80 | nguid;
        uuid[8] = 0x80 | nguid;
        let fields: &[Field<'_>] = &[
            (0, &[1, 8]),
            (4, &[eui64; 8]),
            (12, &[2, 16]),
            (16, &[nguid; 16]),
            (32, &[3, 16]),
            (36, &uuid),
            (52, &[4, 1]),
            (56, &[set]),
        ];
        let page = identify(&mut guest, Cns::Descriptors, nsid, CommandSet::Nvm);
        assert_page("Namespace Identification Descriptors", page, fields);
    }
}

/// Base, figures 206, 207 and 209; ZNS, figure 46; one write and one command that there is not.
#[test]
fn logs_of_what_happened() {
    let mut guest = guest(1);
    assert_ok(guest.write(META, 0, SHIFT, &pattern(0, 64 << SHIFT)));
    let wrong = guest.admin(command::plain(0xff, 0));
    let mut page = |id, bytes| log(&mut guest, id, 0, CommandSet::Nvm, bytes);
    let errors: &[Field<'_>] = &[
        (0, &[1]),                      // Error Count
        (10, &wrong.cid.to_le_bytes()), // Command ID; of the admin queue
        (12, &[2, 0xc0]),               // Status Field: Invalid Opcode, More, Do Not Retry
    ];
    assert_page("Error Information", page(LogId::Error, 4096), errors);
    let smart: &[Field<'_>] = &[
        (1, &[0x2c, 1]), // Composite Temperature: 300 K
        (3, &[100]),     // Available Spare
        (4, &[10]),      // Available Spare Threshold
        (5, &[1]),       // Percentage Used
        (48, &[1]),      // Data Units Written: 256 KiB, in units of 512 000 bytes
        (80, &[1]),      // Host Write Commands
        (112, &[1]),     // Power Cycles
        (176, &[1]),     // Number of Error Information Log Entries
    ];
    assert_page("SMART / Health Information", page(LogId::Smart, 512), smart);
    let slots: &[Field<'_>] = &[(0, &[1]), (8, b"0.1     ")]; // AFI, FRS1
    assert_page(
        "Firmware Slot Information",
        page(LogId::FirmwareSlot, 512),
        slots,
    );
    let vendor: &[Field<'_>] = &[(0, b"fake drive")];
    assert_page("vendor's", page(LogId::Vendor, 4096), vendor);
    let changed = log(&mut guest, LogId::ChangedZones, DATA, CommandSet::Nvm, 4096);
    assert_page("Changed Zone List", changed, &[]);
}

/// Base, figures 204, 211, 256 and 258: a dword for each identifier.
#[test]
fn logs_of_what_there_is() {
    const CONTROLLER: &[u8] = &[1, 0, 0x20];
    const NAMESPACE: &[u8] = &[1, 0, 0x10];
    let mut guest = guest(0);
    let mut page = |id, set, bytes| log(&mut guest, id, 0, set, bytes);
    let dwords = |fields: &[Field<'static>]| -> Vec<Field<'static>> {
        fields.iter().map(|(id, bytes)| (id * 4, *bytes)).collect()
    };

    let supported = [0, 1, 2, 3, 5, 6, 0x12, 0x13, 0x81, 0xbf, 0xc0].map(|id| (id, &[1_u8][..]));
    let read = page(LogId::Supported, CommandSet::Nvm, 1024);
    assert_page("Supported Log Pages", read, &dwords(&supported));

    let features = [1, 2, 4, 5, 6, 7, 8, 9, 0x0a, 0x0b, 0x0e, 0x16, 0x19].map(|id| match id {
        5 => (id, NAMESPACE),
        _ => (id, CONTROLLER),
    });
    let read = page(LogId::FeatureEffects, CommandSet::Nvm, 1024);
    assert_page(
        "Feature Identifiers Supported and Effects",
        read,
        &dwords(&features),
    );

    let admin = [0, 1, 2, 4, 5, 6, 8, 9, 0x0a, 0x0c, 0x14, 0x7c].map(|opcode| (opcode, CONTROLLER));
    let format: Field<'_> = (0x80, &[7, 0, 0x12]); // CSUPP, LBCC, NCC; CSE, CSP
    let sanitize: Field<'_> = (0x84, &[3, 0, 2, 2]); // CSUPP, LBCC; CSE, CSP
    let io = |opcode: usize, effects: &'static [u8]| (0x100 + opcode, effects);
    let nvm = [
        io(0x00, &[1]), // Flush
        io(0x01, &[3]), // Write
        io(0x02, &[1]), // Read
        io(0x04, &[3]), // Write Uncorrectable
        io(0x05, &[1]), // Compare
        io(0x08, &[3]), // Write Zeroes
        io(0x09, &[3]), // Dataset Management
        io(0x0c, &[1]), // Verify
        io(0x19, &[3]), // Copy
    ];
    let zoned = [
        io(0x79, &[3]), // Zone Management Send
        io(0x7a, &[1]), // Zone Management Receive
        io(0x7d, &[3]), // Zone Append
    ];
    let of_nvm = [&admin[..], &[format, sanitize], &nvm].concat();
    let read = page(LogId::Effects, CommandSet::Nvm, 4096);
    assert_page(
        "Commands Supported and Effects, NVM",
        read,
        &dwords(&of_nvm),
    );
    let of_zoned = [&of_nvm[..], &zoned].concat();
    let read = page(LogId::Effects, CommandSet::Zoned, 4096);
    assert_page(
        "Commands Supported and Effects, ZNS",
        read,
        &dwords(&of_zoned),
    );
    let read = page(LogId::ManagementEffects, CommandSet::Nvm, 4096);
    assert_page("NVMe-MI Commands Supported and Effects", read, &[]);
}
