/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What bindgen reads to make this crate's bindings. */

#ifndef __CLANG_STDATOMIC_H
#define __CLANG_STDATOMIC_H
/* bindgen may not find libclang's own stdatomic.h; nothing here needs it. */
typedef enum memory_order {
  memory_order_relaxed,
  memory_order_consume,
  memory_order_acquire,
  memory_order_release,
  memory_order_acq_rel,
  memory_order_seq_cst,
} memory_order;
#endif

#include "qemu/osdep.h"
#include "exec/cpu-common.h"
#include "hw/pci/msix.h"
#include "hw/pci/pci_device.h"
#include "hw/pci/pcie.h"
#include "hw/qdev-properties.h"
#include "migration/qemu-file-types.h"
#include "migration/vmstate.h"
#include "qapi/error.h"
#include "qapi/visitor-impl.h"
#include "qapi/visitor.h"
#include "qemu/log.h"
#include "qemu/madvise.h"
#include "qemu/main-loop.h"
#include "qemu/timer.h"
#include "qobject/qjson.h"
#include "qobject/qobject.h"
#include "system/cpu-timers.h"
#include "system/hostmem.h"
#include "system/iothread.h"
#include "system/qtest.h"
#include "system/runstate.h"
#include "system/system.h"
/* Where they are depends on the version. */
#if __has_include("exec/icount.h")
#include "exec/icount.h"
#endif
#if __has_include("system/ramblock.h")
#include "system/ramblock.h"
#endif
#if __has_include("exec/address-spaces.h")
#include "exec/address-spaces.h"
#else
#include "system/address-spaces.h"
#endif
