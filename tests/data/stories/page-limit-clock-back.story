# The clock is set back by an hour, and then a restart: pages of before hold the limit for a minute, not for the hour.
set no rules
set limit 1
set policy default | 0s first
set rule name alertname=~.+ by=alertname window=10m
0s fire Down
0s page first INC-1 round 1 step 1
1s ack INC-1 by ana
10s clock -1h
20s crash
30s fire Full
80s page first INC-2 round 1 step 1
81s ack INC-2 by ana
100s end of story
