"""Published errors on the bAbI tasks, in percent, to stand beside ours."""

MEMN2N_1K_SINGLE = (
    *(0.0, 8.3, 40.3, 2.8, 13.1, 7.6, 17.3, 10.0, 13.2, 15.1),
    *(0.9, 0.2, 0.4, 1.7, 0.0, 1.3, 51.0, 11.1, 82.8, 0.0),
)
"""Tasks 1 to 20, each trained alone on 1k questions; 3 hops, PE LS RN (Sukhbaatar et al. 2015, table 1)."""

MEMN2N_1K_JOINT = (
    *(0.0, 11.4, 21.9, 13.4, 14.4, 2.8, 18.3, 9.3, 1.9, 6.5),
    *(0.3, 0.1, 0.2, 6.9, 0.0, 2.7, 40.4, 9.4, 88.0, 0.0),
)
"""The same, all tasks trained jointly."""

SYSTEMS_1K = (
    ("MemN2N, 3 hops, PE LS RN, joint (Sukhbaatar et al. 2015, best of 10 by training error)", "12.4, 11 failed"),
    ("MemN2N, 3 hops, PE LS RN, each task alone", "13.9, 11 failed"),
    ("Query-reduction network (Seo et al. 2017)", "9.9"),
)
"""Mean error of the twenty tasks in percent, trained on 1k questions a task, and tasks with an error above 5 %."""
