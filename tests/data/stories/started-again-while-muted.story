# The snooze ends while a silence holds: the policy starts again when it is over, and its page is another one than before.
set policy default | 0s first | 60s second
0s fire Down instance=a
0s page first INC-1 round 1 step 1
1s snooze INC-1 for 10s by ana
2s silence instance=a for 1h
20s unsilence s1
20s page first INC-1 round 1 step 1
21s ack INC-1 by ana
99s end of story
