# An acknowledgement covers what was known. A rise to critical, a new name or a new service at critical pages again; a repeat
# of what is known never does, nor does what is less severe.
set policy default | 0s first

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
25s page first INC-1 round 1 step 1
25s line INC-1 Downer a is new here
26s ack INC-1 by ana
27s end Downer
28s fire Downer service=a severity=critical
28s status INC-1 is acknowledged critical 4/4
28s line INC-1 alert_attached Downer a fires again
40s end of story
