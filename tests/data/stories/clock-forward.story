# The wall clock is set forward by an hour: no step comes early, no acknowledgement times out, the page limit counts on.
set policy default ack_timeout=30m | 0s first | 5s second
set limit 1
0s fire Down cluster=a
0s page first INC-1 round 1 step 1
1s clock 1h
1s fire Down cluster=b
5s page second INC-1 round 1 step 2
6s ack INC-1 by ana
60s page first INC-2 round 1 step 2
61s ack INC-2 by ana
62s end Down/b
62s told first INC-2 resolved
900s clock 1h
1806s page first INC-1 round 1 step 1
1807s ack INC-1 by ana
1863s end of story
