# The wall clock is set back by an hour: steps come when they would have, silences follow the clock, also after a restart.
set policy default | 0s first | 5s second | 20s ops
0s fire Down cluster=a
0s page first INC-1 round 1 step 1
2s clock -1h
5s page second INC-1 round 1 step 2
6s silence cluster=b for 10s
6s fire Other cluster=b
10s crash
16s page first INC-2 round 1 step 1
20s page ops INC-1 round 1 step 3
21s page second INC-2 round 1 step 2
23s ack INC-1 by ana
23s ack INC-2 by ana
99s end of story
