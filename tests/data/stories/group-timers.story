# Groups that wait for their group_interval go on waiting over a reload and over restarts.
set route policy=none group_by=cluster group_wait=30s group_interval=5m
0s fire A cluster=x
10s crash
20s reload
30s announce ops 1 firing
40s fire B cluster=x
50s reload
60s crash
330s announce ops 2 firing
340s end A B
350s crash
630s announce ops 2 resolved
999s end of story
