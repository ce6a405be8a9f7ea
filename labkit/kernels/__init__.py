"""What can be known of a kernel without running it on a GPU: its bytes, its addresses, its compiled code.

    catalog   the launches that stand for the support matrix: kernel x dtype x architecture
    offline   compile them for a GPU that is elsewhere, and read registers, spills, shared memory and load widths
    ledger    run them in the interpreter, and count the bytes and the 32-byte sectors that each argument gave or took

The kernels themselves are `kvkernels`, the folder `kernels/`, and know nothing of this one.
"""
