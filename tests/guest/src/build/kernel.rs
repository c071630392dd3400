// SPDX-License-Identifier: GPL-2.0-or-later
//! Takes Debian's kernel package apart: the `vmlinux` inside the bzImage, and the modules.
//!
//! A bzImage carries the real kernel compressed; QEMU boots the real one several times faster, by its PVH entry
//! (Linux: Documentation/arch/x86/boot.rst, fields setup_sects, payload_offset, payload_length).

use super::modules::Modules;
use super::{elf, tools};
use crate::Kernel;
use anyhow::{bail, ensure, Context, Result};
use debian::{Apt, Suite};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The package that depends on the current kernel of its release.
const META_PACKAGE: &str = "linux-image-amd64";

/// A kernel is some 30..60 MB; a payload that unpacks to more than this is not one.
const VMLINUX_LIMIT: u64 = 256 << 20;

const SECTOR: usize = 512;
const XZ_MAGIC: &[u8] = b"\xfd7zXZ\0";
const ZSTD_MAGIC: &[u8] = b"\x28\xb5\x2f\xfd";

/// Owner and type of the note with the PVH entry (Linux: XEN_ELFNOTE_PHYS32_ENTRY).
const PVH_NOTE: (&str, u32) = ("Xen", 18);

impl Kernel {
    /// The release whose kernel it is.
    pub(super) fn suite(self) -> Suite {
        match self {
            Kernel::V6_1 => Suite::Bookworm,
            Kernel::V6_12 => Suite::Trixie,
            Kernel::Backports => Suite::TrixieBackports,
        }
    }
}

/// Fetches the release's kernel package and unpacks it into `into`.
pub(super) fn fetch(apt: &Apt, packages: &Path, into: &Path) -> Result<()> {
    let meta = apt.download(&[META_PACKAGE], packages)?;
    let meta = meta.first().context("apt fetched nothing")?;
    let depends = tools::output(Command::new("dpkg-deb").arg("-f").arg(meta).arg("Depends"))?;
    let name = image_package(&depends)
        .with_context(|| format!("{META_PACKAGE} depends on {depends:?}, which is no kernel"))?;
    let mut wanted = vec![name.to_owned()];
    // Debian's 7.x has it in several packages of one release.
    for image in apt.download(&[name], packages)? {
        let depends = tools::output(
            Command::new("dpkg-deb")
                .arg("-f")
                .arg(&image)
                .arg("Depends"),
        )?;
        wanted.extend(parts(name, &depends).map(str::to_owned));
        debian::unpack(&image, into)?;
    }
    let wanted: Vec<&str> = wanted.iter().skip(1).map(String::as_str).collect();
    if !wanted.is_empty() {
        for package in apt.download(&wanted, packages)? {
            debian::unpack(&package, into)?;
        }
    }
    Ok(())
}

/// The packages among an image's dependencies that are parts of the same kernel: they end with its release, too.
fn parts<'a>(image: &'a str, depends: &'a str) -> impl Iterator<Item = &'a str> {
    let release = image.strip_prefix("linux-image-").unwrap_or(image);
    names(depends).filter(move |name| {
        name.starts_with("linux-") && name.strip_suffix(release).is_some_and(|n| n.ends_with('-'))
    })
}

fn names(depends: &str) -> impl Iterator<Item = &str> {
    depends
        .split([',', '|'])
        .filter_map(|one| one.split_whitespace().next())
}

/// The kernel among the dependencies of the meta package.
fn image_package(depends: &str) -> Option<&str> {
    names(depends).find(|name| name.starts_with("linux-image-"))
}

/// The ELF kernel and the modules of an unpacked kernel package.
pub(super) fn open(unpacked: &Path) -> Result<(Vec<u8>, Modules)> {
    let (release, bzimage) =
        find_bzimage(unpacked).with_context(|| format!("{} has no kernel", unpacked.display()))?;
    let data = fs::read(&bzimage).with_context(|| format!("cannot read {}", bzimage.display()))?;
    let vmlinux = payload(&data).with_context(|| bzimage.display().to_string())?;
    ensure!(
        elf::has_note(&vmlinux, &bzimage, PVH_NOTE.0, PVH_NOTE.1)?,
        "{} has no PVH entry",
        bzimage.display()
    );
    Ok((vmlinux, Modules::collect(unpacked, &release)?))
}

/// The kernel's release and its file: `boot/vmlinuz-<release>`, or since Debian's 7.x
/// `usr/lib/modules/<release>/vmlinuz`.
fn find_bzimage(unpacked: &Path) -> Option<(String, PathBuf)> {
    let entries = |folder: &str| fs::read_dir(unpacked.join(folder)).into_iter().flatten();
    let named = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        Some((name.strip_prefix("vmlinuz-")?.to_owned(), entry.path()))
    };
    let beside_modules = |entry: fs::DirEntry| {
        let file = entry.path().join("vmlinuz");
        Some((entry.file_name().into_string().ok()?, file)).filter(|(_, file)| file.is_file())
    };
    let mut boot = entries("boot").flatten().filter_map(named);
    let mut modules = entries("usr/lib/modules")
        .flatten()
        .filter_map(beside_modules);
    boot.next().or_else(|| modules.next())
}

