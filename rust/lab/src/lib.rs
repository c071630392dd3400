// SPDX-License-Identifier: GPL-2.0-or-later
//! What needs the flash model and nothing else: no repository, no QEMU, no guest.
//!
//! ```text
//! sim         a trace through the model                      out         results on standard output
//! convert     other programs' traces become ours             progress    bars on a terminal, silence when piped
//! properties  what can be set on a drive                     input       which trace is meant, and how it is written
//! validate    the model against closed forms and others      table, plot how figures look
//! experiment  ready-made studies                             provenance  how to get the same results again
//! sweep       many points, here or on many machines      store       results that are there again after a stop
//! drive       which drive is meant; drive_file a drive as text runner     points in shares, on threads
//! stats       a drive's statistics by the drive's own names  failure     which exit status an error has
//! completions scripts for shells                             command     all of these as a command line
//!                                                            page        figures and a table as a page
//! ```
//! `cargo conzone` has these commands, from any directory, and so has the program that the Python module brings
//! ([`command`]). What only the repository has is handed in: the golden traces to [`validate`], the guest to [`experiment`]
//! and [`sweep`].

#![forbid(unsafe_code)]
#![deny(clippy::print_stdout)] // crate::out forgives readers that went away

pub mod command;
pub mod completions;
pub mod convert;
pub mod drive;
pub mod drive_file;
pub mod experiment;
pub mod failure;
pub mod input;
pub mod out;
mod page;
pub mod plot;
pub mod progress;
pub mod properties;
pub mod provenance;
pub mod runner;
pub mod sim;
pub mod stats;
pub mod store;
pub mod sweep;
pub mod table;
pub mod threads;
pub mod validate;
