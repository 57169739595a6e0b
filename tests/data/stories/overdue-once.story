# What fell due while nobody ran is paged once, after the start.
set policy default | 0s first | 3s second
0s fire Down instance=a
0s page first INC-1 round 1 step 1
4s down
4s crash
4s page second INC-1 round 1 step 2
5s crash
6s ack INC-1 by ana
60s end of story
