# The clock is set back before the resolve, so that the alert seems to have begun after it: a restart knows better.
set policy default | 0s first
0s fire Down instance=a
0s page first INC-1 round 1 step 1
10s clock -1h
20s resolve INC-1 by ana
20s told first INC-1 resolved
30s crash
40s status INC-1 is resolved medium 1/1
3620s page first INC-2 round 1 step 1
3621s ack INC-2 by ana
3700s end of story
