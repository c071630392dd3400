// SPDX-License-Identifier: GPL-2.0-or-later
//! The QOM object: properties, realize, registers, timer, reset, unplug.

use std::ffi::CStr;
use std::ptr::addr_of_mut;

use image::AfterKill;
use nvme::Controller;
use pci::{
    add_bootindex, for_each_device, is_running, Error, Identity, Mmio, PciDevice, PciDeviceImpl,
    PropertyValue, Ram, Region, StopHandler, TextProperties, VirtualTimer,
};
use qemu::bindings::{PCIDeviceClass, DEVICE_CATEGORY_STORAGE};
use qemu::{
    qom_isa, BqlCell, BqlRefCell, Device, DeviceState, Interfaces, Object, ObjectType, Owned,
    ParentField, ResetType, ResettablePhasesImpl,
};
use ssd::{AfterCut, Config, Drive, Faults, Plan, Property};
use units::{Instant, Nanos, ZoneId};

use crate::alarm::Alarm;
use crate::history::Historian;
use crate::host::{GuestLog, Signals, Visit};
use crate::media::Store;
use crate::persistence::{FromImage, Persistence, Sync};
use crate::properties::{self, Extra, Which};
use crate::record::Recorder;

/// Units of work of one visit, each about a microsecond of the host's time, in which guest processors wait for the big
/// lock; the rest follows from the timer at the same instant. That is 2 MiB of copying.
const WORK_PER_VISIT: u32 = 500;

/// Where the capabilities lie in configuration space.
const PM_CAPABILITY: u8 = 0x60;
const EXPRESS_CAPABILITY: u8 = 0x80;

/// BAR 0 and 1 are the registers; the MSI-X table has BAR 4 to itself, so that the register window
/// can be any size.
const REGISTER_BAR: u8 = 0;
const MSIX_BAR: u8 = 4;

/// NVM Express I/O controller (PCI code and ID assignment, class 01h, sub-class 08h, interface 02h).
const CLASS_NVM_STORAGE: u16 = 0x0108;
const INTERFACE_NVM_EXPRESS: u8 = 0x02;

/// Behind the path of the PCI function, as QEMU's own nvme has it: firmware knows that.
const BOOT_SUFFIX: &CStr = c"/namespace@1,0";

/// What exists between realize and unplug.
pub(crate) struct Inner {
    pub(crate) core: Controller<Drive>,
    pub(crate) media: Store,
    pub(crate) recorder: Option<Recorder>,
    pub(crate) historian: Option<Historian>,
    /// The file that the drive lives in, if it has one.
    pub(crate) persistence: Option<Persistence>,
    #[allow(dead_code, reason = "held for its Drop")]
    stop_handler: Option<StopHandler>,
    serial: String,
    /// What follows a power cut.
    after_cut: Option<AfterCut>,
}

/// The device. See the crate's documentation.
#[repr(C)]
pub struct ConzoneNvme {
    pub(crate) parent_obj: ParentField<PciDevice>,
    registers: Region,
    pub(crate) alarm: Alarm,
    pub(crate) config: BqlRefCell<Config>,
    /// Fault rules set before realize.
    early_faults: BqlRefCell<Faults>,
    /// Where the commands are to be recorded, or empty.
    record: BqlRefCell<String>,
    /// Where all that happens is to be written down, or empty.
    history: BqlRefCell<String>,
    /// The file that the drive is to live in, or empty, and what it is after a kill.
    image: BqlRefCell<String>,
    after_kill: BqlCell<AfterKill>,
    sync: BqlCell<Sync>,
    /// When power is to be cut, set before realize.
    early_cut: BqlCell<Option<Instant>>,
    pub(crate) inner: BqlRefCell<Option<Inner>>,
    /// Set while `inner` is borrowed or its signals are delivered. Looked at before any borrow.
    busy: BqlCell<bool>,
    /// A reset arrived while busy.
    reset_due: BqlCell<bool>,
    log: GuestLog,
    /// Where firmware looks for something to boot from; C's.
    bootindex: BqlCell<i32>,
}

