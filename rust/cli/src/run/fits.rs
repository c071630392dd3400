// SPDX-License-Identifier: GPL-2.0-or-later
//! Whether F2FS and XFS fit a drive, as far as that is known before a guest boots; the rest mkfs says (filesystem.sh).

use anyhow::Result;

use guest::Kernel;
use units::Bytes;

use crate::failure::Prerequisite;

/// F2FS reserves more than eight sections, and a section is a zone: `get_reserved` of f2fs-tools' f2fs_fs.h takes
/// 100 / over-provisioning + 1 + 6, and mkfs tries at most 95 per cent.
const MIN_ZONES: u64 = 9;

/// Refuses a zoned drive that is too small for F2FS.
///
/// # Errors
/// A [`Prerequisite`] that names the property to set.
pub fn f2fs(config: &ssd::Config) -> Result<()> {
    let plan = config.plan().map_err(refused)?;
    let Some(zoned) = plan.data.zoned else {
        return Ok(());
    };
    let Some(meta) = plan.meta.map(|meta| meta.size) else {
        return Err(misfit(
            "f2fs",
            "its metadata needs a conventional namespace beside the zoned one: --set meta-size=auto",
        ));
    };
    let mut auto = config.clone();
    auto.set("meta-size", "auto").map_err(refused)?;
    // Zones that are no sections of F2FS: mkfs says so.
    let needed = auto.plan().ok().and_then(|plan| plan.meta);
    if let Some(needed) = needed.map(|meta| meta.size).filter(|needed| meta < *needed) {
        let why = format!("its metadata needs {needed}, and the conventional namespace has {meta}: --set meta-size=auto");
        return Err(misfit("f2fs", &why));
    }
    let zones = u64::from(zoned.zones);
    if zones < MIN_ZONES {
        let why = format!("reserves more than 8 zones, and the drive has {zones}: --set zones=24");
        return Err(misfit("f2fs", &why));
    }
    Ok(())
}

/// Active zones that F2FS needs where it does not wait for a zone's last write before it begins the next: its six logs, and room
/// for two that go on at once. Linux' is_end_zone_blkaddr (fs/f2fs/data.c) asks for the end of the zone's size.
const ACTIVE: u32 = 8;

/// What may go wrong with F2FS on a drive that it fits; docs/guest.md has more.
///
/// # Errors
/// It is no drive.
pub fn f2fs_warning(config: &ssd::Config) -> Result<Option<String>> {
    let plan = config.plan().map_err(refused)?;
    let Some(zoned) = plan.data.zoned else {
        return Ok(None);
    };
    let few = zoned.max_active.filter(|active| *active < ACTIVE);
    let few = few.filter(|_| plan.data.capacity < plan.data.size);
    Ok(few.map(|active| {
        format!("F2FS may find {active} active zones too few once it has filled a zone (I/O errors): --set max-active={ACTIVE}")
    }))
}

/// What mkfs.xfs wants for metadata, and for all where there are no zones.
const XFS_SIZE: Bytes = Bytes::new(300 << 20);

/// Refuses a kernel whose XFS has no zones, and a drive without room for its metadata.
///
/// # Errors
/// A [`Prerequisite`] that names what to set.
pub fn xfs(config: &ssd::Config, kernel: Kernel) -> Result<()> {
    if kernel != Kernel::Backports {
        let why = format!(
            "needs Linux 6.15 or later and its tools, which come with --kernel backports, not with {}",
            kernel.name()
        );
        return Err(misfit("xfs", &why));
    }
    let plan = config.plan().map_err(refused)?;
    if plan.data.zoned.is_none() {
        return Ok(());
    }
    let meta = plan.meta.map_or(Bytes::new(0), |meta| meta.size);
    if meta < XFS_SIZE {
        let why = format!("its metadata needs {XFS_SIZE}, and the conventional namespace has {meta}: --set meta-size=512M");
        return Err(misfit("xfs", &why));
    }
    Ok(())
}

fn misfit(fs: &str, why: &str) -> anyhow::Error {
    Prerequisite(format!("--fs {fs}: {why}")).into()
}

fn refused(error: ssd::ConfigError) -> anyhow::Error {
    Prerequisite(error.to_string()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(preset: &str, set: &[&str]) -> Option<String> {
        let mut config = ssd::Config::preset(preset).unwrap();
        set.iter().for_each(|pair| config.set_pair(pair).unwrap());
        let error = f2fs(&config).err()?;
        assert!(error.is::<Prerequisite>());
        Some(error.to_string())
    }

    #[test]
    fn small_drives_are_told_what_to_set() {
        for (set, remedy) in [
            ("zones=8", "--set zones=24"),
            ("meta-size=64M", "--set meta-size=auto"),
            ("meta-size=0", "--set meta-size=auto"),
        ] {
            let why = said("tlc-zoned", &[set]).unwrap();
            assert!(why.contains(remedy), "{set}: {why}");
        }
    }

    #[test]
    fn other_drives_are_left_to_mkfs() {
        assert_eq!(said("tlc-zoned", &[]), None);
        assert_eq!(said("tlc-zoned", &["zones=24"]), None);
        assert_eq!(said("conv-970pro", &[]), None);
    }

    #[test]
    fn xfs_is_told_what_it_needs() {
        let said = |preset: &str, set: &[&str], kernel: Kernel| {
            let mut config = ssd::Config::preset(preset).unwrap();
            set.iter().for_each(|pair| config.set_pair(pair).unwrap());
            xfs(&config, kernel).err().map(|error| error.to_string())
        };
        let why = said("tlc-block", &[], Kernel::V6_12).unwrap();
        assert!(
            why.contains("--kernel backports") && why.ends_with("6.12"),
            "{why}"
        );
        let small = said("tlc-zoned", &[], Kernel::Backports).unwrap();
        assert!(
            small.ends_with("has 256 MiB: --set meta-size=512M"),
            "{small}"
        );
        assert!(said("tlc-zoned", &["meta-size=0"], Kernel::Backports).is_some());
        assert_eq!(
            said("tlc-zoned", &["meta-size=512M"], Kernel::Backports),
            None
        );
        assert_eq!(said("tlc-block", &[], Kernel::Backports), None);
    }

    #[test]
    fn few_active_zones_are_warned_of() {
        let said = |preset: &str, set: &[&str]| {
            let mut config = ssd::Config::preset(preset).unwrap();
            set.iter().for_each(|pair| config.set_pair(pair).unwrap());
            f2fs_warning(&config).unwrap()
        };
        let warning = said("tlc-zoned", &[]).unwrap();
        assert!(warning.contains("find 6 active") && warning.ends_with("--set max-active=8"));
        assert_eq!(said("tlc-zoned", &["max-active=8"]), None);
        assert_eq!(said("tlc-zoned", &["max-open=0", "max-active=0"]), None);
        assert_eq!(
            said("qlc-zoned-page-slc", &[]),
            None,
            "zones are full where they end"
        );
        assert_eq!(said("tlc-block", &[]), None);
    }
}
