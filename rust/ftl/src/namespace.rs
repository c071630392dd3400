// SPDX-License-Identifier: GPL-2.0-or-later
//! The namespaces of a drive.

/// Which namespace of a drive that can have two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Namespace {
    /// The conventional namespace for file-system metadata; may be absent.
    Meta,
    /// The data namespace.
    Data,
}
