# The same when we crash meanwhile, and when the silence is lifted by hand.
0s silence instance=a for 1h
1s fire Down instance=a
10s crash
60s unsilence s1
60s page first INC-1 round 1 step 1
61s ack INC-1 by ana
62s end Down
62s told first INC-1 resolved
