// SPDX-License-Identifier: GPL-2.0-or-later
//! What the controller costs per command, with a machine and a drive that cost next to nothing.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use criterion::{criterion_group, criterion_main, Criterion, Throughput};
use nvme::ControllerConfig;
use nvme_spec::{NvmOpcode, Sqe};
use testkit::{command, FakeConfig, FakeDrive, Guest};

fn guest() -> Guest<FakeDrive> {
    let drive = FakeDrive::new(FakeConfig::default());
    let media = drive.media_bytes() as usize;
    let mut guest = Guest::new(ControllerConfig::default(), drive, 4 << 20, media).unwrap();
    assert!(guest.enable() && guest.create_queues(1, 64));
    guest
}

/// `depth` commands, one doorbell, until all have completed.
fn batch(guest: &mut Guest<FakeDrive>, sqe: Sqe, depth: u32) {
    for _ in 0..depth {
        guest.push(1, sqe);
    }
    guest.ring(1);
    guest.settle(1);
    while guest.take(1).is_some() {}
    guest.ring_cq(1);
}

fn commands(c: &mut Criterion) {
    for (name, opcode, blocks, depth) in [
        ("flush/qd1", NvmOpcode::Flush, 1, 1),
        ("read 4 KiB/qd1", NvmOpcode::Read, 1, 1),
        ("read 4 KiB/qd32", NvmOpcode::Read, 1, 32),
        ("read 256 KiB/qd1", NvmOpcode::Read, 64, 1),
    ] {
        let mut guest = guest();
        let data = guest.alloc(256 << 10);
        let sqe = command::blocks(opcode, 1, 0, blocks);
        let sqe = guest.with_prp(sqe, data, u64::from(blocks) << 12);
        let mut group = c.benchmark_group("controller");
        group.throughput(Throughput::Elements(u64::from(depth)));
        group.bench_function(name, |b| b.iter(|| batch(&mut guest, sqe, depth)));
    }
}

criterion_group!(benches, commands);
criterion_main!(benches);
