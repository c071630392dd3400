// SPDX-License-Identifier: GPL-2.0-or-later
//! Flash media: geometry, cell timing, planes and links.
