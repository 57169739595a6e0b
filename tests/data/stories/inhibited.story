# A target is quiet while its source fires, and opens when the source ends.
set inhibit alertname=ClusterDown alertname=NodeDown equal=cluster
set rule node alertname=NodeDown by=instance window=10m
0s fire ClusterDown cluster=a
0s page first INC-1 round 1 step 1
1s fire NodeDown instance=n1 cluster=a
2s ack INC-1 by ana
9s end ClusterDown
9s told first INC-1 resolved
9s page first INC-2 round 1 step 1
10s ack INC-2 by ana
11s end NodeDown
11s told first INC-2 resolved
