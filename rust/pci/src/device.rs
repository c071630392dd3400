// SPDX-License-Identifier: GPL-2.0-or-later
//! PCI devices: class, realize that can fail, BARs, capabilities, interrupts.

use std::ffi::CStr;
use std::os::raw::{c_int, c_void};
use std::ptr::{addr_of, addr_of_mut};

use qemu::bindings::{
    self, object_child_foreach_recursive, object_dynamic_cast, object_get_root, Error as CError,
    PCIDevice, PCIDeviceClass,
};
use qemu::{
    bql_locked, device_class_init, qom_isa, DeviceImpl, DeviceState, IsA, Object, ObjectCast,
    ObjectType, Opaque,
};

use crate::error::Error;
use crate::mmio::{Mmio, Region};

/// Base address register flags (PCI 3.0, 6.2.5.1): memory, 64 bit.
const BAR_MEMORY_64: u8 = 0x4;
/// Configuration space (PCI 3.0, 6.1 and 6.2.4): programming interface, interrupt pin.
const CONFIG_PROG_INTERFACE: usize = 0x09;
const CONFIG_INTERRUPT_PIN: usize = 0x3d;
/// Power management capability (PCI PM 1.2, 3.2): offsets and bits.
const PM_CAPABILITIES: usize = 2;
const PM_CONTROL: usize = 4;
const PM_VERSION_1_2: u16 = 3;
const PM_NO_SOFT_RESET: u16 = 1 << 3;
const PM_STATE_MASK: u16 = 3;

/// Identity of a device in configuration space.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// Vendor id.
    pub vendor: u16,
    /// Device id.
    pub device: u16,
    /// Revision id.
    pub revision: u8,
    /// Base class and sub-class, e.g. 0108h for NVM storage.
    pub class: u16,
    /// Programming interface, e.g. 02h for NVMe.
    pub prog_interface: u8,
    /// Subsystem vendor id; 0 for QEMU's default.
    pub subsystem_vendor: u16,
    /// Subsystem id; 0 for QEMU's default.
    pub subsystem: u16,
}

/// A safe wrapper around QEMU's `PCIDevice`.
#[repr(transparent)]
#[derive(Debug)]
pub struct PciDevice(Opaque<PCIDevice>);

// SAFETY: all access is under the big QEMU lock, asserted by the methods.
unsafe impl Send for PciDevice {}
// SAFETY: as above.
unsafe impl Sync for PciDevice {}

// SAFETY: name and class are those of hw/pci/pci.c; PCIDevice starts with DeviceState and
// PCIDeviceClass with DeviceClass.
unsafe impl ObjectType for PciDevice {
    type Class = PCIDeviceClass;
    const TYPE_NAME: &'static CStr = c"pci-device";
}
qom_isa!(PciDevice: DeviceState, Object);

/// The virtual methods of a PCI device.
pub trait PciDeviceImpl: DeviceImpl + IsA<PciDevice> {
    /// What configuration space says the device is.
    const IDENTITY: Identity;

    /// Checks the properties and builds the device.
    ///
    /// # Errors
    /// One line for the user; QEMU then refuses the device. [`PciDeviceImpl::exit`] is not called:
    /// what was built is undone here or in `Drop`.
    fn realize(&self) -> Result<(), Error>;

    /// Undoes realize, when the device is unplugged.
    fn exit(&self) {}
}

/// # Safety
/// Called by QEMU for an instance of `T`, with its usual `errp`.
unsafe extern "C" fn rust_realize<T: PciDeviceImpl>(dev: *mut PCIDevice, errp: *mut *mut CError) {
    // SAFETY: dev is an instance of T, valid for the call.
    let Some(device) = (unsafe { dev.cast::<T>().as_ref() }) else {
        return;
    };
    if let Err(e) = T::realize(device) {
        // SAFETY: errp is QEMU's.
        unsafe { e.propagate(errp) };
    }
}

/// # Safety
/// Called by QEMU for a realized instance of `T`.
unsafe extern "C" fn rust_exit<T: PciDeviceImpl>(dev: *mut PCIDevice) {
    // SAFETY: dev is an instance of T, valid for the call.
    if let Some(device) = unsafe { dev.cast::<T>().as_ref() } {
        T::exit(device);
    }
}

/// Configuration writes: the generic part, then function level reset.
///
/// # Safety
/// Called by QEMU for a realized device.
unsafe extern "C" fn rust_config_write(dev: *mut PCIDevice, at: u32, value: u32, bytes: i32) {
    // SAFETY: passes on what QEMU passed in.
    unsafe {
        bindings::pci_default_write_config(dev, at, value, bytes);
        if (*dev).exp.exp_cap != 0 {
            bindings::pcie_cap_flr_write_config(dev, at, value, bytes);
        }
    }
}

