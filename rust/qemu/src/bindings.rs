// SPDX-License-Identifier: GPL-2.0-or-later
//! C's declarations, `bindgen`-generated: the functions that this project calls, and the types they need.
//!
//! QEMU's own Rust crates have some of them too, divided among crates as each version likes. Those are other types of
//! the same layout (both come of the same headers), and pointers are cast where the two meet.
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
    unpredictable_function_pointer_comparisons,
    clippy::all,
    clippy::pedantic,
    clippy::restriction
)]

include!("qemu_bindings.inc.rs");

// SAFETY: descriptions that C only reads, made of constants.
unsafe impl Sync for VMStateDescription {}
// SAFETY: as above.
unsafe impl Sync for VMStateField {}
// SAFETY: as above.
unsafe impl Sync for VMStateInfo {}
