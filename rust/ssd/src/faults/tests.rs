// SPDX-License-Identifier: GPL-2.0-or-later
//! Syntax, ranges, chances.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use super::*;

fn faults(text: &str) -> Faults {
    let mut faults = Faults::default();
    faults.set(text).unwrap();
    faults
}

fn access(nsid: u32, op: Op, sectors: Range<u64>) -> Access {
    Access {
        site: Site {
            nsid,
            lba_shift: 9,
            zone_size: (nsid == 2).then_some(Bytes::new(100 * SECTOR_BYTES)),
        },
        op,
        sectors: (op != Op::Flush).then_some(sectors),
        is_durable: op == Op::Flush,
    }
}

fn read(lbas: Range<u64>) -> Access {
    access(2, Op::Read, lbas)
}

#[test]
fn rules_read_back_as_their_own_text() {
    for text in [
        "read-error",
        "read-error,ns=2,lba=0+1024,probability=1/100,seed=7,count=3",
        "write-error,zone=3+1",
        "latency,delay-ns=5000,op=flush",
        "zone-offline,op=write,ns=1,zone=0+4,count=1",
        "hang,op=flush,ns=2",
        "fatal,op=enable,count=2",
        "power-cut,op=write,ns=2,zone=5+1,skip=999,count=1",
        "flush=ignored,op=flush,ns=1,skip=2",
    ] {
        assert_eq!(faults(text).to_string(), format!("{text} hits=0"));
    }
    let two = faults(" read-error , lba=7 ; ;write-error");
    assert_eq!(
        two.to_string(),
        "read-error,lba=7+1 hits=0; write-error hits=0"
    );
}

#[test]
fn mistakes_name_key_value_and_bound_and_change_nothing() {
    for (text, message) in [
        ("burn", "property 'fault' = burn: must begin with read-error, write-error, latency, zone-read-only, zone-offline, hang, fatal, power-cut, flush=ignored or sanitize-error"),
        ("read-error,where=1", "property 'fault' = where=1: must be ns=, lba=, zone=, op=, delay-ns=, probability=, seed=, skip= or count="),
        ("read-error,ns=0", "property 'fault' = ns=0: must be a whole number from 1 to 255"),
        ("read-error,ns=+1", "property 'fault' = ns=+1: must be a whole number from 1 to 255"),
        ("read-error,lba=1+0", "property 'fault' = lba=1+0: must be FIRST or FIRST+COUNT, ending at 18446744073709551615 at most"),
        ("read-error,lba=2+18446744073709551615", "property 'fault' = lba=2+18446744073709551615: must be FIRST or FIRST+COUNT, ending at 18446744073709551615 at most"),
        ("read-error,lba=1,zone=1", "property 'fault' = zone=1: a rule has one range, lba= or zone="),
        ("read-error,probability=2/1", "property 'fault' = probability=2/1: must be 1, or A/B with 1 <= A <= B <= 4294967296"),
        ("read-error,probability=0", "property 'fault' = probability=0: must be 1, or A/B with 1 <= A <= B <= 4294967296"),
        ("read-error,count=0", "property 'fault' = count=0: must be a whole number from 1 to 18446744073709551615"),
        ("read-error,op=write", "property 'fault' = op=write: is not for read-error and write-error"),
        ("zone-offline,op=flush", "property 'fault' = op=flush: must be any, read, write, flush (for latency, hang, fatal, power-cut and flush=ignored) or enable (for fatal)"),
        ("hang,op=enable", "property 'fault' = op=enable: must be any, read, write, flush (for latency, hang, fatal, power-cut and flush=ignored) or enable (for fatal)"),
        ("fatal,op=enable,ns=1", "property 'fault' = fatal,op=enable,ns=1: enabling has neither ns=, lba= nor zone="),
        ("power-cut,op=enable", "property 'fault' = op=enable: must be any, read, write, flush (for latency, hang, fatal, power-cut and flush=ignored) or enable (for fatal)"),
        ("hang,skip=-1", "property 'fault' = skip=-1: must be a whole number from 0 to 18446744073709551615"),
        ("latency", "property 'fault' = latency: needs delay-ns=, more than 0"),
        ("read-error,delay-ns=5", "property 'fault' = delay-ns=5: is for latency"),
        ("latency,delay-ns=5,op=flush,lba=3", "property 'fault' = latency,delay-ns=5,op=flush,lba=3: a flush has neither lba= nor zone="),
    ] {
        let mut held = faults("read-error");
        let wrong = held.set(&format!("clear;write-error;{text}")).unwrap_err();
        assert_eq!(wrong.to_string(), message);
        assert_eq!(held.to_string(), "read-error hits=0");
    }
}