/// Fills in the class from `T`, for the `class_init` of a PCI device.
pub fn class_init<T: PciDeviceImpl>(class: &mut PCIDeviceClass) {
    let id = T::IDENTITY;
    class.realize = Some(rust_realize::<T>);
    class.exit = Some(rust_exit::<T>);
    class.config_write = Some(rust_config_write);
    class.vendor_id = id.vendor;
    class.device_id = id.device;
    class.revision = id.revision;
    class.class_id = id.class;
    class.subsystem_vendor_id = id.subsystem_vendor;
    class.subsystem_id = id.subsystem;
    device_class_init::<T>(&mut class.parent_class);
}

/// While it lives, DMA aimed at the device's own BARs fails.
///
/// QEMU does this by itself during an MMIO access, but not during a timer.
pub struct IoGuard<'a> {
    device: &'a PciDevice,
    was_engaged: bool,
}

impl Drop for IoGuard<'_> {
    fn drop(&mut self) {
        // SAFETY: under the big QEMU lock since the guard was made.
        unsafe { *self.device.engaged_in_io() = self.was_engaged }
    }
}

impl PciDevice {
    fn pci(&self) -> *mut PCIDevice {
        assert!(bql_locked());
        self.0.as_mut_ptr()
    }

    /// The C object.
    #[must_use]
    pub const fn as_mut_ptr(&self) -> *mut PCIDevice {
        self.0.as_mut_ptr()
    }

    fn engaged_in_io(&self) -> *mut bool {
        // SAFETY: a field of the live device; no reference is made.
        unsafe { addr_of_mut!((*self.pci()).qdev.mem_reentrancy_guard.engaged_in_io) }
    }

