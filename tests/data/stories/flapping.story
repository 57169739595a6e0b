# An alert that comes back while its incident is open goes back into it; after the end it is a new one.
0s fire A service=web
0s page first INC-1 round 1 step 1
0s fire B service=web
1s ack INC-1 by ana
2s end A
900s fire A service=web
900s status INC-1 is acknowledged medium 2/2
901s end A B
901s told first INC-1 resolved
902s fire A service=web
902s page first INC-2 round 1 step 1
903s ack INC-2 by ana
