# Whoever took a warning did not take an outage: where the policy says so, a rise to critical pages again.
set policy default page_again_at=critical | 0s first

0s fire Slow service=a severity=warning
0s page first INC-1 round 1 step 1
5s ack INC-1 by ana
10s fire Slower service=a severity=high
10s status INC-1 is acknowledged high 2/2
10s line INC-1 not paged again: acknowledged by ana
15s fire Down service=a severity=critical
15s page first INC-1 round 1 step 1
15s status INC-1 is triggered critical 3/3
15s line INC-1 paged again although acknowledged by ana: the policy says so from critical on
20s ack INC-1 by ana
25s fire Downer service=a severity=critical
25s status INC-1 is acknowledged critical 4/4
40s end of story
