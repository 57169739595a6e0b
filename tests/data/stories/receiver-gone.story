# A receiver that is not configured any more cannot be told the end: that is said.
set route policy=none
set receiver old webhook
set child severity=critical receiver=old
then route policy=none
then child severity=critical receiver=first
then drop old
0s fire A severity=critical
0s announce old 1 firing
5s reload then
5s announce first 1 firing
20s end A
20s untold old {}/{severity="critical"}:{alertname="A"}
21s announce first 1 resolved
99s end of story
