# What still fires when the hold is over opens a new incident that names the old one and who resolved it; muted alerts do not.
set hold 10m
0s fire Down instance=a severity=critical
0s page first INC-1 round 1 step 1
0s fire Slow instance=b
1s fire Quiet instance=c
2s silence instance=c for 20m
3s resolve INC-1 by ana
3s told first INC-1 resolved
3s line INC-1 resolved while 3 alerts still fire
3s status INC-1 is resolved critical 3/3
500s end Slow
500s status INC-1 is resolved critical 2/3
550s crash
603s page first INC-2 round 1 step 1
603s line INC-2 opened 2 alerts still fire of INC-1, which ana resolved
603s line INC-1 its alerts still fire: INC-2 was opened for them
603s status INC-1 is resolved critical 0/3
603s status INC-2 is triggered critical 1/1
604s ack INC-2 by bob
1202s page first INC-3 round 1 step 1
1203s ack INC-3 by bob
1300s end Down Quiet
1300s told first INC-2 resolved
1300s told first INC-3 resolved
9999s end of story
