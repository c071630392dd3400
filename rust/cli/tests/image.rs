// SPDX-License-Identifier: GPL-2.0-or-later
//! Images without a machine: made, looked at, copied, refused.

#![expect(clippy::unwrap_used, reason = "a test program")]

use assert_cmd::Command;
use predicates::str::contains;
use std::fs;
use std::path::Path;

fn image(folder: &Path, line: &str) -> assert_cmd::assert::Assert {
    let mut conzone = Command::cargo_bin("conzone").unwrap();
    conzone.current_dir(folder).arg("image");
    conzone.args(line.split_whitespace()).assert()
}

#[test]
fn an_image_is_made_looked_at_and_copied() {
    let folder = tempfile::tempdir().unwrap();
    let done = |line: &str| image(folder.path(), line).success();
    done("create a.cz --preset tlc-zoned --set zones=4 --set meta-size=4M");
    done("info a.cz")
        .stdout(contains("tlc-zoned"))
        .stdout(contains("zones=4"))
        .stdout(contains("in order"));
    let json = done("info a.cz --json").get_output().stdout.clone();
    let info: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(info["preset"], "tlc-zoned");
    assert_eq!(info["ended_in_order"], true);
    assert_eq!(info["since_checkpoint"], 0);
    done("check a.cz").stdout(contains("a.cz: ended in order"));
    done("log a.cz").stdout("");
    done("copy a.cz b.cz");
    done("check b.cz");
    let [a, b] = ["a.cz", "b.cz"].map(|name| fs::read(folder.path().join(name)).unwrap());
    assert!(a == b);
    done("dump b.cz 1 meta");
    let meta = fs::read(folder.path().join("meta")).unwrap();
    assert_eq!(
        (meta.len(), meta.iter().any(|byte| *byte != 0)),
        (4 << 20, false)
    );
}

#[test]
fn what_cannot_be_done_is_said_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    image(folder.path(), "create a.cz --set zones=4").success();
    fs::write(folder.path().join("other"), "something else").unwrap();
    for (line, why) in [
        ("create a.cz", "a.cz: there is such a file already"),
        ("create no/a.cz", "no/a.cz: it cannot be written"),
        ("create b.cz --set zones=0", "property 'zones'"),
        ("info none.cz", "none.cz: No such file"),
        ("check other", "other: it is not the image of a drive"),
        (
            "dump a.cz 3 out",
            "a.cz: the drive has 2 namespaces, no namespace 3",
        ),
        ("dump a.cz 1 other", "other: File exists"),
        ("copy a.cz other", "other: File exists"),
    ] {
        let refused = image(folder.path(), line).code(2).stderr(contains(why));
        let said = String::from_utf8_lossy(&refused.get_output().stderr).into_owned();
        assert_eq!(said.trim().lines().count(), 1, "{line}: {said}");
    }
    assert!(!folder.path().join("b.cz").exists() && !folder.path().join("out").exists());
}

/// An aged drive in an image is the one that the model is aged to, and it is whole.
#[test]
fn an_aged_drive_lives_in_an_image() {
    let dir = tempfile::tempdir().unwrap();
    let conzone = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_conzone"));
        let output = command.current_dir(&dir).args(words).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned() + &said,
        )
    };
    for (name, drive) in [
        ("z", ["--set", "zones=12"]),
        ("b", ["--preset", "tlc-block"]),
    ] {
        let more = ["--set", "block-data-size=256M"];
        let more = if name == "b" { &more[..] } else { &[] };
        for (file, age) in [("1", "seed=1"), ("same", "seed=1"), ("other", "seed=2")] {
            let create = ["image", "create", &format!("{name}{file}"), "--age", age];
            let words = [&create[..], &drive, more].concat();
            assert_eq!(conzone(&words), (Some(0), String::new()));
        }
        let clock = |file: &str| {
            let (_, info) = conzone(&["image", "info", &format!("{name}{file}"), "--json"]);
            let info: serde_json::Value = serde_json::from_str(&info).unwrap();
            assert_eq!(info["ended_in_order"], true);
            info["clock_ns"].as_u64().unwrap()
        };
        assert!(clock("1") > 1_000_000_000 && clock("1") == clock("same"));
        assert_ne!(clock("1"), clock("other"));
        let (status, said) = conzone(&["image", "check", &format!("{name}1")]);
        assert_eq!(
            (status, said.contains("ended in order")),
            (Some(0), true),
            "{said}"
        );
    }
    let (status, said) = conzone(&["image", "create", "x", "--age", "fill=101"]);
    assert_eq!(status, Some(2));
    assert!(
        said.contains("fill '101' is not a whole number from 0 to 100"),
        "{said}"
    );
    let (status, said) = conzone(&["exec", "--age", "fill=1", "--image", "z1", "--", "true"]);
    assert_eq!(
        (status, said.contains("leave out --image")),
        (Some(2), true),
        "{said}"
    );
}
