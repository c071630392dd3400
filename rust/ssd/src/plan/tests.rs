// SPDX-License-Identifier: GPL-2.0-or-later
//! Rules between properties.

use super::*;
use crate::presets::PRESETS;
use crate::properties::Kind;
use units::MIB;

fn with(preset: &str, settings: &[(&str, &str)]) -> Result<Plan, ConfigError> {
    let mut config = Config::preset(preset).unwrap();
    for (name, value) in settings {
        config.set(name, value).unwrap();
    }
    config.plan()
}

#[test]
fn presets_have_the_figures_of_the_models_tables() {
    // Name, write buffers, preferred write in KiB, zone capacity and size in MiB; 0 without zones.
    let table = [
        ("ufs4-tlc", 2, 48, 528, 1024),
        ("tlc-zoned", 2, 96, 96, 128),
        ("qlc-zoned-page-slc", 6, 32, 128, 128),
        ("qlc-zoned-zone-slc", 6, 32, 128, 128),
        ("qlc-zoned-dynamic", 6, 32, 128, 128),
        ("tlc-block", 1, 96, 0, 0),
        ("qlc-block", 1, 32, 0, 0),
        ("zns-proto", 0, 128, 32, 32),
        ("zns-large", 0, 192, 528, 1024),
        ("zns-zn540", 0, 96, 1077, 2048),
        ("conv-970pro", 0, 32, 0, 0),
        ("nvm-optane", 0, 4, 0, 0),
    ];
    assert_eq!(table.map(|row| row.0), PRESETS.map(|p| p.name));
    for (name, buffers, preferred, capacity, size) in table {
        let plan = with(name, &[]).unwrap();
        if let ModelConfig::Zms(model) = &plan.model {
            assert_eq!(model.buffers.count, buffers, "{name}");
        }
        assert_eq!(plan.data.preferred_write, Bytes::kib(preferred), "{name}");
        match &plan.data.zoned {
            Some(zoned) => {
                assert_eq!(zoned.zone_size, Bytes::mib(size), "{name}");
                let zones = u64::from(zoned.zones);
                assert_eq!(plan.data.capacity, Bytes::mib(capacity * zones), "{name}");
            }
            None => assert_eq!((plan.data.size, size), (Bytes::mib(4096), 0), "{name}"),
        }
    }
}

#[test]
fn only_a_drive_without_a_buffer_has_no_volatile_write_cache() {
    for preset in PRESETS {
        let plan = with(preset.name, &[]).unwrap();
        assert_eq!(
            plan.controller.write_cache,
            preset.name != "nvm-optane",
            "{}",
            preset.name
        );
    }
    let through = with("tlc-zoned", &[("early-completion", "off")]).unwrap();
    assert!(!through.controller.write_cache);
}

#[test]
fn interrupts_are_held_only_where_commands_take_no_time() {
    let hold = |settings: &[_], is_counted| {
        let plan = with("tlc-zoned", settings).unwrap();
        plan.interrupt_hold(is_counted).get()
    };
    let (off, set) = (("timing", "off"), ("interrupt-hold-ns", "7000"));
    assert_eq!((hold(&[], false), hold(&[set], false)), (0, 0));
    assert_eq!((hold(&[off], false), hold(&[off], true)), (2_000_000, 0));
    assert_eq!(
        (hold(&[off, set], false), hold(&[off, set], true)),
        (7000, 7000)
    );
    let never = ("interrupt-hold-ns", "0");
    assert_eq!(hold(&[off, never], false), 0);
}

#[test]
fn what_follows_the_clock_can_be_set_at_any_time() {
    let is_live = |name: &str| crate::table::property(name).unwrap().is_live();
    for name in [
        "tlc-read-ns",
        "erase-ns",
        "timing",
        "sample-interval-ns",
        "interrupt-hold-ns",
    ] {
        assert!(is_live(name), "{name}");
    }
    // The iothread is there from the start.
    for name in ["poll-ns", "zones", "seed", "mdts"] {
        assert!(!is_live(name), "{name}");
    }
}