// SAFETY: repr(C), starts with the parent, and adds nothing to the parent's class struct.
unsafe impl ObjectType for ConzoneNvme {
    type Class = PCIDeviceClass;
    const TYPE_NAME: &'static CStr = c"conzone-nvme";
}
qom_isa!(ConzoneNvme: PciDevice, DeviceState, Object);

qemu::register!(ConzoneNvme, parent_obj);

impl Device for ConzoneNvme {
    type Parent = PciDevice;
    const INTERFACES: Interfaces = qemu::PCI_EXPRESS;

    unsafe fn init(this: *mut Self) {
        // SAFETY: the fields are written in place without being read or dropped before. The
        // memory region and the timer stay zeroed until realize and post_init.
        unsafe {
            addr_of_mut!((*this).config).write(BqlRefCell::new(Config::new()));
            addr_of_mut!((*this).early_faults).write(BqlRefCell::new(Faults::default()));
            addr_of_mut!((*this).record).write(BqlRefCell::new(String::new()));
            addr_of_mut!((*this).history).write(BqlRefCell::new(String::new()));
            addr_of_mut!((*this).image).write(BqlRefCell::new(String::new()));
            addr_of_mut!((*this).after_kill).write(BqlCell::new(AfterKill::default()));
            addr_of_mut!((*this).sync).write(BqlCell::new(Sync::default()));
            addr_of_mut!((*this).early_cut).write(BqlCell::new(None));
            addr_of_mut!((*this).inner).write(BqlRefCell::new(None));
            addr_of_mut!((*this).busy).write(BqlCell::new(false));
            addr_of_mut!((*this).reset_due).write(BqlCell::new(false));
            Alarm::write(addr_of_mut!((*this).alarm));
            addr_of_mut!((*this).log).write(GuestLog::default());
            addr_of_mut!((*this).bootindex).write(BqlCell::new(-1));
            add_bootindex(this, (*this).bootindex.as_ptr(), BOOT_SUFFIX);
        }
    }

    fn post_init(&self) {
        // SAFETY: the timer is a field of this object, and this runs once per object.
        unsafe { self.alarm.init(self) }
    }

    fn class_init(class: &mut PCIDeviceClass) {
        pci::class_init::<Self>(class);
        let device = &mut class.parent_class;
        device.desc = c"Consumer-grade zoned NVMe drive with a flash timing model".as_ptr();
        device.categories[0] |= 1 << DEVICE_CATEGORY_STORAGE;
        device.vmsd = pci::migration!(ConzoneNvme, c"conzone-nvme", 1);
        properties::show(device);
        properties::register(&mut device.parent_class);
    }
}

impl ResettablePhasesImpl for ConzoneNvme {
    const HOLD: Option<fn(&Self, ResetType)> = Some(Self::reset);
}

impl PciDeviceImpl for ConzoneNvme {
    const IDENTITY: Identity = Identity {
        // Of the range for experiments, which nobody registers (QEMU: docs/specs/pci-ids). Drivers bind by class.
        vendor: 0x1af4,
        device: 0x10f0,
        revision: 1,
        class: CLASS_NVM_STORAGE,
        prog_interface: INTERFACE_NVM_EXPRESS,
        subsystem_vendor: 0,
        subsystem: 0,
    };

