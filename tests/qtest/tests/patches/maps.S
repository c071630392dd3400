/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest of a few hundred bytes, in place of the BIOS: it says in a letter on port e9h whether I/O reached the device
 * that it was for while another processor changed what is mapped.
 *
 *   processor 0   maps the registers of the PCI device in slot 4 and takes them away again, 250 times
 *   processor 1   writes to its local APIC and reads that back, all the time; in LOST is how often it found something else
 *
 * The letter is y, or n if anything was lost. Real mode; %fs reaches all addresses.
 */
    .code16
    .set APIC, 0xfee00000
    .set LOGICAL, APIC + 0xd0
    .set COUNT, 0x500
    .set LOST, 0x504
    .set ROUNDS, 250
    .set BAR, 0xfe000000
    /* Configuration space of bus 0, slot 4. */
    .set SLOT, 0x80002000
    .text
    .globl _start
_start:
    cli
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %ss
    movw $0x7000, %sp
    movl $0, COUNT
    movl $0, LOST
    /* The other processor starts here, with a far jump. */
    movb $0xea, 0x8000
    movw $other - _start, 0x8001
    movw $0xf000, 0x8003
    call reach
    /* INIT and a start at 8000h, to all others. */
    movl $APIC + 0x300, %ebx
    movl $0xc4500, %fs:(%ebx)
    movl $0xc4608, %fs:(%ebx)
    movl $SLOT + 0x10, %eax
    movl $BAR, %ecx
    call configure
    movl $SLOT + 0x14, %eax
    xorl %ecx, %ecx
    call configure
1:  cmpl $0, COUNT
    je 1b
    movw $ROUNDS, %bp
2:  movl $SLOT + 4, %eax
    movl $2, %ecx
    call configure
    movl $SLOT + 4, %eax
    xorl %ecx, %ecx
    call configure
    decw %bp
    jnz 2b
    movb $'y', %al
    cmpl $0, LOST
    je 3f
    movb $'n', %al
3:  outb %al, $0xe9
    /* Ends QEMU. */
    outb %al, $0xf4
4:  cli
    hlt
    jmp 4b

/* Writes %ecx to the configuration register %eax. */
configure:
    movw $0xcf8, %dx
    outl %eax, %dx
    movw $0xcfc, %dx
    movl %ecx, %eax
    outl %eax, %dx
    ret

other:
    cli
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %ss
    movw $0x6000, %sp
    call reach
    movl $LOGICAL, %ebx
    xorl %esi, %esi
5:  addl $0x01000000, %esi
    movl %esi, %fs:(%ebx)
    call pause
    movl %fs:(%ebx), %eax
    cmpl %esi, %eax
    je 6f
    incl LOST
6:  incl COUNT
    call pause
    jmp 5b

pause:
    movl $2000, %ecx
7:  loopl 7b
    ret

#include "rom.S"
