// SPDX-License-Identifier: GPL-2.0-or-later
//! A PCI function as firmware and operating system see it: configuration space, BARs, interrupts.

use anyhow::{bail, ensure, Context, Result};

use crate::machine::{Machine, Options};

/// Configuration mechanism #1: address and data ports.
const CONFIG_ADDRESS: u16 = 0xcf8;
const CONFIG_DATA: u16 = 0xcfc;

const COMMAND: u8 = 0x04;
const COMMAND_MEMORY: u32 = 1 << 1;
const COMMAND_MASTER: u32 = 1 << 2;
const COMMAND_INTX_DISABLE: u32 = 1 << 10;
/// In the dword at 04h: status bit 3.
const STATUS_INTERRUPT: u32 = 1 << 19;
const CAPABILITIES: u8 = 0x34;
const MSIX: u8 = 0x11;
/// In the first dword of the MSI-X capability.
const MSIX_ENABLE: u32 = 1 << 31;
const MSIX_FUNCTION_MASK: u32 = 1 << 30;

/// Bus, device, function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PciAddress {
    /// Bus number.
    pub bus: u8,
    /// Device (slot) number, below 32.
    pub device: u8,
    /// Function number, below 8.
    pub function: u8,
}

impl PciAddress {
    /// Function 0 of a slot of the root bus.
    #[must_use]
    pub const fn slot(device: u8) -> Self {
        Self {
            bus: 0,
            device,
            function: 0,
        }
    }

    fn dword(self, offset: u8) -> u32 {
        0x8000_0000
            | u32::from(self.bus) << 16
            | u32::from(self.device) << 11
            | u32::from(self.function) << 8
            | u32::from(offset & 0xfc)
    }

    /// Reads a dword of configuration space.
    pub fn config(self, machine: &Machine, offset: u8) -> Result<u32> {
        machine.outl(CONFIG_ADDRESS, self.dword(offset))?;
        machine.inl(CONFIG_DATA)
    }

    /// Writes a dword of configuration space.
    pub fn set_config(self, machine: &Machine, offset: u8, value: u32) -> Result<()> {
        machine.outl(CONFIG_ADDRESS, self.dword(offset))?;
        machine.outl(CONFIG_DATA, value)
    }

    /// Offset of a capability.
    pub fn capability(self, machine: &Machine, id: u8) -> Result<Option<u8>> {
        let mut at = self.config(machine, CAPABILITIES)?.to_le_bytes()[0];
        for _ in 0..48 {
            if at == 0 {
                return Ok(None);
            }
            let [found, next, ..] = self.config(machine, at)?.to_le_bytes();
            if found == id {
                return Ok(Some(at));
            }
            at = next;
        }
        bail!("the capability list of {self:?} is a loop")
    }
}

/// A function whose BARs are placed and that may use memory.
pub struct PciDevice<'m> {
    /// The machine it is in.
    pub machine: &'m Machine,
    /// Where it is.
    pub address: PciAddress,
    /// Guest physical addresses of the memory BARs; 0 for absent ones.
    pub bars: [u64; 6],
    msix: Option<Msix>,
}

#[derive(Clone, Copy)]
struct Msix {
    capability: u8,
    table: u64,
    vectors: u16,
    /// Guest memory that the messages are aimed at, 4 bytes a vector.
    mailbox: u64,
}

impl<'m> PciDevice<'m> {
    /// Does what firmware and a driver's probe do: sizes and places BARs, turns on memory decoding
    /// and bus mastering.
    pub fn enable(machine: &'m Machine, address: PciAddress) -> Result<Self> {
        let id = address.config(machine, 0)?;
        ensure!(id != u32::MAX, "no PCI device at {address:?}");
        let mut bars = [0; 6];
        let mut index = 0;
        while index < 6 {
            let offset = 0x10 + 4 * u8::try_from(index)?;
            let kind = address.config(machine, offset)?;
            address.set_config(machine, offset, u32::MAX)?;
            let mask = address.config(machine, offset)? & !0xf;
            let is_64_bit = kind & 0x6 == 0x4;
            if mask != 0 && kind & 1 == 0 {
                let base = machine.alloc_bar(u64::from(!mask) + 1);
                address.set_config(machine, offset, u32::try_from(base)?)?;
                if is_64_bit {
                    address.set_config(machine, offset + 4, 0)?;
                }
                if let Some(bar) = bars.get_mut(index) {
                    *bar = base;
                }
            }
            index += if is_64_bit { 2 } else { 1 };
        }
        let device = Self {
            machine,
            address,
            bars,
            msix: None,
        };
        device.set_command(COMMAND_MEMORY | COMMAND_MASTER)?;
        Ok(device)
    }

