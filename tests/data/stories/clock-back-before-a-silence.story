# The clock is set back to before the beginning of a silence: it does not hold any more, and whom it muted is heard.
0s silence instance=a for 1h
1s fire Down instance=a
5s clock -2m
5s page first INC-1 round 1 step 1
6s ack INC-1 by ana
99s end of story
