set rule name alertname=~.+ by=alertname window=10m
0s fire A instance=1
0s page first INC-1 round 1 step 1
1s ack INC-1 by ana
2s fire B instance=2
2s page first INC-2 round 1 step 1
3s merge INC-2 into INC-1 by ana
3s told first INC-2 resolved
3s status INC-1 is acknowledged medium 2/2
4s ack INC-2 by ana
4s refused INC-2 was merged into INC-1: act on that one
5s split B from INC-1 by ana
5s status INC-3 is acknowledged medium 1/1
6s unack INC-3 by ana
6s page first INC-3 round 1 step 1
7s split B from INC-3 by ana
7s refused that would leave INC-3 without alerts
8s detach B from INC-3 by ana
8s told first INC-3 resolved
9s crash
20s end B
21s fire B instance=2
21s page first INC-4 round 1 step 1
22s ack INC-4 by ana
