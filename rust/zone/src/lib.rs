// SPDX-License-Identifier: GPL-2.0-or-later
//! Zone state machine and open/active resources.
