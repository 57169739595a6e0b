# Same service within the window: one incident; another service or another cluster: another.
0s fire A service=web cluster=eu severity=warning
0s page first INC-1 round 1 step 1
1s fire B service=web cluster=eu severity=critical
1s status INC-1 is triggered critical 2/2
1s line INC-1 alert_attached B web joined rule service: same cluster="eu", service="web" and same cluster and environment; last alert 1s ago, window is 10m
2s fire C service=cart cluster=eu
2s page first INC-2 round 1 step 1
3s fire D service=web cluster=us
3s page first INC-3 round 1 step 1
4s ack INC-1 by ana
4s ack INC-2 by ana
4s ack INC-3 by ana
9s end A
10s status INC-1 is acknowledged critical 1/2
11s end B
11s told first INC-1 resolved
12s end C D
12s told first INC-2 resolved
12s told first INC-3 resolved
