/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The end of each of these guests: how they reach all addresses, and the reset vector, which starts them at _start. */

/* %fs for all addresses; the local APIC on. */
reach:
    lgdtl %cs:table - _start
    movl %cr0, %eax
    orb $1, %al
    movl %eax, %cr0
    movw $8, %bx
    movw %bx, %fs
    andb $0xfe, %al
    movl %eax, %cr0
    movl $APIC + 0xf0, %ebx
    movl $0x1ff, %fs:(%ebx)
    ret
    .balign 8
segments:
    .quad 0, 0x00cf92000000ffff
table:
    .word 15
    .long segments - _start + 0xf0000
    .org 0xfff0
    ljmpw $0xf000, $0
    .org 0x10000
    .section .note.GNU-stack, "", @progbits
