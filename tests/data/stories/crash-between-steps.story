0s fire Down instance=a
0s page first INC-1 round 1 step 1
3s crash
5s page second INC-1 round 1 step 2
6s ack INC-1 by ana
7s crash
20s status INC-1 is acknowledged medium 1/1
30s end Down
30s told first INC-1 resolved
30s told second INC-1 resolved
30s crash
99s end of story
