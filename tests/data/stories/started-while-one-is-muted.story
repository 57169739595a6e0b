# A policy whose only alert is muted while the policies start, an incident is split or merged, starts when the mute ends.
set no rules
set receiver boss webhook
set route policy=calm
set child severity=critical policy=crit
set policy calm ack_timeout=60s | 0s first
set policy crit ack_timeout=60s | 0s boss
0s fire Down service=a
0s page first INC-1 round 1 step 1
1s fire Full service=a severity=critical
1s page boss INC-1 round 1 step 1
2s ack INC-1 by ana
3s silence alertname=Full for 120s
62s page first INC-1 round 1 step 1
123s page boss INC-1 round 1 step 1
124s silence alertname=Full for 20s
125s split Full/a from INC-1 by ana
144s page boss INC-2 round 1 step 1
200s end of story
