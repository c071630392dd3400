// SPDX-License-Identifier: GPL-2.0-or-later
//! The crate against the machine's real mirror.

use debian::{unpack, Apt, Error, Suite};

#[test]
#[ignore = "needs the network"]
fn packages_and_sources_arrive() {
    let dir = tempfile::tempdir().unwrap();
    let apt = Apt::new(dir.path().join("apt"), Suite::Trixie).unwrap();
    let debs = dir.path().join("debs");
    for _ in 0..2 {
        let files = apt.download(&["hostname", "libc6"], &debs).unwrap();
        assert!(files[0]
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with("hostname_"));
        assert!(files[1]
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with("libc6_"));
    }
    let files = apt.download(&["hostname"], &debs).unwrap();
    unpack(&files[0], &dir.path().join("root")).unwrap();
    assert!(dir.path().join("root/usr/bin/hostname").exists());

    for n in 0..2 {
        let tree = dir.path().join(format!("source{n}"));
        apt.fetch_source("hostname", None, &tree).unwrap();
        assert!(tree.join("debian/control").exists());
    }
    assert!(apt.candidate("libc6").unwrap().starts_with("2.41"));
    assert!(matches!(
        apt.candidate("no-such-package"),
        Err(Error::NoPackage { .. })
    ));
    assert!(matches!(
        apt.source_versions("no-such-package"),
        Err(Error::NoPackage { .. })
    ));
    assert!(apt.download(&["no-such-package"], &debs).is_err());
}
