// SPDX-License-Identifier: GPL-2.0-or-later
//! Whether F2FS fits a drive, as far as that is known before a guest boots; the rest mkfs.f2fs says (filesystem.sh).

use anyhow::Result;

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
            "its metadata needs a conventional namespace beside the zoned one: --set meta-size=auto",
        ));
    };
    let mut auto = config.clone();
    auto.set("meta-size", "auto").map_err(refused)?;
    // Zones that are no sections of F2FS: mkfs says so.
    let needed = auto.plan().ok().and_then(|plan| plan.meta);
    if let Some(needed) = needed.map(|meta| meta.size).filter(|needed| meta < *needed) {
        let why = format!("its metadata needs {needed}, and the conventional namespace has {meta}: --set meta-size=auto");
        return Err(misfit(&why));
    }
    let zones = u64::from(zoned.zones);
    if zones < MIN_ZONES {
        let why = format!("reserves more than 8 zones, and the drive has {zones}: --set zones=24");
        return Err(misfit(&why));
    }
    Ok(())
}

fn misfit(why: &str) -> anyhow::Error {
    Prerequisite(format!("--fs f2fs: {why}")).into()
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
}
