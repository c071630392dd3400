// SPDX-License-Identifier: GPL-2.0-or-later
//! The consumer FTL: write buffers, L2P cache, pSLC, superblocks, reclaim.
