# A policy goes on while an alert that asks for it fires and is not muted; it rests when none does, and goes on where it was.
set no rules
set route policy=quiet
set child severity=critical policy=oncall
set receiver chat webhook
set receiver phone webhook
set policy quiet | 0s chat
set policy oncall | 0s phone | 30s second | 60s ops
0s fire Odd instance=a severity=info
0s page chat INC-1 round 1 step 1
1s fire Down instance=a severity=critical
1s page phone INC-1 round 1 step 1
10s silence severity=critical for 40s
31s line INC-1 policy oncall rests until an alert asks for it
50s page second INC-1 round 1 step 2
55s end Down
61s line INC-1 policy oncall rests until an alert asks for it
70s fire Down instance=a severity=critical
70s page ops INC-1 round 1 step 3
71s ack INC-1 by ana
99s end of story
