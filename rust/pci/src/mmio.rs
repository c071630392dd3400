// SPDX-License-Identifier: GPL-2.0-or-later
//! Registers that the guest reads and writes.

use std::ffi::CStr;
use std::marker::PhantomData;
use std::mem::zeroed;
use std::os::raw::{c_uint, c_void};

use qemu::bindings::{
    hwaddr, memory_region_init_io, MemoryRegion, MemoryRegionOps, MemoryRegionOps__bindgen_ty_1,
    MemoryRegionOps__bindgen_ty_2, DEVICE_LITTLE_ENDIAN,
};
use qemu::{IsA, Object, ObjectType, Opaque};

/// What the guest's accesses to a region do: of 1 to 8 bytes, at any place in it, little endian.
pub trait Mmio: ObjectType {
    /// The guest reads `bytes` bytes at `at`.
    fn read(&self, at: u64, bytes: u32) -> u64;

    /// The guest writes `bytes` bytes at `at`.
    fn write(&self, at: u64, value: u64, bytes: u32);
}

/// A region of the guest's addresses, a field of the device that it belongs to. All zeroes is one that has not been
/// initialised.
#[repr(transparent)]
#[derive(Debug)]
pub struct Region(Opaque<MemoryRegion>);

// SAFETY: all use is under the big QEMU lock.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    /// Makes it a region of `bytes` bytes whose accesses go to `owner`.
    ///
    /// # Safety
    /// The region lies inside `owner`, and has not been initialised before.
    pub(crate) unsafe fn init<T: Mmio + IsA<Object>>(&self, owner: &T, name: &CStr, bytes: u64) {
        let owner: *mut c_void = std::ptr::from_ref(owner).cast_mut().cast();
        // SAFETY: zeroed memory that does not move, as QOM objects do not; C copies the name, and the callbacks fit the
        // opaque, which is the object that the region keeps alive.
        unsafe {
            memory_region_init_io(
                self.0.as_mut_ptr(),
                owner.cast(),
                &Accesses::<T>::OPS,
                owner,
                name.as_ptr(),
                bytes,
            );
        }
    }

    /// The C object.
    pub(crate) const fn as_mut_ptr(&self) -> *mut MemoryRegion {
        self.0.as_mut_ptr()
    }
}

struct Accesses<T>(PhantomData<T>);

impl<T: Mmio> Accesses<T> {
    const OPS: MemoryRegionOps = MemoryRegionOps {
        read: Some(Self::read),
        write: Some(Self::write),
        endianness: DEVICE_LITTLE_ENDIAN,
        valid: MemoryRegionOps__bindgen_ty_1 {
            min_access_size: 1,
            max_access_size: 8,
            unaligned: true,
            accepts: None,
        },
        impl_: MemoryRegionOps__bindgen_ty_2 {
            min_access_size: 1,
            max_access_size: 8,
            unaligned: true,
        },
        // SAFETY: zeroes are no callbacks.
        ..unsafe { zeroed() }
    };

    /// # Safety
    /// Called by QEMU with what `init` registered.
    unsafe extern "C" fn read(opaque: *mut c_void, at: hwaddr, bytes: c_uint) -> u64 {
        // SAFETY: opaque is the object around the region, alive for the call.
        unsafe { &*opaque.cast::<T>() }.read(at, bytes)
    }

    /// # Safety
    /// As [`Accesses::read`].
    unsafe extern "C" fn write(opaque: *mut c_void, at: hwaddr, value: u64, bytes: c_uint) {
        // SAFETY: as above.
        unsafe { &*opaque.cast::<T>() }.write(at, value, bytes);
    }
}
