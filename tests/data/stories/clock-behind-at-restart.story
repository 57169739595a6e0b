# The next process starts with a clock that is an hour behind: it goes on from the last commit, which was at 0s.
set policy default | 0s first | 5s second | 20s ops
0s fire Down cluster=a
0s page first INC-1 round 1 step 1
4s crash with clock -1h
9s page second INC-1 round 1 step 2
24s page ops INC-1 round 1 step 3
25s crash with clock -10m
26s ack INC-1 by ana
99s end of story
