/* SPDX-License-Identifier: Apache-2.0 */
/* Entry of the benchmark guest: PVH (32-bit, no paging), then long mode with the first 4 GiB mapped
 * as they are, then ring 3 with interrupts off and every port permitted. In ring 3 a KVM without
 * hardware virtualisation runs the guest's instructions as they are; only waiting for an interrupt
 * is done in ring 0. That KVM drops IOPL at IRETQ;
 * the I/O permission map of the TSS works on every one. */
    .set CR0_PG, 1 << 31
    .set CR4_PAE, 1 << 5
    .set EFER, 0xc0000080
    .set EFER_LME, 1 << 8
    .set TSS_BYTES, 0x68 + 8192 + 1
    .set PAGE_USER, 0x07        /* present, writable, user */
    .set PAGE_USER_2M, 0x87

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
    movl $page_map, %eax
    movl %eax, %cr3
    movl %cr4, %eax
    orl $CR4_PAE, %eax
    movl %eax, %cr4
    movl $EFER, %ecx
    rdmsr
    orl $EFER_LME, %eax
    wrmsr
    movl %cr0, %eax
    orl $CR0_PG, %eax
    movl %eax, %cr0
    lgdt gdt_pointer
    ljmp $0x08, $1f

    .code64
1:  movw $0x1b, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %fs
    movw %ax, %gs
    movw $0x10, %ax
    movw %ax, %ss
    movl $tss, %eax             /* its descriptor: base 23:0 (below 16 MiB), type, limit */
    orl %eax, gdt_tss + 2
    movw $0x28, %ax
    ltr %ax
    movl $stack_top, %esp
    movl $0x40, %edi            /* INTERRUPT_VECTOR of pci.c */
    movl $interrupt, %eax
    movw $0x8e00, %dx           /* present, interrupt gate, for ring 0 */
    call set_gate
    movl $3, %edi
    movl $wait, %eax
    movw $0xee00, %dx           /* likewise, for ring 3 */
    call set_gate
    lidt idt_pointer
    movl %ebx, %edi             /* the start info stays bench_main's argument */
    pushq $0x1b                 /* SS: user data */
    pushq $stack_top
    pushq $2                    /* RFLAGS */
    pushq $0x23                 /* CS: user code, 64 bits */
    pushq $ring3
    iretq

/* Gate of vector EDI to EAX, of type DX. */
set_gate:
    shll $4, %edi
    addl $idt, %edi
    movw %ax, (%rdi)
    movw $0x08, 2(%rdi)
    movw %dx, 4(%rdi)
    shrl $16, %eax
    movw %ax, 6(%rdi)
    movl $0, 8(%rdi)
    ret

/* int3: halts until an interrupt has come. STI takes effect after HLT has begun; a KVM that interprets
 * may let the interrupt in before it, and must then not come back to it. */
wait:
    sti
wait_hlt:
    hlt
    cli
    iretq

/* Comes only during that HLT: ring 3 runs with interrupts off. */
interrupt:
    cmpq $wait_hlt, (%rsp)
    jne 1f
    incq (%rsp)
1:  pushq %rax
    movl $0xfee000b0, %eax      /* the local APIC's end of interrupt */
    movl $0, (%rax)
    popq %rax
    iretq

ring3:
    call bench_main
2:  pause
    jmp 2b

    .section .data
    .balign 8
gdt:
    .quad 0
    .quad 0x00af9b000000ffff    /* 08h: code, 64 bits */
    .quad 0x00cf93000000ffff    /* 10h: data */
    .quad 0x00cff3000000ffff    /* 18h: user data */
    .quad 0x00affb000000ffff    /* 20h: user code, 64 bits */
gdt_tss:                        /* 28h: TSS, two entries long */
    .word TSS_BYTES - 1
    .byte 0, 0, 0, 0x89, 0, 0
    .quad 0
gdt_end:
idt_pointer:
    .word 0x41 * 16 - 1
    .quad idt
gdt_pointer:
    .word gdt_end - gdt - 1
    .quad gdt

    .balign 4096
page_map:
    .quad page_directory_pointers + PAGE_USER
    .fill 511, 8, 0
page_directory_pointers:
    .set gib, 0
    .rept 4
    .quad page_directories + gib * 4096 + PAGE_USER
    .set gib, gib + 1
    .endr
    .fill 508, 8, 0
page_directories:
    .set page, 0
    .rept 2048
    .quad page * 0x200000 + PAGE_USER_2M
    .set page, page + 1
    .endr

    .balign 16
tss:
    .long 0
    .quad ring0_stack_top       /* RSP0 */
    .fill 0x66 - 12, 1, 0
    .word 0x68                  /* where the I/O permission map is */
    .fill 8192, 1, 0
    .byte 0xff

    .section .bss
    .balign 16
idt:
    .skip 0x41 * 16
    .balign 16
    .skip 4096
ring0_stack_top:
    .skip 16384
stack_top:

    .section .note.GNU-stack, "", @progbits