/// The unpacked payload of a bzImage.
fn payload(bzimage: &[u8]) -> Result<Vec<u8>> {
    let field = |at: usize| -> Option<usize> {
        let bytes = bzimage.get(at..)?.first_chunk()?;
        usize::try_from(u32::from_le_bytes(*bytes)).ok()
    };
    let setup_sectors = bzimage.get(0x1f1).map(|&sectors| usize::from(sectors) + 1);
    let (Some(setup), Some(b"HdrS"), Some(offset), Some(length)) = (
        setup_sectors,
        bzimage.get(0x202..0x206),
        field(0x248),
        field(0x24c),
    ) else {
        bail!("not a bzImage");
    };
    let start = (setup * SECTOR)
        .checked_add(offset)
        .context("not a bzImage")?;
    let end = start.checked_add(length).context("not a bzImage")?;
    // The last 4 bytes are the unpacked size.
    let packed = bzimage
        .get(start..end.saturating_sub(4))
        .context("a cut bzImage")?;
    decompress(packed)
}

/// Unpacks xz or zstd data, told apart by their first bytes.
pub(super) fn decompress(packed: &[u8]) -> Result<Vec<u8>> {
    let mut data = Vec::new();
    if packed.starts_with(XZ_MAGIC) {
        liblzma::read::XzDecoder::new(packed)
            .take(VMLINUX_LIMIT)
            .read_to_end(&mut data)?;
    } else if packed.starts_with(ZSTD_MAGIC) {
        let decoder = ruzstd::decoding::StreamingDecoder::new(packed)?;
        decoder.take(VMLINUX_LIMIT).read_to_end(&mut data)?;
    } else {
        bail!("neither xz nor zstd");
    }
    Ok(data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn xz(data: &[u8]) -> Vec<u8> {
        let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    /// A bzImage with two set-up sectors and this payload 16 bytes into the protected-mode part.
    fn bzimage(packed: &[u8], unpacked_size: u32) -> Vec<u8> {
        let mut image = vec![0; 2 * SECTOR + 16];
        image[0x1f1] = 1;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x248..0x24c].copy_from_slice(&16_u32.to_le_bytes());
        let length = u32::try_from(packed.len() + 4).unwrap();
        image[0x24c..0x250].copy_from_slice(&length.to_le_bytes());
        image.extend_from_slice(packed);
        image.extend_from_slice(&unpacked_size.to_le_bytes());
        image
    }

    #[test]
    fn the_payload_comes_out() {
        let kernel = b"\x7fELF and so on".repeat(100);
        let image = bzimage(&xz(&kernel), u32::try_from(kernel.len()).unwrap());
        assert_eq!(payload(&image).unwrap(), kernel);
    }

    #[test]
    fn what_is_no_bzimage_is_refused() {
        let image = bzimage(&xz(b"kernel"), 6);
        assert!(payload(&image[..image.len() - 8]).is_err(), "cut");
        assert!(payload(&image[..600]).is_err(), "cut in the header");
        assert!(payload(&[]).is_err());
        assert!(
            payload(&bzimage(b"lzo?", 4)).is_err(),
            "unknown compression"
        );
        let mut unsigned = image.clone();
        unsigned[0x202] = 0;
        assert!(payload(&unsigned).is_err(), "no signature");
    }

    #[test]
    fn the_kernel_is_found_among_the_dependencies() {
        let found = image_package("linux-image-6.12.1+deb13-amd64 (= 6.12.1-1), foo");
        assert_eq!(found, Some("linux-image-6.12.1+deb13-amd64"));
        assert_eq!(
            image_package("libc6 | linux-image-6.1.0-50-amd64 (= 6.1)").map(str::len),
            Some(26)
        );
        assert_eq!(image_package("libc6"), None);
    }

    #[test]
    fn a_kernel_in_parts_is_fetched_whole() {
        let depends =
            "dracut | initramfs-tools (>= 0.120), linux-base-7.3.4+deb13-amd64 (= 7.3.4-1), \
            linux-modules-7.3.4+deb13-amd64 (= 7.3.4-1), linux-base (>= 4)";
        let found: Vec<&str> = parts("linux-image-7.3.4+deb13-amd64", depends).collect();
        assert_eq!(
            found,
            [
                "linux-base-7.3.4+deb13-amd64",
                "linux-modules-7.3.4+deb13-amd64"
            ]
        );
        assert_eq!(
            parts("linux-image-6.1.0-50-amd64", "kmod, linux-base (>= 4)").count(),
            0
        );
    }

    #[test]
    fn a_kernel_is_found_where_either_layout_has_it() {
        for path in [
            "boot/vmlinuz-7.3-amd64",
            "usr/lib/modules/7.3-amd64/vmlinuz",
        ] {
            let root = tempfile::tempdir().unwrap();
            let file = root.path().join(path);
            assert_eq!(find_bzimage(root.path()), None);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, "").unwrap();
            assert_eq!(find_bzimage(root.path()), Some(("7.3-amd64".into(), file)));
        }
    }
}