    fn realize(&self) -> Result<(), Error> {
        let mut from_image = self.open_image()?;
        if !self.history.borrow().is_empty() {
            // So that there is an undo area: a cut can come at any instant.
            self.config.borrow_mut().outlive();
        }
        let plan = self.config.borrow().plan().map_err(config_error)?;
        let (mut core, media, persistence) = match from_image.take() {
            Some(from) => (from.opened.drive, Some(from.media), Some(from.persistence)),
            None => (ssd::build(&plan).map_err(config_error)?, None, None),
        };
        core.set_interrupt_hold(Self::interrupt_hold(&plan));
        let cut_at = self.early_cut.get();
        if let (Some(at), None) = (cut_at, plan.power_cuts) {
            let at = at.as_nanos();
            return Err(Error::new(format!(
                "property 'power-cut' = {at}: {}",
                ssd::NO_CUTS
            )));
        }
        core.cut_power_at(cut_at);
        let media = match media {
            Some(media) => Store::Memory(media),
            None => Store::open(&plan.media, plan.layout.size, &self.parent_obj)?,
        };
        if let Some(memory) = media.memory() {
            self.refuse_shared_media(memory)?;
        }
        self.refuse_shared_serial(&plan.controller.serial)?;
        let historian = self.begin_history(&mut core, &plan, &media)?;
        // The drive of a history has no fault rules.
        let faults = self.early_faults.borrow().clone();
        core.drive_mut().put_faults(faults).map_err(config_error)?;
        let path = self.record.borrow();
        let recorder = match path.as_str() {
            "" => None,
            path => Some(Recorder::begin(path, core.drive_mut())?),
        };

        let pci = &self.parent_obj;
        pci.set_prog_interface(Self::IDENTITY.prog_interface);
        pci.use_interrupt_pin();
        pci.add_power_management(PM_CAPABILITY)?;
        pci.add_express_endpoint(EXPRESS_CAPABILITY)?;
        pci.add_mmio_bar(
            REGISTER_BAR,
            &self.registers,
            self,
            c"conzone-nvme.registers",
            core.bar_bytes(),
        );
        if let Some(worker) = &plan.worker {
            self.alarm.employ(worker, self)?;
        }
        if let Err(e) = pci.add_msix(plan.controller.vectors, MSIX_BAR) {
            self.alarm.end();
            return Err(e);
        }

        let serial = plan.controller.serial;
        *self.inner.borrow_mut() = Some(Inner {
            core,
            media,
            recorder,
            historian,
            // SAFETY: the device drops it when it is unplugged, or with itself at the latest.
            stop_handler: persistence
                .as_ref()
                .and_then(|_| unsafe { StopHandler::new(self, Self::stopped) }),
            persistence,
            serial,
            after_cut: plan.power_cuts,
        });
        Ok(())
    }

    fn exit(&self) {
        self.alarm.end();
        self.parent_obj.remove_msix();
        // A guest can make a device unplug itself, by DMA to the slot's registers: then the
        // controller is at work further up the stack, and goes when the object does.
        if !self.busy.get() {
            self.stopped();
            *self.inner.borrow_mut() = None;
        }
    }
}

impl TextProperties for ConzoneNvme {
    fn set_property(&self, index: usize, text: &str) -> Result<(), Error> {
        match properties::which(index) {
            Some(Which::Table(property)) => self.configure(property, text),
            Some(Which::Extra(Extra::ZoneReadOnly)) => self.inject_zone(text, false),
            Some(Which::Extra(Extra::ZoneOffline)) => self.inject_zone(text, true),
            Some(Which::Extra(Extra::Fault)) => self.set_faults(text),
            Some(Which::Extra(Extra::Record)) => self.set_file("record", &self.record, text),
            Some(Which::Extra(Extra::History)) => self.set_file("history", &self.history, text),
            Some(Which::Extra(Extra::PowerCut)) => self.set_power_cut(text),
            Some(Which::Extra(Extra::Image)) => self.set_file("image", &self.image, text),
            Some(Which::Extra(Extra::AfterKill)) => self.choose(
                "after-kill",
                AfterKill::ALL,
                AfterKill::name,
                &self.after_kill,
                text,
            ),
            Some(Which::Extra(Extra::Sync)) => {
                self.choose("sync", Sync::ALL, Sync::name, &self.sync, text)
            }
            Some(Which::Extra(
                Extra::Statistics
                | Extra::Clock
                | Extra::Series
                | Extra::ZoneMap
                | Extra::ZoneSeries
                | Extra::ZoneReads,
            ))
            | None => Err(Error::new("this property can only be read")),
        }
    }