    /// The same function in a machine that has taken this one over.
    #[must_use]
    pub(crate) fn on<'n>(&self, machine: &'n Machine) -> PciDevice<'n> {
        PciDevice {
            machine,
            address: self.address,
            bars: self.bars,
            msix: self.msix,
        }
    }

    fn set_command(&self, command: u32) -> Result<()> {
        self.address.set_config(self.machine, COMMAND, command)
    }

    /// Turns bus mastering on or off, memory decoding staying on.
    pub fn set_bus_master(&self, on: bool) -> Result<()> {
        self.set_command(COMMAND_MEMORY | if on { COMMAND_MASTER } else { 0 })
    }

    /// Whether the function asserts its interrupt pin (status register).
    pub fn pin_asserted(&self) -> Result<bool> {
        Ok(self.address.config(self.machine, COMMAND)? & STATUS_INTERRUPT != 0)
    }

    /// Turns MSI-X on, all vectors unmasked and aimed at a mailbox in guest memory; the number of
    /// vectors.
    pub fn enable_msix(&mut self) -> Result<u16> {
        let capability = self
            .address
            .capability(self.machine, MSIX)?
            .context("the device has no MSI-X capability")?;
        let control = self.address.config(self.machine, capability)?;
        let vectors = u16::try_from(control >> 16 & 0x7ff)? + 1;
        let location = self.address.config(self.machine, capability + 4)?;
        let bar = self.bars.get((location & 7) as usize).copied();
        let table = bar.unwrap_or(0) + u64::from(location & !7);
        ensure!(
            table != u64::from(location & !7),
            "the MSI-X table's BAR is not placed"
        );
        let mailbox = self.machine.alloc(4 * u64::from(vectors), 4096)?;
        self.machine.memset(mailbox, 4 * u64::from(vectors), 0)?;
        let msix = Msix {
            capability,
            table,
            vectors,
            mailbox,
        };
        for vector in 0..vectors {
            let entry = table + 16 * u64::from(vector);
            self.machine
                .write(entry, 8, mailbox + 4 * u64::from(vector))?;
            self.machine.write(entry + 8, 4, message(vector))?;
            self.machine.write(entry + 12, 4, 0)?;
        }
        self.msix = Some(msix);
        self.set_msix_control(true, false)?;
        self.set_command(COMMAND_MEMORY | COMMAND_MASTER | COMMAND_INTX_DISABLE)?;
        Ok(vectors)
    }

    /// Sets MSI-X Enable and Function Mask.
    pub fn set_msix_control(&self, enable: bool, masked: bool) -> Result<()> {
        let msix = self.msix()?;
        let control = self.address.config(self.machine, msix.capability)?;
        let control = control & !(MSIX_ENABLE | MSIX_FUNCTION_MASK)
            | if enable { MSIX_ENABLE } else { 0 }
            | if masked { MSIX_FUNCTION_MASK } else { 0 };
        self.address
            .set_config(self.machine, msix.capability, control)
    }

    /// Masks or unmasks one vector.
    pub fn mask_vector(&self, vector: u16, masked: bool) -> Result<()> {
        let entry = self.msix()?.table + 16 * u64::from(vector);
        self.machine.write(entry + 12, 4, u64::from(masked))
    }

    /// Aims a vector's message somewhere else.
    pub fn aim_vector(&self, vector: u16, address: u64) -> Result<()> {
        let entry = self.msix()?.table + 16 * u64::from(vector);
        self.machine.write(entry, 8, address)
    }

    /// Whether vector `vector` has been sent since the last look.
    pub fn take_message(&self, vector: u16) -> Result<bool> {
        let msix = self.msix()?;
        ensure!(vector < msix.vectors, "there is no vector {vector}");
        let at = msix.mailbox + 4 * u64::from(vector);
        let found = self.machine.read(at, 4)?;
        self.machine.write(at, 4, 0)?;
        ensure!(
            found == 0 || found == message(vector),
            "vector {vector} brought {found:#x}"
        );
        Ok(found != 0)
    }

    fn msix(&self) -> Result<Msix> {
        self.msix.context("MSI-X is not enabled")
    }
}

/// The data of a vector's message; never 0.
fn message(vector: u16) -> u64 {
    0x4d53_0000 | u64::from(vector)
}

/// Starts a machine with `device` (a `-device` argument on bus `rp`) behind a PCIe root port in slot 3, and
/// opens the port for it: bus 1, and a memory window over all BARs that will be placed. Gives the machine, the
/// port and the device's address. ACPI hot-plug is off, so that the port's own slot control is what unplugs.
///
/// # Errors
/// QEMU did not start, or went away.
pub fn behind_root_port(device: &str) -> Result<(Machine, PciAddress, PciAddress)> {
    let options = Options::default().args([
        "-global",
        "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off",
        "-device",
        "pcie-root-port,id=rp,addr=3",
        "-device",
        device,
    ]);
    let machine = Machine::start(&options)?;
    let port = PciAddress::slot(3);
    port.set_config(&machine, 0x18, 0x0001_0100)?;
    port.set_config(&machine, 0x20, 0xeff0_e000)?;
    port.set_config(&machine, 0x04, 0x6)?;
    let address = PciAddress {
        bus: 1,
        device: 0,
        function: 0,
    };
    Ok((machine, port, address))
}

/// Slot control of the root port (PCI Express base 5.0, 7.5.3.10): power controller and power
/// indicator, as an operating system sets them on hot plug and unplug. Power off makes the port
/// let go of a device that is to be removed.
///
/// # Errors
/// The port has no slot, or QEMU went away.
pub fn set_slot_power(machine: &Machine, port: PciAddress, on: bool) -> Result<()> {
    let express = port
        .capability(machine, 0x10)?
        .context("a port with a slot")?;
    let control = port.config(machine, express + 0x18)? & 0xffff & !(0b111 << 8);
    let power = if on { 0b001 << 8 } else { 0b111 << 8 };
    port.set_config(machine, express + 0x18, control | power)
}

/// Gives a root port a bus number and the memory window that the next BARs will lie in.
///
/// # Errors
/// QEMU went away.
pub fn open_port(machine: &Machine, port: PciAddress, bus: u8) -> Result<()> {
    const WINDOW: u64 = 1 << 20;
    let base = u32::try_from(machine.alloc_bar(WINDOW) + WINDOW)?;
    port.set_config(machine, 0x18, u32::from(bus) << 16 | u32::from(bus) << 8)?;
    port.set_config(machine, 0x20, base | base >> 16)?;
    port.set_config(machine, 0x04, 0x6)
}
