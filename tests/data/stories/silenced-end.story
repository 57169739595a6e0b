# Whoever heard of a fire hears of its end, also under a silence, and of nothing that the silence covers besides.
set route policy=none group_by=cluster
0s fire A instance=1 cluster=x
0s announce ops 1 firing
10s silence cluster=x for 1h
20s fire B instance=2 cluster=x
30s end A B
31s announce ops 1 resolved
99s end of story
