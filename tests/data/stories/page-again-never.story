# A policy that says never leaves an acknowledged incident alone whatever joins.
set policy default page_again_at=never | 0s first
0s fire Slow service=a severity=warning
0s page first INC-1 round 1 step 1
5s ack INC-1 by ana
15s fire Down service=a severity=critical
15s status INC-1 is acknowledged critical 2/2
15s line INC-1 Down a pages nobody not paged again: acknowledged by ana
300s end of story
