# Two policies that page one contact at one moment page it once; it stands in the timeline.
set child severity=critical policy=a continue
set child severity=critical policy=b
set receiver phone webhook
set policy a | 0s phone | 10s second
set policy b | 0s phone | 10s first
0s fire Down instance=a severity=critical
0s page phone INC-1 round 1 step 1
0s line INC-1 phone is paged once round 1 step 1 of policy b pages the same contact at this moment
10s page second INC-1 round 1 step 2
10s page first INC-1 round 1 step 2
11s ack INC-1 by ana
60s end of story
