# What joins muted is covered by nobody's answer: it pages when its mute ends, and it does not use up the rise of the severity.
set no rules
set user ana ana-phone
set receiver ana-phone webhook
set policy default | 0s first
0s fire Down service=a severity=info
0s page first INC-1 round 1 step 1
5s ack INC-1 by ana
6s silence service=b for 10s
7s fire Full service=b severity=critical
7s line INC-1 severity is critical now
10s fire Down service=a instance=2 severity=critical
10s page ana-phone INC-1 round 0 step 0
11s ack INC-1 by ana
12s silence service=c for 10s
13s fire Slow service=c severity=critical
22s page ana-phone INC-1 round 0 step 0
22s line INC-1 paged again although acknowledged by ana
23s ack INC-1 by ana
24s crash
40s end of story
