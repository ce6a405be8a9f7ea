# %% [markdown] id="symptom"
# # 20. Capacity and SLOs
#
# A shop has put its assistant on the front page, and three times as many people ask it something. The board has never
# looked better: more tokens a second than ever before, no error, nobody refused, every answer complete.
#
# The shop promised its customers something, though: a first word within one second, and after it 20 tokens a second.
# Before, the server kept that promise 6.4 times a second. Now it keeps it once.

# %% id="start"
from labkit.lesson import finish, predict, quiz, save_point, start

start("20")

# %% id="ex-goodput"
# %%exercise goodput
def goodput(requests: list, seconds: float, ttft_s: float, tpot_s: float) -> float:
    """Requests a second that were served well.

    Args:
        requests: all that came, in any order. Each has arrival_s, when it was to be
            sent; first_s and end_s, when its first and its last token came, in
            seconds of the same clock, None where it never came; and tokens, of its
            answer.
        seconds: how long they were served, above 0.
        ttft_s: seconds from its arrival to its first token at most.
        tpot_s: seconds a token after the first one at most, in the mean of this
            request.

    Returns:
        How many met both, by the second.
    """
    # BEGIN SOLUTION
    good = 0
    for request in requests:
        if request.first_s is None or request.end_s is None:
            continue
        waited = request.first_s - request.arrival_s
        took = request.end_s - request.first_s
        if waited <= ttft_s and took <= (request.tokens - 1) * tpot_s:
            good += 1
    return good / seconds
    # END SOLUTION

# %% id="ex-capacity-search"
# %%exercise capacity_search
def capacity_search(enough, most: int) -> int | None:
    """The smallest size that is enough, by few measurements.

    Args:
        enough: a function. enough(size) measures a size from 1 to most, and takes
            long; it answers True or False. What is enough stays enough with more.
        most: the largest size to think of, 1 or more.

    Returns:
        A size that was measured to be enough, where one less was measured not to
        be (or which is 1). None if most was measured, and is not enough.
    """
    # BEGIN SOLUTION
    low, high = 0, 1
    while not enough(high):
        if high == most:
            return None
        low, high = high, min(2 * high, most)
    while high - low > 1:
        middle = (low + high) // 2
        if enough(middle):
            high = middle
        else:
            low = middle
    return high
    # END SOLUTION

# %% id="ex-column-map"
# %%exercise column_map
def column_map(names: list[str], unit: str | None) -> tuple[dict[str, str], str]:
    """Which column of a request log means what, and in which unit it counts time.

    Args:
        names: of the columns, as the file spells them.
        unit: of the arrivals, "s", "ms", "us" or "ns", where somebody knows it.

    Returns:
        The name of the column under "arrival" and "input", and under "output" and
        "block_ids" where there is one; and the unit: the given one, else the one
        that the arrival's name ends in.

    Raises:
        TraceFileError: two columns mean one thing, none means arrival or input, or
            nothing says the unit.
    """
    # BEGIN SOLUTION
    found = {}
    for name in names:
        meaning, ending = meaning_of(name)
        if meaning is None:
            continue
        if meaning in found:
            raise TraceFileError(f"{found[meaning]} and {name} could both be the {meaning}")
        found[meaning] = name
        if meaning == "arrival":
            unit = unit or ending
    if "arrival" not in found or "input" not in found:
        raise TraceFileError(f"no arrival or no input among {names}")
    if unit is None:
        raise TraceFileError(f"in which unit does {found['arrival']} count?")
    return found, unit
    # END SOLUTION

# %% [markdown] id="about-break-it"
# ```python
# def waited(due_s, sent_s, first_s):
#     return first_s - sent_s
# ```

# %% id="ex-break-it"
# %%exercise break_stopwatch
# BEGIN SOLUTION
ops = [
    ("Client", 1),
    ("due", 0, 2),
    ("due", 1, 1),
    ("run",),
]
# END SOLUTION
# BEGIN STUB
# ops = [
#     ("Client", 8),
#     ("due", 0, 2),
#     ("run",),
# ]
# END STUB
