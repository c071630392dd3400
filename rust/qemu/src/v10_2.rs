// SPDX-License-Identifier: GPL-2.0-or-later
//! QEMU 10.2, whose Rust is a crate for each part.

pub use bql::{is_locked as bql_locked, BqlCell, BqlRefCell};
pub use common::callbacks::FnCall;
pub use common::Opaque;
pub use hwcore::{DeviceImpl, DevicePropertiesImpl, DeviceState, ResetType, ResettablePhasesImpl};
pub use qom::bindings::{type_register_static, TypeInfo};
pub use qom::prelude::{qom_isa, IsA, Object, ObjectCast, ObjectDeref, ObjectType};
pub use qom::{ObjectImpl, Owned, ParentField, ParentInit};
pub use util::module_init;

/// What [`crate::Device`] says, in the words of this version.
#[macro_export]
macro_rules! implement {
    ($device:ident) => {
        impl $crate::ObjectImpl for $device {
            type ParentType = <Self as $crate::Device>::Parent;
            const INSTANCE_INIT: Option<unsafe fn($crate::ParentInit<Self>)> = Some({
                unsafe fn init(mut this: $crate::ParentInit<$device>) {
                    // SAFETY: QEMU's contract is this one.
                    unsafe { <$device as $crate::Device>::init(this.as_mut_ptr()) }
                }
                init
            });
            const INSTANCE_POST_INIT: Option<fn(&Self)> = Some(<Self as $crate::Device>::post_init);
            const CLASS_INIT: fn(&mut Self::Class) = <Self as $crate::Device>::class_init;
        }
        // SAFETY: no properties of this kind.
        unsafe impl $crate::DevicePropertiesImpl for $device {}
        impl $crate::DeviceImpl for $device {}
    };
}
