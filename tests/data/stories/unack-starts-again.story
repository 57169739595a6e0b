0s unack INC-1 by ana
0s refused INC-1 not found
0s fire Down instance=a
0s page first INC-1 round 1 step 1
1s unack INC-1 by ana
1s refused INC-1 is not acknowledged: there is nothing to take back
2s ack INC-1 by ana
9s unack INC-1 by ana
9s page first INC-1 round 1 step 1
14s page second INC-1 round 1 step 2
15s ack INC-1 by bob
99s end of story
