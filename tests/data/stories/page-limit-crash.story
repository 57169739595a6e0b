# A held page and the window survive a crash.
set limit 1
set policy default | 0s first
set rule name alertname=~.+ by=alertname window=10m
0s fire A
0s page first INC-1 round 1 step 1
1s fire B
5s crash
60s page first INC-2 round 1 step 1
61s end of story