#[test]
fn the_meta_namespace_may_be_sized_for_f2fs() {
    // The consumer presets' own sizes are those of the formula.
    for preset in ModelKind::Zms.presets() {
        let meta = |settings: &[_]| with(preset.name, settings).unwrap().meta.map(|m| m.size);
        assert_eq!(meta(&[("meta-size", "auto")]), meta(&[]), "{}", preset.name);
    }
    let meta = |preset, settings: &[_]| with(preset, settings).unwrap().meta.unwrap().size;
    let auto = ("meta-size", "auto");
    assert_eq!(
        meta("tlc-zoned", &[auto, ("zones", "4096")]),
        Bytes::mib(1408)
    );
    assert_eq!(meta("zns-proto", &[auto]), Bytes::mib(96));
    let error = with("tlc-zoned", &[auto, ("zone-size", "97M")]).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("property 'meta-size' = auto: needs zones"),
        "{error}"
    );
}

#[test]
fn namespaces_follow_each_other_in_the_media() {
    let plan = with("tlc-zoned", &[("meta-size", "4K"), ("zones", "3")]).unwrap();
    assert_eq!((plan.layout.meta, plan.layout.data), (Some(0), 2 * MIB));
    assert_eq!(plan.layout.size, Bytes::mib(2 + 3 * 128));
    let plan = with("tlc-zoned", &[("meta-size", "0"), ("zone-size", "96M")]).unwrap();
    assert_eq!((plan.layout.meta, plan.layout.data), (None, 0));
    assert_eq!(plan.layout.size, Bytes::mib(32 * 96));
}