    fn property(&self, index: usize) -> PropertyValue {
        match properties::which(index) {
            Some(Which::Table(property)) => properties::read(&self.config.borrow(), property),
            Some(Which::Extra(Extra::Statistics)) => PropertyValue::Text(self.statistics()),
            Some(Which::Extra(Extra::Clock)) => PropertyValue::Number(self.alarm.now().as_nanos()),
            Some(Which::Extra(Extra::Series)) => {
                PropertyValue::Text(self.text(|core| core.drive().series_csv(), ""))
            }
            Some(Which::Extra(Extra::ZoneMap)) => {
                PropertyValue::Text(self.text(|core| ssd::zone_map(core.drive().model()), ""))
            }
            Some(Which::Extra(Extra::ZoneSeries)) => {
                PropertyValue::Text(self.text(|core| core.drive().zone_series_csv(), ""))
            }
            Some(Which::Extra(Extra::ZoneReads)) => {
                PropertyValue::Text(self.text(|core| core.drive().zone_reads_csv(), ""))
            }
            Some(Which::Extra(Extra::Fault)) => PropertyValue::Text(self.faults()),
            Some(Which::Extra(Extra::Record)) => PropertyValue::Text(self.file_state(
                &self.record,
                |i| i.recorder.as_ref(),
                Recorder::state,
            )),
            Some(Which::Extra(Extra::History)) => PropertyValue::Text(self.file_state(
                &self.history,
                |i| i.historian.as_ref(),
                Historian::state,
            )),
            Some(Which::Extra(Extra::PowerCut)) => PropertyValue::Text(self.power_cut()),
            Some(Which::Extra(Extra::Image)) => PropertyValue::Text(self.image.borrow().clone()),
            Some(Which::Extra(Extra::AfterKill)) => {
                PropertyValue::Text(self.after_kill.get().name().to_owned())
            }
            Some(Which::Extra(Extra::Sync)) => {
                PropertyValue::Text(self.sync.get().name().to_owned())
            }
            Some(Which::Extra(Extra::ZoneReadOnly | Extra::ZoneOffline)) | None => {
                PropertyValue::Text(String::new())
            }
        }
    }
}

impl Mmio for ConzoneNvme {
    fn read(&self, offset: u64, size: u32) -> u64 {
        if self.busy.replace(true) {
            self.note_reentry("read", offset);
            return 0;
        }
        let value = match self.inner.borrow_mut().as_mut() {
            Some(inner) => inner.core.mmio_read(offset, size as u8),
            None => 0,
        };
        self.busy.set(false);
        value
    }

    fn write(&self, offset: u64, value: u64, size: u32) {
        if self.busy.get() {
            self.note_reentry("write", offset);
            return;
        }
        self.visit(|core| core.mmio_write(offset, value, size as u8));
    }
}

impl ConzoneNvme {
    /// How long interrupts may be held back in this machine.
    pub(crate) fn interrupt_hold(plan: &Plan) -> Nanos {
        plan.interrupt_hold(VirtualTimer::is_counted())
    }

    /// Whether some other drive of the machine is like this.
    fn has_other(&self, like: impl Fn(&Inner) -> bool) -> bool {
        let mut found = false;
        for_each_device::<Self, _>(|other| {
            if !std::ptr::eq(other, self) && !other.busy.get() {
                found |= other.inner.borrow().as_ref().is_some_and(&like);
            }
        });
        found
    }

    /// A guest takes drives of one serial number for one drive, and refuses the second: all that it knows them by
    /// (subsystem, namespaces) comes of the serial number, so that it is the same in every slot.
    fn refuse_shared_serial(&self, serial: &str) -> Result<(), Error> {
        if self.has_other(|theirs| theirs.serial == serial) {
            return Err(Error::new(format!(
                "property 'serial' = {serial}: another drive of this machine has it; give each one \
                 its own (serial=)"
            )));
        }
        Ok(())
    }

    /// Two drives in the same guest memory would overwrite each other's data.
    fn refuse_shared_media(&self, media: &Ram) -> Result<(), Error> {
        let overlaps = |theirs: &Ram| theirs.overlaps(media);
        if self.has_other(|theirs| theirs.media.memory().is_some_and(overlaps)) {
            return Err(Error::new(
                "property 'memmap-start': another drive's media lies in this range",
            ));
        }
        Ok(())
    }

