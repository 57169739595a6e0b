# Who merges knows what comes along: its repeat pages nobody. What is split off times out like what it was split from.
set no rules
set rule name alertname=~.+ by=alertname window=10m
set policy default ack_timeout=100s | 0s first
0s fire Down service=a severity=critical
0s page first INC-1 round 1 step 1
1s ack INC-1 by ana
2s fire Full service=b severity=critical
2s page first INC-2 round 1 step 1
3s merge INC-2 into INC-1 by ana
3s told first INC-2 resolved
10s end Full
20s fire Full service=b severity=critical
30s split Full from INC-1 by ana
30s status INC-3 is acknowledged critical 1/1
101s page first INC-1 round 1 step 1
101s page first INC-3 round 1 step 1
140s end of story
