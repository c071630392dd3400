// SPDX-License-Identifier: GPL-2.0-or-later
//! A device's state in snapshots (`savevm`) and migrations.
//!
//! ```text
//!   vmstate_pci_device   configuration space, power state, pin      QEMU's own descriptions
//!   vmstate_msix         vector table and pending bits
//!   Migrate              whatever the device writes, as a stream
//! ```
//! [`migration!`] makes a `VMStateDescription` of these three for a device type, to be put
//! into its class. The device's part has no length of its own in QEMU's stream: what
//! [`Migrate::save`] writes, [`Migrate::load`] reads back, to the byte.
//!
//! The machine is stopped meanwhile, and the clock has been loaded. A device that comes later may not
//! have been: nothing is to be sent to others before the machine runs.

use std::marker::PhantomData;
use std::os::raw::{c_int, c_void};
use std::ptr::NonNull;

use qemu::bindings::{
    error_report_err, qemu_file_get_error, qemu_get_buffer, qemu_put_buffer, JSONWriter, QEMUFile,
    VMStateField,
};
use qemu::bql_locked;

use crate::device::PciDeviceImpl;
use crate::error::Error;

/// Input/output error, as C returns it: errors of streams are negative numbers.
const EIO: c_int = 5;
/// Invalid argument.
const EINVAL: c_int = 22;

/// A device whose state travels.
pub trait Migrate: PciDeviceImpl {
    /// Writes the state.
    ///
    /// # Errors
    /// One line for the user; the snapshot or migration fails, and the machine goes on.
    fn save(&self, to: &mut Outgoing<'_>) -> Result<(), Error>;

    /// Takes a state over that [`Migrate::save`] has written, perhaps that of another QEMU. After an
    /// error the device is as it was before.
    ///
    /// # Errors
    /// One line for the user; QEMU does not run the machine then.
    fn load(&self, from: &mut Incoming<'_>) -> Result<(), Error>;
}

/// A stream that is written.
pub struct Outgoing<'a>(NonNull<QEMUFile>, PhantomData<&'a QEMUFile>);

impl Outgoing<'_> {
    /// Writes bytes. Errors of the stream are QEMU's to find.
    pub fn put(&mut self, bytes: &[u8]) {
        assert!(bql_locked());
        // SAFETY: the stream is QEMU's, valid for the call that this value was made for.
        unsafe { qemu_put_buffer(self.0.as_ptr(), bytes.as_ptr(), bytes.len()) }
    }

    /// Writes a number.
    pub fn put_u64(&mut self, number: u64) {
        self.put(&number.to_be_bytes());
    }
}

/// A stream that is read.
pub struct Incoming<'a>(NonNull<QEMUFile>, PhantomData<&'a QEMUFile>);

impl Incoming<'_> {
    /// Bytes that [`Incoming::get_vec`] asks the host for at a time: a length in a stream is no promise.
    const PIECE: usize = 1 << 20;

    /// Reads bytes.
    ///
    /// # Errors
    /// The stream ends, or cannot be read.
    pub fn get(&mut self, into: &mut [u8]) -> Result<(), Error> {
        assert!(bql_locked());
        // SAFETY: the stream is QEMU's, valid for the call that this value was made for; C writes at
        // most as many bytes as it is told there are.
        let (read, error) = unsafe {
            let read = qemu_get_buffer(self.0.as_ptr(), into.as_mut_ptr(), into.len());
            (read, qemu_file_get_error(self.0.as_ptr()))
        };
        if read == into.len() && error == 0 {
            Ok(())
        } else {
            Err(Error::new("the stream ends in the middle of the device"))
        }
    }

    /// Reads a number.
    ///
    /// # Errors
    /// As [`Incoming::get`].
    pub fn get_u64(&mut self) -> Result<u64, Error> {
        let mut bytes = [0; 8];
        self.get(&mut bytes)?;
        Ok(u64::from_be_bytes(bytes))
    }

    /// Reads so many bytes, as far as there are any.
    ///
    /// # Errors
    /// As [`Incoming::get`].
    pub fn get_vec(&mut self, len: u64) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        let mut left = len;
        while left > 0 {
            let piece = left.min(Self::PIECE as u64) as usize;
            let start = bytes.len();
            bytes.resize(start + piece, 0);
            self.get(bytes.split_at_mut(start).1)?;
            left -= piece as u64;
        }
        Ok(bytes)
    }
}

