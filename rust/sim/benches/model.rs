// SPDX-License-Identifier: GPL-2.0-or-later
//! Wall-clock cost of the model, per command.
#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a bench has no user to answer to"
)]

mod workload;

use std::time::Duration;

use criterion::{criterion_group, criterion_main, BatchSize, Criterion, Throughput};
use sim::Simulation;
use workload::WORKLOADS;

fn commands(c: &mut Criterion) {
    let mut group = c.benchmark_group("commands");
    for workload in WORKLOADS {
        let plan = workload::config(workload.zones).plan().unwrap();
        let mut simulation = Simulation::from_plan(&plan).unwrap();
        for line in workload.prefill() {
            simulation.step(&line);
        }
        let lines: Vec<_> = workload.measured().collect();
        group.throughput(Throughput::Elements(workload.count));
        group.bench_function(workload.name, |b| {
            b.iter_batched_ref(
                || simulation.clone(),
                |simulation| {
                    lines
                        .iter()
                        .filter_map(|line| simulation.step(line))
                        .count()
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

fn start(c: &mut Criterion) {
    for preset in ssd::PRESETS.map(|preset| preset.name) {
        let plan = ssd::Config::preset(preset).unwrap().plan().unwrap();
        c.bench_function(&format!("new drive, {preset}"), |b| {
            b.iter(|| Simulation::from_plan(&plan).unwrap());
        });
    }
}

/// Short: the bench that counts instructions is the one to rely on.
fn settings() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
}

criterion_group!(name = benches; config = settings(); targets = commands, start);
criterion_main!(benches);
