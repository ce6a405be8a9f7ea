# %% [markdown] id="symptom"
# # 11. Your first Triton kernel

# %% id="start"
from labkit.lesson import finish, start

start("11")

# %% [markdown] id="about-copy-masked"
# ### Exercise: `copy_masked` (8 minutes, difficulty 2, importance 4)

# %% id="ex-copy-masked"
# %%exercise copy_masked
@triton.jit
def copy_masked(out, src, n, BLOCK: tl.constexpr):
    """Copy the first n numbers of src to out.

    Args:
        out, src: pointers to tensors of n numbers or more.
        n: how many to copy, 1 or more.
        BLOCK: numbers per program, a power of two; the grid is (cdiv(n, BLOCK),).
    """
    # BEGIN SOLUTION
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    there = at < n
    tl.store(out + at, tl.load(src + at, mask=there), mask=there)
    # END SOLUTION


# %% id="finish"
finish("11")
