# The next step at once; the steps after it keep their times.
set receiver boss webhook
set policy default repeat=0 | 0s first | 60s second | 100s boss
0s fire Down instance=a
0s page first INC-1 round 1 step 1
10s escalate INC-1 by ana
10s page second INC-1 round 1 step 2
100s page boss INC-1 round 1 step 3
101s ack INC-1 by ana
102s escalate INC-1 by ana
102s refused INC-1 is acknowledged by ana; unacknowledge it first
999s end of story
