# The wall clock is set past the end of a silence: what it muted pages at once.
set policy default | 0s first
0s silence cluster=a for 1h
1s fire Down cluster=a
10s clock 2h
10s page first INC-1 round 1 step 1
11s snooze INC-1 for 1h by ana
20s clock 50m
600s clock 11m
600s page first INC-1 round 1 step 1
601s ack INC-1 by ana
900s end of story
