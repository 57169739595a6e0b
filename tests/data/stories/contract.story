# The issue's own story: one failure, nobody answers, step 2, an acknowledgement, the end.
0s fire InstanceDown instance=node-1 severity=critical cluster=a
0s page first INC-1 round 1 step 1
0s announce ops 1 firing
5s page second INC-1 round 1 step 2
6s ack INC-1 by ana
20s end InstanceDown
20s told first INC-1 resolved
20s told second INC-1 resolved
21s announce ops 1 resolved
4000s status INC-1 is resolved critical 0/1
4000s line INC-1 acknowledged acknowledged by ana
4000s line INC-1 escalated round 1 step 2 of policy default nobody acknowledged for 5s
4000s line INC-1 resolved resolved all its alerts have ended; the end goes to first, second
