# %% [markdown] id="symptom"
# # 21. Your engine, a real model
#
# Every part works, and there is no engine yet.

# %% id="start"
from labkit.lesson import finish, predict, quiz, save_point, start

start("21")

# %% [markdown] id="about-engine-step"
# ### Exercise: `engine_step` (15 minutes, difficulty 4, importance 5)

# %% id="ex-engine-step"
# %%exercise engine_step
def engine_step(engine) -> list:
    """One step: ask the scheduler, compute, sample, and commit.

    The engine has:
        scheduler: schedule() decides a step, and takes its memory. The step has
            plan, a list of pairs (request, n): who computes how many tokens.
            update(step, tokens, ended) commits it: `tokens` has one for each
            request that was sampled, in the order of the plan, `ended` those
            requests that end with it. It counts; whoever ended is free.
        move(step): copies the blocks that the step says, before anything is
            computed.
        run(batch): one pass through the model. The batch has a pair for each of
            the plan, in its order: the request's id, and the bytes of the tokens
            to compute. Answers logits, [len(batch), vocabulary]: a row for each,
            behind its last token. An empty batch is an error.
        sample(logits, keys): a token id for each row. `keys` has a pair for each
            row: the request, and the position of the token that is chosen.
        ends(request, token): takes a new token into the text of its request, and
            answers whether the text ends with it.
    A request has id, computed, missing, num_tokens as in lesson 16, and
        tokens(start, stop): the bytes of its known tokens start to stop - 1.

    Returns:
        A list of pairs (request, token): who got which, in the order of the plan.
        An empty list where nobody is there.
    """
    # BEGIN SOLUTION
    step = engine.scheduler.schedule()
    engine.move(step)
    if not step.plan:
        return []
    batch = []
    for request, n in step.plan:
        start = request.computed
        batch.append((request.id, request.tokens(start, start + n)))
    logits = engine.run(batch)
    rows, keys = [], []
    for row, (request, n) in enumerate(step.plan):
        if n == request.missing:
            rows.append(row)
            keys.append((request, request.num_tokens))
    tokens = engine.sample(logits[rows], keys)
    answer, ended = [], []
    for (request, _), token in zip(keys, tokens):
        answer.append((request, token))
        if engine.ends(request, token):
            ended.append(request)
    engine.scheduler.update(step, tokens, ended)
    return answer
    # END SOLUTION

# %% id="ex-cancel"
# %%exercise cancel
def cancel(scheduler, request) -> None:
    """Take a request out, and give back all that it has, wherever it is.

    Args:
        scheduler: has
            running: a list, those in memory; waiting: the queue, with remove(request).
            manager: free(id) gives the blocks back of one in memory; forget(id) is
                for one that was preempted, and will not come back.
            swapper.pool: the host's blocks, None where nobody is swapped; forget(id)
                frees those of a request that was swapped out.
        request: its id, and state: State.RUNNING; State.WAITING, it has never run;
            or State.PREEMPTED, it waits again. One that was preempted and still has
            something computed, request.computed above 0, has it on the host.
    """
    # BEGIN SOLUTION
    if request.state is State.RUNNING:
        scheduler.running.remove(request)
        scheduler.manager.free(request.id)
    else:
        scheduler.waiting.remove(request)
        if request.state is State.PREEMPTED:
            scheduler.manager.forget(request.id)
            if request.computed > 0:
                scheduler.swapper.pool.forget(request.id)
    # END SOLUTION

# %% id="ex-tune-storm"
# %%exercise tune_storm
def tune_storm(config, board):
    """The knobs for the next window, by what the windows until now have shown.

    Args:
        config: a SchedulerConfig, those of the window that has just ended. Its
            seats are how many requests may run, its watermark the share of blocks
            that stays free when somebody is let in; `replace(config, seats=9)`
            is the same with 9 seats.
        board: by name a list of figures, one for each window, the last one last;
            NaN where nothing is known. In tokens per second: computed, delivered,
            recomputed (lost in preemptions); in blocks of 16 tokens per second:
            regretted; at the end of the window: running, waiting. All of
            lesson 19's figures are there.

    Returns:
        A SchedulerConfig: config itself for no change.
    """
    # BEGIN SOLUTION
    running, waiting = board["running"][-1], board["waiting"][-1]
    computed, again = board["computed"][-1], board["recomputed"][-1]
    if again > 0.15 * computed:
        seats = int(0.7 * min(running, config.seats))
        return replace(config, seats=max(1, seats))
    if waiting > 0 and running >= config.seats and again <= 0.05 * computed:
        return replace(config, seats=config.seats + 2)
    return config
    # END SOLUTION

# %% id="finish"
finish("21")