#[test]
fn rules_are_bounded_and_can_be_dropped() {
    let mut many = faults(&"read-error;".repeat(MAX_RULES));
    let wrong = many.set("latency,delay-ns=1").unwrap_err();
    assert!(wrong.to_string().contains("there are 64 rules already"));
    many.set("clear;write-error").unwrap();
    assert_eq!(many.to_string(), "write-error hits=0");
}

#[test]
fn namespaces_must_exist_and_have_zones_for_rules_about_zones() {
    let check =
        |text: &str, zoned: &[bool]| faults(text).check(zoned, false).map_err(|e| e.to_string());
    assert!(check("read-error,ns=2,zone=1", &[false, true]).is_ok());
    assert!(check("zone-offline", &[false, true]).is_ok());
    for (text, zoned, message) in [
        (
            "read-error,ns=3",
            &[false, true][..],
            "property 'fault' = ns=3: must be 1 to 2",
        ),
        (
            "zone-offline,ns=1",
            &[false, true],
            "property 'fault' = ns=1: has no zones",
        ),
        (
            "zone-offline",
            &[false],
            "property 'fault' = zone-offline: the drive has no zones",
        ),
        (
            "power-cut,op=flush",
            &[false],
            "property 'fault' = power-cut,op=flush,count=1: power can only be cut with power-cuts=shutdown, reset or dead",
        ),
    ] {
        assert_eq!(check(text, zoned), Err(message.to_owned()));
    }
    assert!(faults("power-cut").check(&[false], true).is_ok());
}

#[test]
fn a_rule_acts_on_the_commands_it_names() {
    let mut rules = faults("read-error,ns=2,lba=10+5");
    for (access, expected) in [
        (read(0..10), None),
        (read(0..11), Some(10)),
        (read(12..20), Some(12)),
        (read(15..20), None),
        (access(1, Op::Read, 10..11), None),
        (access(2, Op::Write, 10..11), None),
        (access(2, Op::Flush, 0..0), None),
    ] {
        let verdict = rules.judge(&access);
        assert_eq!(verdict.read_error, expected.map(Sector::new), "{access:?}");
        assert_eq!(verdict.write_error, None);
    }
    assert_eq!(rules.to_string(), "read-error,ns=2,lba=10+5 hits=2");
    // LBAs are those of the format at hand.
    let mut large = read(0..100);
    large.site.lba_shift = 12;
    assert_eq!(rules.judge(&large).read_error, Some(Sector::new(80)));
    let mut zones = faults("zone-read-only,zone=3+2,op=write");
    assert_eq!(zones.judge(&read(300..310)).zone, None);
    let verdict = zones.judge(&access(2, Op::Write, 250..410));
    assert_eq!(verdict.zone, Some((ZoneId::new(3), false)));
    let conventional = zones.judge(&access(1, Op::Write, 300..310));
    assert_eq!(conventional.zone, None);
}

#[test]
fn a_count_ends_a_rule_and_delays_add_up() {
    let mut rules = faults("latency,delay-ns=5,count=2; latency,delay-ns=70,op=flush");
    let delays: Vec<_> = (0..3).map(|_| rules.judge(&read(0..1)).delay).collect();
    assert_eq!(delays, [5, 5, 0].map(Nanos::new));
    let flush = access(2, Op::Flush, 0..0);
    assert_eq!(rules.judge(&flush).delay, Nanos::new(70));
    let mut both = faults("latency,delay-ns=5;latency,delay-ns=70");
    assert_eq!(both.judge(&flush).delay, Nanos::new(75));
}