/// Tells the user of an error, and C that there was one.
fn report(error: Error, code: c_int) -> c_int {
    let mut c_error = std::ptr::null_mut();
    // SAFETY: a valid out parameter; error_report_err takes over what it was set to.
    unsafe {
        error.propagate(&mut c_error);
        error_report_err(c_error);
    }
    -code
}

/// For [`migration!`].
///
/// # Safety
/// Called by QEMU for a realized instance of `T` with a stream to write to.
#[doc(hidden)]
pub unsafe extern "C" fn rust_put<T: Migrate>(
    file: *mut QEMUFile,
    device: *mut c_void,
    _size: usize,
    _field: *const VMStateField,
    _description: *mut JSONWriter,
) -> c_int {
    // SAFETY: device is an instance of T, valid for the call.
    let device = unsafe { device.cast::<T>().as_ref() };
    let (Some(device), Some(file)) = (device, NonNull::new(file)) else {
        return -EINVAL;
    };
    match device.save(&mut Outgoing(file, PhantomData)) {
        Ok(()) => 0,
        Err(e) => report(e, EIO),
    }
}

/// For [`migration!`].
///
/// # Safety
/// Called by QEMU for a realized instance of `T` with a stream to read from.
#[doc(hidden)]
pub unsafe extern "C" fn rust_get<T: Migrate>(
    file: *mut QEMUFile,
    device: *mut c_void,
    _size: usize,
    _field: *const VMStateField,
) -> c_int {
    // SAFETY: device is an instance of T, valid for the call.
    let device = unsafe { device.cast::<T>().as_ref() };
    let (Some(device), Some(file)) = (device, NonNull::new(file)) else {
        return -EINVAL;
    };
    match device.load(&mut Incoming(file, PhantomData)) {
        Ok(()) => 0,
        Err(e) => report(e, EINVAL),
    }
}

/// The `VMStateDescription` of a type of device that implements [`Migrate`]: a reference to a static.
/// The PCI device is its first field, as QOM has it.
#[macro_export]
macro_rules! migration {
    ($device:ty, $name:expr, $version:expr) => {{
        use std::mem::{size_of, zeroed};
        use std::ptr::addr_of;
        use $crate::bindings::{
            vmstate_msix, vmstate_pci_device, PCIDevice, VMStateDescription, VMStateField,
            VMStateInfo, VMS_END, VMS_SINGLE, VMS_STRUCT,
        };

        // SAFETY: zeroes are a description of nothing.
        const NOTHING: VMStateField = unsafe { zeroed() };
        static INFO: VMStateInfo = VMStateInfo {
            name: $name.as_ptr(),
            get: Some($crate::migration::rust_get::<$device>),
            put: Some($crate::migration::rust_put::<$device>),
        };
        static FIELDS: [VMStateField; 4] = [
            VMStateField {
                name: c"pci".as_ptr(),
                size: size_of::<PCIDevice>(),
                flags: VMS_STRUCT,
                // SAFETY: only the address of C's constant.
                vmsd: unsafe { addr_of!(vmstate_pci_device) },
                ..NOTHING
            },
            VMStateField {
                name: c"msix".as_ptr(),
                size: size_of::<PCIDevice>(),
                flags: VMS_STRUCT,
                // SAFETY: as above.
                vmsd: unsafe { addr_of!(vmstate_msix) },
                ..NOTHING
            },
            VMStateField {
                name: c"state".as_ptr(),
                size: size_of::<$device>(),
                flags: VMS_SINGLE,
                info: &INFO,
                ..NOTHING
            },
            VMStateField {
                flags: VMS_END,
                ..NOTHING
            },
        ];
        static DESCRIPTION: VMStateDescription = VMStateDescription {
            name: $name.as_ptr(),
            version_id: $version,
            minimum_version_id: $version,
            fields: FIELDS.as_ptr(),
            // SAFETY: as above.
            ..unsafe { zeroed() }
        };
        &DESCRIPTION
    }};
}
