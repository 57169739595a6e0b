# Alertmanager's groups: wait, interval, repeat, one message per change.
set route group_wait=30s group_interval=5m repeat_interval=1h policy=none
0s fire A instance=1
10s fire A instance=2
30s announce ops 2 firing
40s fire A instance=3
330s announce ops 3 firing
400s end A/2
630s announce ops 2 firing 1 resolved
4530s announce ops 2 firing
4600s end A/1 A/3
4830s announce ops 2 resolved
9999s end of story
