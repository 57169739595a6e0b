# An alert that comes back soon goes back into its incident; late, or after the end, it is a new one, though the old one is open.
0s fire A service=web
0s page first INC-1 round 1 step 1
0s fire B service=web
1s ack INC-1 by ana
2s end A
60s fire A service=web
60s status INC-1 is acknowledged medium 2/2
60s line INC-1 alert_attached A web fires again
61s end A
900s fire A service=web
900s page first INC-2 round 1 step 1
900s status INC-1 is acknowledged medium 1/2
900s ack INC-2 by ana
901s end A B
901s told first INC-1 resolved
901s told first INC-2 resolved
902s fire A service=web
902s page first INC-3 round 1 step 1
903s ack INC-3 by ana
