// SPDX-License-Identifier: GPL-2.0-or-later
//! The image is the same to the byte wherever it is built.

use guest::{Kernel, Options};
use std::fs;

#[test]
#[ignore = "builds the image twice: minutes, 1 GB and the network; run it after a change to the builder"]
fn two_builds_in_two_folders_are_the_same() {
    let folders = ["one", "a/longer/path"].map(|name| {
        let parent = tempfile::tempdir().unwrap();
        (parent.path().join(name), parent)
    });
    let [one, other] = &folders;
    let [one, other] = [one, other].map(|(target, _)| {
        let options = Options {
            target: target.clone(),
            force: false,
            progress: false,
            kernel: Kernel::default(),
        };
        guest::build(&options).unwrap()
    });
    for kernel in Kernel::RELEASED {
        for file in [guest::Image::vmlinux, guest::Image::initramfs] {
            let [a, b] = [&one, &other].map(|image| fs::read(file(image, kernel)).unwrap());
            let first = a.iter().zip(&b).position(|(a, b)| a != b);
            let name = file(&one, kernel);
            assert_eq!((first, a.len()), (None, b.len()), "{}", name.display());
        }
    }
}