    /// Marks the device busy in QEMU's re-entrancy guard until the result is dropped.
    #[must_use]
    pub fn enter_io(&self) -> IoGuard<'_> {
        // SAFETY: a plain bool, under the big QEMU lock.
        let was_engaged = unsafe { self.engaged_in_io().replace(true) };
        IoGuard {
            device: self,
            was_engaged,
        }
    }

    /// Whether the device has been realized.
    #[must_use]
    pub fn is_realized(&self) -> bool {
        // SAFETY: a field of the live device.
        unsafe { addr_of!((*self.pci()).qdev.realized).read() }
    }

    /// Writes one byte of configuration space, whatever the guest may do with it.
    fn set_config(&self, at: usize, value: u8) {
        // SAFETY: config space has at least 256 bytes once realize runs, and the offsets used here
        // are below that.
        unsafe { *(*self.pci()).config.add(at) = value }
    }

    fn set_config_word(&self, at: usize, value: u16) {
        let [low, high] = value.to_le_bytes();
        self.set_config(at, low);
        self.set_config(at + 1, high);
    }

    /// Sets the programming interface byte of the class code.
    pub fn set_prog_interface(&self, value: u8) {
        self.set_config(CONFIG_PROG_INTERFACE, value);
    }

    /// Says that the device uses interrupt pin INTA.
    pub fn use_interrupt_pin(&self) {
        self.set_config(CONFIG_INTERRUPT_PIN, 1);
    }

    /// Adds the power management capability (D0 and D3hot, no soft reset between them), which
    /// operating systems use to power a device down when it is idle or removed.
    ///
    /// # Errors
    /// Configuration space is full at `offset`.
    pub fn add_power_management(&self, offset: u8) -> Result<(), Error> {
        let pci = self.pci();
        // SAFETY: a realizing device; errp is a valid out parameter.
        let at = Error::checked(|errp| unsafe { bindings::pci_pm_init(pci, offset, errp) })?;
        let at = usize::try_from(at).map_err(|_| Error::new("no power management capability"))?;
        self.set_config_word(at + PM_CAPABILITIES, PM_VERSION_1_2);
        self.set_config_word(at + PM_CONTROL, PM_NO_SOFT_RESET);
        // SAFETY: the capability lies inside the first 256 bytes.
        unsafe { *(*pci).wmask.add(at + PM_CONTROL) |= PM_STATE_MASK as u8 };
        Ok(())
    }

    /// Adds the PCI Express endpoint capability with function level reset.
    ///
    /// # Errors
    /// Configuration space is full at `offset`.
    pub fn add_express_endpoint(&self, offset: u8) -> Result<(), Error> {
        let pci = self.pci();
        // SAFETY: a realizing device whose class implements the PCI Express interface.
        unsafe {
            if bindings::pcie_endpoint_cap_init(pci, offset) < 0 {
                return Err(Error::new("no room for the PCI Express capability"));
            }
            bindings::pcie_cap_flr_init(pci);
        }
        Ok(())
    }

    /// Makes `region`, a field of `owner`, the 64-bit memory BAR `index` (and `index + 1`) of
    /// `bytes` bytes, a power of two.
    ///
    /// `owner` is the device itself in its own type, which is called for the guest's accesses.
    ///
    /// # Panics
    /// If `owner` is another device, or `region` is not a field of it.
    pub fn add_mmio_bar<T: Mmio + IsA<Self> + IsA<Object>>(
        &self,
        index: u8,
        region: &Region,
        owner: &T,
        name: &CStr,
        bytes: u64,
    ) {
        let pci = self.pci();
        assert!(std::ptr::eq(owner.upcast::<Self>(), self) && is_field_of(region, owner));
        // SAFETY: a field of owner, which QOM keeps in its place.
        unsafe {
            region.init(owner, name, bytes);
            bindings::pci_register_bar(pci, i32::from(index), BAR_MEMORY_64, region.as_mut_ptr());
        }
    }

    /// Adds MSI-X with `vectors` vectors, its table in a BAR of its own.
    ///
    /// # Errors
    /// The interrupt controller knows no MSI, or there is no room.
    pub fn add_msix(&self, vectors: u16, bar: u8) -> Result<(), Error> {
        let pci = self.pci();
        // SAFETY: a realizing device; errp is a valid out parameter.
        Error::checked(|errp| unsafe {
            bindings::msix_init_exclusive_bar(pci, u32::from(vectors), bar, errp)
        })?;
        for vector in 0..vectors {
            // SAFETY: msix_init succeeded and has that many vectors.
            unsafe { bindings::msix_vector_use(pci, u32::from(vector)) };
        }
        Ok(())
    }

    /// Takes MSI-X away again. Harmless if it was never there.
    pub fn remove_msix(&self) {
        // SAFETY: both check whether MSI-X is present.
        unsafe {
            bindings::msix_unuse_all_vectors(self.pci());
            bindings::msix_uninit_exclusive_bar(self.pci());
        }
    }

    /// Whether the guest has turned MSI-X on, so that the interrupt pin is not to be used.
    #[must_use]
    pub fn msix_enabled(&self) -> bool {
        // SAFETY: reads configuration space.
        unsafe { bindings::msix_enabled(self.pci()) != 0 }
    }

    /// Sends MSI-X vector `vector`, or marks it pending while it is masked. A vector that does not
    /// exist is ignored.
    ///
    /// This is a write by the device to an address of the guest's choice: call it with nothing
    /// borrowed.
    pub fn msix_notify(&self, vector: u16) {
        // SAFETY: C checks the vector number.
        unsafe { bindings::msix_notify(self.pci(), u32::from(vector)) }
    }

    /// Sets the level of the interrupt pin.
    pub fn set_pin(&self, high: bool) {
        // SAFETY: a realized device.
        unsafe { bindings::pci_set_irq(self.pci(), i32::from(high)) }
    }
}

/// Whether `field` lies inside `owner`, so that it lives as long and does not move.
pub(crate) fn is_field_of<F, T>(field: &F, owner: &T) -> bool {
    let start = std::ptr::from_ref(owner) as usize;
    let at = std::ptr::from_ref(field) as usize;
    start <= at && at + size_of::<F>() <= start + size_of::<T>()
}

/// Calls `each` for every device of type `T` in the machine, realized or not.
pub fn for_each_device<T, F>(mut each: F)
where
    T: ObjectType + IsA<DeviceState>,
    F: FnMut(&T),
{
    /// # Safety
    /// `opaque` is the closure passed in below.
    unsafe extern "C" fn visit<T: ObjectType, F: FnMut(&T)>(
        object: *mut bindings::Object,
        opaque: *mut c_void,
    ) -> c_int {
        // SAFETY: object is live for the call; the closure outlives the iteration, and a cast that
        // fails gives null.
        unsafe {
            let device = object_dynamic_cast(object, T::TYPE_NAME.as_ptr()).cast::<T>();
            if let (Some(device), Some(each)) = (device.as_ref(), opaque.cast::<F>().as_mut()) {
                each(device);
            }
        }
        0
    }

    assert!(bql_locked());
    // SAFETY: the callback fits the opaque.
    unsafe {
        object_child_foreach_recursive(
            object_get_root(),
            Some(visit::<T, F>),
            addr_of_mut!(each).cast(),
        );
    }
}
