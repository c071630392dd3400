// SPDX-License-Identifier: GPL-2.0-or-later
//! The drive: configuration, presets, and a flash model behind the controller.