    /// Sets a property of the table: any before realize, afterwards only what can change at run
    /// time.
    fn configure(&self, property: &Property, text: &str) -> Result<(), Error> {
        let plugged = self.parent_obj.is_realized();
        if !property.is_live() {
            self.refuse_plugged(property.name())?;
        }
        let mut config = self.config.borrow().clone();
        config.set(property.name(), text).map_err(config_error)?;
        let plan = plugged.then(|| config.plan()).transpose();
        let plan = plan.map_err(config_error)?;
        *self.config.borrow_mut() = config;
        if let Some(plan) = plan {
            let hold = Self::interrupt_hold(&plan);
            self.change(|core| {
                core.drive_mut().set_times(&plan);
                core.set_interrupt_hold(hold);
            });
            if !self.busy.get() {
                let inner = self.inner.borrow();
                if let Some(historian) = inner.as_ref().and_then(|i| i.historian.as_ref()) {
                    historian.end("a setting was changed");
                }
            }
            if is_running() {
                // What is set is in no journal.
                self.checkpoint(false);
            }
        }
        Ok(())
    }

    /// Fault injection: a zone fails, as flash does.
    fn inject_zone(&self, text: &str, offline: bool) -> Result<(), Error> {
        let zone = text
            .parse()
            .map_err(|_| Error::new(format!("'{text}' is not the number of a zone")))?;
        if !self.parent_obj.is_realized() {
            return Err(Error::new("zones can only fail once the device is plugged"));
        }
        let mut result = Ok(());
        self.change(|core| result = core.drive_mut().inject_zone(ZoneId::new(zone), offline));
        result.map_err(|_| Error::new(format!("there is no zone {zone}, or it has failed already")))
    }

    /// Fault rules: before realize they are kept for the drive.
    fn set_faults(&self, text: &str) -> Result<(), Error> {
        if !self.parent_obj.is_realized() {
            return self
                .early_faults
                .borrow_mut()
                .set(text)
                .map_err(config_error);
        }
        let mut result = Ok(());
        self.change(|core| result = core.drive_mut().set_faults(text));
        result.map_err(config_error)
    }

    fn faults(&self) -> String {
        if self.busy.get() {
            return String::new();
        }
        match self.inner.borrow().as_ref() {
            Some(inner) => inner.core.drive().faults().to_string(),
            None => self.early_faults.borrow().to_string(),
        }
    }

    /// A property that is the path of a file.
    fn set_file(&self, name: &str, to: &BqlRefCell<String>, path: &str) -> Result<(), Error> {
        self.refuse_plugged(name)?;
        path.clone_into(&mut to.borrow_mut());
        Ok(())
    }

    /// A property that is one of two things.
    fn choose<T: Copy>(
        &self,
        name: &str,
        all: [T; 2],
        name_of: fn(T) -> &'static str,
        to: &BqlCell<T>,
        text: &str,
    ) -> Result<(), Error> {
        self.refuse_plugged(name)?;
        let Some(chosen) = all.into_iter().find(|one| name_of(*one) == text) else {
            let [a, b] = all.map(name_of);
            return Err(Error::new(format!(
                "property '{name}': '{text}' is not {a} or {b}"
            )));
        };
        to.set(chosen);
        Ok(())
    }

    fn refuse_plugged(&self, name: &str) -> Result<(), Error> {
        if self.parent_obj.is_realized() {
            return Err(Error::new(format!(
                "property '{name}' cannot be changed once the device is plugged"
            )));
        }
        Ok(())
    }

    /// Opens the drive's file, if it has one; its settings are the drive's, and its clock goes on.
    fn open_image(&self) -> Result<Option<FromImage>, Error> {
        let path = self.image.borrow();
        if path.is_empty() {
            return Ok(None);
        }
        let asked = self.config.borrow().clone();
        let from = Persistence::open(&path, &asked, (self.after_kill.get(), self.sync.get()))?;
        *self.config.borrow_mut() = from.opened.config.clone();
        self.alarm.go_on_from(from.opened.clock);
        Ok(Some(from))
    }

    /// The machine has stopped, or the device goes: its file has all of it.
    fn stopped(&self) {
        self.checkpoint(true);
    }

