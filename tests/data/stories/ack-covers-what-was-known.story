# The one who acknowledged is asked first; unanswered, the policy starts from its first step. A snooze covers in the same way.
set no rules
set user ana ana-phone
set receiver ana-phone webhook
set receiver boss webhook
set policy default | 0s first | 30s boss
0s fire Down service=a severity=critical
0s page first INC-1 round 1 step 1
5s ack INC-1 by ana
10s fire Down service=b severity=critical
10s page ana-phone INC-1 round 0 step 0
10s line INC-1 paged again although acknowledged by ana: the policy says so from critical on Down b brings service b, which is new here
40s page first INC-1 round 1 step 1
70s page boss INC-1 round 1 step 2
71s snooze INC-1 for 1h by ana
80s fire Down service=a instance=2 severity=critical
80s line INC-1 not paged again: snoozed by ana
90s fire Full service=a severity=critical
90s page ana-phone INC-1 round 0 step 0
90s line INC-1 paged again although snoozed by ana
91s ack INC-1 by ana
300s end of story
