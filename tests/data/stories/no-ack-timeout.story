# Without a time-out an acknowledgement holds for ever.
0s fire Down instance=a
0s page first INC-1 round 1 step 1
2s ack INC-1 by ana
99999s status INC-1 is acknowledged medium 1/1
