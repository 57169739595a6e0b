# A long-firing alert keeps its incident open; what comes back late is not swallowed by it.
set no rules
0s fire DiskAlmostFull cluster=c namespace=shop
0s page first INC-1 round 1 step 1
3s fire CheckoutDown cluster=c namespace=shop
4s ack INC-1 by ana
300s end CheckoutDown
7200s fire CheckoutDown cluster=c namespace=shop
7200s page first INC-2 round 1 step 1
7201s ack INC-2 by ana
7300s end CheckoutDown DiskAlmostFull
7300s told first INC-1 resolved
7300s told first INC-2 resolved
