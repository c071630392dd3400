// SPDX-License-Identifier: GPL-2.0-or-later
//! The boundary to QEMU's Rust: cells, object model, devices and C's declarations under names that are the same for
//! every QEMU the device is built with. Nothing else in this repository names QEMU's crates.
//!
//! ```text
//!   hw/conzone, rust/pci
//!        |  qemu::{BqlCell, Device, Object, ...}, qemu::bindings
//!   rust/qemu     v10_0.rs  over the crate qemu_api
//!                 v10_2.rs  over bql, common, hwcore, qom, util
//! ```
//! Another version is another file of these.
//!
//! Built by meson only, since it needs QEMU's headers.

#![deny(unsafe_op_in_unsafe_fn)]
#![warn(missing_docs)]
// The one condition, which rustc does not know of by itself.
#![allow(unknown_lints, unexpected_cfgs)]

pub mod bindings;
#[cfg_attr(qemu_10_2, path = "v10_2.rs")]
#[cfg_attr(not(qemu_10_2), path = "v10_0.rs")]
mod version;

pub use version::*;

/// A type of device that is written in Rust. [`register!`] makes it known to QEMU.
pub trait Device: ObjectType + IsA<DeviceState> + ResettablePhasesImpl {
    /// What its first field is a [`ParentField`] of.
    type Parent: ObjectType;

    /// The interfaces that the type implements, each by its name.
    const INTERFACES: Interfaces;

    /// Makes the object.
    ///
    /// # Safety
    /// `this` is zeroed memory with the parent initialised; every field that is not valid as zeroes is to be written
    /// without being read or dropped before.
    unsafe fn init(this: *mut Self);

    /// Makes what needs the object in its place.
    fn post_init(&self) {}

    /// Fills in the class, whose parent part is filled in already.
    fn class_init(class: &mut Self::Class);
}

/// A null-terminated list of interfaces' names, as C has it.
#[derive(Clone, Copy)]
pub struct Interfaces(*const bindings::InterfaceInfo);

impl Interfaces {
    /// The first entry.
    #[must_use]
    pub const fn as_ptr(self) -> *const bindings::InterfaceInfo {
        self.0
    }
}

/// The interface of a device that is plugged into PCI Express slots.
pub const PCI_EXPRESS: Interfaces = Interfaces(
    const {
        &[
            bindings::InterfaceInfo {
                type_: c"pci-express-device".as_ptr(),
            },
            bindings::InterfaceInfo {
                type_: std::ptr::null(),
            },
        ]
    }
    .as_ptr(),
);

/// Fills in the device part of a class, for [`Device::class_init`].
pub fn device_class_init<T: DeviceImpl>(class: &mut bindings::DeviceClass) {
    // SAFETY: the same class of C's in the words of QEMU's crate.
    let class =
        unsafe { &mut *std::ptr::from_mut(class).cast::<<DeviceState as ObjectType>::Class>() };
    class.class_init::<T>();
}

/// Makes a type that implements [`Device`] one of QEMU's: `register!(MyDevice, parent_field)`.
#[macro_export]
macro_rules! register {
    ($device:ident, $parent:ident) => {
        // The first field, with its destructor left to C.
        const _: fn(&$device) -> &$crate::ParentField<<$device as $crate::Device>::Parent> =
            |device| &device.$parent;
        const _: () = assert!(::std::mem::offset_of!($device, $parent) == 0);

        $crate::implement!($device);

        const _: () = {
            const INFO: $crate::TypeInfo = $crate::TypeInfo {
                interfaces: <$device as $crate::Device>::INTERFACES
                    .as_ptr()
                    .cast_mut()
                    .cast(),
                ..<$device as $crate::ObjectImpl>::TYPE_INFO
            };
            $crate::module_init! {
                // SAFETY: QEMU calls this when types are to be registered, and copies the description.
                MODULE_INIT_QOM => { unsafe { $crate::type_register_static(&INFO); } }
            }
        };
    };
}
