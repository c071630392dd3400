// SPDX-License-Identifier: GPL-2.0-or-later
//! `bindgen`-generated declarations, with what `qemu_api` has already filled in from there.
#![allow(
    dead_code,
    deref_nullptr,
    improper_ctypes,
    improper_ctypes_definitions,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unnecessary_transmutes,
    unsafe_op_in_unsafe_fn,
    unused_imports,
    unpredictable_function_pointer_comparisons,
    clippy::all,
    clippy::pedantic,
    clippy::restriction
)]

use qemu_api::bindings::*;

// Types of headers that qemu_api does not read; only pointers to them are used.
pub type HostIOMMUDevice = std::os::raw::c_void;
pub type GString = std::os::raw::c_void;
pub type HostMemoryBackend = std::os::raw::c_void;
pub type IOThread = std::os::raw::c_void;

include!("pci_bindings.inc.rs");
