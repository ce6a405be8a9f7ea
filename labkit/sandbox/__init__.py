"""Where code runs that nobody vouches for: a process of its own, with limits, a journal, and an end to all it started.

The room knows nothing of grading. A job names a function of labkit and what it is called with:

    # labkit/drills/worker.py, on the other side
    def play(argument: Any, session: Session) -> Any:      # JSON in, JSON out
        namespace = load_our_own_things(argument)          # trusted, untimed
        session.begin()                                    # from here on time and memory are limited
        for call in argument["calls"]:
            session.journal.append(["call", call])         # survives any death of this process
            with time_limit(1.0):                          # labkit.sandbox.limits: one call
                ...
        return {"hits": 3, "printed": session.output.text}

    # the asking side
    from labkit.sandbox.host import Limits, run
    outcome = run("labkit.drills.worker:play", {"calls": [...]}, limits=Limits(processor_seconds=9))
    outcome.ended      # "answer", or what ended it: "exit", "time", "memory", "busy", "machine", "error", "channel"
    outcome.answer     # what play returned
    outcome.journal    # the lines of the journal since its last restart, whatever happened

`run` never raises for anything that the code does, and when it returns, every process that the code started has ended.
`isolated=True` asks for a namespace without network, home and other processes where the machine has bubblewrap;
`outcome.isolation` says what it was. `warm` starts the next worker before it is needed, `close` ends it.

What a sandbox is not: the code runs in the same process as the function that judges it, and with patience it can find
and change whatever is there. It protects the learner from accidents, the grader from files of others, and one file from
another; it is no lock against a learner, who has the solution one button away.

    host         the asking side: one worker a job, a spare kept warm, the limits that only a parent can hold
    worker       the process that runs the job
    supervisor   stands between the two, and ends every descendant
    isolation    the environment that a worker gets, and the namespace around it
    limits       time, memory and output of a single operation
    clock        time as a process had it
    journal      what was running when the process died
    seal         what a judge stands on, and whether the code changed it
"""
