# Told as firing, then silenced and left out of a later message: its end is told all the same, once.
set route policy=none group_by=cluster
0s fire A instance=1 cluster=x
0s announce ops 1 firing
10s silence instance=1 for 1h
20s fire B instance=2 cluster=x
21s announce ops 1 firing
25s crash
30s end A
31s announce ops 1 firing 1 resolved
40s end B
41s announce ops 1 resolved
99s end of story
