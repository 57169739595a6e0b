# The page limit counts what the process before has paged.
set limit 1
0s fire Down cluster=a
0s page first INC-1 round 1 step 1
1s fire Down cluster=b
3s crash
5s page second INC-1 round 1 step 2
60s page first INC-2 round 1 step 2
61s ack INC-1 by ana
61s ack INC-2 by ana
99s end of story
