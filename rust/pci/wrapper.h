/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What bindgen reads to make this crate's bindings, on top of qemu_api's. */

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
#include "migration/qemu-file-types.h"
#include "qapi/visitor-impl.h"
#include "qapi/visitor.h"
#include "qemu/log.h"
#include "qemu/madvise.h"
#include "qobject/qjson.h"
#include "qobject/qobject.h"
#include "system/cpu-timers.h"
#include "system/hostmem.h"
#include "system/iothread.h"
#include "system/qtest.h"
#include "system/runstate.h"
#include "system/system.h"