    /// Writes all that the drive's file does not have yet, if it has one.
    fn checkpoint(&self, is_last: bool) {
        if self.busy.get() {
            return;
        }
        let now = self.alarm.now();
        if let Some(Inner {
            core,
            persistence: Some(persistence),
            ..
        }) = self.inner.borrow_mut().as_mut()
        {
            persistence.checkpoint(core, &self.config.borrow(), (now, is_last));
        }
    }

    /// Begins the history of the drive, if there is to be one.
    fn begin_history(
        &self,
        core: &mut Controller<Drive>,
        plan: &Plan,
        media: &Store,
    ) -> Result<Option<Historian>, Error> {
        let path = self.history.borrow();
        if path.is_empty() {
            return Ok(None);
        }
        let drive = (core, &*self.config.borrow(), plan);
        Historian::begin(&path, drive, media, self.alarm.now()).map(Some)
    }

    /// What has become of a file that is written: its path, and what is wrong.
    fn file_state<T>(
        &self,
        path: &BqlRefCell<String>,
        of: impl Fn(&Inner) -> Option<&T>,
        state: impl Fn(&T) -> String,
    ) -> String {
        if self.busy.get() {
            return String::new();
        }
        let inner = self.inner.borrow();
        let file = inner.as_ref().and_then(of);
        file.map_or_else(|| path.borrow().clone(), state)
    }

    /// Has power cut at an instant, or not at all.
    fn set_power_cut(&self, text: &str) -> Result<(), Error> {
        let wrong = |rule: &str| Error::new(format!("property 'power-cut' = {text}: {rule}"));
        let now = self.alarm.now();
        let is_plugged = self.parent_obj.is_realized();
        let at = match text {
            "never" => None,
            "now" if is_plugged => Some(now),
            "now" => return Err(wrong("is for run time; give an instant")),
            _ => Some(Instant::from_nanos(text.parse().map_err(|_| {
                wrong("must be now, never, or an instant of the guest's clock in ns")
            })?)),
        };
        if !is_plugged {
            self.early_cut.set(at);
            return Ok(());
        }
        if self.busy.get() {
            return Err(wrong("the drive is at work; try again"));
        }
        let has_none = |inner: &Inner| inner.after_cut.is_none();
        if self.inner.borrow().as_ref().is_some_and(has_none) {
            return Err(wrong(ssd::NO_CUTS));
        }
        if at.is_some_and(|at| at < now) {
            let now = now.as_nanos();
            return Err(wrong(&format!("the guest's clock is at {now} already")));
        }
        let mut is_off = false;
        self.change(|core| {
            is_off = at.is_some() && core.is_off();
            if !is_off {
                core.cut_power_at(at);
            }
        });
        if is_off {
            return Err(wrong("power is off already"));
        }
        Ok(())
    }

    /// When power is to be cut, or that it is off.
    fn power_cut(&self) -> String {
        let at = if self.busy.get() {
            None
        } else if let Some(inner) = self.inner.borrow().as_ref() {
            if inner.core.is_off() {
                return "off".to_owned();
            }
            inner.core.power_cut_at()
        } else {
            self.early_cut.get()
        };
        at.map_or_else(|| "never".to_owned(), |at| at.as_nanos().to_string())
    }

    /// The device's own DMA has come back to it.
    fn note_reentry(&self, what: &str, offset: u64) {
        self.log
            .note(format_args!("dropped its own {what} at offset {offset:#x}"));
    }

    pub(crate) fn timer_fired(&self) {
        if self.alarm.fired() {
            self.visit(|_| ());
        }
    }

    /// Changes the drive from outside the guest. The controller works then, but not while the machine is stopped: a guest
    /// that does not run must not find its memory changed. It does when the machine goes on.
    fn change(&self, change: impl FnOnce(&mut Controller<Drive>)) {
        if is_running() {
            return self.visit(change);
        }
        if let Some(inner) = self.inner.borrow_mut().as_mut() {
            change(&mut inner.core);
        }
        self.stopped();
        self.alarm.set(self.alarm.now());
    }

