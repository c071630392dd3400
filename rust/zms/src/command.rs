// SPDX-License-Identifier: GPL-2.0-or-later
//! Commands to namespaces: what each does on page-mapped space and on zones.
//!
//! A command that fails here has changed nothing: ranges, states and space are checked first. Only
//! finishing all zones can end half-way, where flash for what their random write areas hold runs out.

use crate::core::Core;
use crate::drive::{Data, Zms};
use crate::paged::Paged;
use crate::write::Write;
use crate::zoned::Zoned;
use ftl::{zone_at, Command, Error, Namespace, Outcome, Reply, ZoneAction, ZoneTarget};
use units::{Instant, Sector, ZoneId};

impl Zms {
    /// Runs a command.
    pub(crate) fn run(
        &mut self,
        namespace: Namespace,
        command: &Command,
        now: Instant,
    ) -> Result<Outcome, Error> {
        let (at, sectors) = range(command);
        let end = at.get().checked_add(sectors);
        let inside = end.is_some_and(|end| end <= self.sectors(namespace));
        let core = &mut self.core;
        match (namespace, &mut self.meta, &mut self.data) {
            (Namespace::Meta, None, _) => Err(Error::Unsupported),
            _ if !inside => Err(Error::OutOfRange),
            (Namespace::Meta, Some(meta), _) => paged(meta, core, command, now).map(Outcome::done),
            (Namespace::Data, _, Data::Block(block)) => {
                paged(block, core, command, now).map(Outcome::done)
            }
            (Namespace::Data, _, Data::Zoned(data)) => zoned(data, core, command, now),
        }
    }
}

/// The sectors that a command names.
fn range(command: &Command) -> (Sector, u64) {
    match *command {
        Command::Read { at, sectors, .. }
        | Command::Write { at, sectors, .. }
        | Command::Deallocate { at, sectors }
        | Command::WriteZeroes { at, sectors, .. } => (at, sectors),
        Command::Append { zone, sectors, .. } => (zone, sectors),
        Command::Zone {
            target: ZoneTarget::One(zone),
            ..
        } => (zone, 1),
        Command::Flush
        | Command::CommitZrwa { .. }
        | Command::Zone {
            target: ZoneTarget::All,
            ..
        } => (Sector::new(0), 0),
    }
}

/// Runs a command on a page-mapped namespace; returns the completion.
fn paged<const NS: u8>(
    ns: &mut Paged<NS>,
    core: &mut Core,
    command: &Command,
    now: Instant,
) -> Result<Instant, Error> {
    match *command {
        Command::Read {
            at,
            sectors,
            internal,
        } => Ok(ns.read(core, at, sectors, internal, now)),
        Command::Write {
            at,
            sectors,
            fua,
            internal,
        } => ns.write(core, Write::new(at, sectors, fua, !internal), now),
        Command::Flush => Ok(ns.flush_all(core, now)),
        // Unmapping is durable at once: the map's changes are.
        Command::Deallocate { at, sectors } | Command::WriteZeroes { at, sectors, .. } => {
            ns.unmap(core, at, sectors);
            Ok(now)
        }
        Command::Append { .. } | Command::Zone { .. } | Command::CommitZrwa { .. } => {
            Err(Error::Unsupported)
        }
    }
}

/// Runs a command on the zoned namespace.
fn zoned(
    ns: &mut Zoned,
    core: &mut Core,
    command: &Command,
    now: Instant,
) -> Result<Outcome, Error> {
    let done = match *command {
        Command::Read {
            at,
            sectors,
            internal,
        } => ns.read(core, at, sectors, internal, now)?,
        Command::Write {
            at,
            sectors,
            fua,
            internal,
        } => ns.host_write(core, Write::new(at, sectors, fua, !internal), now)?,
        Command::WriteZeroes { at, sectors, fua } => {
            ns.host_write(core, Write::new(at, sectors, fua, false), now)?
        }
        Command::Append { zone, sectors, fua } => {
            let id = zone_at(&ns.zones, zone)?;
            let at = ns.zones.check_append(id, sectors)?;
            let done = ns.write(core, Write::new(at, sectors, fua, true), now)?;
            ns.counters.host_appends += 1;
            return Ok(Outcome {
                done,
                result: Ok(Reply::Appended(at)),
            });
        }
        Command::Flush => ns.flush_all(core, now),
        Command::Deallocate { at, sectors } => {
            ns.zones.check_deallocate(at, sectors)?;
            now
        }
        Command::CommitZrwa { end } => ns.commit_to(core, end, now)?,
        Command::Zone {
            action,
            target: ZoneTarget::One(zone),
        } => {
            let id = zone_at(&ns.zones, zone)?;
            manage(ns, core, action, id, now)?
        }
        Command::Zone {
            action,
            target: ZoneTarget::All,
        } => manage_all(ns, core, action, now)?,
    };
    Ok(Outcome::done(done))
}

fn manage(
    ns: &mut Zoned,
    core: &mut Core,
    action: ZoneAction,
    id: ZoneId,
    now: Instant,
) -> Result<Instant, Error> {
    match action {
        ZoneAction::Open => ns.zones.open(id).map(|_| now).map_err(Error::from),
        ZoneAction::OpenZrwa => ns.zones.open_zrwa(id).map(|_| now).map_err(Error::from),
        ZoneAction::SetExtension => ns.zones.extend(id).map(|()| now).map_err(Error::from),
        ZoneAction::Close => ns.zones.close(id).map(|()| now).map_err(Error::from),
        ZoneAction::Offline => ns.zones.offline(id).map(|()| now).map_err(Error::from),
        ZoneAction::Finish => ns.finish(core, id.get(), now),
        ZoneAction::Reset => ns.reset(core, id.get(), now),
    }
}

/// Select All: every zone in one of the states that ZNS 1.1 (section 3.4.3.1) names for the action.
fn manage_all(
    ns: &mut Zoned,
    core: &mut Core,
    action: ZoneAction,
    now: Instant,
) -> Result<Instant, Error> {
    action.check_all(&ns.zones)?;
    let mut done = now;
    for id in ns.zones.ids().map(ZoneId::new) {
        let state = ns.zones.get(id).map(|zone| zone.state);
        if let Some(action) = state.and_then(|state| action.for_all(state)) {
            done = done.max(manage(ns, core, action, id, now)?);
        }
    }
    Ok(done)
}
