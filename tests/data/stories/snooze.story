# Quiet for ten minutes, then from the beginning; an acknowledgement during the snooze keeps it quiet.
0s fire Down instance=a
0s page first INC-1 round 1 step 1
2s snooze INC-1 for 10m by ana
602s page first INC-1 round 1 step 1
603s snooze INC-1 for 10m by ana
700s ack INC-1 by ana
3000s end Down
3000s told first INC-1 resolved
9999s end of story
