# Down while step 2 was due: it is taken at once when we are back, once; later steps keep their times.
set receiver boss webhook
set policy default repeat=0 | 0s first | 5s second | 60s boss
0s fire Down instance=a
0s page first INC-1 round 1 step 1
1s down
30s down
30s crash
30s page second INC-1 round 1 step 2
60s page boss INC-1 round 1 step 3
61s ack INC-1 by ana
