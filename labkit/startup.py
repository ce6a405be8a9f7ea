"""What IPython runs as a kernel of `labkit lab` starts: exercise cells work before a lesson's first cell."""

if "IPython" in __import__("sys").modules:  # a plain Python in a terminal of the lab runs this file too
    __import__("labkit.exercise_magic", fromlist=["register"]).register(None)
