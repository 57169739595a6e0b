# A page that was tried may have arrived: its receiver hears of the end.
0s receiver first fails
0s fire Down instance=a
0s page first INC-1 round 1 step 1
5s page second INC-1 round 1 step 2
6s ack INC-1 by ana
9s end Down
9s told first INC-1 resolved
9s told second INC-1 resolved
