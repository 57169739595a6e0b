# "Remind me later": a snooze after the acknowledgement ends with the policy from the beginning.
0s fire Down instance=a
0s page first INC-1 round 1 step 1
1s ack INC-1 by ana
2s snooze INC-1 for 1h by ana
3602s page first INC-1 round 1 step 1
3603s end Down
3603s told first INC-1 resolved
