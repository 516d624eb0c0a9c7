/* SPDX-License-Identifier: Apache-2.0 */
/* Entry of the freestanding guest: PVH, 32-bit flat. Own GDT and stack, then guest_main(start_info).
 * The interrupt stubs call guest_interrupt(vector); the AP's first code is copied below 1 MiB. */
    .section .note.Xen, "a", @note
    .balign 4
    .long 4, 4, 18              /* name size, descriptor size, XEN_ELFNOTE_PHYS32_ENTRY */
    .asciz "Xen"
    .long _start

    .section .text
    .code32
    .globl _start
_start:
    cld
    movl $stack_top, %esp
    lgdt gdt_pointer
    ljmp $0x08, $1f
1:  movw $0x10, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movw %ax, %fs
    movw %ax, %gs
    pushl %ebx
    call guest_main
2:  cli
    hlt
    jmp 2b

    .macro stub vector
    .globl stub_\vector
stub_\vector:
    pushal
    pushl $\vector
    call guest_interrupt
    addl $4, %esp
    popal
    /* Not IRET: a KVM that interprets CPL 0 knows it in real and long mode only. */
    pushl 8(%esp)
    popfl
    lret $4
    .endm

    stub 0x02
    stub 0x20
    stub 0x24
    stub 0x50
    stub 0x51

/* Real mode at any segment: reports A9000000h + its APIC id to port 600h, then sleeps. */
    .code16
    .globl ap_start, ap_end
ap_start:
    cli
    movl $1, %eax
    cpuid
    movl %ebx, %eax
    shrl $24, %eax
    orl $0xa9000000, %eax
    movw $0x600, %dx
    outl %eax, %dx
3:  hlt
    jmp 3b
ap_end:

    .section .data
    .balign 8
gdt:
    .quad 0
    .quad 0x00cf9b000000ffff
    .quad 0x00cf93000000ffff
gdt_end:
gdt_pointer:
    .word gdt_end - gdt - 1
    .long gdt

    .section .bss
    .balign 16
    .skip 16384
stack_top:

    .section .note.GNU-stack, "", @progbits
