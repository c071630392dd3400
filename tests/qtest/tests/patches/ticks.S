/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest of a few hundred bytes, in place of the BIOS: it says in eight letters on port e9h how its time went.
 *
 *   processor 0   halts until the next tick of the clock, mixes what time it is and COUNT into %esi, calls the
 *                 others, and works for as long as %esi says: whatever goes wrong once shows in all that follows
 *   processor 1   halts until it is called, then counts for a while
 *   processor 2   counts all the time, so that nothing ever waits
 *
 * The timer fires every 100 us with its interrupt masked: the clock must stop there, and nothing else may happen.
 * Real mode; %fs reaches all addresses.
 */
    .code16
    .set APIC, 0xfee00000
    .set COUNT, 0x500
    .set TICKS, 300
    .text
    .globl _start
_start:
    cli
    cld
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %ss
    movw $0x7000, %sp
    movl $0, COUNT
    movw $tick - _start, 0x28 * 4
    movw $0xf000, 0x28 * 4 + 2
    movw $call - _start, 0x40 * 4
    movw $0xf000, 0x40 * 4 + 2
    /* The other processors start here, with a far jump. */
    movb $0xea, 0x8000
    movw $other - _start, 0x8001
    movw $0xf000, 0x8003
    call reach
    /* Interrupts of the old controllers pass through the APIC. */
    movl $APIC + 0x350, %ebx
    movl $0x700, %fs:(%ebx)
    /* The controllers: vectors from 20h and 28h, all masked but the second and, on that, the clock. */
    movb $0x11, %al
    outb %al, $0x20
    outb %al, $0xa0
    movb $0x20, %al
    outb %al, $0x21
    movb $0x28, %al
    outb %al, $0xa1
    movb $4, %al
    outb %al, $0x21
    movb $2, %al
    outb %al, $0xa1
    movb $1, %al
    outb %al, $0x21
    outb %al, $0xa1
    movb $0xfb, %al
    outb %al, $0x21
    movb $0xfe, %al
    outb %al, $0xa1
    /* The timer, every 119 of its 838 ns. */
    movb $0x34, %al
    outb %al, $0x43
    movb $119, %al
    outb %al, $0x40
    xorb %al, %al
    outb %al, $0x40
    /* The clock, at 8192 Hz. */
    movb $0x0a, %al
    outb %al, $0x70
    movb $0x23, %al
    outb %al, $0x71
    movb $0x0b, %al
    outb %al, $0x70
    movb $0x42, %al
    outb %al, $0x71
    /* INIT and a start at 8000h, to all others. */
    movl $APIC + 0x300, %ebx
    movl $0xc4500, %fs:(%ebx)
    movl $0xc4608, %fs:(%ebx)
    xorl %esi, %esi
    movw $TICKS, %bp
again:
    sti
    hlt
    movl $APIC + 0x300, %ebx
    movl $0xc0040, %fs:(%ebx)
    rdtsc
    roll $5, %esi
    xorl %eax, %esi
    xorl COUNT, %esi
    movl %esi, %ecx
    andl $0x1ffff, %ecx
    incl %ecx
1:  loopl 1b
    decw %bp
    jnz again
    movw $8, %cx
2:  roll $4, %esi
    movw %si, %ax
    andb $15, %al
    addb $'a', %al
    outb %al, $0xe9
    loop 2b
    /* Ends QEMU. */
    outb %al, $0xf4
3:  cli
    hlt
    jmp 3b

tick:
    pushw %ax
    movb $0x0c, %al
    outb %al, $0x70
    inb $0x71, %al
    movb $0x20, %al
    outb %al, $0xa0
    outb %al, $0x20
    popw %ax
    iretw

/* To processors that use %ecx only. */
call:
    movl $APIC + 0xb0, %ebx
    movl $0, %fs:(%ebx)
    iretw

other:
    cli
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %ss
    movw $0x6000, %sp
    call reach
    movl $APIC + 0x20, %ebx
    movl %fs:(%ebx), %eax
    shrl $24, %eax
    /* Stacks of their own. */
    movw %ax, %sp
    shlw $12, %sp
    addw $0x3000, %sp
4:  sti
    cmpb $2, %al
    je 5f
    hlt
5:  movl $0x3000, %ecx
6:  incl COUNT
    loopl 6b
    jmp 4b

#include "rom.S"
