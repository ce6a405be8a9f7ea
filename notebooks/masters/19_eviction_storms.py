# %% [markdown] id="symptom"
# # 19. Eviction storms
#
# Symptom.

# %% id="start"
from labkit.lesson import finish, predict, quiz, save_point, start

start("19")

# %% id="ex-regret-rate"
# %%exercise regret_rate
from collections import Counter


def regret_rate(events: list, window_s: float, windows: int) -> list[float]:
    """Contents that were wanted again after their eviction, by the second.

    Args:
        events: (seconds, kind, content) in order of time, from 0 up to, not
            including, windows * window_s. kind is "stored": a block with this
            content can be found; "removed": such a block was evicted; "cleared":
            all were dropped, which is no eviction.
        window_s: seconds of a window, above 0.
        windows: how many, 1 or more.

    Returns:
        For each window: how often a content was stored in it whose last block had
        been evicted before, over window_s. What is removed and was never stored
        had been there before the events began.
    """
    # BEGIN SOLUTION
    copies, lost, counts = Counter(), set(), [0] * windows
    for at_s, kind, content in events:
        if kind == "stored":
            if content in lost:
                counts[int(at_s // window_s)] += 1
                lost.remove(content)
            copies[content] += 1
        elif kind == "removed":
            copies[content] -= 1
            if copies[content] <= 0:
                copies[content] = 0
                lost.add(content)
        else:
            copies.clear()
            lost.clear()
    return [count / window_s for count in counts]
    # END SOLUTION

# %% id="ex-thrash-alert"
# %%exercise thrash_alert
import numpy as np


def thrash_alert(board) -> list[bool]:
    """In which windows the server computes so much twice that somebody must look.

    Args:
        board: of n windows of 5 seconds. board["computed"] is a float array [n]; so
            are "delivered", "recomputed" (tokens a second), "evicted", "regretted"
            (blocks of 16 tokens a second), "preempted", "arrived", "finished" (a
            second), "running", "waiting" (at the end of the window), "held",
            "cached", "free", "hit_rate" (shares), "ttft_p50", "itl_p99" (seconds)
            and more. NaN is what is not known. len(board) is n.

    Returns:
        n times True or False. What is said of a window stays when later ones come.
        True where a quarter or more of the tokens computed in the last 20 seconds
        had been computed before, and that for 20 seconds; False where it has been
        less than a tenth for 20 seconds. Between the two it is yours to choose.
    """
    # BEGIN SOLUTION
    again = board["recomputed"] + 16 * board["regretted"]
    computed = board["computed"]
    fires = []
    for at in range(len(board)):
        last = slice(max(0, at - 3), at + 1)
        known = np.isfinite(again[last] + computed[last])
        twice = again[last][known].sum()
        whole = computed[last][known].sum()
        fires.append(bool(whole > 0 and twice >= 0.15 * whole))
    return fires
    # END SOLUTION

# %% [markdown] id="about-break-it"
# ### Break it: the red line (6 minutes, difficulty 3, importance 4)
#
# ```python
# def alarm(preempted, computed, recomputed, seconds):
#     """Red from one preemption a second on."""
#     return preempted / seconds >= 1
# ```

# %% id="ex-break-it"
# %%exercise break_red_line
# BEGIN SOLUTION
ops = [
    ("Server", 10),
    ("come", "A", 10, 30),
    ("come", "B", 133, 10),
    ("run",),
]
# END SOLUTION
# BEGIN STUB
# ops = [
#     ("Server", 20),
#     ("come", "A", 100, 50),
#     ("run",),
# ]
# END STUB

# %% id="quiz"
quiz("19")

# %% id="finish"
finish("19")