#[test]
fn broken_rules_name_property_value_and_bound() {
    for (settings, message) in [
        (&[("dies-per-zone", "3")][..], "property 'dies-per-zone' = 3: must divide the number of dies, channels x luns-per-channel = 4"),
        (&[("block-size", "25M")], "property 'block-size' = 25M: must be a multiple of the one-shot page, flash-page-size x 3 bits per cell = 96 KiB"),
        (&[("flash-page-size", "33000")], "property 'flash-page-size' = 33000: must be a multiple of 4 KiB, the mapping unit"),
        (&[("zone-size", "64M")], "property 'zone-size' = 64M: must be at least the zone capacity, block-size x planes-per-lun x dies-per-zone = 96 MiB"),
        (&[("zone-size", "99999999")], "property 'zone-size' = 99999999: must be a multiple of 4 KiB, the mapping unit"),
        (&[("max-open", "7")], "property 'max-open' = 7: must not exceed max-active = 6"),
        (&[("zones", "1048576")], "property 'zones' = 1048576: zones of 128 MiB must span less than 16 TiB together"),
        (&[("write-buffer-size", "64K")], "property 'write-buffer-size' = 64K: each of the 1 write-buffers must hold 96 KiB, one program unit"),
        (&[("meta-write-buffer-size", "4K")], "property 'meta-write-buffer-size' = 4K: must hold one flash page, 32 KiB"),
        (&[("slc-superblocks", "3")], "property 'slc-superblocks' = 3: must be at least migrate-threshold + 2 = 4"),
        (&[("slc-map", "sub-zone"), ("slc-superblocks", "9")], "property 'slc-superblocks' = 9: must be at least max-active + migrate-threshold + 2 = 10"),
        (&[("meta-size", "8T")], "property 'meta-size' = 8T: with over-provisioning and gc-threshold, it must not exceed 4 TiB of flash"),
        (&[("l2p-cache-size", "8")], "property 'l2p-cache-size' = 8: over l2p-entry-size it has 2 entries; there must be 3 (l2p-slots) to 1073741824"),
        (&[("zrwa-size", "100K")], "property 'zrwa-size' = 100K: must be a multiple of zrwa-flush-granularity = 16 KiB"),
        (&[("zrwa-size", "1M"), ("zrwa-flush-granularity", "6K")], "property 'zrwa-flush-granularity' = 6K: must be a multiple of 4 KiB and of write-unit = 512 B"),
        (&[("zrwa-size", "16M"), ("block-size", "2304K")], "property 'zrwa-size' = 16M: must not exceed a zone's capacity = 9 MiB"),
        (&[("zone-descriptor-extension-size", "100")], "property 'zone-descriptor-extension-size' = 100: must be a multiple of 64"),
        (&[("zone-descriptor-extension-size", "16320"), ("zones", "100000")], "property 'zone-descriptor-extension-size' = 16320: must not exceed 1 GiB for all 100000 zones together"),
        (&[("channel-transfer-size", "2K")], "property 'channel-transfer-size' = 2K: must be at least 4 KiB, or 0"),
        (&[("fold-idle-ns", "1000")], "property 'fold-idle-ns' = 1000: needs slc-bypass=off: with it, what is in pSLC is no whole program unit"),
        (&[("slc-dynamic-share", "50")], "property 'slc-dynamic-share' = 50: needs slc-bypass=off: with it, pSLC holds remainders alone"),
        (&[("slc-dynamic-share", "50"), ("slc-bypass", "off"), ("slc-map", "sub-zone")], "property 'slc-dynamic-share' = 50: needs slc-map=page: a zone's own pSLC is not lent"),
        (&[("slc-dynamic-share", "50"), ("data-interface", "block")], "property 'slc-dynamic-share' = 50: needs data-interface=zoned: only zones are lent from"),
        (&[("chunk-size", "12K")], "property 'chunk-size' = 12K: must be a power of two"),
        (&[("memmap-start", "1G")], "property 'memmap-start' = 1G: needs memmap-size"),
        (&[("memmap-size", "1G")], "property 'memmap-size' = 1G: the media needs 4352 MiB"),
        (&[("memmap-size", "8G"), ("memdev", "m")], "property 'memdev' = m: excludes memmap-start and memmap-size"),
        (&[("memmap-size", "8G"), ("memmap-start", "18446744073709551615")], "property 'memmap-start' = 18446744073709551615: the range of 8 GiB ends beyond 2^64"),
        (&[("media", "none"), ("memdev", "m")], "property 'media' = none: excludes memdev and memmap-size"),
        (&[("poll-ns", "1000")], "property 'poll-ns' = 1000: needs iothread"),
        (&[("serial", "")], "property 'serial' = : must be 1 to 20 printable ASCII characters"),
        (&[("data-interface", "block"), ("write-buffers", "2")], "property 'write-buffers' = 2: must be 1 with data-interface=block"),
    ] {
        let error = with("tlc-zoned", settings).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn broken_rules_of_the_other_models_name_property_value_and_bound() {
    for (preset, settings, message) in [
        ("zns-proto", &[("dies-per-zone", "129")][..], "property 'dies-per-zone' = 129: must not exceed the number of dies, channels x luns-per-channel = 128"),
        ("zns-proto", &[("zone-size", "16M")], "property 'zone-size' = 16M: must be a multiple of 4 KiB and at least zone-capacity = 32 MiB"),
        ("zns-proto", &[("zone-capacity", "100K")], "property 'zone-capacity' = 100K: must be a multiple of 4 KiB and of write-unit = 128 KiB"),
        ("zns-proto", &[("write-unit", "4K"), ("zones", "512")], "property 'write-buffer-size' = 32M: must be at least 63616 KiB: an incomplete one-shot page of each active zone that shares it, and one more"),
        ("zns-proto", &[("write-unit", "48K")], "property 'write-unit' = 48K: must be a multiple of 512 and divide one-shot-page-size = 128 KiB"),
        ("zns-large", &[("zones", "1048576"), ("zone-capacity", "1M"), ("write-buffer-size", "1G")], "property 'write-buffer-size' = 1G: with zones = 1048576, must be at most 16777216 one-shot pages together"),
        ("zns-proto", &[("zrwa-size", "1M")], "property 'zrwa-flush-granularity' = 16K: must be a multiple of 4 KiB and of write-unit = 128 KiB"),
        ("zns-large", &[("max-open", "15")], "property 'max-open' = 15: must not exceed max-active = 14"),
        ("zns-large", &[("max-open", "0")], "property 'max-open' = 0: 0 is no limit; it must not exceed max-active = 14"),
        ("zns-large", &[("one-shot-page-size", "96K")], "property 'one-shot-page-size' = 96K: must be a multiple of flash-page-size = 64 KiB, up to 16 MiB"),
        ("zns-large", &[("zones", "1048576"), ("zone-size", "64T")], "property 'zones' = 1048576: must be 1 to 1048576, and span at most 4 EiB together"),
        ("zns-zn540", &[("meta-size", "256M"), ("meta-write-buffer-size", "64K")], "property 'meta-write-buffer-size' = 64K: must be at least 188 KiB: an incomplete one-shot page of each partition, and one more"),
        ("conv-970pro", &[("partitions", "3")], "property 'partitions' = 3: must divide channels = 8"),
        ("conv-970pro", &[("block-data-size", "5000")], "property 'block-data-size' = 5000: must be a multiple of 4 KiB, and with its spare at most 4 TiB for each partition"),
        ("conv-970pro", &[("over-provisioning", "0")], "property 'over-provisioning' = 0: must be 1 to 1000"),
        ("conv-970pro", &[("write-buffer-size", "64K")], "property 'write-buffer-size' = 64K: must be at least 144 KiB: an incomplete one-shot page of each partition, and one more"),
        ("conv-970pro", &[("l2p-cache-size", "4000")], "property 'l2p-cache-size' = 4000: must be 0, for a map that is all in memory, or at least 4 KiB"),
        ("conv-970pro", &[("slc-map", "page")], "property 'slc-map' = page: has no effect with model=conv, only with zms"),
        ("tlc-zoned", &[("partitions", "1")], "property 'partitions' = 1: has no effect with model=zms, only with conv"),
        ("tlc-zoned", &[("model", "conv"), ("reset-wait", "on")], "property 'reset-wait' = on: has no effect with model=conv, only with zms, zns"),
        ("nvm-optane", &[("io-unit-size", "3K")], "property 'io-unit-size' = 3K: must be a power of two"),
        ("nvm-optane", &[("block-data-size", "5000")], "property 'block-data-size' = 5000: must be a multiple of 4 KiB"),
    ] {
        let error = with(preset, settings).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}

/// The table says truly which models a property belongs to: it can change their plans.
#[test]
fn every_property_has_an_effect_on_its_models() {
    for preset in ["tlc-zoned", "zns-zn540", "conv-970pro", "nvm-optane"] {
        let model = Config::preset(preset).unwrap().model();
        for property in PROPERTIES {
            // Not in the plan: the device and the random choices that only some models make.
            if matches!(property.key, Key::Preset | Key::Seed) || !property.models.contains(&model)
            {
                continue;
            }
            assert!(has_effect(preset, property), "{preset} {property}");
        }
    }
}

/// Whether some value makes another plan, or none, beside some setting that it depends on.
fn has_effect(preset: &str, property: &crate::Property) -> bool {
    let beside: [&[(&str, &str)]; 10] = [
        &[],
        &[("cell", "slc")],
        &[("cell", "mlc")],
        &[("cell", "tlc")],
        &[("cell", "qlc"), ("block-size", "32M")],
        &[("cell", "qlc")],
        &[("meta-size", "64M")],
        &[("zrwa-size", "1M")],
        &[("l2p-cache-size", "1M")],
        &[("data-interface", "block")],
    ];
    let values = match (property.kind, bounds(property)) {
        (_, Some((min, max))) => vec![min.to_string(), max.to_string()],
        (Kind::Choice(words), _) => words.iter().map(|w| (*w).to_string()).collect(),
        (Kind::Bool, _) => vec!["on".into(), "off".into()],
        _ => vec!["x".into()],
    };
    beside.iter().any(|settings| {
        let Ok(before) = with(preset, settings) else {
            return false;
        };
        values.iter().any(|value| {
            let more = [settings, &[(property.name(), value.as_str())][..]].concat();
            with(preset, &more).map_or(true, |plan| plan != before)
        })
    })
}

/// Values at the edges of every property's bounds, alone: a plan or an error, never a panic;
/// and the model's own validation finds nothing that the rules here have let through.
#[test]
fn extreme_values_make_a_plan_or_name_the_property() {
    for preset in PRESETS.map(|preset| preset.name) {
        for property in PROPERTIES {
            let Some((min, max)) = bounds(property) else {
                continue;
            };
            for value in [min, min + 1, max - 1, max] {
                let settings = [(property.name(), value.to_string())];
                let settings = settings.each_ref().map(|(n, v)| (*n, v.as_str()));
                if let Err(ConfigError::Conflict { name, rule, .. }) = with(preset, &settings) {
                    assert_ne!(name, "preset", "{preset} {property}={value}: {rule}");
                }
            }
        }
    }
}

fn bounds(property: &crate::Property) -> Option<(u64, u64)> {
    match property.kind {
        Kind::Size { min, max } | Kind::Count { min, max } => Some((min, max)),
        Kind::Nanos { max } | Kind::PageNanos { max } | Kind::Percent { max } => Some((0, max)),
        Kind::Bandwidth { max } => Some((1, max)),
        _ => None,
    }
}

#[test]
fn what_the_models_numbers_have_no_room_for_is_refused_by_name() {
    let refused = |preset, settings| with(preset, settings).unwrap_err().to_string();
    let zones = [
        ("cell", "slc"),
        ("block-size", "64M"),
        ("meta-size", "64M"),
        ("zones", "65535"),
    ];
    assert_eq!(
        refused("tlc-zoned", &zones),
        "property 'zones' = 65535: makes 4295032832 pages of flash with the two superblocks to reset into; \
         there can be 4294967295"
    );
    let fewer = [&zones[..3], &[("zones", "65533")]].concat();
    let plan = with("tlc-zoned", &fewer).unwrap();
    assert!(crate::Model::new(&plan).is_ok());
    let tiny = [
        ("flash-page-size", "4K"),
        ("block-size", "12K"),
        ("slc-superblocks", "1000"),
        ("meta-size", "1T"),
    ];
    assert_eq!(
        refused("tlc-block", &tiny),
        "property 'meta-size' = 1T: makes 71806553 superblocks; there can be 1048578"
    );
}

#[test]
fn suspension_has_a_name_and_an_older_one_that_must_agree() {
    use ::zms::Suspend;
    let plan = |settings: &[_]| with("tlc-zoned", settings);
    let suspension = |settings: &[_]| match plan(settings).unwrap().model {
        ModelConfig::Zms(model) => model.suspension,
        other => panic!("{other:?}"),
    };
    let default = suspension(&[]);
    assert_eq!(default.rule, Suspend::Background);
    let times = (default.suspend.get(), default.resume.get(), default.max);
    assert_eq!(times, (50_000, 50_000, 8));
    let set = suspension(&[
        ("suspend", "all"),
        ("suspend-ns", "30000"),
        ("resume-ns", "7"),
        ("suspend-max", "0"),
    ]);
    assert_eq!(set.rule, Suspend::All);
    assert_eq!(
        (set.suspend.get(), set.resume.get(), set.max),
        (30_000, 7, 0)
    );
    let (queued, yields) = (("migrate-yield", "queued"), ("migrate-yield", "suspend"));
    assert_eq!(suspension(&[queued]).rule, Suspend::Off);
    assert_eq!(suspension(&[yields]).rule, Suspend::Background);
    assert_eq!(suspension(&[queued, ("suspend", "off")]).rule, Suspend::Off);
    assert_eq!(
        suspension(&[("suspend", "off"), ("migrate-yield", "auto")]).rule,
        Suspend::Off
    );
    for (older, name) in [
        (queued, ("suspend", "background")),
        (queued, ("suspend", "all")),
        (yields, ("suspend", "off")),
        (yields, ("suspend", "all")),
    ] {
        assert_eq!(
            plan(&[older, name]).unwrap_err().to_string(),
            format!(
                "property 'migrate-yield' = {}: is the older name of suspend, which is set to {}: set one of them",
                older.1, name.1
            )
        );
    }
    // Only the consumer drive works in the background.
    assert!(with("conv-970pro", &[("suspend", "off")]).is_err());
}
