// SPDX-License-Identifier: GPL-2.0-or-later
//! QEMU 10.0, whose Rust is one crate.

pub use qemu_api::bindings::{type_register_static, TypeInfo};
pub use qemu_api::callbacks::FnCall;
pub use qemu_api::cell::{bql_locked, BqlCell, BqlRefCell, Opaque};
pub use qemu_api::module_init;
pub use qemu_api::prelude::{qom_isa, IsA, Object, ObjectCast, ObjectDeref, ObjectType};
pub use qemu_api::qdev::{DeviceImpl, DeviceState, ResetType, ResettablePhasesImpl};
pub use qemu_api::qom::{ObjectImpl, Owned, ParentField};

/// What [`crate::Device`] says, in the words of this version.
#[macro_export]
macro_rules! implement {
    ($device:ident) => {
        impl $crate::ObjectImpl for $device {
            type ParentType = <Self as $crate::Device>::Parent;
            const INSTANCE_INIT: Option<unsafe fn(&mut Self)> = Some({
                unsafe fn init(this: &mut $device) {
                    // SAFETY: QEMU's contract is this one.
                    unsafe { <$device as $crate::Device>::init(this) }
                }
                init
            });
            const INSTANCE_POST_INIT: Option<fn(&Self)> = Some(<Self as $crate::Device>::post_init);
            const CLASS_INIT: fn(&mut Self::Class) = <Self as $crate::Device>::class_init;
        }
        impl $crate::DeviceImpl for $device {}
    };
}
