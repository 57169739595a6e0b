# A silence over an open incident rests its policy and says so; the policy goes on when it ends.
0s fire Down instance=a
0s page first INC-1 round 1 step 1
2s silence instance=a for 1m
30s line INC-1 not_paged not paged: every firing alert is muted; the policy goes on when one is not silenced by s1
62s page second INC-1 round 1 step 2
63s ack INC-1 by ana