#[test]
fn power_is_cut_once_and_what_is_skipped_is_what_the_rule_would_act_on() {
    let mut rules = faults("power-cut,op=write,lba=4,skip=2; hang,op=read,skip=1,count=2");
    let write = access(2, Op::Write, 4..5);
    let mut judge = |access: &Access| rules.judge(access).failure;
    assert_eq!(judge(&access(2, Op::Write, 5..6)), None);
    let cuts: Vec<_> = (0..4).map(|_| judge(&write)).collect();
    assert_eq!(cuts, [None, None, Some(Failure::PowerCut), None]);
    let hangs: Vec<_> = (0..4).map(|_| judge(&read(0..1))).collect();
    assert_eq!(
        hangs,
        [None, Some(Failure::Lost), Some(Failure::Lost), None]
    );
    let mut rules = faults("power-cut,skip=2");
    rules.judge(&write);
    let mut loaded = Faults::default();
    state::decode(&mut loaded, &state::encode(&rules)).unwrap();
    let verdicts = [&mut rules, &mut loaded].map(|rules| {
        let verdicts = (0..3).map(|_| rules.judge(&write).failure);
        verdicts.collect::<Vec<_>>()
    });
    assert_eq!(verdicts[0], [None, Some(Failure::PowerCut), None]);
    assert_eq!(verdicts[0], verdicts[1], "what was skipped is state");
}

#[test]
fn a_drive_lies_where_something_is_to_be_durable() {
    let mut rules = faults("flush=ignored,skip=1");
    let write = access(2, Op::Write, 0..1);
    let fua = Access {
        is_durable: true,
        ..write.clone()
    };
    let flush = access(1, Op::Flush, 0..0);
    let asked = [&write, &fua, &write, &fua, &flush, &read(0..1)];
    let lies = asked.map(|access| rules.judge(access).forgets);
    assert_eq!(lies, [false, false, false, true, true, false]);
    let mut rules = faults("flush=ignored,op=flush");
    assert_eq!(
        [&fua, &flush].map(|a| rules.judge(a).forgets),
        [false, true]
    );
}

#[test]
fn the_drive_fails_at_commands_or_when_it_is_enabled() {
    let mut rules = faults("hang,lba=3;fatal,op=write,lba=4;fatal,op=enable,count=1");
    for (access, expected) in [
        (read(3..4), Some(Failure::Lost)),
        (read(4..5), None),
        (access(2, Op::Write, 3..5), Some(Failure::Fatal)),
        (Access::ENABLE, Some(Failure::Fatal)),
        (Access::ENABLE, None),
    ] {
        assert_eq!(rules.judge(&access).failure, expected, "{access:?}");
    }
    // A rule about any command is about none.
    assert_eq!(faults("fatal").judge(&Access::ENABLE).failure, None);
}

#[test]
fn chances_follow_the_seed_and_nothing_else() {
    let hits = |text: &str| -> Vec<usize> {
        let mut rules = faults(text);
        let hit = |n: &usize| {
            rules
                .judge(&read(*n as u64..1 + *n as u64))
                .read_error
                .is_some()
        };
        (0..10_000).filter(hit).collect()
    };
    let seven = hits("read-error,probability=1/100,seed=7");
    assert!((70..130).contains(&seven.len()), "{}", seven.len());
    assert_eq!(seven, hits("read-error,probability=1/100,seed=7"));
    // Other rules draw numbers of their own.
    assert_eq!(
        seven,
        hits("write-error,probability=1/2;read-error,probability=1/100,seed=7")
    );
    assert_ne!(seven, hits("read-error,probability=1/100,seed=8"));
    assert_eq!(hits("read-error,probability=1/1").len(), 10_000);
}