    /// Lets the controller work, then delivers what it asked for.
    fn visit(&self, first: impl FnOnce(&mut Controller<Drive>)) {
        if self.busy.replace(true) {
            return;
        }
        // DMA may reach a register that unplugs this very device.
        // SAFETY: QOM objects are on the heap on their own, and this one is alive.
        let _alive = unsafe { Owned::from(self) };
        let guard = self.parent_obj.enter_io();
        let now = self.alarm.now();
        let (mut signals, mut pin) = (Signals::default(), false);
        let mut after_cut = None;
        if let Some(inner) = self.inner.borrow_mut().as_mut() {
            let live = inner.persistence.as_ref().map(|p| &*p.live);
            if let Some(live) = live {
                live.works(now);
            }
            first(&mut inner.core);
            let mut host = Visit {
                device: &self.parent_obj,
                media: &inner.media,
                live,
                historian: inner.historian.as_ref(),
                now,
                signals,
                log: &self.log,
            };
            inner.core.run(&mut host, WORK_PER_VISIT);
            if let Some(recorder) = &mut inner.recorder {
                recorder.write(inner.core.drive_mut());
            }
            if let Some(historian) = &inner.historian {
                historian.write();
            }
            signals = host.signals;
            if let Some(persistence) = &mut inner.persistence {
                persistence.keep_up(&inner.core, &self.config.borrow(), now);
            }
            pin = inner.core.pin_level();
            if inner.core.take_power_cut().is_some() {
                after_cut = inner.after_cut;
            }
        }
        if self.parent_obj.is_realized() {
            self.deliver(signals, pin);
        }
        match after_cut {
            None | Some(AfterCut::Dead) => {}
            Some(AfterCut::Shutdown) => pci::shut_down(),
            Some(AfterCut::Reset) => pci::reset(),
        }
        drop(guard);
        self.busy.set(false);
        if self.reset_due.take() {
            self.reset(ResetType::RESET_TYPE_COLD);
        }
    }

    /// Interrupts and the timer, with nothing borrowed.
    fn deliver(&self, mut signals: Signals, pin: bool) {
        let msix = self.parent_obj.msix_enabled();
        while let Some(vector) = signals.take_vector() {
            if msix {
                self.parent_obj.msix_notify(vector);
            }
        }
        // PCI takes the pin down by itself at times; it ignores what changes nothing.
        self.parent_obj.set_pin(pin && !msix);
        if let Some(deadline) = signals.wake {
            self.alarm.set(deadline);
        }
    }

    /// Power-on, system, bus and function level reset.
    fn reset(&self, _kind: ResetType) {
        if self.busy.get() {
            // By DMA to its own configuration space a device can be made to reset itself.
            self.reset_due.set(true);
            return;
        }
        self.alarm.cancel();
        let now = self.alarm.now();
        if let Some(inner) = self.inner.borrow_mut().as_mut() {
            if let Some(persistence) = &inner.persistence {
                persistence.live.works(now);
            }
            inner.core.reset(now);
            if let Some(at) = inner.core.power_cut_at() {
                self.alarm.set(at);
            }
        }
        if !is_running() {
            // The machine may never go on.
            self.stopped();
        }
    }

    fn statistics(&self) -> String {
        let json = |core: &Controller<Drive>| {
            let (drive, lateness) = (core.drive(), self.alarm.lateness());
            let clock = core.host_clock_ms();
            let power = core.power_report(self.alarm.now());
            let (cuts, lateness) = (drive.power_cuts(), lateness.as_ref());
            ssd::device_json(drive.model(), clock, lateness, &cuts, power.as_ref())
        };
        self.text(json, "{}")
    }

    /// A text about the drive, or `without` when there is none to ask.
    fn text(&self, of: impl FnOnce(&Controller<Drive>) -> String, without: &str) -> String {
        if self.busy.get() {
            return without.to_owned();
        }
        match self.inner.borrow().as_ref() {
            Some(inner) => of(&inner.core),
            None => without.to_owned(),
        }
    }
}

fn config_error(e: ssd::ConfigError) -> Error {
    Error::new(e.to_string())
}
