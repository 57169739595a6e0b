# An incident runs every policy that its alerts' routes ask for, each from its first step; one page per contact and moment.
set no rules
set route policy=quiet
set child severity=critical policy=oncall
set receiver chat slack
set receiver phone webhook
set policy quiet | 0s chat | 5m ops
set policy oncall | 0s phone chat | 5m second
0s fire Odd instance=a severity=info
0s page chat INC-1 round 1 step 1
2s fire Down instance=a severity=critical
2s page phone INC-1 round 1 step 1
2s page chat INC-1 round 1 step 1
2s line INC-1 policy_started policy oncall starts, brought by Down a
3s crash
300s page ops INC-1 round 1 step 2
302s page second INC-1 round 1 step 2
303s ack INC-1 by ana
303s told chat INC-1 acknowledged
400s end Odd Down
400s told chat INC-1 resolved
400s told ops INC-1 resolved
400s told phone INC-1 resolved
400s told second INC-1 resolved
500s end of story
